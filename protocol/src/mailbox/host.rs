//! The nodes' side: keeps envelopes for those who rent a queue, as a state machine.
//!
//! ```text
//!   HostInput --handle(input, now)--> Host --poll_output()--> HostOutput
//!                                      |
//!                                      +--poll_timeout()--> when to call with HostInput::Timeout
//! ```
//!
//! # Contract (as the engine's, docs/decisions/0001)
//!
//! - [`Host::handle`] never fails, never blocks and never panics on remote bytes; [`Host::poll_output`] is
//!   drained to `None` after each.
//! - No answer that depends on a write leaves before [`HostInput::Persisted`] proves its batch durable.
//! - Everything is bounded; while [`Host::is_full`], the driver feeds nothing but `Persisted`.
//! - Every [`HostOutput::Ask`] comes back as one `Answered` or one `Unanswered`.
//!
//! One file for each thing: `deposit`, `order` (of owners), `fetch`, `prekeys`, `sweep` (what ends by
//! itself), `repair` (fellow nodes). In memory are counts of queues alone (`rental`); what lies in them,
//! and who may deposit, is read from the store when it is needed.
//!
//! See docs/SPEC.md, section "What a node gives".

mod deposit;
mod fetch;
mod limits;
mod order;
mod port;
mod prekeys;
mod record;
mod rental;
mod repair;
mod settings;
mod start;
mod sweep;

#[cfg(test)]
mod tests;

pub use port::{Ending, Eviction, HostFact, HostInput, HostOutput, HostView};
pub use settings::{HostSettings, HostSetup, LAPSE, REQUEST_BYTES_MAX, REQUEST_ENVELOPES_MAX};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_core::CryptoRng;

use super::{Answer, Question, QueueKey, RefusalCode, Request, RequestId, Response};
use crate::crypto::SigningSecret;
use crate::id::DeviceId;
use crate::store::{BatchId, Commit, Overlay, Store, StoreError};
use crate::time::{ExpiryClock, Moment, Now, UnixMillis};

use fetch::Fetches;
use limits::{Class, Limits};
use rental::Rental;
use repair::Repair;

/// Writes or answers that may wait before the driver must stop feeding.
const BACKLOG_MAX: usize = 8_192;

/// Bytes of requests and answers that may wait for the disk.
const BACKLOG_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The queues of one node.
pub struct Host<S, R> {
    device: SigningSecret,
    node: DeviceId,
    settings: HostSettings,
    store: Overlay<S>,
    rng: R,
    now: Now,
    /// What was promised ends by this clock, which takes no jumps.
    expiry: ExpiryClock,
    rentals: BTreeMap<QueueKey, Rental>,
    /// Rentals whose row is older than they are.
    dirty: BTreeSet<QueueKey>,
    bytes: u64,
    limits: Limits,
    fetches: Fetches,
    repair: Repair,
    counts: HostView,
    sweep_at: Option<Moment>,
    /// Bytes of seals in the open batch, and of answers that wait.
    open_bytes: usize,
    answer_bytes: usize,
    commit: Commit<HostOutput>,
}

/// Why a request is not done.
#[derive(Debug)]
struct Refusal {
    code: RefusalCode,
    retry_after: Duration,
}

impl Refusal {
    const fn of(code: RefusalCode) -> Self {
        Self { code, retry_after: Duration::ZERO }
    }

    const fn later(code: RefusalCode, retry_after: Duration) -> Self {
        Self { code, retry_after }
    }
}

const UNKNOWN: Refusal = Refusal::of(RefusalCode::Unknown);
const REJECTED: Refusal = Refusal::of(RefusalCode::Rejected);

impl From<StoreError> for Refusal {
    fn from(_: StoreError) -> Self {
        Self::later(RefusalCode::Internal, Duration::from_secs(60))
    }
}

/// An answer now, or later: a fetch waits.
type Answered = Result<Option<Answer>, Refusal>;

impl<S: Store, R: CryptoRng> Host<S, R> {
    /// Takes one input.
    pub fn handle(&mut self, input: HostInput, now: Now) {
        self.now = now;
        let _jumped = self.expiry.read(now);
        match input {
            HostInput::Request { peer, bytes } => self.request(peer, &bytes),
            HostInput::Gone { peer } => self.fetches.gone(peer),
            HostInput::Answered { request, frame } => self.asked(request, Some(&frame)),
            HostInput::Unanswered { request, .. } => self.asked(request, None),
            HostInput::Settings(settings) => self.settings = settings,
            HostInput::Timeout => self.timeout(),
            HostInput::Persisted(durable) => {
                self.store.persisted(durable.batch());
                self.commit.persisted(durable.batch());
            }
        }
    }

    fn request(&mut self, peer: DeviceId, bytes: &[u8]) {
        let Ok(Request { id, question }) = Request::decode(bytes) else {
            self.counts.malformed = self.counts.malformed.saturating_add(1);
            return self.fact(HostFact::Malformed);
        };
        let class = match question {
            Question::Deposit { .. } => Class::Deposit,
            Question::Order(_) | Question::Offer => Class::Order,
            Question::Prekeys(_) => Class::Prekeys,
        };
        let answered = match self.limits.admit(class, peer, self.now.mono) {
            Err(wait) => {
                self.fact(HostFact::RateLimited(class.as_str()));
                Err(Refusal::later(RefusalCode::Busy, wait))
            }
            Ok(()) => self.answer(peer, id, question),
        };
        match answered {
            Ok(Some(answer)) => self.respond(peer, id, answer),
            Ok(None) => {}
            Err(refusal) => self.refuse(peer, id, &refusal),
        }
    }

