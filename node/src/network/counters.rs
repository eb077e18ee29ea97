//! What the network counts; the metrics of the node read it. Names nobody.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Path;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// The number now.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn one(&self) {
        self.more(1);
    }

    pub(super) fn more(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }
}

/// One number for each transport and direction.
#[derive(Debug, Default)]
pub struct ByRoute {
    /// TCP, dialled by the peer.
    pub tcp_inbound: Count,
    /// TCP, dialled by us.
    pub tcp_outbound: Count,
    /// QUIC, dialled by the peer.
    pub quic_inbound: Count,
    /// QUIC, dialled by us.
    pub quic_outbound: Count,
}

impl ByRoute {
    pub(super) const fn of(&self, path: Path, outbound: bool) -> &Count {
        match (path, outbound) {
            (Path::Tcp, false) => &self.tcp_inbound,
            (Path::Tcp, true) => &self.tcp_outbound,
            (Path::Quic, false) => &self.quic_inbound,
            (Path::Quic, true) => &self.quic_outbound,
        }
    }
}

/// Counters of one network since its start.
#[derive(Debug, Default)]
pub struct NetworkCounters {
    /// Connections that came to stand.
    pub connections_opened: ByRoute,
    /// Connections that ended.
    pub connections_closed: ByRoute,
    /// Inbound connections that failed or were refused before they stood.
    pub connections_refused: Count,
    /// Dials that failed at every address.
    pub dials_failed: Count,
    /// Addresses of a `Connect` or of mDNS that were not dialled because they are malformed,
    /// forbidden or too many.
    pub addresses_refused: Count,
    /// Application frames read from peers.
    pub frames_in: Count,
    /// Application frames written to peers.
    pub frames_out: Count,
    /// Frames of ours that a peer accepted.
    pub frames_accepted: Count,
    /// Sends that failed for whatever reason.
    pub sends_failed: Count,
    /// Sends that failed at once because the queue of the peer (or of all peers) was full.
    pub queue_full: Count,
    /// Refusals sent to peers.
    pub refusals_out: Count,
    /// Refusals received from peers.
    pub refusals_in: Count,
    /// Refusals of either direction that came too late or too many to be passed on.
    pub refusals_dropped: Count,
    /// Streams for our frames that were opened.
    pub streams_opened: Count,
    /// Streams of peers that were taken.
    pub streams_accepted: Count,
    /// Streams of peers that were dropped: too many, or replaced by a newer one.
    pub streams_dropped: Count,
    /// Streams that were reset because of malformed or oversized frames, or a frame that did not end.
    pub streams_reset: Count,
}
