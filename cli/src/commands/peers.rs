//! `bitchat peers`: to whom am I connected, and how?

use crate::client::{self, Client};
use crate::error::Stop;
use crate::output::{Output, table};
use crate::sanitise;

/// List connected devices with path, round-trip time and open circuit breakers
#[derive(Debug, clap::Args)]
pub(crate) struct Peers {}

impl Peers {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let peers = client.peers().await?;
        if out.is_json() {
            return peers.iter().try_for_each(|peer| out.object(peer));
        }
        if peers.is_empty() {
            out.remark("no connections");
            return Ok(());
        }
        out.line(&table(&peers.iter().map(row).collect::<Vec<_>>()))
    }
}

fn row(peer: &client::Peer) -> Vec<String> {
    vec![
        sanitise::line(&peer.peer),
        sanitise::line(&peer.path),
        peer.rtt_ms.map_or_else(|| "-".to_owned(), |rtt| format!("{rtt} ms")),
        peer.contact.as_deref().map_or_else(String::new, sanitise::name),
        peer.breakers.iter().map(|breaker| sanitise::line(breaker)).collect::<Vec<_>>().join(", "),
    ]
}
