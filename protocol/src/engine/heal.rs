//! Self-healing: what a contact's own device sends and we cannot open.
//!
//! ```text
//!   frame that does not open --> fresh session with that device --"cannot open {ids}"--> it encrypts
//!                                                                what has no receipt again, on that one
//! ```
//!
//! Only a certified device of a contact gets here, over a link that it authenticated: strangers are
//! not answered. Each contact has a pace of its own, so that garbage costs a bounded number of
//! handshakes; what failed meanwhile is named in the next round, or was repeated by its sender.
//!
//! See docs/SPEC.md, section "Self-healing".

use std::collections::BTreeMap;
use std::time::Duration;

use bitchat_proto::limits::UNREADABLE_IDS_MAX;
use rand_core::CryptoRng;

use super::{Engine, Fact};
use crate::envelope::{Body, Envelope};
use crate::error::Error;
use crate::id::{AccountId, DeviceId, MessageId};
use crate::store::Store;
use crate::time::Moment;

/// Between two fresh sessions with a contact for this reason; doubles from one to the next.
const PAUSE: Duration = Duration::from_secs(60);

/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(3_600);

/// Every contact for which something did not open since the process started.
#[derive(Debug, Default)]
pub(super) struct Heals {
    contacts: BTreeMap<AccountId, Heal>,
}

#[derive(Debug, Default)]
struct Heal {
    /// Messages to name; the newest are left out if there are too many.
    wanted: Vec<MessageId>,
    last: Option<Moment>,
    /// Rounds so far that came as soon as they were allowed.
    rounds: u32,
    /// Whether this pause held something up already.
    held_up: bool,
    /// Whether this round waits for a record of the contact that is still good.
    needs_record: bool,
}

/// Whether to heal now.
#[derive(Debug, PartialEq, Eq)]
enum Leave {
    /// Yes.
    Now,
    /// Not before the pause is over; the first time in this pause.
    FirstLater,
    /// As before.
    Later,
}

impl Heal {
    fn pause(&self) -> Duration {
        let doubled = PAUSE.saturating_mul(1 << self.rounds.saturating_sub(1).min(10));
        doubled.min(PAUSE_MAX)
    }
}

impl Heals {
    /// Notes a message that did not open and asks leave for a round.
    fn ask(&mut self, account: AccountId, message: MessageId, now: Moment) -> Leave {
        let heal = self.contacts.entry(account).or_default();
        if heal.wanted.len() < UNREADABLE_IDS_MAX && !heal.wanted.contains(&message) {
            heal.wanted.push(message);
        }
        self.leave(account, now)
    }

    /// Asks leave for a round.
    fn leave(&mut self, account: AccountId, now: Moment) -> Leave {
        let heal = self.contacts.entry(account).or_default();
        let since = heal.last.map(|last| now.since(last));
        if since.is_some_and(|since| since < heal.pause()) {
            let first = !std::mem::replace(&mut heal.held_up, true);
            return if first { Leave::FirstLater } else { Leave::Later };
        }
        if since.is_some_and(|since| since > heal.pause().saturating_mul(2)) {
            heal.rounds = 0; // It was well in between.
        }
        heal.rounds = heal.rounds.saturating_add(1);
        heal.last = Some(now);
        heal.held_up = false;
        Leave::Now
    }

    /// The messages to name in this round.
    fn take(&mut self, account: &AccountId) -> Vec<MessageId> {
        self.contacts
            .get_mut(account)
            .map(|heal| std::mem::take(&mut heal.wanted))
            .unwrap_or_default()
    }

    /// Says whether the round waits for a record of the contact; returns what was said before.
    fn needs_record(&mut self, account: &AccountId, needs: bool) -> bool {
        let heal = self.contacts.get_mut(account);
        heal.is_some_and(|heal| std::mem::replace(&mut heal.needs_record, needs))
    }

    /// Forgets a contact that was removed.
    pub(super) fn forget(&mut self, account: &AccountId) {
        self.contacts.remove(account);
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// A frame that `peer` sent over its link did not open (what comes out of a file may be old, and is not
    /// answered). If that can be healed, and it is time, starts a fresh session
    /// with the device and says there what could not be opened.
    pub(super) fn heal(&mut self, peer: DeviceId, envelope: &Envelope, error: &Error) {
        if !self.links.contains(&peer) {
            return;
        }
        let Some(contact) = self.book.of_device(&peer).filter(|known| !known.is_blocked()) else {
            return;
        };
        let account = contact.account;
        let Some(reason) = self.reason_to_heal(peer, envelope, error) else { return };
        match self.heals.ask(account, envelope.message, self.now.mono) {
            Leave::Now => {
                let done = self.disown_prekeys(envelope);
                if let Err(error) = done.and_then(|()| self.heal_now(account, peer, reason)) {
                    self.fact(Fact::Refused(error.label()));
                }
            }
            Leave::FirstLater => self.fact(Fact::BoundReached("session heals")),
            Leave::Later => {}
        }
    }

    /// Why a fresh session would help, if it would.
    fn reason_to_heal(
        &mut self,
        peer: DeviceId,
        envelope: &Envelope,
        error: &Error,
    ) -> Option<&'static str> {
        match error {
            Error::Decrypt if envelope.initial.is_none() => {
                let kept = self.sessions.has(peer, envelope.session, &self.store).ok()?;
                Some(if kept { error.label() } else { "unknown_session" })
            }
            Error::Decrypt | Error::CounterJump { .. } | Error::Spent => Some(error.label()),
            Error::Malformed(_)
            | Error::NotAuthentic(_)
            | Error::Stale(_)
            | Error::Stranger
            | Error::Untrusted
            | Error::Busy { .. }
            | Error::Store(_)
            | Error::Bug(_) => None,
        }
    }

