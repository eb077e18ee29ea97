//! What an operator can count: one registry, labels known when it compiles, never a name.
//!
//! ```text
//!   Fact, flush, request, error ──> Metrics (counters, shared) ──scrape──> text
//! ```
//!
//! Every family of ours begins with `bitchat_` and stands in `docs/METRICS.md`; a test compares.
//! No label value comes from a peer, contact, address or name, so the number of series does not
//! grow with the contact list and the contact graph cannot be read off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bitchat_protocol::engine::Fact;
use bitchat_protocol::time::UnixMillis;
use prometheus_client::registry::Registry;

mod breakers;
mod exposition;
mod families;
pub mod label;
mod limits;
mod mailbox;
mod process;

pub use exposition::Format;
pub use families::Traffic;
pub use label::WarningCode;
pub use mailbox::{EvictionCause, MailboxMetrics, RefusedAs};

use crate::error::{Category, NodeError};
use families::{ByError, ByMessage, ByReason, ByRequest, ByStage, Families, Link};
use label::{
    Algorithm, Direction, Founding, HealReason, KeyOutcome, Kind, Queue, Reason, Role, Route, Rung,
    Stage, Transport,
};

/// No message waits in the outbox.
const NONE: u64 = u64::MAX;

/// Everything that is counted. Cheap to clone; all clones count into the same registry.
#[derive(Clone, Debug)]
pub struct Metrics {
    families: Families,
    mailbox: MailboxMetrics,
    registry: Arc<Registry>,
    /// When the oldest outbox row was queued; its age is worked out when somebody asks.
    oldest: Arc<AtomicU64>,
}

impl Metrics {
    /// A registry with every family of ours at zero. `started` is shown as the process's start.
    #[must_use]
    pub fn new(started: UnixMillis) -> Self {
        Self::with(started, |_| {})
    }

    /// Like [`Self::new`], with families of others (the network library's) in the same registry.
    pub fn with(started: UnixMillis, others: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::default();
        let families = Families::register(registry.sub_registry_with_prefix("bitchat"));
        let mailbox = MailboxMetrics::register(registry.sub_registry_with_prefix("bitchat"));
        registry.register_collector(Box::new(process::Process::new(started)));
        others(&mut registry);
        Self {
            families,
            mailbox,
            registry: Arc::new(registry),
            oldest: Arc::new(AtomicU64::new(NONE)),
        }
    }

    /// Counts what the engine told.
    pub fn observe(&self, fact: &Fact) {
        let families = &self.families;
        match fact {
            Fact::Queued => self.message(Direction::Outbound),
            Fact::Received => self.message(Direction::Inbound),
            Fact::Reached { state, after } => {
                let stage = ByStage { stage: Stage::from(*state) };
                families.delivery_seconds.get_or_create(&stage).observe(after.as_secs_f64());
            }
            Fact::Duplicate => count(&families.inbox_duplicates, 1),
            Fact::Refused(label) => {
                let reason = ByReason { reason: Reason::from_label(label) };
                families.refused.get_or_create(&reason).inc();
            }
            Fact::SealDropped => count(&families.seals_dropped, 1),
            Fact::RateLimited { scope, class } => families.limits.rejected(*scope, *class),
            Fact::LimitKeys(keys) => families.limits.keys(*keys),
            Fact::SessionFounded { initiator, prekeys } => {
                let role = if *initiator { Role::Initiator } else { Role::Responder };
                let session = families::BySession { role, prekeys: Founding::from(*prekeys) };
                families.sessions_founded.get_or_create(&session).inc();
            }
            Fact::Prekeys(remaining) => {
                self.prekeys(Algorithm::X25519, remaining.x25519);
                self.prekeys(Algorithm::MlKem, remaining.ml_kem);
            }
            Fact::BreakerMoved(moved) => families.breakers.moved(*moved),
            Fact::Breakers(counts) => families.breakers.count(counts),
            Fact::PrekeysExhausted => count(&families.prekeys_exhausted, 1),
            Fact::SessionHealed(reason) => {
                let reason = HealReason::from_label(reason);
                families.session_heals.get_or_create(&families::ByHeal { reason }).inc();
            }
            Fact::Unreadable(messages) => count(&families.unreadable, u64::from(*messages)),
            Fact::KeyChanged { blocked } => {
                let outcome = if *blocked { KeyOutcome::Blocked } else { KeyOutcome::Accepted };
                families.key_changes.get_or_create(&families::ByOutcome { outcome }).inc();
            }
            Fact::KeysSkipped(keys) => count(&families.keys_skipped, u64::from(*keys)),
            Fact::KemMixed => count(&families.kem_exchanges, 1),
            Fact::KeysEvicted(keys) => count(&families.keys_evicted, u64::from(*keys)),
            Fact::Retried => count(&families.retries, 1),
            Fact::RetryHeld => count(&families.retry_budget_exhausted, 1),
            Fact::SendKnown => count(&families.sends_known, 1),
            Fact::Gap => count(&families.gaps, 1),
            Fact::Outbox { rows, oldest_ms } => {
                families.outbox_messages.set(i64::try_from(*rows).unwrap_or(i64::MAX));
                self.oldest.store(oldest_ms.unwrap_or(NONE), Ordering::Relaxed);
            }
            Fact::BoundReached(bound) => {
                families.bound_reached.get_or_create(&families::ByBound { bound }).inc();
            }
            Fact::ClockJumped { .. } => count(&families.node.clock_jumps, 1),
            Fact::Bug(_) => self.failed(Category::Internal, "bug"),
            // Told as warnings, which are gauges.
            Fact::KeysUnanswered { .. } | Fact::Copies(_) | Fact::Step(_, _) => {}
        }
    }

