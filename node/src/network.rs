//! Frames between devices: libp2p over TCP and QUIC, one long-lived stream for each direction.
//!
//! ```text
//!   commands ──> hub ──> link (one a peer): queue ─> ledger ─> stream of ours ──> peer
//!                 │                                     └─ Accepted, Refusal <──┘
//!   events  <─────┴──── reader (one a stream of a peer): decoder ─> bounded channel
//! ```
//!
//! # Invariants
//!
//! - Each `Send` has exactly one of [`Event::Accepted`], [`Event::SendFailed`] and
//!   [`Event::Refused`]; a `Refused` may follow an `Accepted`, since the peer's engine judges a
//!   frame after its network took it.
//! - `Accepted` means that the peer's network handed the frame to its driver; nothing is durable yet.
//! - Frames of one peer that arrive on one stream arrive in order and once. A frame that failed may
//!   have arrived all the same.
//! - [`Event::Connected`] precedes the first frame of a connection and comes once until
//!   [`Event::Disconnected`]. `Disconnected` also answers a `Connect` that leads nowhere.
//! - Nothing grows without bound. When the events are not read, readers stop reading, peers stop
//!   writing, and commands are not taken: a driver must never wait for room among the commands
//!   without reading events meanwhile.
//!
//! # What this module does not do
//!
//! It does not retry, reconnect or keep contacts; it proves a device, never a message's author.
//! libp2p types stop here. See docs/decisions/0004-persistent-streams.md.

mod address;
mod counters;
mod error;
mod guarded;
mod hub;
mod ledger;
mod link;
mod muxer;
mod peer;
mod reader;
mod swarm;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bitchat_protocol::crypto::Secret;
use bitchat_protocol::engine::SendToken;
use bitchat_protocol::error::Code;
use bitchat_protocol::id::DeviceId;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use counters::{ByRoute, Count, NetworkCounters};
pub use error::NetworkError;

use hub::Hub;

/// A shutdown that takes longer is cut off.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);

/// What a network is built from.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen: `/ip4/../tcp/..` and `/ip4/../udp/../quic-v1`; port 0 lets the system choose.
    /// Empty: only dial.
    pub listen: Vec<String>,
    /// The device's Ed25519 seed.
    pub key: Secret<32>,
    /// Whether to announce ourselves and to look for others on the local network.
    pub mdns: bool,
    /// Ports of our own local listeners, which nobody may make us dial.
    pub own_ports: Vec<u16>,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds of a network. The defaults fit a node with hundreds of contacts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Commands waiting for the network.
    pub commands: usize,
    /// Events waiting for the driver; with frames of the greatest size each is 256 KiB.
    pub events: usize,
    /// Frames waiting for one peer.
    pub queue_frames: usize,
    /// Bytes waiting for one peer.
    pub queue_bytes: usize,
    /// Bytes waiting for all peers.
    pub queue_bytes_total: usize,
    /// Frames written to one peer and not accepted.
    pub in_flight: u64,
    /// Connections, both directions.
    pub connections: u32,
    /// Connections that peers dialled: fewer than all, so that they cannot lock us in.
    pub connections_inbound: u32,
    /// Connections with one peer.
    pub connections_per_peer: u32,
    /// Handshakes under way, for each direction.
    pub connections_pending: u32,
    /// Streams of one peer that are read at once; a newer one replaces the oldest.
    pub streams_per_peer: usize,
    /// Streams of all peers that are read at once.
    pub streams: usize,
    /// How long a frame may take from its first byte to its last.
    pub frame_time: Duration,
    /// A peer that accepts nothing for one to two times this long loses our stream, and the sends fail.
    pub accept_time: Duration,
    /// How long a connection may take to stand, handshakes included.
    pub handshake_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            commands: 1_024,
            events: 256,
            queue_frames: 1_024,
            queue_bytes: 8 * 1024 * 1024,
            queue_bytes_total: 64 * 1024 * 1024,
            in_flight: 4_096,
            connections: 512,
            connections_inbound: 384,
            connections_per_peer: 4,
            connections_pending: 64,
            streams_per_peer: 2,
            streams: 1_024,
            frame_time: Duration::from_secs(30),
            accept_time: Duration::from_secs(60),
            handshake_time: Duration::from_secs(10),
        }
    }
}

