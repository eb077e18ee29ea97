//! A breaker for each peer and operation, in bounded memory.
//!
//! A peer that answers has none: the first failure makes one. What is closed and was not used for an
//! hour is forgotten, and so is an open one that nobody asked for an hour: nobody wants that peer.
//! When there is no room, the closed ones that were not used for longest go, a portion at once; where all
//! are open, a new peer is not watched, which costs attempts and never a message.
//!
//! Ordered maps: the same inputs give the same decisions in every process.
//!
//! See docs/SPEC.md, section "Circuit breakers".

use std::collections::BTreeMap;
use std::time::Duration;

use rand_core::CryptoRng;

use super::{Breaker, Outcome, Pass, Policy, State};
use crate::id::DeviceId;
use crate::time::Moment;

/// Breakers kept: two for each contact that may be in the book, and half as many for mailboxes and
/// relays. About 150 bytes each.
pub const BREAKERS_MAX: usize = 32_768;

/// What was not used for this long is forgotten; an answer that comes later than this after its
/// permit counts for nothing, so that it cannot count against a breaker that was made anew.
const FORGET_AFTER: Duration = Duration::from_secs(3_600);

/// The part of all breakers that goes when there is no room.
const PORTION: usize = 16;

/// What is done with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Bringing a link about.
    Dial,
    /// Handing over messages on a standing link.
    Message,
    /// Leaving messages at a mailbox.
    Deposit,
    /// Collecting them from one.
    Fetch,
    /// Passing something on over the peer.
    Relay,
    /// Having a task carried out.
    Task,
}

impl Operation {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Dial, Self::Message, Self::Deposit, Self::Fetch, Self::Relay, Self::Task];

    /// The word in JSON and labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dial => "dial",
            Self::Message => "message",
            Self::Deposit => "deposit",
            Self::Fetch => "fetch",
            Self::Relay => "relay",
            Self::Task => "task",
        }
    }
}

/// Leave for one request to one peer. Neither `Clone` nor `Copy`: it is spent by [`Breakers::spend`].
#[derive(Debug, PartialEq, Eq)]
#[must_use = "spend it, or its outcome is never counted and a probe's slot is held until its deadline"]
pub struct Permit {
    peer: DeviceId,
    operation: Operation,
    pass: Pass,
    given: Moment,
}

impl Permit {
    /// Whether it is one of the few that a half-open breaker lets through.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.pass.is_probe()
    }

    /// When it was given.
    #[must_use]
    pub const fn given(&self) -> Moment {
        self.given
    }
}

/// No leave now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Withheld {
    /// Ask again then.
    pub until: Moment,
}

/// One breaker, to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which peer.
    pub peer: DeviceId,
    /// Which operation.
    pub operation: Operation,
    /// Its state.
    pub state: State,
    /// Failures in a row, while closed.
    pub failures: u32,
    /// The last failure, in words.
    pub cause: &'static str,
    /// Until when it is open.
    pub until: Option<Moment>,
}

/// One change of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Of which operation.
    pub operation: Operation,
    /// It was.
    pub from: State,
    /// It is.
    pub to: State,
}

/// Peers by operation and state, in the order of [`Operation::ALL`] and [`State::ALL`].
pub type Counts = [[u32; 3]; 6];

#[derive(Debug)]
struct Entry {
    breaker: Breaker,
    used: Moment,
}

/// Every breaker of a node.
#[derive(Debug)]
pub struct Breakers {
    policy: Policy,
    places: usize,
    entries: BTreeMap<(DeviceId, Operation), Entry>,
    counts: Counts,
    moves: Vec<Move>,
    times_full: u64,
}

impl Breakers {
    /// At most `places` breakers are kept.
    #[must_use]
    pub const fn new(policy: Policy, places: usize) -> Self {
        Self {
            policy,
            places,
            entries: BTreeMap::new(),
            counts: [[0; 3]; 6],
            moves: Vec::new(),
            times_full: 0,
        }
    }

    /// Uses other thresholds from now on. What is open stays open until its time.
    pub const fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Asks leave for one request.
    ///
    /// # Errors
    ///
    /// [`Withheld`]: the breaker is open, or as many probes are under way as it lets through.
    pub fn permit(
        &mut self,
        peer: DeviceId,
        operation: Operation,
        now: Moment,
    ) -> Result<Permit, Withheld> {
        let policy = self.policy;
        let pass = match self.entries.get_mut(&(peer, operation)) {
            None => Pass::UNTRACKED,
            Some(entry) => {
                entry.used = now;
                let before = entry.breaker.state();
                let pass = entry.breaker.ask(&policy, now);
                let after = entry.breaker.state();
                self.moved(operation, before, after);
                pass.map_err(|until| Withheld { until })?
            }
        };
        Ok(Permit { peer, operation, pass, given: now })
    }