    /// What mailboxes count.
    #[must_use]
    pub const fn mailbox(&self) -> &MailboxMetrics {
        &self.mailbox
    }

    /// One durable write of the store: how long it took and how many batches it held.
    pub fn flushed(&self, took: Duration, batches: usize) {
        self.families.store_flush_seconds.observe(took.as_secs_f64());
        let batches = u32::try_from(batches).unwrap_or(u32::MAX);
        self.families.store_batch_size.observe(f64::from(batches));
    }

    /// How far the store is behind with forgetting, and how many rows it moved since the last call.
    pub fn erasure(&self, epoch_age: Duration, unerased_age: Duration, moved: u64) {
        self.families.store_epoch_age.set(epoch_age.as_secs_f64());
        self.families.store_unerased_age.set(unerased_age.as_secs_f64());
        count(&self.families.store_rewrapped, moved);
    }

    /// Bytes that the store takes, and that are free beside it.
    pub fn store_room(&self, size: u64, free: u64) {
        self.families.node.store_size.set(i64::try_from(size).unwrap_or(i64::MAX));
        self.families.node.store_free.set(i64::try_from(free).unwrap_or(i64::MAX));
    }

    /// How much waits in one place.
    pub fn queued(&self, queue: Queue, count: usize) {
        let gauge = self.families.node.queue.get_or_create(&families::ByQueue { queue });
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// What the network counted since it started.
    pub fn traffic(&self, traffic: &Traffic) {
        self.families.node.traffic(traffic);
    }

    /// Which parts do not work now.
    pub fn degraded(&self, standing: &[Rung]) {
        for rung in Rung::ALL {
            let gauge = families::ByRung { rung: *rung };
            let stands = i64::from(standing.contains(rung));
            self.families.node.degraded.get_or_create(&gauge).set(stands);
        }
    }

    /// How many links of one kind stand.
    pub fn links(&self, transport: Transport, direction: Direction, count: u32) {
        let link = Link { transport, direction };
        self.families.connections.get_or_create(&link).set(i64::from(count));
    }

    /// One answered request of the control API.
    pub fn request(&self, route: Route, status: u16, took: Duration) {
        self.families.control_requests.get_or_create(&ByRequest { route, status }).inc();
        let route = families::ByRoute { route };
        self.families.control_request_seconds.get_or_create(&route).observe(took.as_secs_f64());
    }

    /// One error that a user, program or operator was told.
    pub fn error(&self, error: &NodeError) {
        self.failed(error.category(), error.code());
    }

    /// One panic that was caught.
    pub fn panicked(&self) {
        self.families.panics.inc();
    }

    /// Which warnings stand now.
    pub fn warnings(&self, standing: impl IntoIterator<Item = WarningCode>) {
        let standing: Vec<WarningCode> = standing.into_iter().collect();
        for code in WarningCode::ALL {
            let stands = i64::from(standing.contains(code));
            self.families.warning.get_or_create(&families::ByWarning { code: *code }).set(stands);
        }
    }

    /// Every family as text; `now` is the wall clock.
    #[must_use]
    pub fn encode(&self, format: Format, now: UnixMillis) -> String {
        let oldest = self.oldest.load(Ordering::Relaxed);
        let age = if oldest == NONE { Duration::ZERO } else { now.since(UnixMillis(oldest)) };
        self.families.outbox_oldest_age.set(age.as_secs_f64());
        exposition::encode(&self.registry, format)
    }

    fn prekeys(&self, algorithm: Algorithm, remaining: usize) {
        let remaining = i64::try_from(remaining).unwrap_or(i64::MAX);
        let gauge = families::ByAlgorithm { algorithm };
        self.families.prekeys_remaining.get_or_create(&gauge).set(remaining);
    }

    fn message(&self, direction: Direction) {
        let message = ByMessage { direction, kind: Kind::Text };
        self.families.messages.get_or_create(&message).inc();
    }

    fn failed(&self, category: Category, code: &'static str) {
        let error = ByError { category: category.as_str(), code };
        self.families.errors.get_or_create(&error).inc();
    }
}

fn count(counter: &prometheus_client::metrics::counter::Counter, by: u64) {
    counter.inc_by(by);
}

#[cfg(test)]
mod tests;
