//! Deadlines with their reasons.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::{AccountId, DeviceId};
use crate::time::Moment;

/// Why the engine wants to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reason {
    /// Try to reach a contact for whom something waits.
    Retry(AccountId),
    /// A receipt is overdue.
    Receipt(AccountId),
    /// A standing link accepts nothing.
    Acceptance(AccountId),
    /// One-time prekeys that we asked a contact for are overdue.
    Prekeys(AccountId),
    /// A held message has waited long enough.
    Held(AccountId),
    /// The first row of the outbox expires.
    Expiry,
    /// What waits for company goes to the disk alone.
    Seal,
    /// Make more one-time prekeys.
    Refill,
    /// Look after the rental at a mailbox node.
    Mailbox(DeviceId),
    /// Leave what waits for a contact with its mailboxes.
    Deposit(AccountId),
    /// Go on with work that a mailbox node asks for.
    Work,
    /// Dial some contacts after a start.
    Greet,
    /// Limits that outlive the process go to the disk.
    Limits,
    /// Prekeys, record, old ids.
    Maintenance,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Retry(_) => "retry",
            Self::Receipt(_) => "receipt",
            Self::Acceptance(_) => "acceptance",
            Self::Prekeys(_) => "prekeys",
            Self::Held(_) => "held",
            Self::Expiry => "expiry",
            Self::Seal => "seal",
            Self::Refill => "refill",
            Self::Mailbox(_) => "mailbox",
            Self::Deposit(_) => "deposit",
            Self::Work => "work",
            Self::Greet => "greet",
            Self::Limits => "limits",
            Self::Maintenance => "maintenance",
        }
    }
}

/// At most one deadline for each reason.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_reason: BTreeMap<Reason, Moment>,
    by_time: BTreeSet<(Moment, Reason)>,
}

impl Timers {
    /// Sets or moves a deadline.
    pub(super) fn set(&mut self, reason: Reason, at: Moment) {
        self.cancel(reason);
        self.by_reason.insert(reason, at);
        self.by_time.insert((at, reason));
    }

    /// Sets a deadline unless one stands.
    pub(super) fn set_if_none(&mut self, reason: Reason, at: Moment) {
        if !self.by_reason.contains_key(&reason) {
            self.set(reason, at);
        }
    }

    /// Sets a deadline unless an earlier one stands.
    pub(super) fn set_if_sooner(&mut self, reason: Reason, at: Moment) {
        if self.by_reason.get(&reason).is_none_or(|standing| at < *standing) {
            self.set(reason, at);
        }
    }

    pub(super) fn cancel(&mut self, reason: Reason) {
        if let Some(at) = self.by_reason.remove(&reason) {
            self.by_time.remove(&(at, reason));
        }
    }

    /// When a deadline stands.
    pub(super) fn get(&self, reason: Reason) -> Option<Moment> {
        self.by_reason.get(&reason).copied()
    }

    pub(super) fn next(&self) -> Option<(Moment, &'static str)> {
        self.by_time.first().map(|(at, reason)| (*at, reason.as_str()))
    }

    /// Takes one deadline that has passed.
    pub(super) fn pop(&mut self, now: Moment) -> Option<Reason> {
        let (at, reason) = *self.by_time.first()?;
        (at <= now).then(|| {
            self.cancel(reason);
            reason
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_deadline_fires_once_at_its_new_time() {
        let mut timers = Timers::default();
        let at = Moment::from_micros;
        timers.set(Reason::Expiry, at(5));
        timers.set(Reason::Expiry, at(9));
        timers.set_if_none(Reason::Expiry, at(1));

        assert_eq!(timers.next(), Some((at(9), "expiry")));
        assert_eq!(timers.pop(at(8)), None);
        assert_eq!(timers.pop(at(9)), Some(Reason::Expiry));
        assert_eq!(timers.next(), None);
    }
}
