//! Circuit breakers in front of dials and messages: a peer that does not answer is left alone for a
//! while, and what is for it waits in the outbox.
//!
//! ```text
//!   dial     one at a time for each peer; ends with Connected, Disconnected, or after DIAL_MAX
//!   message  closed: one permit for all frames under way, spent by the first acceptance
//!            half-open: one permit for each frame, three at most
//! ```
//!
//! A breaker that is open costs no attempt and moves no row: it only moves the deadline of the next
//! try. What counts as a failure: a dial that leads nowhere; a link that breaks, or that stands for
//! [`ACCEPT_MAX`], while nothing that was handed over is accepted. However a peer answers, busy or
//! refusing, it is well. See docs/decisions/0024-circuit-breakers.md.
//!
//! See docs/SPEC.md, section "Circuit breakers".

use std::collections::BTreeMap;
use std::time::Duration;

use rand_core::CryptoRng;

use super::command::CommandError;
use super::timer::Reason;
use super::{Engine, Fact};
use crate::error::Error;
use crate::id::{AccountId, DeviceId, MessageId, SendToken};
use crate::outbox::Delivery;
use crate::resilience::breaker::{Counts, Operation, Outcome, Permit, Seen, State};
use crate::store::Store;
use crate::time::{Moment, UnixMillis};

/// How long a dial may stay unanswered before it counts as failed: the network gives up long before.
pub(super) const DIAL_MAX: Duration = Duration::from_secs(60);

/// How long a standing link may accept nothing of what was handed over.
const ACCEPT_MAX: Duration = Duration::from_secs(30);

/// A circuit breaker.
#[derive(Clone, Debug)]
pub struct BreakerView {
    /// Of which peer.
    pub device: DeviceId,
    /// Of which operation.
    pub operation: Operation,
    /// Its state.
    pub state: State,
    /// Failures in a row while it is closed.
    pub failures: u32,
    /// The last failure, in words.
    pub cause: &'static str,
    /// Until when it is open.
    pub until: Option<UnixMillis>,
    /// The same from now on.
    pub retry_after: Option<Duration>,
}

/// An open breaker keeps a message from being tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WithheldView {
    /// Which.
    pub operation: Operation,
    /// When it lets something through.
    pub retry_after: Duration,
    /// Since when nothing was tried for this recipient; `None`: never in this process.
    pub untried_for: Option<Duration>,
}

/// What is under way under a permit.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// Dials.
    dials: BTreeMap<DeviceId, Permit>,
    /// Frames that were handed over, none of which was accepted since.
    frames: BTreeMap<DeviceId, Vec<(SendToken, Permit)>>,
    /// When something was last tried for a contact.
    tried: BTreeMap<AccountId, Moment>,
    /// What was told of the breakers, if anything was.
    told: Option<Counts>,
    told_full: u64,
}