    fn answer(&mut self, peer: DeviceId, id: RequestId, question: Question) -> Answered {
        match question {
            Question::Deposit { admission, until, seal } => {
                self.deposit(&admission, until, seal).map(Some)
            }
            Question::Order(order) => self.order(peer, id, &order),
            Question::Prekeys(admission) => self.draw(&admission).map(Some),
            Question::Offer => Ok(Some(Answer::Offer(self.offer(None)))),
        }
    }

    /// The next thing to do; `None` when all is said.
    pub fn poll_output(&mut self) -> Option<HostOutput> {
        if let Some(output) = self.commit.poll() {
            if let HostOutput::Respond { frame, .. } = &output {
                self.answer_bytes = self.answer_bytes.saturating_sub(frame.len());
            }
            return Some(output);
        }
        if self.store.in_flight() > 0 || !self.has_writes() {
            return None;
        }
        self.answer_ripe();
        for queue in std::mem::take(&mut self.dirty) {
            if let Some(rental) = self.rentals.get(&queue) {
                self.store.put(record::rental_key(queue), rental.encode(queue));
            }
        }
        self.open_bytes = 0;
        let Some(batch) = self.store.seal() else {
            self.commit.nothing_written(self.store.last_sealed());
            return self.commit.poll();
        };
        Some(HostOutput::Persist(batch))
    }

    /// When to call with `HostInput::Timeout`, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        let fetch = self.fetches.deadline().map(|at| (at, "fetch"));
        let sweep = self.sweep_at.map(|at| (at, "sweep"));
        let probe = self.repair.deadline().map(|at| (at, "probe"));
        [fetch, sweep, probe].into_iter().flatten().min()
    }

    fn timeout(&mut self) {
        self.end_fetches();
        if self.sweep_at.is_some_and(|at| at <= self.now.mono) {
            self.sweep();
        }
        self.probe();
    }

    /// Whether so much waits for the disk that nothing but `Persisted` should be fed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let bytes = self.open_bytes.saturating_add(self.answer_bytes);
        self.store.open_writes() > BACKLOG_MAX
            || self.commit.len() > BACKLOG_MAX
            || bytes > BACKLOG_BYTES_MAX
    }

    /// Whether nothing is written, withheld or on its way to the disk.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.has_writes() && self.store.in_flight() == 0 && self.commit.is_empty()
    }

    /// The store below, without what is not durable yet.
    pub const fn store(&self) -> &S {
        self.store.below()
    }

    /// Whether a time at which something ends has come.
    fn is_over(&self, until: UnixMillis) -> bool {
        until <= self.expiry.wall()
    }

    fn has_writes(&self) -> bool {
        self.store.open_writes() > 0 || !self.dirty.is_empty()
    }

    /// The batch that holds everything written so far.
    fn written(&self) -> BatchId {
        if self.has_writes() { self.store.open_batch() } else { self.store.last_sealed() }
    }

    /// Answers when everything written so far is durable: what an answer rests on, it was told of too.
    fn respond(&mut self, peer: DeviceId, id: RequestId, answer: Answer) {
        let frame = Response { id, answer }.encode();
        self.answer_bytes = self.answer_bytes.saturating_add(frame.len());
        self.commit.behind(self.written(), HostOutput::Respond { peer, frame });
    }

    fn refuse(&mut self, peer: DeviceId, id: RequestId, refusal: &Refusal) {
        let Refusal { code, retry_after } = *refusal;
        let work_bits = if code == RefusalCode::Unpaid { self.settings.work_bits } else { 0 };
        self.count_refusal(code);
        self.respond(peer, id, Answer::Refused { code, retry_after, work_bits });
    }

    fn count_refusal(&mut self, code: RefusalCode) {
        self.fact(HostFact::Refused(code));
        if code == RefusalCode::Internal {
            self.fact(HostFact::StoreFailed);
        }
        match self.counts.refusals.iter_mut().find(|(known, _)| *known == code) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => {
                self.counts.refusals.push((code, 1));
                self.counts.refusals.sort_by_key(|(code, _)| *code as u32);
            }
        }
    }

    fn fact(&mut self, fact: HostFact) {
        self.commit.at_once(HostOutput::Fact(fact));
    }

    /// A rental that is not over.
    fn rental(&self, queue: QueueKey) -> Option<&Rental> {
        self.rentals.get(&queue).filter(|rental| rental.over.is_none())
    }

    /// Changes a rental, over or not; its row follows with the batch.
    fn change<T>(&mut self, queue: QueueKey, change: impl FnOnce(&mut Rental) -> T) -> Option<T> {
        let changed = self.rentals.get_mut(&queue).map(change);
        if changed.is_some() {
            self.dirty.insert(queue);
        }
        changed
    }
}

impl<S, R> std::fmt::Debug for Host<S, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Host({:?}, {} rentals)", self.node, self.rentals.len())
    }
}
