//! Deposits: who is let in, is there room, and custody.
//!
//! ```text
//!   work (if shown) -> tag -> hash known? -> room -> rows, counts -> custody, behind the batch
//! ```
//!
//! See docs/SPEC.md, section "What a node gives".

use std::time::Duration;

use rand_core::CryptoRng;

use super::record::{Door, Ends, Envelope, Held, door_key, end_key, envelope_key, held_key};
use super::settings::{REQUEST_BYTES_MAX, REQUEST_ENVELOPES_MAX, TAG_SHARE, TAKEN_SHARE};
use super::{Host, HostFact, REJECTED, Refusal, UNKNOWN};
use crate::crypto::digest;
use crate::mailbox::{Admission, Answer, Custody, RefusalCode, Tag, is_work};
use crate::store::Store;
use crate::time::UnixMillis;

/// When a full queue is worth another try: its owner may come, or something ends.
const FULL_WAIT: Duration = Duration::from_secs(10 * 60);

/// When a full node is.
const FULL_NODE_WAIT: Duration = Duration::from_secs(3_600);

impl<S: Store, R: CryptoRng> Host<S, R> {
    /// Keeps a seal.
    pub(super) fn deposit(
        &mut self,
        admission: &Admission,
        until: UnixMillis,
        seal: Vec<u8>,
    ) -> Result<Answer, Refusal> {
        if seal.is_empty() {
            return Err(REJECTED);
        }
        let (tag, mut door) = self.admit(admission, &seal)?;
        let (queue, hash) = (door.queue, digest(&seal));
        if let Some(held) = self.held(&door, &hash)? {
            if !self.is_over(held.until) {
                self.counts.again = self.counts.again.saturating_add(1);
                self.fact(HostFact::Again);
                return Ok(Answer::Custody(Custody::sign(&self.device, hash, held.until)));
            }
            self.end_custody(queue, hash, held.until)?;
            door = self.door(tag)?;
        }
        let until = self.keep_until(&door, until)?;
        let is_request = matches!(admission, Admission::Work { .. });
        let size = u64::try_from(seal.len()).unwrap_or(u64::MAX);
        self.room(&door, is_request, size)?;
        self.keep(tag, door, until, hash, seal);
        self.fact(HostFact::Deposited(size));
        self.counts.custody = self.counts.custody.saturating_add(1);
        Ok(Answer::Custody(Custody::sign(&self.device, hash, until)))
    }

    /// Whose queue an admission opens. Work is looked at before anything is read.
    pub(super) fn admit(&self, admission: &Admission, seal: &[u8]) -> Result<(Tag, Door), Refusal> {
        let (tag, by_work) = match admission {
            Admission::Token(token) => (token.tag(), false),
            Admission::Work { tag, work } => {
                let subject = Admission::subject(tag, seal);
                if !is_work(self.node, &subject, *work, self.settings.work_bits) {
                    return Err(Refusal::of(RefusalCode::Unpaid));
                }
                (*tag, true)
            }
        };
        let door = self.door(tag)?;
        let is_request =
            self.rental(door.queue).is_some_and(|rental| rental.request_tag == Some(tag));
        if is_request == by_work { Ok((tag, door)) } else { Err(UNKNOWN) }
    }

    /// The row of a tag that lets somebody in now.
    pub(super) fn door(&self, tag: Tag) -> Result<Door, Refusal> {
        let door = self.store.get(&door_key(tag))?.ok_or(UNKNOWN)?;
        let door = Door::decode(&door)?;
        let is_open = !self.is_over(door.until) && self.is_current(&door);
        if is_open { Ok(door) } else { Err(UNKNOWN) }
    }

    /// Whether a row of a tag belongs to a rental that is not over.
    pub(super) fn is_current(&self, door: &Door) -> bool {
        self.rental(door.queue).is_some_and(|rental| rental.first == door.rental)
    }

    /// Custody of a seal in the present rental.
    fn held(&self, door: &Door, hash: &[u8; 32]) -> Result<Option<Held>, Refusal> {
        let Some(row) = self.store.get(&held_key(door.queue, hash))? else { return Ok(None) };
        let held = Held::decode(&row)?;
        Ok((held.cursor >= door.rental).then_some(held))
    }

