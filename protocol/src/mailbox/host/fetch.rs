//! Owners fetch, wait for something to fetch, and say what they have.
//!
//! See docs/SPEC.md, section "What a node gives".

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_core::CryptoRng;

use super::record::{Envelope, Held, envelope_key, held_key};
use super::settings::{FETCH_WAIT_MAX, FETCHES_MAX, PAGE_BYTES_MAX, PAGE_ITEMS_MAX};
use super::{Answered, Host, HostFact, Refusal};
use crate::id::DeviceId;
use crate::mailbox::{Answer, Item, Page, QueueKey, RequestId};
use crate::store::{Store, Table};
use crate::time::Moment;

/// Rows of one read: of the longest seals, 4 MiB.
const READ: usize = 16;

/// A fetch that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    peer: DeviceId,
    id: RequestId,
    after: u64,
    deadline: Moment,
}

/// Fetches that wait, at most one for a queue.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    by_queue: BTreeMap<QueueKey, Waiting>,
    by_deadline: BTreeSet<(Moment, QueueKey)>,
    by_peer: BTreeSet<(DeviceId, QueueKey)>,
    /// Queues with something new for whoever waits.
    ripe: BTreeSet<QueueKey>,
}

impl Fetches {
    pub(super) fn len(&self) -> usize {
        self.by_queue.len()
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        self.by_deadline.first().map(|(at, _)| *at)
    }

    pub(super) fn ripen(&mut self, queue: QueueKey) {
        if self.by_queue.contains_key(&queue) {
            self.ripe.insert(queue);
        }
    }

    /// Whoever waited on links of this device waits no longer.
    pub(super) fn gone(&mut self, peer: DeviceId) {
        let first = (peer, QueueKey([0; 32]));
        let queues = self.by_peer.range(first..).take_while(|(device, _)| *device == peer);
        for queue in queues.map(|(_, queue)| *queue).collect::<Vec<_>>() {
            self.take(queue);
        }
    }

    fn put(&mut self, queue: QueueKey, waiting: Waiting) {
        self.by_deadline.insert((waiting.deadline, queue));
        self.by_peer.insert((waiting.peer, queue));
        self.by_queue.insert(queue, waiting);
    }

    fn take(&mut self, queue: QueueKey) -> Option<Waiting> {
        self.ripe.remove(&queue);
        let waiting = self.by_queue.remove(&queue)?;
        self.by_deadline.remove(&(waiting.deadline, queue));
        self.by_peer.remove(&(waiting.peer, queue));
        Some(waiting)
    }
}

impl<S: Store, R: CryptoRng> Host<S, R> {
    /// A page, or the wait for one.
    pub(super) fn fetch(
        &mut self,
        (peer, id): (DeviceId, RequestId),
        queue: QueueKey,
        (after, wait_ms): (u64, u64),
    ) -> Answered {
        self.dismiss(queue);
        let page = self.page(queue, after)?;
        let wait = Duration::from_millis(wait_ms).min(FETCH_WAIT_MAX);
        if !page.items.is_empty() || wait.is_zero() || self.fetches.len() >= FETCHES_MAX {
            return Ok(Some(Answer::Page(page)));
        }
        let deadline = self.now.mono + wait;
        self.fetches.put(queue, Waiting { peer, id, after, deadline });
        Ok(None)
    }

    /// Who waits for this queue is told that there is nothing.
    pub(super) fn dismiss(&mut self, queue: QueueKey) {
        if let Some(waiting) = self.fetches.take(queue) {
            let page = Page { items: Vec::new(), next: waiting.after, more: false };
            self.respond(waiting.peer, waiting.id, Answer::Page(page));
        }
    }

    pub(super) fn end_fetches(&mut self) {
        while let Some((at, queue)) = self.fetches.by_deadline.first().copied() {
            if at > self.now.mono {
                return;
            }
            self.dismiss(queue);
        }
    }

    /// Answers the fetches that waited for what the open batch holds, once for all of it.
    pub(super) fn answer_ripe(&mut self) {
        for queue in std::mem::take(&mut self.fetches.ripe) {
            let Some(waiting) = self.fetches.take(queue) else { continue };
            match self.page(queue, waiting.after) {
                Ok(page) => self.respond(waiting.peer, waiting.id, Answer::Page(page)),
                Err(refusal) => self.refuse(waiting.peer, waiting.id, &refusal),
            }
        }
    }

    fn page(&mut self, queue: QueueKey, after: u64) -> Result<Page, Refusal> {
        let mut page = Page { items: Vec::new(), next: after, more: false };
        let mut bytes = 0usize;
        'read: while let Some(from) = page.next.checked_add(1) {
            let rows =
                self.store.scan(Table::MailboxEnvelope, &queue.0, &from.to_be_bytes(), READ)?;
            let is_last = rows.len() < READ;
            for row in rows {
                let Some(cursor) = row.number() else { break 'read };
                let seal = Envelope::decode(&row.value)?.seal;
                let whole = bytes.saturating_add(seal.len());
                if !page.items.is_empty()
                    && (whole > PAGE_BYTES_MAX || page.items.len() >= PAGE_ITEMS_MAX)
                {
                    page.more = true;
                    break 'read;
                }
                bytes = whole;
                page.next = cursor;
                page.items.push(Item { cursor, seal });
            }
            if is_last {
                break;
            }
        }
        let count = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
        if count > 0 {
            self.counts.fetched = self.counts.fetched.saturating_add(u64::from(count));
            self.fact(HostFact::Fetched(count));
        }
        Ok(page)
    }

    /// The owner has these: the envelopes go, their hashes stay until their time is over.
    pub(super) fn taken(&mut self, queue: QueueKey, cursors: &[u64]) -> Result<Answer, Refusal> {
        let mut count = 0u32;
        for cursor in cursors {
            let Some(row) = self.store.get(&envelope_key(queue, *cursor))? else { continue };
            let envelope = Envelope::decode(&row)?;
            self.delete(queue, *cursor, &envelope)?;
            let held = Held { cursor: *cursor, until: envelope.until, taken: true };
            self.store.put(held_key(queue, &envelope.hash), held.encode());
            count = count.saturating_add(1);
        }
        if count > 0 {
            self.counts.taken = self.counts.taken.saturating_add(u64::from(count));
            self.fact(HostFact::Taken(count));
        }
        Ok(Answer::Done)
    }
}
