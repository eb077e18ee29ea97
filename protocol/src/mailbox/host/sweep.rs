//! What ends by itself: custody, tags, rentals; and what an ended rental leaves to be deleted.
//!
//! In small steps, each a batch of its own, so that nobody waits for them.
//!
//! See docs/SPEC.md, section "What a node gives".

use std::time::Duration;

use rand_core::CryptoRng;

use super::port::{Ending, Eviction};
use super::record::{
    Door, Ends, Envelope, Held, door_key, end_time, envelope_key, fellows_key, held_key,
    prekey_key, prekey_scope, rental_key,
};
use super::{Host, HostFact, Refusal};
use crate::mailbox::QueueKey;
use crate::store::{Key, Store, Table};
use crate::time::UnixMillis;

/// The shortest and the longest pause between two sweeps.
pub(super) const SWEEP_MIN: Duration = Duration::from_secs(60);
const SWEEP_MAX: Duration = Duration::from_secs(600);

/// Rows of one step: of the longest seals, 8 MiB.
const STEP: usize = 32;

impl<S: Store, R: CryptoRng> Host<S, R> {
    pub(super) fn sweep(&mut self) {
        let lapsed = self.rentals.iter().filter(|(_, rental)| rental.over.is_none());
        let lapsed =
            lapsed.filter(|(_, rental)| self.is_over(rental.until)).map(|(queue, _)| *queue);
        let lapsed: Vec<_> = lapsed.take(STEP).collect();
        let mut more = lapsed.len() == STEP;
        let mut swept = Ok(());
        for queue in lapsed {
            swept = swept.and(self.end_rental(queue, Ending::Lapse));
        }
        let swept = swept.and_then(|()| {
            more |= self.sweep_ends()?;
            more |= self.sweep_rentals()?;
            self.next_end()
        });
        let wait = match swept {
            Ok(_) if more => Some(Duration::ZERO),
            Ok(next) => next,
            Err(_) => {
                self.fact(HostFact::StoreFailed);
                Some(SWEEP_MIN)
            }
        };
        self.sweep_at = wait.map(|wait| self.now.mono + wait);
    }

    /// How long until something ends; `None` if nothing is kept.
    fn next_end(&self) -> Result<Option<Duration>, Refusal> {
        let first = self.store.scan(Table::MailboxEnd, &[], &[], 1)?;
        let ends = first.first().and_then(|row| end_time(&row.order));
        if ends.is_none() && self.rentals.is_empty() {
            return Ok(None);
        }
        let wait = ends.map_or(SWEEP_MAX, |at| at.since(self.expiry.wall()));
        Ok(Some(wait.clamp(SWEEP_MIN, SWEEP_MAX)))
    }

    /// Whether there may be more.
    fn sweep_ends(&mut self) -> Result<bool, Refusal> {
        let rows = self.store.scan(Table::MailboxEnd, &[], &[], STEP)?;
        let is_full = rows.len() == STEP;
        let mut expired = 0u32;
        for row in rows {
            let Some(at) = end_time(&row.order).filter(|at| self.is_over(*at)) else {
                self.count_evicted(Eviction::Expired, expired);
                return Ok(false);
            };
            match Ends::decode(&row.value)? {
                Ends::Custody(queue, hash) => {
                    expired = expired.saturating_add(u32::from(self.end_custody(queue, hash, at)?));
                }
                Ends::Door(queue, tag) => {
                    let door = self.store.get(&door_key(tag))?;
                    let door = door.map(|row| Door::decode(&row)).transpose()?;
                    let ours = door.filter(|door| door.queue == queue && door.until == at);
                    match ours {
                        Some(door) if self.is_current(&door) => self.close_door(tag, &door),
                        Some(_) => self.store.delete(door_key(tag)),
                        None => {}
                    }
                }
            }
            let order = row.order;
            self.store.delete(Key { table: Table::MailboxEnd, scope: Vec::new(), order });
        }
        self.count_evicted(Eviction::Expired, expired);
        Ok(is_full)
    }

    /// Ends custody that was given until `at`; says whether its envelope was still there.
    pub(super) fn end_custody(
        &mut self,
        queue: QueueKey,
        hash: [u8; 32],
        at: UnixMillis,
    ) -> Result<bool, Refusal> {
        let key = held_key(queue, &hash);
        let Some(row) = self.store.get(&key)? else { return Ok(false) };
        let held = Held::decode(&row)?;
        if held.until != at {
            return Ok(false);
        }
        let is_current = self.rentals.get(&queue).is_some_and(|rental| held.cursor >= rental.first);
        let mut was_there = false;
        if is_current {
            if let Some(row) = self.store.get(&envelope_key(queue, held.cursor))? {
                let envelope = Envelope::decode(&row)?;
                self.delete(queue, held.cursor, &envelope)?;
                was_there = true;
            }
            self.change(queue, |rental| rental.held = rental.held.saturating_sub(1));
        }
        self.store.delete(key);
        Ok(was_there)
    }

    /// From now on the queue is unknown; what is in it goes in steps.
    pub(super) fn end_rental(&mut self, queue: QueueKey, why: Ending) -> Result<(), Refusal> {
        let tag = self.rental(queue).and_then(|rental| rental.request_tag);
        self.dismiss(queue);
        if let Some(tag) = tag {
            self.store.delete(door_key(tag));
        }
        self.change(queue, |rental| {
            rental.over = Some(why);
            rental.request_tag = None;
        });
        self.forget_fellows(queue);
        self.sweep_at = Some(self.now.mono);
        self.fact(HostFact::Ended(why));
        Ok(())
    }

    /// One step of the deletion of one rental that is over. Whether there may be more.
    fn sweep_rentals(&mut self) -> Result<bool, Refusal> {
        let over = self.rentals.iter().find(|(_, rental)| rental.over.is_some());
        let Some(queue) = over.map(|(queue, _)| *queue) else { return Ok(false) };
        let rows = self.store.scan(Table::MailboxEnvelope, &queue.0, &[], STEP)?;
        let count = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        for row in rows {
            let Some(cursor) = row.number() else { continue };
            let envelope = Envelope::decode(&row.value)?;
            self.delete(queue, cursor, &envelope)?;
        }
        self.count_evicted(Eviction::RentalOver, count);
        if count > 0 {
            return Ok(true);
        }
        for kind in 0..2 {
            let scope = prekey_scope(queue, kind);
            for row in self.store.scan(Table::MailboxPrekey, &scope, &[], 128)? {
                let id = row.number().and_then(|number| u32::try_from(number).ok());
                self.store.delete(prekey_key(queue, kind, id.unwrap_or(0)));
            }
        }
        self.store.delete(fellows_key(queue));
        self.store.delete(rental_key(queue));
        let left = self.rentals.remove(&queue).map_or(0, |rental| rental.bytes);
        self.bytes = self.bytes.saturating_sub(left);
        self.dirty.remove(&queue);
        Ok(true)
    }

    fn count_evicted(&mut self, why: Eviction, count: u32) {
        if count == 0 {
            return;
        }
        let counter = match why {
            Eviction::Expired => &mut self.counts.expired,
            Eviction::RentalOver => &mut self.counts.rental_over,
        };
        *counter = counter.saturating_add(u64::from(count));
        self.fact(HostFact::Evicted(why, count));
    }
}