impl Attempts {
    /// Whether a dial is under way.
    pub(super) fn is_dialling(&self, peer: &DeviceId) -> bool {
        self.dials.contains_key(peer)
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Asks leave to dial a peer; without it, when to ask again.
    pub(super) fn leave_to_dial(&mut self, peer: DeviceId) -> Result<(), Moment> {
        let now = self.now.mono;
        if let Some(permit) = self.attempts.dials.get(&peer) {
            let ends = permit.given() + DIAL_MAX;
            if now < ends {
                return Err(ends);
            }
            self.dial_ended(peer, Outcome::Failure("a dial was not answered"));
        }
        // A link on which nothing may be sent is not worth a dial.
        if let Some(withheld) = self.breakers.withholds(peer, Operation::Message, now) {
            return Err(withheld.until);
        }
        let permit = self.breakers.permit(peer, Operation::Dial, now);
        self.attempts.dials.insert(peer, permit.map_err(|withheld| withheld.until)?);
        self.tried(peer);
        Ok(())
    }

    /// A dial of ours came to its end, if one was under way; says whether.
    fn dial_ended(&mut self, peer: DeviceId, outcome: Outcome) -> bool {
        let Some(permit) = self.attempts.dials.remove(&peer) else { return false };
        self.breakers.spend(permit, outcome, self.now.mono, &mut self.rng);
        self.tried(peer);
        true
    }

    /// A link stands. One that the peer dialled proves all that a dial of ours could.
    pub(super) fn link_came(&mut self, peer: DeviceId) {
        if !self.dial_ended(peer, Outcome::Success) {
            self.breakers.alive(peer, Operation::Dial);
        }
    }

    /// A link ended, or a dial led nowhere.
    pub(super) fn link_went(&mut self, peer: DeviceId, account: Option<AccountId>) {
        self.dial_ended(peer, Outcome::Failure("no address answered a dial"));
        let broke = Outcome::Failure("the link broke before anything was accepted");
        for (_, permit) in self.attempts.frames.remove(&peer).unwrap_or_default() {
            self.breakers.spend(permit, broke, self.now.mono, &mut self.rng);
        }
        if let Some(account) = account {
            self.timers.cancel(Reason::Acceptance(account));
        }
    }

    /// When something may be sent to a peer, if not now.
    pub(super) fn messages_withheld(&self, peer: DeviceId) -> Option<Moment> {
        let withheld = self.breakers.withholds(peer, Operation::Message, self.now.mono);
        // While a permit covers what follows, nothing is asked for.
        withheld.filter(|_| !self.is_covered(&peer)).map(|withheld| withheld.until)
    }

    fn is_covered(&self, peer: &DeviceId) -> bool {
        let under_way = self.attempts.frames.get(peer);
        under_way.is_some_and(|frames| frames.iter().any(|(_, permit)| !permit.is_probe()))
    }

    /// Asks leave to hand over one more frame; without it, when to ask again. No permit: one that is
    /// out covers the frame.
    pub(super) fn leave_to_send(&mut self, peer: DeviceId) -> Result<Option<Permit>, Moment> {
        if self.is_covered(&peer) {
            return Ok(None);
        }
        let permit = self.breakers.permit(peer, Operation::Message, self.now.mono);
        permit.map(Some).map_err(|withheld| withheld.until)
    }

    /// A frame was handed over under a permit.
    pub(super) fn handed_over(
        &mut self,
        (account, peer): (AccountId, DeviceId),
        token: SendToken,
        permit: Option<Permit>,
    ) {
        self.attempts.tried.insert(account, self.now.mono);
        if let Some(permit) = permit {
            self.timers.set_if_none(Reason::Acceptance(account), permit.given() + ACCEPT_MAX);
            self.attempts.frames.entry(peer).or_default().push((token, permit));
        }
    }

    /// A peer accepted or refused a frame: it is well, and so is the way to it.
    pub(super) fn answered(&mut self, peer: DeviceId, token: SendToken) {
        self.breakers.alive(peer, Operation::Dial);
        let Some(frames) = self.attempts.frames.get_mut(&peer) else { return };
        let is_spent =
            |(sent, permit): &mut (SendToken, Permit)| !permit.is_probe() || *sent == token;
        let spent: Vec<_> = frames.extract_if(.., is_spent).collect();
        if frames.is_empty() {
            self.attempts.frames.remove(&peer);
            if let Some(contact) = self.book.of_device(&peer) {
                self.timers.cancel(Reason::Acceptance(contact.account));
            }
        }
        for (_, permit) in spent {
            self.breakers.spend(permit, Outcome::Success, self.now.mono, &mut self.rng);
        }
    }

    /// A link stands and nothing that was handed over was accepted for too long.
    pub(super) fn acceptance_overdue(&mut self, account: AccountId) -> Result<(), Error> {
        let (now, device) = (self.now.mono, self.book.get(&account).map(|known| known.device));
        let Some((peer, frames)) =
            device.and_then(|peer| Some((peer, self.attempts.frames.get_mut(&peer)?)))
        else {
            return Ok(());
        };
        let is_overdue = |(_, permit): &mut (SendToken, Permit)| permit.given() + ACCEPT_MAX <= now;
        let overdue: Vec<_> = frames.extract_if(.., is_overdue).collect();
        for (token, permit) in overdue {
            let silent = Outcome::Failure("a standing link accepted nothing");
            self.breakers.spend(permit, silent, now, &mut self.rng);
            // It is still under way: the next period of silence counts as well.
            if self.tokens.contains_key(&token)
                && !self.is_covered(&peer)
                && let Ok(permit) = self.breakers.permit(peer, Operation::Message, now)
            {
                self.attempts.frames.entry(peer).or_default().push((token, permit));
            }
        }
        let frames = self.attempts.frames.get(&peer);
        let next = frames.into_iter().flatten().map(|(_, permit)| permit.given() + ACCEPT_MAX);
        match next.min() {
            Some(next) => self.timers.set(Reason::Acceptance(account), next),
            None => drop(self.attempts.frames.remove(&peer)),
        }
        self.drain(account)
    }

    /// Our addresses changed: what failed may have failed because of the network that we have left.
    pub(super) fn network_changed(&mut self) {
        self.breakers.reset(Operation::Dial);
        let waiting: Vec<_> = self.outbox.queues().map(|(account, _)| *account).collect();
        for account in waiting {
            let device = self.book.get(&account).map(|contact| contact.device);
            if device.is_some_and(|peer| !self.links.contains(&peer)) {
                self.timers.cancel(Reason::Retry(account));
                self.want_link(account);
            }
        }
    }

    /// Forgets what is known about the way to a contact that was removed.
    pub(super) fn forget_attempts(&mut self, account: AccountId, peer: DeviceId) {
        self.breakers.forget(peer);
        self.attempts.dials.remove(&peer);
        self.attempts.frames.remove(&peer);
        self.attempts.tried.remove(&account);
        self.timers.cancel(Reason::Acceptance(account));
    }

    fn tried(&mut self, peer: DeviceId) {
        if let Some(contact) = self.book.of_device(&peer) {
            self.attempts.tried.insert(contact.account, self.now.mono);
        }
    }

    /// Tells what changed. Once for each input.
    pub(super) fn report_breakers(&mut self) {
        for moved in self.breakers.take_moves() {
            self.fact(Fact::BreakerMoved(moved));
        }
        let (counts, full) = (self.breakers.counts(), self.breakers.times_full());
        if self.attempts.told != Some(counts) {
            self.attempts.told = Some(counts);
            self.fact(Fact::Breakers(counts));
        }
        if full > self.attempts.told_full {
            self.attempts.told_full = full;
            self.fact(Fact::BoundReached("breakers"));
        }
    }

    pub(super) fn breaker_views(&self) -> Vec<BreakerView> {
        let view = |seen: Seen| BreakerView {
            device: seen.peer,
            operation: seen.operation,
            state: seen.state,
            failures: seen.failures,
            cause: seen.cause,
            until: seen.until.map(|until| self.now.wall_at(until)),
            retry_after: seen.until.map(|until| until.since(self.now.mono)),
        };
        self.breakers.seen().map(view).collect()
    }

    /// Whether an open breaker keeps a message from being tried.
    pub(super) fn withheld(&self, id: MessageId) -> Result<Option<WithheldView>, CommandError> {
        let delivery = Delivery::read(&self.store, id)?;
        let delivery = delivery.ok_or(CommandError::UnknownMessage(id))?;
        let Some(contact) = self.book.get(&delivery.account) else { return Ok(None) };
        if self.outbox.place(&id).is_none() {
            return Ok(None);
        }
        let (peer, now) = (contact.device, self.now.mono);
        let stands = self.links.contains(&peer);
        let operations: &[Operation] =
            if stands { &[Operation::Message] } else { &[Operation::Message, Operation::Dial] };
        let held = operations.iter().find_map(|operation| {
            Some((*operation, self.breakers.withholds(peer, *operation, now)?))
        });
        let tried = self.attempts.tried.get(&contact.account);
        Ok(held.map(|(operation, withheld)| WithheldView {
            operation,
            retry_after: withheld.until.since(now),
            untried_for: tried.map(|tried| now.since(*tried)),
        }))
    }
}
