//! Deadlines that passed.
//!
//! See docs/SPEC.md, section "Delivery".

use std::time::Duration;

use rand_core::CryptoRng;

use super::timer::Reason;
use super::{DeliveryState, Engine, Output};
use crate::error::Error;
use crate::handshake;
use crate::inbox;
use crate::invitation::{ContactRecord, RECORD_VALIDITY};
use crate::outbox;
use crate::store::{Store, TableCursor};

/// How far the purge of old ids has come: one table after the other, `None` at its beginning.
#[derive(Debug)]
pub(super) enum Purge {
    Seen(Option<TableCursor>),
    Replays(Option<TableCursor>),
    SendIds(Option<TableCursor>),
}

/// Between two rounds of maintenance.
const MAINTENANCE: Duration = Duration::from_secs(3_600);

/// While old ids are being purged, page by page.
const PURGE_PAUSE: Duration = Duration::from_secs(1);

/// Contacts dialled at a time after a start, and the pause between: a laptop's link survives it.
const GREETED: usize = 8;
const GREET_PAUSE: Duration = Duration::from_millis(250);

/// Before what a deadline was for is tried again if it failed.
pub(super) const FAILED_PAUSE: Duration = Duration::from_secs(10);

/// Between two rounds of dialling contacts without a link; doubles.
const GREET_ROUND: Duration = Duration::from_secs(60);
const GREET_ROUND_MAX: Duration = Duration::from_secs(600);

/// Deadlines handled at a time.
const DEADLINES: usize = 256;

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn timeout(&mut self) -> Result<(), Error> {
        let mut result = Ok(());
        for _ in 0..DEADLINES {
            let Some(reason) = self.timers.pop(self.now.mono) else { break };
            let done = match reason {
                Reason::Retry(account) => self.retry(account),
                Reason::Receipt(account) => self.receipt_overdue(account),
                Reason::Acceptance(account) => self.acceptance_overdue(account),
                Reason::Prekeys(account) => self.prekeys_overdue(account),
                Reason::Held(account) => self.release_held(account),
                Reason::Expiry => self.expire(),
                Reason::Mailbox(node) => self.run_rental(node),
                Reason::Work => self.work_on(),
                Reason::Deposit(account) => self.deposit(account),
                Reason::Greet => {
                    self.greet_some();
                    Ok(())
                }
                Reason::Refill => {
                    self.refill_prekeys();
                    Ok(())
                }
                Reason::Limits => {
                    self.save_limits();
                    Ok(())
                }
                // Any input but an acceptance seals.
                Reason::Seal => Ok(()),
                Reason::Maintenance => self.maintain(),
            };
            if done.is_err() {
                self.timers.set_if_none(reason, self.now.mono + FAILED_PAUSE);
            }
            result = result.and(done);
        }
        result
    }

    fn expire(&mut self) -> Result<(), Error> {
        self.outbox_dirty = true; // Sets the deadline anew, also if a row cannot be read now.
        while let Some((at, place)) = self.outbox.first_expiry() {
            if self.expiry.wall() < at {
                break;
            }
            let message = self.outbox.queue(&place.0).and_then(|queue| queue.message(place.1));
            let message = message.ok_or(Error::Bug("outbox index"))?;
            self.finish(message, DeliveryState::Expired, "no receipt before its time ran out")?;
        }
        // The clock may have been set back: then nothing is written, and nothing else arms it.
        self.set_expiry_timer();
        Ok(())
    }

    /// Dials some contacts that have no link, round after round: one that moved while we were away
    /// has dialled us in vain, and knows no other way to us than that we dial it or it us again.
    fn greet_some(&mut self) {
        if self.greet.is_empty() {
            self.greet = self.book.iter().map(|contact| contact.account).collect();
        }
        for _ in 0..GREETED {
            let Some(account) = self.greet.pop_front() else { break };
            let Some(contact) = self.book.get(&account) else { continue };
            let (peer, addresses) = (contact.device, contact.addresses.clone());
            let wanted = !self.links.contains(&peer) && !addresses.is_empty();
            if wanted && self.leave_to_dial(peer).is_ok() {
                self.at_once(Output::Connect { peer, addresses });
            }
        }
        let pause = if self.greet.is_empty() { self.next_round() } else { GREET_PAUSE };
        self.timers.set(Reason::Greet, self.now.mono + pause);
    }

    /// The pause before the next round: a minute, doubling.
    fn next_round(&mut self) -> Duration {
        let pause = GREET_ROUND.saturating_mul(1 << self.greet_rounds.min(10));
        self.greet_rounds = self.greet_rounds.saturating_add(1);
        pause.min(GREET_ROUND_MAX)
    }

    fn maintain(&mut self) -> Result<(), Error> {
        self.forget_expired_invitations();
        self.compare_tags_weekly();
        self.breakers.forget_idle(self.now.mono);
        // One that was made under a clock ahead of the present one is refused by everybody.
        let age = ContactRecord::verify(&self.record, self.now.wall)
            .map_or(RECORD_VALIDITY, |record| self.now.wall.since(record.created()));
        let rotate = self.prekeys.is_due(self.expiry.wall());
        if rotate {
            self.prekeys.rotate(&mut self.rng, self.expiry.wall());
        }
        if rotate || age > RECORD_VALIDITY / 2 {
            self.issue_record()?;
            self.tell_record()?;
        }
        let done = !self.expire_prekeys() & self.purge()?;
        if self.pool.is_low() {
            self.refill_prekeys();
        }
        let pause = if done { MAINTENANCE } else { PURGE_PAUSE };
        self.timers.set(Reason::Maintenance, self.now.mono + pause);
        Ok(())
    }

    /// Forgets one page of message ids, of initial messages or of ids of sends; says whether every table is through.
    fn purge(&mut self) -> Result<bool, Error> {
        let (wall, store) = (self.expiry.wall(), &mut self.store);
        let (next, done) = match &self.purge {
            Purge::Seen(after) => match inbox::purge_seen(store, after.as_ref(), wall)? {
                None => (Purge::Replays(None), false),
                more => (Purge::Seen(more), false),
            },
            Purge::Replays(after) => match handshake::purge_replays(store, after.as_ref(), wall)? {
                None => (Purge::SendIds(None), false),
                more => (Purge::Replays(more), false),
            },
            Purge::SendIds(after) => {
                let (forgotten, more) = outbox::purge_send_ids(store, after.as_ref(), wall)?;
                self.send_ids = self.send_ids.saturating_sub(forgotten);
                match more {
                    None => (Purge::Seen(None), true),
                    more => (Purge::SendIds(more), false),
                }
            }
        };
        self.purge = next;
        Ok(done)
    }
}
