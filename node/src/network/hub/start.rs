//! From settings to a hub whose listeners are bound.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::core::transport::ListenerId;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Stream, Swarm, TransportError};
use libp2p_stream::IncomingStreams;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::address::{AddressBook, Guard, listenable};
use super::super::link::LinkEnds;
use super::super::reader::StreamNumber;
use super::super::swarm::{Behaviour, MESSAGES, build};
use super::super::{NetworkCounters, NetworkError, Settings};
use super::{Ends, Hub};

/// A listener reports its address at once, or something is wrong.
const LISTEN_TIME: Duration = Duration::from_secs(5);
/// Streams that were accepted and not yet looked at.
const ARRIVALS_MAX: usize = 256;

impl Hub {
    /// Builds the swarm and binds every address.
    pub(in crate::network) async fn listen(
        settings: Settings,
        ends: Ends,
        counters: Arc<NetworkCounters>,
    ) -> Result<Self, NetworkError> {
        let guard = Guard { own_ports: settings.own_ports.clone() };
        let mut swarm = build(&settings, &guard)?;
        let mut streams = swarm.behaviour().streams.new_control();
        let incoming = streams.accept(MESSAGES).map_err(|_| NetworkError::Bug("protocol taken"))?;
        for address in &settings.listen {
            bind(&mut swarm, address).await?;
        }
        let (arrived, arrivals) = mpsc::channel(ARRIVALS_MAX);
        let mut tasks = JoinSet::new();
        let accepting = tasks.spawn(accept(incoming, arrived, Arc::clone(&counters)));
        let limits = settings.limits;
        let events = ends.events.clone();
        let mut hub = Self {
            swarm,
            ends,
            links: LinkEnds { streams, events, counters, limits },
            guard,
            arrivals,
            backlog: VecDeque::new(),
            peers: BTreeMap::new(),
            book: AddressBook::default(),
            listening: Vec::new(),
            stream: StreamNumber::FIRST,
            streams: Arc::new(Semaphore::new(limits.streams)),
            queued_bytes: Arc::default(),
            tasks,
            accepting,
            snapshot: None,
        };
        hub.on_listeners();
        Ok(hub)
    }
}

/// libp2p-stream drops what arrives while nobody waits: this loop does nothing else.
async fn accept(
    mut incoming: IncomingStreams,
    arrived: mpsc::Sender<(PeerId, Stream)>,
    counters: Arc<NetworkCounters>,
) {
    while let Some(arrival) = incoming.next().await {
        if arrived.try_send(arrival).is_err() {
            counters.streams_dropped.one();
        }
    }
}

/// Listens on one address and waits until the system has given it to us.
async fn bind(swarm: &mut Swarm<Behaviour>, text: &str) -> Result<(), NetworkError> {
    let address =
        listenable(text).map_err(|_| NetworkError::Address { address: text.to_owned() })?;
    let failed = |source| NetworkError::Listen { address: text.to_owned(), source };
    probe(&address).map_err(failed)?;
    let id = swarm.listen_on(address).map_err(|error| match error {
        TransportError::Other(source) => failed(source),
        TransportError::MultiaddrNotSupported(_) => {
            NetworkError::Address { address: text.to_owned() }
        }
    })?;
    match timeout(LISTEN_TIME, listening(swarm, id)).await {
        Ok(outcome) => outcome.map_err(failed),
        Err(_) => Err(NetworkError::ListenTimeout {
            address: text.to_owned(),
            seconds: LISTEN_TIME.as_secs(),
        }),
    }
}

/// libp2p shares TCP ports (`SO_REUSEPORT`), so that a second node on one port would not fail but
/// take every other connection of the first: binding without sharing tells.
fn probe(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => {
            TcpListener::bind(SocketAddr::new(ip, port)).map(drop)
        }
        _ => Ok(()),
    }
}

/// Waits for the first address of a listener. Nobody can be connected yet, so that the other
/// events of the swarm say nothing.
#[allow(clippy::wildcard_enum_match_arm, reason = "libp2p adds events as it likes")]
async fn listening(swarm: &mut Swarm<Behaviour>, id: ListenerId) -> io::Result<()> {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::NewListenAddr { listener_id, .. } if listener_id == id => return Ok(()),
            SwarmEvent::ListenerClosed { listener_id, reason, .. } if listener_id == id => {
                return reason.and(Err(io::ErrorKind::NotConnected.into()));
            }
            SwarmEvent::ListenerError { listener_id, error } if listener_id == id => {
                return Err(error);
            }
            _ => {}
        }
    }
}
