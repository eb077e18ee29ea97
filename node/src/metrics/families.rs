//! Every family: name, help, labels, buckets.

mod node;

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::breakers::BreakerMetrics;
use super::label::{
    Algorithm, Direction, Founding, HealReason, KeyOutcome, Kind, Reason, Role, Route, Stage,
    Transport, WarningCode,
};
use super::limits::LimitMetrics;

pub use node::Traffic;
pub(super) use node::{ByQueue, ByRung, NodeFamilies};

/// From a loopback chat to a message that waits a day for a mailbox.
const DELIVERY_BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 600.0, 3_600.0, 86_400.0];

/// An fsync takes 0.1 ms on a server and 10 ms on a laptop; a second is a dying disk.
pub(super) const FLUSH_BUCKETS: [f64; 11] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0];

/// Batches in one flush: powers of two up to what a burst brings.
const BATCH_BUCKETS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// Around the targets of the control API: 10, 50, 200, 500 ms. Waits fall into the last ones.
const REQUEST_BUCKETS: [f64; 10] = [0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.2, 0.5, 5.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Link {
    pub(super) transport: Transport,
    pub(super) direction: Direction,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByMessage {
    pub(super) direction: Direction,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByStage {
    pub(super) stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByReason {
    pub(super) reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BySession {
    pub(super) role: Role,
    pub(super) prekeys: Founding,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByAlgorithm {
    pub(super) algorithm: Algorithm,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByHeal {
    pub(super) reason: HealReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByOutcome {
    pub(super) outcome: KeyOutcome,
}

/// Bounds are named in the source, so their number is known when it compiles.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByBound {
    pub(super) bound: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByRequest {
    pub(super) route: Route,
    pub(super) status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByRoute {
    pub(super) route: Route,
}

/// Both from `NodeError`: a closed set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByError {
    pub(super) category: &'static str,
    pub(super) code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByWarning {
    pub(super) code: WarningCode,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every family of ours.
#[derive(Clone, Debug)]
pub(super) struct Families {
    pub(super) connections: Family<Link, Gauge>,
    pub(super) messages: Family<ByMessage, Counter>,
    pub(super) delivery_seconds: Histograms<ByStage>,
    pub(super) outbox_messages: Gauge,
    pub(super) outbox_oldest_age: Gauge<f64, AtomicU64>,
    pub(super) inbox_duplicates: Counter,
    pub(super) refused: Family<ByReason, Counter>,
    pub(super) seals_dropped: Counter,
    pub(super) limits: LimitMetrics,
    pub(super) kem_exchanges: Counter,
    pub(super) sessions_founded: Family<BySession, Counter>,
    pub(super) prekeys_remaining: Family<ByAlgorithm, Gauge>,
    pub(super) prekeys_exhausted: Counter,
    pub(super) session_heals: Family<ByHeal, Counter>,
    pub(super) unreadable: Counter,
    pub(super) key_changes: Family<ByOutcome, Counter>,
    pub(super) keys_skipped: Counter,
    pub(super) keys_evicted: Counter,
    pub(super) retries: Counter,
    pub(super) retry_budget_exhausted: Counter,
    pub(super) sends_known: Counter,
    pub(super) gaps: Counter,
    pub(super) bound_reached: Family<ByBound, Counter>,
    pub(super) store_flush_seconds: Histogram,
    pub(super) store_batch_size: Histogram,
    pub(super) store_epoch_age: Gauge<f64, AtomicU64>,
    pub(super) store_unerased_age: Gauge<f64, AtomicU64>,
    pub(super) store_rewrapped: Counter,
    pub(super) control_requests: Family<ByRequest, Counter>,
    pub(super) control_request_seconds: Histograms<ByRoute>,
    pub(super) errors: Family<ByError, Counter>,
    pub(super) breakers: BreakerMetrics,
    pub(super) panics: Counter,
    pub(super) warning: Family<ByWarning, Gauge>,
    pub(super) node: NodeFamilies,
}

impl Families {
    /// Registers every family, and starts those with few label values at zero: a rate over a
    /// series that begins with its first event does not see that event.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self::new();
        families.register_messaging(registry);
        families.register_sessions(registry);
        families.register_prekeys(registry);
        families.register_node(registry);
        families.breakers.register(registry);
        families.node.register(registry);
        families.limits.register(registry);
        families.start_at_zero();
        families
    }

    fn new() -> Self {
        Self {
            connections: Family::default(),
            messages: Family::default(),
            delivery_seconds: Family::new_with_constructor(|| Histogram::new(DELIVERY_BUCKETS)),
            outbox_messages: Gauge::default(),
            outbox_oldest_age: Gauge::default(),
            inbox_duplicates: Counter::default(),
            refused: Family::default(),
            seals_dropped: Counter::default(),
            limits: LimitMetrics::default(),
            sessions_founded: Family::default(),
            kem_exchanges: Counter::default(),
            prekeys_remaining: Family::default(),
            prekeys_exhausted: Counter::default(),
            session_heals: Family::default(),
            unreadable: Counter::default(),
            key_changes: Family::default(),
            keys_skipped: Counter::default(),
            keys_evicted: Counter::default(),
            retries: Counter::default(),
            retry_budget_exhausted: Counter::default(),
            sends_known: Counter::default(),
            gaps: Counter::default(),
            bound_reached: Family::default(),
            store_flush_seconds: Histogram::new(FLUSH_BUCKETS),
            store_batch_size: Histogram::new(BATCH_BUCKETS),
            store_epoch_age: Gauge::default(),
            store_unerased_age: Gauge::default(),
            store_rewrapped: Counter::default(),
            control_requests: Family::default(),
            control_request_seconds: Family::new_with_constructor(|| {
                Histogram::new(REQUEST_BUCKETS)
            }),
            errors: Family::default(),
            breakers: BreakerMetrics::default(),
            panics: Counter::default(),
            warning: Family::default(),
            node: NodeFamilies::default(),
        }
    }

    fn register_messaging(&self, registry: &mut Registry) {
        registry.register("connections", "Standing links to peers", self.connections.clone());
        registry.register(
            "messages",
            "Messages that entered the outbox (outbound) or the inbox (inbound)",
            self.messages.clone(),
        );
        registry.register(
            "delivery_seconds",
            "From queueing a message to its reaching a stage, by the wall clock",
            self.delivery_seconds.clone(),
        );
        registry.register(
            "outbox_messages",
            "Messages in the outbox, not yet delivered",
            self.outbox_messages.clone(),
        );
        registry.register(
            "outbox_oldest_age_seconds",
            "Age of the oldest message in the outbox, 0 if it is empty",
            self.outbox_oldest_age.clone(),
        );
        registry.register(
            "inbox_duplicates",
            "Messages that came again and were dropped",
            self.inbox_duplicates.clone(),
        );
        registry.register("refused", "Frames of peers that were refused", self.refused.clone());
        registry.register("retries", "Frames that were sent again", self.retries.clone());
        let held =
            "Times that a frame waited to be sent again because the retry budget was used up";
        registry.register("retry_budget_exhausted", held, self.retry_budget_exhausted.clone());
        let sends_known = "Texts that were sent again under their id, and not twice";
        registry.register("sends_known", sends_known, self.sends_known.clone());
        registry.register(
            "gaps",
            "Messages shown although others before them were missing",
            self.gaps.clone(),
        );
    }

    fn register_sessions(&self, registry: &mut Registry) {
        registry.register(
            "seals_dropped",
            "Sealed envelopes that did not open here and were dropped",
            self.seals_dropped.clone(),
        );
        registry.register(
            "kem_exchanges",
            "Post-quantum exchanges mixed into sessions",
            self.kem_exchanges.clone(),
        );
        registry.register(
            "session_heals",
            "Sessions started anew because a contact's message did not open",
            self.session_heals.clone(),
        );
        let unreadable = "Messages that a contact could not open and that were sent again";
        registry.register("unreadable", unreadable, self.unreadable.clone());
        registry.register(
            "key_changes",
            "Contacts whose device or keys changed",
            self.key_changes.clone(),
        );
        registry.register(
            "keys_skipped",
            "Message keys kept for messages that did not come yet",
            self.keys_skipped.clone(),
        );
        registry.register(
            "keys_evicted",
            "Skipped message keys thrown away because there were too many",
            self.keys_evicted.clone(),
        );
    }

    fn register_prekeys(&self, registry: &mut Registry) {
        registry.register(
            "sessions_founded",
            "Encrypted sessions that were founded",
            self.sessions_founded.clone(),
        );
        registry.register(
            "prekeys_remaining",
            "One-time prekeys that can be handed out",
            self.prekeys_remaining.clone(),
        );
        registry.register(
            "prekeys_exhausted",
            "Requests for one-time prekeys that did not get one of each kind",
            self.prekeys_exhausted.clone(),
        );
    }

    fn register_node(&self, registry: &mut Registry) {
        registry.register(
            "bound_reached",
            "Times that a bound on memory or queues was reached",
            self.bound_reached.clone(),
        );
        registry.register(
            "store_flush_seconds",
            "Time of one durable write",
            self.store_flush_seconds.clone(),
        );
        registry.register(
            "store_batch_size",
            "Batches in one durable write",
            self.store_batch_size.clone(),
        );
        registry.register(
            "store_epoch_age_seconds",
            "Age of the key that seals ratchets, queue and contacts",
            self.store_epoch_age.clone(),
        );
        registry.register(
            "store_unerased_age_seconds",
            "Age of the oldest overwritten or deleted value whose key still exists, 0 if none is",
            self.store_unerased_age.clone(),
        );
        registry.register(
            "store_rewrapped_rows",
            "Rows that were sealed under a newer key",
            self.store_rewrapped.clone(),
        );
        registry.register(
            "control_requests",
            "Answered requests of the control API",
            self.control_requests.clone(),
        );
        registry.register(
            "control_request_seconds",
            "Time to answer a request of the control API, waits included",
            self.control_request_seconds.clone(),
        );
        registry.register(
            "errors",
            "Errors that a user, program or operator was told",
            self.errors.clone(),
        );
        registry.register("panics", "Panics that were caught", self.panics.clone());
        registry.register("warning", "1 while the named warning stands", self.warning.clone());
        registry.register(
            "build",
            "The running program",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
    }

    fn start_at_zero(&self) {
        self.node.start_at_zero();
        for &transport in Transport::ALL {
            for &direction in Direction::ALL {
                drop(self.connections.get_or_create(&Link { transport, direction }));
            }
        }
        for &direction in Direction::ALL {
            for &kind in Kind::ALL {
                drop(self.messages.get_or_create(&ByMessage { direction, kind }));
            }
        }
        for &stage in Stage::ALL {
            drop(self.delivery_seconds.get_or_create(&ByStage { stage }));
        }
        for &reason in Reason::ALL {
            drop(self.refused.get_or_create(&ByReason { reason }));
        }
        for &role in Role::ALL {
            for &prekeys in Founding::ALL {
                drop(self.sessions_founded.get_or_create(&BySession { role, prekeys }));
            }
        }
        for &algorithm in Algorithm::ALL {
            drop(self.prekeys_remaining.get_or_create(&ByAlgorithm { algorithm }));
        }
        for &reason in HealReason::ALL {
            drop(self.session_heals.get_or_create(&ByHeal { reason }));
        }
        for &outcome in KeyOutcome::ALL {
            drop(self.key_changes.get_or_create(&ByOutcome { outcome }));
        }
        for &code in WarningCode::ALL {
            drop(self.warning.get_or_create(&ByWarning { code }));
        }
    }
}
