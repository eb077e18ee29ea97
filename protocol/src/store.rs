//! What the core expects of a store: synchronous reads, writes as values.
//!
//! ```text
//!   engine --get, scan--> Overlay --> Store      (reads see batches that are not durable yet)
//!   engine --Batch------> driver ---> adapter -- fsync --> Durable --> engine
//! ```
//!
//! A row is `(table, scope, order) -> value`. The adapter stores `scope` only as a keyed hash (it
//! holds contact ids) and `order` in clear (big-endian numbers), so rows of one scope can be
//! scanned in order. Values are sealed by the adapter.

mod commit;
mod memory;
mod overlay;

pub use commit::Commit;
pub use memory::MemoryStore;
pub use overlay::Overlay;

use std::collections::BTreeMap;
use std::sync::Arc;

/// Kinds of rows. The number is on disk: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Singletons of the node: prekeys, counters. Scope: name.
    Meta = 1,
    /// `rest::Contact`. Scope: account.
    Contact = 2,
    /// `rest::Session`. Scope: device; order: session id.
    Session = 3,
    /// `rest::SkippedKey`. Scope: session id; order: chain, number.
    SkippedKey = 4,
    /// `rest::Outbox`. Scope: account; order: sequence.
    Outbox = 5,
    /// `rest::Delivery`. Scope: message id.
    Delivery = 6,
    /// `rest::Message`, the history. Scope: account; order: index.
    Message = 7,
    /// `rest::Inbox`. Scope: none; order: cursor.
    Inbox = 8,
    /// `rest::Seen`. Scope: sender device, message id.
    Seen = 9,
    /// `rest::Counter`. Scope: reader name.
    Reader = 10,
    /// `rest::Replay`. Scope: hash of an initial message.
    Replay = 11,
    /// `rest::Invitation`. Scope: token.
    Invitation = 12,
    /// `rest::Conversation`. Scope: account.
    Conversation = 13,
    /// `rest::Held`. Scope: account; order: sequence.
    Held = 14,
    /// `rest::OneTimePrekey`. Scope: algorithm; order: id.
    OneTimePrekey = 15,
    /// `rest::Owed`. Scope: account; order: number.
    Owed = 20,
    /// `rest::Limit`. Scope: whose limit.
    Limiter = 21,
    /// `rest::SendId`. Scope: the id that a user's program gave.
    SendId = 22,
    /// `rest::Pause`. Scope: account.
    Pause = 23,
    /// `rest::MailboxRental`, a queue that this node keeps. Scope: queue.
    MailboxRental = 30,
    /// `rest::MailboxTag`. Scope: tag.
    MailboxTag = 31,
    /// `rest::MailboxEnvelope`. Scope: queue; order: cursor.
    MailboxEnvelope = 32,
    /// `rest::MailboxHeld`, custody of a seal, also after it was taken. Scope: queue, hash of the seal.
    MailboxHeld = 33,
    /// `rest::MailboxEnd`, what ends when. Scope: none; order: time, hash of what ends.
    MailboxEnd = 34,
    /// `rest::MailboxPrekey`. Scope: queue, algorithm; order: id.
    MailboxPrekey = 35,
    /// `rest::MailboxFellows`. Scope: queue.
    MailboxFellows = 36,
    /// `rest::Rental`. Scope: node.
    Rental = 40,
    /// `rest::Admitted`. Scope: node, account.
    Admitted = 41,
    /// `rest::Deposited`. Scope: account; order: sequence.
    Deposited = 42,
}

/// Names a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Kind of row.
    pub table: Table,
    /// Stored as a keyed hash.
    pub scope: Vec<u8>,
    /// Stored in clear, compared bytewise; at most 16 bytes.
    pub order: Vec<u8>,
}

impl Key {
    /// The only row of a scope.
    #[must_use]
    pub fn of(table: Table, scope: &[u8]) -> Self {
        Self { table, scope: scope.to_vec(), order: Vec::new() }
    }

    /// A numbered row of a scope.
    #[must_use]
    pub fn numbered(table: Table, scope: &[u8], number: u64) -> Self {
        Self { table, scope: scope.to_vec(), order: number.to_be_bytes().to_vec() }
    }
}

/// One row of a scan.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// The key's `order`.
    pub order: Vec<u8>,
    /// The opened value.
    pub value: Vec<u8>,
}

impl Row {
    /// `order` as the number it was made from.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        self.order.as_slice().try_into().ok().map(u64::from_be_bytes)
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row({} bytes)", self.value.len())
    }
}

/// Where a walk over a whole table stopped. Meaningful only to the store that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCursor(pub Vec<u8>);

/// Why a read or a commit failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The disk or the database refused.
    #[error("{0}")]
    Unavailable(String),
    /// No room for a write.
    #[error("no space left")]
    Full,
    /// A value fails its checksum or seal, or does not decode.
    #[error("corrupt {0}")]
    Corrupt(&'static str),
}

/// Synchronous reads over durable rows.
pub trait Store {
    /// The value of one row.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the row cannot be read or fails its checksum.
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// Rows of one scope with `order >= from`, ascending, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    fn scan(
        &self,
        table: Table,
        scope: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// Rows of one scope with `order < before` (`None`: from the end), descending, at most `limit`.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    fn scan_back(
        &self,
        table: Table,
        scope: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError>;

    /// Values of a whole table in no particular order, durable ones only, at most `limit` a page.
    ///
    /// # Errors
    ///
    /// As [`Store::get`].
    fn walk(
        &self,
        table: Table,
        after: Option<&TableCursor>,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<TableCursor>), StoreError>;
}

/// Number of a batch: 1, 2, 3 ... since the engine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BatchId(pub u64);

/// Writes that become durable together or not at all. `None` deletes.
#[derive(Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number.
    pub id: BatchId,
    /// The last write of each row.
    pub writes: Arc<BTreeMap<Key, Option<Vec<u8>>>>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Batch({}, {} writes)", self.id.0, self.writes.len())
    }
}

/// Proof that every batch up to this one survives a power cut. What depends on a write leaves only
/// against it, so it is neither `Clone` nor `Copy`.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "outputs that wait for this batch leave only when the engine gets it"]
pub struct Durable(BatchId);

impl Durable {
    /// To be called by a store's commit alone, after its fsync has returned
    /// (`tests/architecture.rs` checks who does).
    pub const fn after_sync(batch: &Batch) -> Self {
        Self(batch.id)
    }

    /// The batch that is safe now.
    #[must_use]
    pub const fn batch(&self) -> BatchId {
        self.0
    }
}