    /// As long as was asked for, if the node keeps anything for so long and the rental lasts.
    fn keep_until(&self, door: &Door, asked: UnixMillis) -> Result<UnixMillis, Refusal> {
        let rental = self.rental(door.queue).ok_or(UNKNOWN)?;
        let until = asked.min(self.now.wall.plus(self.settings.keep_max)).min(rental.until);
        if self.is_over(until) { Err(REJECTED) } else { Ok(until) }
    }

    fn room(&self, door: &Door, is_request: bool, size: u64) -> Result<(), Refusal> {
        let rental = self.rental(door.queue).ok_or(UNKNOWN)?;
        let settings = &self.settings;
        let (bytes_max, envelopes_max) = (settings.queue_bytes_max, settings.queue_envelopes_max);
        let share = |whole: u64| (whole / TAG_SHARE).max(1);
        let (mut tag_bytes, mut tag_envelopes) = (share(bytes_max), share(envelopes_max));
        if is_request {
            tag_bytes = tag_bytes.min(REQUEST_BYTES_MAX);
            tag_envelopes = tag_envelopes.min(REQUEST_ENVELOPES_MAX);
        }
        let held_max = envelopes_max.saturating_mul(TAKEN_SHARE.saturating_add(1));
        let fits = |used: u64, most: u64| used.saturating_add(size) <= most;
        let queue_fits = fits(rental.bytes, bytes_max)
            && rental.envelopes < envelopes_max
            && rental.held < held_max
            && fits(door.bytes, tag_bytes)
            && door.envelopes < tag_envelopes;
        if !queue_fits {
            return Err(Refusal::later(RefusalCode::QuotaExceeded, FULL_WAIT));
        }
        if !fits(self.bytes, settings.bytes_max) {
            return Err(Refusal::later(RefusalCode::QuotaExceeded, FULL_NODE_WAIT));
        }
        Ok(())
    }

    fn keep(&mut self, tag: Tag, mut door: Door, until: UnixMillis, hash: [u8; 32], seal: Vec<u8>) {
        let envelope = Envelope { hash, tag, until, at: self.now.wall, seal };
        let (queue, size) = (door.queue, envelope.size());
        let cursor = self.change(queue, |rental| {
            rental.add(size);
            rental.held = rental.held.saturating_add(1);
            rental.take_cursor()
        });
        let Some(cursor) = cursor else {
            return self.fact(HostFact::Bug("deposit without a rental"));
        };
        self.bytes = self.bytes.saturating_add(size);
        door.bytes = door.bytes.saturating_add(size);
        door.envelopes = door.envelopes.saturating_add(1);
        self.open_bytes = self.open_bytes.saturating_add(envelope.seal.len());
        self.store.put(envelope_key(queue, cursor), envelope.encode());
        self.store.put(held_key(queue, &hash), Held { cursor, until, taken: false }.encode());
        let ends = Ends::Custody(queue, hash);
        self.store.put(end_key(until, &ends), ends.encode());
        self.store.put(door_key(tag), door.encode());
        self.fetches.ripen(queue);
    }

    /// Deletes an envelope, whoever wants that, and counts it out. The row of its custody stays.
    pub(super) fn delete(
        &mut self,
        queue: crate::mailbox::QueueKey,
        cursor: u64,
        envelope: &Envelope,
    ) -> Result<(), Refusal> {
        let size = envelope.size();
        if let Some(row) = self.store.get(&door_key(envelope.tag))? {
            let mut door = Door::decode(&row)?;
            let first = self.rentals.get(&queue).map(|rental| rental.first);
            if door.queue == queue && first == Some(door.rental) {
                door.bytes = door.bytes.saturating_sub(size);
                door.envelopes = door.envelopes.saturating_sub(1);
                self.store.put(door_key(envelope.tag), door.encode());
            }
        }
        self.change(queue, |rental| rental.remove(size));
        self.bytes = self.bytes.saturating_sub(size);
        self.store.delete(envelope_key(queue, cursor));
        Ok(())
    }
}
