//! What owners order. The signature is checked before anything is looked up, so that whoever is no
//! owner learns nothing about which queues there are.
//!
//! See docs/SPEC.md, section "What a node gives".

use std::time::Duration;

use rand_core::CryptoRng;

use super::port::Ending;
use super::record::{Door, Ends, FellowRow, FellowsRow, door_key, end_key, fellows_key};
use super::rental::{Mate, Rental};
use super::settings::{LAPSE, QUEUE_TAGS_MAX, TAG_AHEAD_MAX};
use super::{Answered, Host, HostFact, REJECTED, Refusal, UNKNOWN};
use crate::crypto::digest;
use crate::error::Error;
use crate::id::DeviceId;
use crate::mailbox::{
    Answer, DEPOSIT_BYTES_MAX, Fellow, Offer, Order, QueueKey, RefusalCode, RequestId, SignedOrder,
    Tag, is_work,
};
use crate::store::Store;
use crate::time::UnixMillis;

/// A rental is prolonged on the disk when that gains so much.
const PROLONGED: u64 = 3_600_000;

/// When a node whose queues are all rented is worth another try.
const RENTED_WAIT: Duration = Duration::from_secs(24 * 3_600);

/// How long what lies in an ended rental takes to delete.
const OVER_WAIT: Duration = Duration::from_secs(10);

impl Mate {
    pub(super) const fn of(row: &FellowRow) -> Self {
        Self { rank: row.fellow.rank, device: row.fellow.device, copied: row.copied }
    }
}

impl<S: Store, R: CryptoRng> Host<S, R> {
    /// Does what the owner of a queue orders.
    pub(super) fn order(
        &mut self,
        peer: DeviceId,
        id: RequestId,
        signed: &SignedOrder,
    ) -> Answered {
        let order = signed.open(self.node, peer).map_err(|error| {
            if matches!(error, Error::Malformed(_)) { REJECTED } else { UNKNOWN }
        })?;
        let queue = signed.queue;
        if let Order::Rent { access, request_tag, work } = order {
            return self.rent(queue, &access, request_tag, work).map(Some);
        }
        self.rental(queue).ok_or(UNKNOWN)?;
        self.prolong(queue);
        let answer = match order {
            Order::Fetch { after, wait_ms } => {
                return self.fetch((peer, id), queue, (after, wait_ms));
            }
            Order::Taken(cursors) => self.taken(queue, &cursors)?,
            Order::Tags { add, remove } => self.tags(queue, &add, &remove)?,
            Order::Stock { x25519, ml_kem } => {
                self.stock(queue, 0, x25519);
                self.stock(queue, 1, ml_kem);
                Answer::Done
            }
            Order::Fellows { rank, fellows } => self.fellows(queue, rank, fellows)?,
            Order::End | Order::Rent { .. } => {
                self.end_rental(queue, Ending::Owner)?;
                Answer::Done
            }
        };
        Ok(Some(answer))
    }

    fn prolong(&mut self, queue: QueueKey) {
        let until = self.now.wall.plus(LAPSE);
        if self
            .rental(queue)
            .is_some_and(|rental| rental.until.0.saturating_add(PROLONGED) <= until.0)
        {
            self.change(queue, |rental| rental.until = until);
        }
    }

    fn rent(
        &mut self,
        queue: QueueKey,
        access: &str,
        request_tag: Option<Tag>,
        work: u64,
    ) -> Result<Answer, Refusal> {
        match self.rentals.get(&queue) {
            Some(rental) if rental.over.is_some() => {
                return Err(Refusal::later(RefusalCode::Busy, OVER_WAIT));
            }
            Some(_) => self.prolong(queue),
            None => {
                self.may_rent(queue, access, work)?;
                let rental = Rental::new(self.now.wall);
                self.rentals.insert(queue, rental);
                self.dirty.insert(queue);
                self.sweep_at.get_or_insert(self.now.mono + super::sweep::SWEEP_MIN);
                self.fact(HostFact::Rented);
            }
        }
        self.set_request_tag(queue, request_tag)?;
        Ok(Answer::Offer(self.offer(Some(queue))))
    }

    fn may_rent(&self, queue: QueueKey, access: &str, work: u64) -> Result<(), Refusal> {
        const UNPAID: Refusal = Refusal::of(RefusalCode::Unpaid);
        let words = &self.settings.access;
        if words.is_empty() {
            if !is_work(self.node, &queue.0, work, self.settings.work_bits) {
                return Err(UNPAID);
            }
        } else {
            // Hashes, so that the time of a comparison says nothing about a word.
            let shown = digest(access.as_bytes());
            if !words.iter().fold(false, |good, word| good | (digest(word.as_bytes()) == shown)) {
                return Err(UNPAID);
            }
        }
        if self.rentals.len() >= self.settings.rentals_max {
            return Err(Refusal::later(RefusalCode::QuotaExceeded, RENTED_WAIT));
        }
        Ok(())
    }