/// What the driver asks for.
#[derive(Debug)]
pub enum Command {
    /// Send a frame (an encoded `wire::Link`, no control frame) to a connected device.
    Send {
        /// To whom.
        peer: DeviceId,
        /// Comes back in exactly one of `Accepted`, `SendFailed`, `Refused`.
        token: SendToken,
        /// At most `limits::FRAME_BYTES_MAX`.
        frame: Vec<u8>,
    },
    /// Tell a peer that its frame is refused. Dropped if the stream of the frame is gone.
    Refuse {
        /// Whom.
        peer: DeviceId,
        /// [`Event::Frame`]'s number.
        number: u64,
        /// Why.
        code: Code,
        /// When to try again.
        retry_after: Duration,
    },
    /// Dial a device at these addresses and at those seen on the local network.
    Connect {
        /// Whom.
        peer: DeviceId,
        /// Multiaddresses; a `/p2p` must be the device's.
        addresses: Vec<String>,
    },
}

/// What the driver is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A frame of an authenticated device.
    Frame {
        /// Proven by the handshake of the connection.
        peer: DeviceId,
        /// Names the frame in [`Command::Refuse`]; opaque, never used twice by one network.
        number: u64,
        /// An encoded `wire::Link` of one field that is no control frame.
        bytes: Vec<u8>,
    },
    /// The first connection with the device stands.
    Connected {
        /// Proven by the handshake.
        peer: DeviceId,
    },
    /// The last connection with the device is gone, or a `Connect` failed at every address.
    Disconnected {
        /// Which device.
        peer: DeviceId,
    },
    /// The device was seen on the local network.
    Discovered {
        /// Unproven.
        peer: DeviceId,
        /// All its local addresses that we know.
        addresses: Vec<String>,
    },
    /// The peer's network took the frame.
    Accepted {
        /// Whose send.
        peer: DeviceId,
        /// Which send.
        token: SendToken,
    },
    /// The frame did not leave, or its stream broke before the peer accepted it.
    SendFailed {
        /// Whose send.
        peer: DeviceId,
        /// Which send.
        token: SendToken,
    },
    /// The peer's engine refused the frame; may come after `Accepted`.
    Refused {
        /// Whose send.
        peer: DeviceId,
        /// Which send.
        token: SendToken,
        /// Why.
        code: Code,
        /// Wait at least this long; at most a day.
        retry_after: Duration,
    },
    /// Our listen addresses now, without `/p2p`.
    Listening(Vec<String>),
}

/// The transport below a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// TCP, Noise, Yamux.
    Tcp,
    /// QUIC.
    Quic,
}

impl Path {
    /// The word in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
        }
    }
}

/// A connected device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerInfo {
    /// Which device.
    pub device: DeviceId,
    /// The transport of its oldest connection.
    pub path: Path,
    /// The last ping; `None` before the first.
    pub rtt: Option<Duration>,
    /// Whether we dialled.
    pub outbound: bool,
}

/// A running network.
pub struct Network {
    commands: mpsc::Sender<Command>,
    peers: watch::Receiver<Vec<PeerInfo>>,
    counters: Arc<NetworkCounters>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// Binds the listeners and starts the network on the current tokio runtime.
///
/// # Errors
///
/// [`NetworkError`] if an address is unusable or taken; nothing keeps running then.
pub async fn start(settings: Settings) -> Result<(Network, mpsc::Receiver<Event>), NetworkError> {
    let (commands, taken) = mpsc::channel(settings.limits.commands);
    let (told, events) = mpsc::channel(settings.limits.events);
    let counters = Arc::new(NetworkCounters::default());
    let stop = CancellationToken::new();
    let (publish, peers) = watch::channel(Vec::new());
    let hub = Hub::listen(
        settings,
        hub::Ends { commands: taken, events: told, peers: publish, stop: stop.clone() },
        Arc::clone(&counters),
    )
    .await?;
    let task = tokio::spawn(hub.run());
    Ok((Network { commands, peers, counters, stop, task }, events))
}

impl Network {
    /// Where commands go. Read events while waiting for room here.
    #[must_use]
    pub fn commands(&self) -> mpsc::Sender<Command> {
        self.commands.clone()
    }

    /// The connected devices, at most a quarter of a second old.
    #[must_use]
    pub fn peers(&self) -> watch::Receiver<Vec<PeerInfo>> {
        self.peers.clone()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Arc<NetworkCounters> {
        Arc::clone(&self.counters)
    }

    /// Stops listening, gives what is queued a second to be accepted, fails the rest, closes all
    /// connections. Ends within 2 s; read events meanwhile, or their fates are lost.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if timeout(SHUTDOWN_MAX, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("peers", &self.peers.borrow().len()).finish_non_exhaustive()
    }
}