    /// A handshake that leads nowhere may be for prekeys that we have lost. Then the record that names
    /// them must not be the newest that the contact has of us.
    fn disown_prekeys(&mut self, envelope: &Envelope) -> Result<(), Error> {
        if envelope.initial.is_some() { self.issue_record() } else { Ok(()) }
    }

    fn heal_now(
        &mut self,
        account: AccountId,
        device: DeviceId,
        reason: &'static str,
    ) -> Result<(), Error> {
        match self.start_session(account, device) {
            Ok(session) => {
                self.fact(Fact::SessionHealed(reason));
                self.encrypt_again(account, session);
                let ids = self.heals.take(&account);
                self.send_unqueued(account, device, Body::Unreadable(ids))
            }
            // What answers this goes on with `heal_with_record`.
            Err(Error::Stale(_)) => {
                self.heals.needs_record(&account, true);
                self.ask_for_record(account, device)
            }
            Err(error) => Err(error),
        }
    }

    /// The record came that a round was waiting for.
    pub(super) fn heal_with_record(
        &mut self,
        account: AccountId,
        device: DeviceId,
    ) -> Result<(), Error> {
        if self.heals.needs_record(&account, false) {
            return self.heal_now(account, device, "unknown_session");
        }
        Ok(())
    }

    /// A contact refused a frame. If that was to found a session, it may have lost the prekeys that the
    /// frame names, and does not heal whom it does not know yet: another session is founded, at the
    /// same pace, and its record is asked for, since ours may name what it has lost.
    pub(super) fn founding_refused(&mut self, account: AccountId) -> Result<(), Error> {
        let Some(contact) = self.book.get(&account).filter(|known| !known.is_blocked()) else {
            return Ok(());
        };
        let device = contact.device;
        if !self.sessions.is_unconfirmed(device, &self.store)?
            || self.heals.leave(account, self.now.mono) != Leave::Now
        {
            return Ok(());
        }
        self.ask_for_record(account, device)?;
        self.renew_session(account, device)
    }

    /// The contact could not open these. Founding its session has made everything without a receipt
    /// wait for that session; nothing else is ever sent again, whatever is named.
    pub(super) fn named_unreadable(&mut self, account: AccountId, ids: &[MessageId]) {
        let ours = |id: &&MessageId| self.outbox.place(id).is_some_and(|place| place.0 == account);
        let count = u32::try_from(ids.iter().filter(ours).count()).unwrap_or(u32::MAX);
        if count > 0 {
            self.fact(Fact::Unreadable(count));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: AccountId = AccountId([1; 32]);

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    fn id(number: u64) -> MessageId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        MessageId(id)
    }

    #[test]
    fn garbage_without_end_is_answered_ever_more_seldom_and_at_last_once_an_hour() {
        let mut heals = Heals::default();
        let healed: Vec<u64> = (0..6 * 3_600)
            .filter(|second| heals.ask(ALICE, id(*second), at(*second)) == Leave::Now)
            .collect();

        assert_eq!(healed[..5], [0, 60, 180, 420, 900]);
        assert_eq!(healed.len(), 7 + 4, "{healed:?}");
    }

    #[test]
    fn whoever_was_well_in_between_is_healed_at_once() {
        let mut heals = Heals::default();
        for second in 0..200 {
            heals.ask(ALICE, id(second), at(second));
        }

        assert_eq!(heals.ask(ALICE, id(0), at(200)), Leave::Later);
        assert_eq!(heals.ask(ALICE, id(0), at(10_000)), Leave::Now);
        assert_eq!(heals.ask(ALICE, id(0), at(10_060)), Leave::Now);
    }

    #[test]
    fn a_round_names_each_message_once_and_no_more_than_the_limit() {
        let mut heals = Heals::default();
        for number in 0..200 {
            heals.ask(ALICE, id(number), at(0));
            heals.ask(ALICE, id(number), at(0));
        }

        assert_eq!(heals.take(&ALICE).len(), UNREADABLE_IDS_MAX);
        assert!(heals.take(&ALICE).is_empty());
    }
}