    /// What the node gives, and what a queue has of it.
    pub(super) fn offer(&self, queue: Option<QueueKey>) -> Offer {
        let settings = &self.settings;
        let common = Offer {
            bytes_max: settings.queue_bytes_max,
            envelopes_max: settings.queue_envelopes_max,
            seal_bytes_max: u64::try_from(DEPOSIT_BYTES_MAX).unwrap_or(u64::MAX),
            keep_max: settings.keep_max,
            work_bits: settings.work_bits,
            needs_access: !settings.access.is_empty(),
            ..Offer::default()
        };
        let Some(rental) = queue.and_then(|queue| self.rental(queue)) else { return common };
        let [x25519, ml_kem] = rental.stock;
        Offer {
            until: rental.until,
            bytes: rental.bytes,
            envelopes: rental.envelopes,
            prekeys_left: (x25519.left, ml_kem.left),
            ..common
        }
    }

    fn set_request_tag(&mut self, queue: QueueKey, tag: Option<Tag>) -> Result<(), Refusal> {
        let Some(rental) = self.rental(queue) else { return Ok(()) };
        let (first, old) = (rental.first, rental.request_tag);
        if old == tag {
            return Ok(());
        }
        let free = match tag {
            Some(tag) => {
                self.store.get(&door_key(tag))?.map(|row| Door::decode(&row)).transpose()?
            }
            None => None,
        };
        // A tag that is taken already stays whose it is, and nobody is told.
        if free.is_some_and(|door| self.is_current(&door)) {
            return Ok(());
        }
        if let Some(old) = old {
            self.store.delete(door_key(old));
        }
        if let Some(tag) = tag {
            let door = fresh_door(queue, first, UnixMillis(u64::MAX));
            self.store.put(door_key(tag), door.encode());
        }
        self.change(queue, |rental| rental.request_tag = tag);
        Ok(())
    }

    fn tags(
        &mut self,
        queue: QueueKey,
        add: &[(Tag, UnixMillis)],
        remove: &[Tag],
    ) -> Result<Answer, Refusal> {
        for tag in remove {
            let Some(door) = self.own_door(queue, *tag)? else { continue };
            self.close_door(*tag, &door);
        }
        let latest = self.now.wall.plus(TAG_AHEAD_MAX);
        for (tag, until) in add {
            let until = (*until).min(latest);
            if !self.is_over(until) {
                self.open_door(queue, *tag, until)?;
            }
        }
        Ok(Answer::Done)
    }

    /// The row of a tag of this rental; not that of its request tag.
    fn own_door(&self, queue: QueueKey, tag: Tag) -> Result<Option<Door>, Refusal> {
        let Some(row) = self.store.get(&door_key(tag))? else { return Ok(None) };
        let door = Door::decode(&row)?;
        let is_request = self.rental(queue).is_some_and(|rental| rental.request_tag == Some(tag));
        Ok(Some(door).filter(|door| door.queue == queue && self.is_current(door) && !is_request))
    }

    /// The row goes, and what is in the queue under it stays.
    pub(super) fn close_door(&mut self, tag: Tag, door: &Door) {
        self.store.delete(end_key(door.until, &Ends::Door(door.queue, tag)));
        self.store.delete(door_key(tag));
        self.change(door.queue, |rental| rental.tags = rental.tags.saturating_sub(1));
    }

    fn open_door(&mut self, queue: QueueKey, tag: Tag, until: UnixMillis) -> Result<(), Refusal> {
        let ends = Ends::Door(queue, tag);
        let door = self.store.get(&door_key(tag))?.map(|row| Door::decode(&row)).transpose()?;
        let door = match door.filter(|door| self.is_current(door)) {
            Some(door) if door.queue == queue && door.until.0 < u64::MAX => {
                self.store.delete(end_key(door.until, &ends));
                Door { until, ..door }
            }
            // Another queue's, or the request tag: stays what it is.
            Some(_) => return Ok(()),
            None => {
                let Some(rental) = self.rental(queue) else { return Err(UNKNOWN) };
                if rental.tags >= QUEUE_TAGS_MAX {
                    return Err(Refusal::later(RefusalCode::QuotaExceeded, RENTED_WAIT));
                }
                let first = rental.first;
                self.change(queue, |rental| rental.tags = rental.tags.saturating_add(1));
                fresh_door(queue, first, until)
            }
        };
        self.store.put(end_key(until, &ends), ends.encode());
        self.store.put(door_key(tag), door.encode());
        Ok(())
    }

    fn fellows(
        &mut self,
        queue: QueueKey,
        rank: u32,
        fellows: Vec<Fellow>,
    ) -> Result<Answer, Refusal> {
        let mut row = FellowsRow { rank, fellows: Vec::new() };
        let known = self.rental(queue).map(|rental| rental.mates.clone()).unwrap_or_default();
        for fellow in fellows {
            let is_twice = row.fellows.iter().any(|other| other.fellow.device == fellow.device);
            if is_twice || fellow.device == self.node {
                return Err(REJECTED);
            }
            let mate = known.iter().find(|mate| mate.device == fellow.device);
            row.fellows.push(FellowRow { copied: mate.map_or(0, |mate| mate.copied), fellow });
        }
        self.store.put(fellows_key(queue), row.encode());
        self.change(queue, |rental| {
            rental.rank = rank;
            rental.mates = row.fellows.iter().map(Mate::of).collect();
        });
        self.watch_fellows(queue);
        Ok(Answer::Done)
    }
}

const fn fresh_door(queue: QueueKey, rental: u64, until: UnixMillis) -> Door {
    Door { queue, rental, until, bytes: 0, envelopes: 0, prekeys: 0 }
}
