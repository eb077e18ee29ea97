//! The libp2p swarm: transports, behaviours and every default that we override.
//!
//! ```text
//!   dns ─ guard ─┬─ tcp ─ noise ─ yamux (window and streams bounded)
//!                └─ quic (window and streams bounded)
//! ```

use std::time::Duration;

use bitchat_protocol::crypto::Secret;
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::core::transport::{Boxed, OrTransport};
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::{Config, NetworkBehaviour};
use libp2p::{
    PeerId, StreamProtocol, Swarm, Transport as _, dns, identify, mdns, noise, ping, quic, tcp,
};
use zeroize::Zeroize as _;

use super::address::Guard;
use super::admission::Admission;
use super::guarded::Guarded;
use super::muxer::{Bounded, STREAMS};
use super::{Limits, NetworkError, Settings};

/// Our frames.
pub(super) const MESSAGES: StreamProtocol = StreamProtocol::new("/bitchat/message/1");
/// What identify says: nothing that tells one node from another.
const IDENTIFY: &str = "/bitchat/id/1";
const AGENT: &str = "bitchat/1";

/// A connection without streams of ours is closed after this long.
const IDLE_TIME: Duration = Duration::from_secs(60);
/// A dead path is noticed after two missed pings.
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_TIME: Duration = Duration::from_secs(10);
/// QUIC notices a dead path itself.
const QUIC_IDLE_MS: u32 = 30_000;
const QUIC_KEEP_ALIVE: Duration = Duration::from_secs(10);
/// Bytes that a peer may have under way on one stream and on one connection.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// Substreams whose protocol is being negotiated.
const NEGOTIATING: usize = 16;

/// What runs on every connection.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Behaviour {
    admission: Admission,
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) streams: libp2p_stream::Behaviour,
}

/// Builds the swarm; nothing listens yet.
pub(super) fn build(settings: &Settings, guard: &Guard) -> Result<Swarm<Behaviour>, NetworkError> {
    let keypair = keypair(&settings.key)?;
    let config = Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE_TIME)
        .with_max_negotiating_inbound_streams(NEGOTIATING);
    let peer = keypair.public().to_peer_id();
    Ok(Swarm::new(
        transport(&keypair, guard, settings.limits.handshake_time)?,
        behaviour(&keypair, settings)?,
        peer,
        config,
    ))
}

fn keypair(seed: &Secret<32>) -> Result<Keypair, NetworkError> {
    let mut bytes = *seed.expose();
    let keypair = Keypair::ed25519_from_bytes(&mut bytes).map_err(|_| NetworkError::Key);
    bytes.zeroize();
    keypair
}

fn transport(
    keypair: &Keypair,
    guard: &Guard,
    handshake_time: Duration,
) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetworkError> {
    // A machine without a resolver still reaches addresses that are numbers.
    let named = dns::tokio::Transport::system(unnamed(keypair, guard.clone(), handshake_time)?);
    let named = match named {
        Ok(named) => named,
        Err(cause) => {
            tracing::warn!(%cause, "no resolver: names in addresses cannot be dialled");
            let nowhere = dns::ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            let options = dns::ResolverOpts::default();
            dns::tokio::Transport::custom(
                unnamed(keypair, guard.clone(), handshake_time)?,
                nowhere,
                options,
            )
        }
    };
    Ok(TransportTimeout::new(named, handshake_time).boxed())
}

/// TCP and QUIC for addresses that are numbers.
fn unnamed(
    keypair: &Keypair,
    guard: Guard,
    handshake_time: Duration,
) -> Result<Guarded<Boxed<(PeerId, StreamMuxerBox)>>, NetworkError> {
    let noise =
        noise::Config::new(keypair).map_err(|error| NetworkError::Encryption(error.to_string()))?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(Bounded::new())
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let quic = quic::tokio::Transport::new(quic_config(keypair, handshake_time))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let inner = OrTransport::new(quic, tcp).map(|either, _| either.into_inner()).boxed();
    Ok(Guarded { inner, guard })
}

fn quic_config(keypair: &Keypair, handshake_time: Duration) -> quic::Config {
    let mut config = quic::Config::new(keypair);
    config.handshake_timeout = handshake_time;
    config.max_idle_timeout = QUIC_IDLE_MS;
    config.keep_alive_interval = QUIC_KEEP_ALIVE;
    config.max_concurrent_stream_limit = u32::try_from(STREAMS).unwrap_or(u32::MAX);
    config.max_stream_data = STREAM_WINDOW;
    config.max_connection_data = CONNECTION_WINDOW;
    config
}

fn behaviour(keypair: &Keypair, settings: &Settings) -> Result<Behaviour, NetworkError> {
    let mdns = if settings.mdns {
        let peer = keypair.public().to_peer_id();
        let behaviour = mdns::tokio::Behaviour::new(mdns::Config::default(), peer);
        Some(behaviour.map_err(|e| NetworkError::Discovery(e.to_string()))?)
    } else {
        None
    };
    let identify = identify::Config::new(IDENTIFY.to_owned(), keypair.public())
        .with_agent_version(AGENT.to_owned())
        .with_hide_listen_addrs(true)
        .with_cache_size(0);
    let ping = ping::Config::new().with_interval(PING_EVERY).with_timeout(PING_TIME);
    Ok(Behaviour {
        admission: Admission::new(settings.limits.prefix_connections),
        limits: connection_limits::Behaviour::new(connection_limits(&settings.limits)),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping),
        mdns: mdns.into(),
        streams: libp2p_stream::Behaviour::new(),
    })
}

fn connection_limits(limits: &Limits) -> ConnectionLimits {
    ConnectionLimits::default()
        .with_max_established(Some(limits.connections))
        .with_max_established_incoming(Some(limits.connections_inbound))
        .with_max_established_per_peer(Some(limits.connections_per_peer))
        .with_max_pending_incoming(Some(limits.connections_pending))
        .with_max_pending_outgoing(Some(limits.connections_pending))
}
