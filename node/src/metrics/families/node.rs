//! Families about the node itself: what does not work, where things wait, disk and network.

use std::sync::atomic::Ordering;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::metrics::label::{Direction, Queue, Rung};

/// The protocol of frames between devices.
const LINK: &str = "link";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(in crate::metrics) struct ByRung {
    pub(in crate::metrics) rung: Rung,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(in crate::metrics) struct ByQueue {
    pub(in crate::metrics) queue: Queue,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(in crate::metrics) struct ByDirection {
    pub(in crate::metrics) direction: Direction,
}

/// What the peer plane speaks: one protocol so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(in crate::metrics) struct ByStream {
    pub(in crate::metrics) protocol: &'static str,
    pub(in crate::metrics) direction: Direction,
}

/// Every family about the node itself.
#[derive(Clone, Debug, Default)]
pub(in crate::metrics) struct NodeFamilies {
    pub(in crate::metrics) degraded: Family<ByRung, Gauge>,
    pub(in crate::metrics) queue: Family<ByQueue, Gauge>,
    pub(in crate::metrics) store_size: Gauge,
    pub(in crate::metrics) store_free: Gauge,
    pub(in crate::metrics) clock_jumps: Counter,
    streams: Family<ByStream, Counter>,
    frames: Family<ByDirection, Counter>,
    refusals: Family<ByDirection, Counter>,
    dials_failed: Counter,
    connections_refused: Counter,
}

/// What the network counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames of peers that were read, and ours that were written.
    pub frames: [u64; 2],
    /// Streams of peers that were taken, and ours that were opened.
    pub streams: [u64; 2],
    /// Refusals that peers sent, and ours.
    pub refusals: [u64; 2],
    /// Dials that failed at every address.
    pub dials_failed: u64,
    /// Inbound connections that failed before they stood.
    pub connections_refused: u64,
}

impl NodeFamilies {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "degraded",
            "1 while the named part does not work and the others go on",
            self.degraded.clone(),
        );
        registry.register("queue", "What waits inside the node", self.queue.clone());
        registry.register(
            "store_size_bytes",
            "Bytes that the database takes on disk",
            self.store_size.clone(),
        );
        registry.register(
            "store_free_bytes",
            "Free bytes on the file system of the store",
            self.store_free.clone(),
        );
        registry.register(
            "clock_jumps",
            "Times that the wall clock was set while the node ran",
            self.clock_jumps.clone(),
        );
        self.register_network(registry);
    }

    fn register_network(&self, registry: &mut Registry) {
        registry.register(
            "streams",
            "Streams that peers opened (inbound) or we did (outbound)",
            self.streams.clone(),
        );
        registry.register(
            "frames",
            "Frames read from peers (inbound) or written to them (outbound)",
            self.frames.clone(),
        );
        registry.register(
            "refusals",
            "Refusals that peers sent (inbound) or we did (outbound)",
            self.refusals.clone(),
        );
        registry.register(
            "dials_failed",
            "Dials that failed at every address",
            self.dials_failed.clone(),
        );
        registry.register(
            "connections_refused",
            "Inbound connections that failed before they stood",
            self.connections_refused.clone(),
        );
    }

    pub(super) fn start_at_zero(&self) {
        for &rung in Rung::ALL {
            drop(self.degraded.get_or_create(&ByRung { rung }));
        }
        for &queue in Queue::ALL {
            drop(self.queue.get_or_create(&ByQueue { queue }));
        }
        self.traffic(&Traffic::default());
    }

    /// Takes over what the network counted.
    pub(in crate::metrics) fn traffic(&self, traffic: &Traffic) {
        for (at, direction) in [Direction::Inbound, Direction::Outbound].into_iter().enumerate() {
            let of = |counted: [u64; 2]| counted.get(at).copied().unwrap_or_default();
            let stream = ByStream { protocol: LINK, direction };
            let direction = ByDirection { direction };
            set(&self.streams.get_or_create(&stream), of(traffic.streams));
            set(&self.frames.get_or_create(&direction), of(traffic.frames));
            set(&self.refusals.get_or_create(&direction), of(traffic.refusals));
        }
        set(&self.dials_failed, traffic.dials_failed);
        set(&self.connections_refused, traffic.connections_refused);
    }
}

/// The network counts for itself; here it is only shown.
fn set(counter: &Counter, count: u64) {
    counter.inner().store(count, Ordering::Relaxed);
}
