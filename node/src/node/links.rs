//! Links of a node: how its network is set up, and whom it dials first.

use tokio::sync::mpsc;

use super::Mode;
use super::ports::Ports;
use crate::config::Config;
use crate::control;
use crate::error::NodeError;
use crate::home::Home;
use crate::keystore::Unlocked;
use crate::network::{self, Network};

/// Starts the network on the ports of the last run, or on others if somebody took them.
pub(super) async fn start_network(
    home: &Home,
    config: &Config,
    unlocked: &Unlocked,
    mode: Mode,
) -> Result<(Network, mpsc::Receiver<network::Event>), NodeError> {
    let wanted = if mode == Mode::Daemon { config.network.listen.clone() } else { Vec::new() };
    let filled = Ports::read(&home.ports_file()).fill(&wanted);
    if filled != wanted {
        match network::start(network_settings(config, unlocked, mode, filled)).await {
            Ok(started) => return Ok(started),
            Err(error) => tracing::info!(%error, "the ports of the last run are taken"),
        }
    }
    Ok(network::start(network_settings(config, unlocked, mode, wanted)).await?)
}

/// Dials the peers that the operator named; each address ends with `/p2p/PEER`.
pub(super) fn dial_bootstrap(network: &Network, addresses: &[String]) -> Result<(), NodeError> {
    for address in addresses {
        let (_, peer) = address.rsplit_once("/p2p/").unwrap_or_default();
        let peer = control::peer_id::parse(peer).ok_or_else(|| NodeError::Config {
            problem: format!("network.bootstrap: {address} does not end with the id of a peer"),
            hint: "copy the address and `device` from `bitchat id` of that node".to_owned(),
        })?;
        let command = network::Command::Connect { peer, addresses: vec![address.clone()] };
        if network.commands().try_send(command).is_err() {
            tracing::warn!("too many bootstrap peers");
        }
    }
    Ok(())
}

fn network_settings(
    config: &Config,
    unlocked: &Unlocked,
    mode: Mode,
    listen: Vec<String>,
) -> network::Settings {
    let connections = config.limits.connections;
    let limits = network::Limits {
        connections,
        // A quarter stays for our own dials, so that peers cannot lock us in.
        connections_inbound: connections - connections / 4,
        connections_per_peer: config.limits.connections_per_peer,
        prefix_connections: config.limits.prefix_connections,
        ..network::Limits::default()
    };
    network::Settings {
        listen,
        key: unlocked.secrets.device_seed.duplicate(),
        mdns: mode == Mode::Daemon && config.network.mdns,
        own_ports: own_ports(config),
        limits,
    }
}

/// Ports of our own listeners, which nobody may make us dial.
pub(super) fn own_ports(config: &Config) -> Vec<u16> {
    config.metrics.listen.map(|address| address.port()).into_iter().collect()
}
