//! What must reach somebody: rows that leave only by a receipt or a visible end.
//!
//! ```text
//!   waiting --hand over--> sending --accepted--> accepted --receipt--> gone
//!      ^                      |                     |
//!      +---- failed, link lost, no receipt in time -+
//! ```
//!
//! The rows lie in the store; this index holds their ids, places and times. Within a session a
//! retry is byte-identical; after a new session the content is encrypted again under the same id.
//!
//! See docs/SPEC.md, section "Delivery".

mod delivery;
mod pause;
mod queue;
mod record;
mod send_id;

pub use delivery::{
    CUSTODY_BYTES_MAX, CUSTODY_MAX, CustodyReceipt, Delivery, DeliveryState, Kept, STORED_MIN, Step,
};
pub use pause::{PAUSE_MAX, forget_pause, pauses, remember_pause};
pub use queue::{Entry, IN_FLIGHT_MAX, Queue, Stage};
pub use record::OutboxRow;
pub use send_id::{
    SEND_ID_BYTES_MAX, SEND_IDS_FOR, SEND_IDS_MAX, SendId, SentUnder, count_send_ids,
    purge_send_ids,
};

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{AccountId, MessageId};
use crate::store::{Key, Store, StoreError, Table};
use crate::time::{Moment, UnixMillis};

/// Rows of one profile. More are refused.
pub const ROWS_MAX: u64 = 100_000;

/// How long a message is tried if its sender does not say otherwise.
pub const EXPIRES_AFTER: Duration = Duration::from_secs(14 * 24 * 3600);

/// The longest that a message may be tried: less than its recipient remembers ids and keys.
pub const EXPIRES_AFTER_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Where a row is: contact and place in its queue.
pub type Place = (AccountId, u64);

/// The index over every queue.
#[derive(Debug, Default)]
pub struct Outbox {
    queues: BTreeMap<AccountId, Queue>,
    places: BTreeMap<MessageId, Place>,
    expiries: BTreeSet<(UnixMillis, AccountId, u64)>,
    /// Rows that no user wrote.
    hidden: usize,
    /// Contacts that asked not to be sent to before this; outlives their queues.
    pauses: BTreeMap<AccountId, Moment>,
}

impl Outbox {
    /// Reads every row and indexes it as waiting.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the rows cannot be read.
    pub fn load(store: &impl Store) -> Result<Self, StoreError> {
        const PAGE: usize = 1_000;
        let mut outbox = Self::default();
        let mut after = None;
        loop {
            let (values, next) = store.walk(Table::Outbox, after.as_ref(), PAGE)?;
            for value in values {
                let row = OutboxRow::decode(&value)?;
                outbox.insert((row.account, row.sequence), &row);
                if let Some(delivery) = Delivery::read(store, row.message)? {
                    outbox.reached(&row.message, delivery.state());
                }
            }
            match next {
                Some(cursor) => after = Some(cursor),
                None => return Ok(outbox),
            }
        }
    }

    /// The place for the next row of a contact.
    #[must_use]
    pub fn next_place(&self, account: AccountId) -> Place {
        (account, self.queues.get(&account).map_or(1, Queue::next_sequence))
    }

    /// Indexes a row that was written.
    pub fn insert(&mut self, (account, sequence): Place, row: &OutboxRow) {
        self.places.insert(row.message, (account, sequence));
        self.expiries.insert((row.expires, account, sequence));
        let entry = Entry::of(row);
        self.hidden = self.hidden.saturating_add(usize::from(!entry.is_shown));
        let queue = self.queues.entry(account).or_default();
        queue.told_until = self.pauses.get(&account).copied();
        queue.insert(sequence, entry);
    }

    /// A contact asked not to be sent to before `until`; says whether that is longer than before.
    pub fn told(&mut self, account: AccountId, until: Moment) -> bool {
        let before = self.pauses.get(&account).copied();
        if before.is_some_and(|before| before >= until) {
            return false;
        }
        self.pauses.insert(account, until);
        if let Some(queue) = self.queues.get_mut(&account) {
            queue.told_until = Some(until);
        }
        true
    }

    /// A contact takes messages again, or is gone; says whether it had asked for a pause.
    pub fn welcome(&mut self, account: &AccountId) -> bool {
        if let Some(queue) = self.queues.get_mut(account) {
            queue.told_until = None;
        }
        self.pauses.remove(account).is_some()
    }

    /// Forgets a row; the caller deletes it from the store.
    pub fn remove(&mut self, (account, sequence): Place) -> Option<Entry> {
        let queue = self.queues.get_mut(&account)?;
        let entry = queue.remove(sequence)?;
        if queue.is_empty() {
            self.queues.remove(&account);
        }
        self.hidden = self.hidden.saturating_sub(usize::from(!entry.is_shown));
        self.places.remove(&entry.message);
        self.expiries.remove(&(entry.expires, account, sequence));
        Some(entry)
    }

    /// A message reached a state.
    pub fn reached(&mut self, message: &MessageId, state: DeliveryState) {
        let place = self.places.get(message);
        if let Some((account, sequence)) = place.copied()
            && let Some(queue) = self.queues.get_mut(&account)
        {
            queue.reached(sequence, state);
        }
    }

    /// The index entry of a message, if it waits.
    #[must_use]
    pub fn entry(&self, message: &MessageId) -> Option<&Entry> {
        let (account, sequence) = self.places.get(message)?;
        self.queues.get(account)?.entry(*sequence)
    }

    /// Where a message waits, if it does.
    #[must_use]
    pub fn place(&self, message: &MessageId) -> Option<Place> {
        self.places.get(message).copied()
    }

    /// The queue of a contact, if anything waits.
    #[must_use]
    pub fn queue(&self, account: &AccountId) -> Option<&Queue> {
        self.queues.get(account)
    }

    /// The queue of a contact, to be changed, if anything waits.
    pub fn queue_mut(&mut self, account: &AccountId) -> Option<&mut Queue> {
        self.queues.get_mut(account)
    }

    /// Every queue.
    pub fn queues(&self) -> impl Iterator<Item = (&AccountId, &Queue)> {
        self.queues.iter()
    }

    /// The row that expires first.
    #[must_use]
    pub fn first_expiry(&self) -> Option<(UnixMillis, Place)> {
        self.expiries.first().map(|(at, account, sequence)| (*at, (*account, *sequence)))
    }

    /// Rows in all queues.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.places.len()).unwrap_or(u64::MAX)
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Rows that hold a message of the user's.
    #[must_use]
    pub fn shown(&self) -> u64 {
        u64::try_from(self.places.len().saturating_sub(self.hidden)).unwrap_or(u64::MAX)
    }

    /// When the oldest row was queued.
    #[must_use]
    pub fn oldest(&self) -> Option<UnixMillis> {
        self.queues.values().filter_map(Queue::oldest).min()
    }
}

/// The store key of a row.
#[must_use]
pub fn key_of((account, sequence): Place) -> Key {
    Key::numbered(Table::Outbox, &account.0, sequence)
}
