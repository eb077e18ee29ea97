//! What the hub knows about one device: connections, a dial, the link, the streams that are read.

use std::time::{Duration, Instant};

use bitchat_proto::stream::Control;
use bitchat_protocol::id::DeviceId;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::link::LinkHandle;
use super::reader::StreamNumber;
use super::{Path, PeerInfo};

/// Two sides that dial one another at once both finish within this time.
const RACE: Duration = Duration::from_secs(2);

/// A device that is connected or being dialled.
pub(super) struct Peer {
    pub(super) id: PeerId,
    /// Oldest first.
    pub(super) connections: Vec<Connection>,
    pub(super) dial: Option<Dial>,
    pub(super) link: Option<LinkHandle>,
    /// Oldest first.
    pub(super) streams: Vec<InboundStream>,
}

/// One standing connection.
pub(super) struct Connection {
    pub(super) id: ConnectionId,
    /// When it came to stand.
    pub(super) since: Instant,
    pub(super) path: Path,
    pub(super) outbound: bool,
    pub(super) rtt: Option<Duration>,
}

/// A dial of ours that is under way.
pub(super) struct Dial {
    pub(super) id: ConnectionId,
    /// Whether a `Connect` still waits for `Connected` or `Disconnected`.
    pub(super) owed: bool,
    /// Addresses of a later `Connect`, tried if this dial fails.
    pub(super) next: Vec<Multiaddr>,
}

/// A stream of the peer that is being read.
pub(super) struct InboundStream {
    pub(super) number: StreamNumber,
    pub(super) refusals: mpsc::Sender<Control>,
    pub(super) task: AbortHandle,
}

impl Peer {
    pub(super) const fn new(id: PeerId) -> Self {
        Self { id, connections: Vec::new(), dial: None, link: None, streams: Vec::new() }
    }

    /// Whether nothing is left to know.
    pub(super) fn is_forgotten(&self) -> bool {
        self.connections.is_empty() && self.dial.is_none()
    }

    /// Takes out the connections that stood before a dial of the peer can have begun: older than
    /// [`RACE`]. Younger ones come from two dials at once, and both may live.
    pub(super) fn take_stale(&mut self, now: Instant) -> Vec<ConnectionId> {
        let stale = |known: &mut Connection| now.duration_since(known.since) > RACE;
        self.connections.extract_if(.., stale).map(|known| known.id).collect()
    }

    pub(super) fn info(&self, device: DeviceId) -> Option<PeerInfo> {
        let Connection { path, outbound, rtt, .. } = *self.connections.first()?;
        Some(PeerInfo { device, path, rtt, outbound })
    }

    /// Makes room for one more stream among `most`: the oldest ones go. Says how many went.
    pub(super) fn make_room(&mut self, most: usize) -> usize {
        self.streams.retain(|stream| !stream.task.is_finished());
        let excess = (self.streams.len() + 1).saturating_sub(most);
        for stream in self.streams.drain(..excess) {
            stream.task.abort();
        }
        excess
    }

    /// Where a refusal of a frame on stream `number` goes.
    pub(super) fn refusals_of(&self, number: StreamNumber) -> Option<&mpsc::Sender<Control>> {
        self.streams.iter().find(|stream| stream.number == number).map(|stream| &stream.refusals)
    }
}