    /// Whether a permit would be withheld. Changes nothing, and takes no slot of a probe.
    #[must_use]
    pub fn withholds(&self, peer: DeviceId, operation: Operation, now: Moment) -> Option<Withheld> {
        let entry = self.entries.get(&(peer, operation))?;
        entry.breaker.refuses(&self.policy, now).map(|until| Withheld { until })
    }

    /// Takes back a permit with what became of the request.
    pub fn spend(
        &mut self,
        permit: Permit,
        outcome: Outcome,
        now: Moment,
        rng: &mut impl CryptoRng,
    ) {
        let Permit { peer, operation, pass, given } = permit;
        let key = (peer, operation);
        if now.since(given) > FORGET_AFTER {
            return;
        }
        if !self.entries.contains_key(&key) {
            if outcome == Outcome::Success || !self.make_room(now) {
                return;
            }
            self.entries.insert(key, Entry { breaker: Breaker::new(), used: now });
            self.count(operation, State::Closed, true);
        }
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.used = now;
        let before = entry.breaker.state();
        entry.breaker.record(&pass, outcome, &self.policy, now, rng);
        let (after, is_fresh) = (entry.breaker.state(), entry.breaker.is_fresh());
        self.moved(operation, before, after);
        if is_fresh {
            self.drop_entry(key);
        }
    }

    /// Something other than an answer has shown that the operation works again: closes the breaker.
    pub fn alive(&mut self, peer: DeviceId, operation: Operation) {
        let Some(entry) = self.entries.get_mut(&(peer, operation)) else { return };
        let before = entry.breaker.state();
        entry.breaker.close();
        let is_fresh = entry.breaker.is_fresh();
        self.moved(operation, before, State::Closed);
        if is_fresh {
            self.drop_entry((peer, operation));
        }
    }

    /// Closes every breaker of an operation: what it went by holds no more.
    pub fn reset(&mut self, operation: Operation) {
        let peers: Vec<DeviceId> =
            self.entries.keys().filter(|(_, of)| *of == operation).map(|(peer, _)| *peer).collect();
        peers.into_iter().for_each(|peer| self.alive(peer, operation));
    }

    /// Forgets a peer that is gone for good.
    pub fn forget(&mut self, peer: DeviceId) {
        Operation::ALL.into_iter().for_each(|operation| self.drop_entry((peer, operation)));
    }

    /// Forgets what was not used for long. Called now and then.
    pub fn forget_idle(&mut self, now: Moment) {
        let is_idle = |entry: &Entry| now.since(entry.used) > FORGET_AFTER;
        let idle: Vec<_> =
            self.entries.iter().filter(|(_, entry)| is_idle(entry)).map(|(key, _)| *key).collect();
        idle.into_iter().for_each(|key| self.drop_entry(key));
    }

    /// Every breaker, by peer and operation.
    pub fn seen(&self) -> impl Iterator<Item = Seen> {
        self.entries.iter().map(|((peer, operation), entry)| Seen {
            peer: *peer,
            operation: *operation,
            state: entry.breaker.state(),
            failures: entry.breaker.failures(),
            cause: entry.breaker.cause(),
            until: entry.breaker.until(),
        })
    }

    /// Peers by operation and state.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The changes since the last call. Called after each input, so there are few.
    pub fn take_moves(&mut self) -> Vec<Move> {
        std::mem::take(&mut self.moves)
    }

    /// How often there was no room for one more.
    #[must_use]
    pub const fn times_full(&self) -> u64 {
        self.times_full
    }

    /// Makes room for one more; says whether there is.
    fn make_room(&mut self, now: Moment) -> bool {
        if self.entries.len() < self.places {
            return true;
        }
        self.times_full = self.times_full.saturating_add(1);
        self.forget_idle(now);
        if self.entries.len() < self.places {
            return true;
        }
        let closed = |(_, entry): &(&_, &Entry)| entry.breaker.state() == State::Closed;
        let mut oldest: Vec<_> =
            self.entries.iter().filter(closed).map(|(key, entry)| (entry.used, *key)).collect();
        oldest.sort_unstable();
        for (_, key) in oldest.into_iter().take((self.places / PORTION).max(1)) {
            self.drop_entry(key);
        }
        self.entries.len() < self.places
    }

    fn drop_entry(&mut self, key: (DeviceId, Operation)) {
        if let Some(entry) = self.entries.remove(&key) {
            let state = entry.breaker.state();
            self.moved(key.1, state, State::Closed);
            self.count(key.1, State::Closed, false);
        }
    }

    fn moved(&mut self, operation: Operation, from: State, to: State) {
        if from != to {
            self.count(operation, from, false);
            self.count(operation, to, true);
            self.moves.push(Move { operation, from, to });
        }
    }

    fn count(&mut self, operation: Operation, state: State, more: bool) {
        let row = self.counts.get_mut(operation as usize);
        if let Some(count) = row.and_then(|row| row.get_mut(state as usize)) {
            *count = if more { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
    }
}

#[cfg(test)]
mod tests;
