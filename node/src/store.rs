//! The sled store behind the protocol's `Store` trait.
//!
//! ```text
//!   Batch, Batch, ..  --seal--> one sled batch --flush--> write(2) --fdatasync--> Durable, Durable, ..
//! ```
//!
//! sled 0.34 alone is not durable on Linux: its `flush` ends in `sync_file_range`, which reaches
//! neither the disk's cache nor the metadata. See docs/decisions/0002-sled-with-fdatasync.md; the
//! power-cut test holds this module to it.
//!
//! # Invariants
//!
//! - [`Durable`] is made after `fdatasync` has returned, and nowhere else.
//! - A batch is there whole or not at all, and so is a merged group of batches.
//! - After one failed commit nothing is accepted any more; nothing is ever synced twice.
//! - Readers never see half of a batch.
//! - A directory that does not open is left as it is.

mod committer;
mod error;
mod layout;
mod open;

pub use committer::{CommitStats, Committer, Refused};
pub use error::StoreOpenError;

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use bitchat_protocol::store::{Batch, Durable, Key, Row, Store, StoreError, Table, TableCursor};
use sled::IVec;

use crate::keystore::StoreKeys;
use layout::{Head, Layout};

/// Free bytes below which nothing is written: sled writes whole segments and a snapshot at the
/// next start, and what it cannot finish it cannot take back.
const ROOM_MIN: u64 = 4 * 1024 * 1024;

/// A sled database in one directory. `Clone` is a second handle on the same database.
#[derive(Clone)]
pub struct SledStore {
    inner: Arc<Inner>,
}

struct Inner {
    layout: Layout,
    tree: sled::Tree,
    db: sled::Db,
    /// Our own handle on sled's file, open since before its first write: the kernel reports a
    /// failed write-back once per handle, and sled swallows what it is told.
    log: File,
    /// Held for a whole commit, so that one commit at a time runs.
    committing: Mutex<()>,
    /// Held for writing while a batch is applied, so that readers see all of it or nothing.
    health: RwLock<Health>,
}

/// What may still be asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Good,
    /// A commit was refused before it touched the disk.
    ReadOnly,
    /// A commit failed half-way: rows may be visible that a restart will not find.
    Broken,
}

/// What [`SledStore::fsck`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fsck {
    /// Rows that open.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
    /// Rows that fail their seal or lack a piece.
    pub corrupt: u64,
    /// Pieces that belong to no row.
    pub orphans: u64,
}

impl SledStore {
    /// Opens the database in `dir`, or makes one if `dir` does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreOpenError`]; no row was changed then. Waits up to 3 seconds for a lock.
    pub fn open(dir: &Path, keys: StoreKeys) -> Result<Self, StoreOpenError> {
        let layout = Layout::new(keys);
        let open::Opened { db, log } = open::open(dir, &layout)?;
        let inner = Inner {
            layout,
            tree: sled::Tree::clone(&db),
            db,
            log,
            committing: Mutex::new(()),
            health: RwLock::new(Health::Good),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes `batches` durable in their order, all of them or none; one flush serves them all.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; from then on every commit fails, and the store must be opened anew, after
    /// every clone is dropped. Reads go on if the error came before anything was written.
    pub fn commit(&self, batches: &[Batch]) -> Result<Vec<Durable>, StoreError> {
        let inner = &*self.inner;
        let _one_at_a_time = inner.committing.lock().unwrap_or_else(PoisonError::into_inner);
        match inner.health() {
            Health::Good => {}
            Health::ReadOnly | Health::Broken => return Err(closed()),
        }
        let prepared = self.room().and_then(|room| match room {
            0..ROOM_MIN => Err(StoreError::Full),
            _ => unpanicked(|| inner.sealed(batches)),
        });
        let batch = prepared.inspect_err(|_| inner.set_health(Health::ReadOnly))?;
        unpanicked(|| inner.write(batch)).inspect_err(|_| inner.set_health(Health::Broken))?;
        Ok(batches.iter().map(Durable::after_sync).collect())
    }

    /// Free bytes on the store's file system.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn room(&self) -> Result<u64, StoreError> {
        let found = rustix::fs::fstatvfs(&self.inner.log);
        let found = found.map_err(|errno| StoreError::Unavailable(errno.to_string()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// Whether a commit has room, to be asked before work is taken on.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room().is_ok_and(|room| room >= ROOM_MIN)
    }

    /// Bytes that the database takes on disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn size_on_disk(&self) -> Result<u64, StoreError> {
        unpanicked(|| self.inner.db.size_on_disk().map_err(store_error))
    }

    /// Opens every row of every table; commits wait meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the database cannot be read at all.
    pub fn fsck(&self) -> Result<Fsck, StoreError> {
        let inner = &*self.inner;
        let _read = inner.reading()?;
        unpanicked(|| {
            let (mut found, mut pieces) = (Fsck::default(), 0u64);
            for entry in inner.tree.range(Layout::rows()) {
                let (key, head) = entry.map_err(store_error)?;
                match inner.open_row(&key, &head) {
                    Ok(value) => {
                        found.rows += 1;
                        found.bytes += u64::try_from(value.len()).unwrap_or(u64::MAX);
                        pieces += u64::from(Head::pieces(&head).unwrap_or_default());
                    }
                    Err(_) => found.corrupt += 1,
                }
            }
            let mut present = 0u64;
            for entry in inner.tree.range(Layout::all_pieces()) {
                entry.map_err(store_error)?;
                present += 1;
            }
            // Pieces of corrupt rows count as orphans too: nobody can say whose they are.
            found.orphans = present.saturating_sub(pieces);
            Ok(found)
        })
    }
}

impl Inner {
    fn health(&self) -> Health {
        *self.health.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_health(&self, health: Health) {
        *self.health.write().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// Keeps commits away while rows are read.
    fn reading(&self) -> Result<RwLockReadGuard<'_, Health>, StoreError> {
        let health = self.health.read().unwrap_or_else(PoisonError::into_inner);
        match *health {
            Health::Good | Health::ReadOnly => Ok(health),
            Health::Broken => Err(closed()),
        }
    }

    /// One sled batch of everything in `batches`; the last write of a row counts. One instead of
    /// many because sled syncs twice for each of its batches.
    fn sealed(&self, batches: &[Batch]) -> Result<sled::Batch, StoreError> {
        let mut rows: BTreeMap<&Key, Option<&[u8]>> = BTreeMap::new();
        for batch in batches {
            rows.extend(batch.writes.iter().map(|(key, value)| (key, value.as_deref())));
        }
        let mut writes = sled::Batch::default();
        for (key, value) in rows {
            let key = self.layout.key(key)?;
            let before = self.pieces_of(&key)?;
            let after = match value {
                Some(value) => self.layout.seal(&key, value, &mut writes)?,
                None => {
                    writes.remove(key.as_slice());
                    0
                }
            };
            for piece in after..before {
                writes.remove(self.layout.piece_key(&key, piece).as_slice());
            }
        }
        Ok(writes)
    }

    /// Pieces that a row has now.
    fn pieces_of(&self, key: &[u8]) -> Result<u16, StoreError> {
        let head = self.tree.get(key).map_err(store_error)?;
        // A head that does not parse is about to be replaced; its pieces stay behind for `fsck`.
        Ok(head.and_then(|head| Head::pieces(&head)).unwrap_or_default())
    }

    fn write(&self, batch: sled::Batch) -> Result<(), StoreError> {
        {
            let _alone = self.health.write().unwrap_or_else(PoisonError::into_inner);
            self.tree.apply_batch(batch).map_err(store_error)?;
        }
        self.db.flush().map_err(store_error)?;
        self.sync()
    }

    /// What sled leaves out.
    fn sync(&self) -> Result<(), StoreError> {
        self.log.sync_data().map_err(|error| io_error(&error))
    }

    /// The value of the row with this head.
    fn open_row(&self, key: &[u8], head: &[u8]) -> Result<Vec<u8>, StoreError> {
        let head = Head::parse(head)?;
        self.layout.open(key, &head, |piece| {
            let found = self.tree.get(self.layout.piece_key(key, piece)).map_err(store_error)?;
            found.ok_or(StoreError::Corrupt("row lacks a piece"))
        })
    }

    fn row(&self, entry: sled::Result<(IVec, IVec)>) -> Result<Row, StoreError> {
        let (key, head) = entry.map_err(store_error)?;
        let value = self.open_row(&key, &head)?;
        Ok(Row { order: Layout::order(&key).to_vec(), value })
    }
}

impl Store for SledStore {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        let inner = &*self.inner;
        let key = inner.layout.key(key)?;
        let _read = inner.reading()?;
        unpanicked(|| {
            let head = inner.tree.get(&key).map_err(store_error)?;
            head.map(|head| inner.open_row(&key, &head)).transpose()
        })
    }

    fn scan(
        &self,
        table: Table,
        scope: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let inner = &*self.inner;
        let range = inner.layout.scope(table, scope).from(from);
        let _read = inner.reading()?;
        unpanicked(|| inner.tree.range(range).take(limit).map(|entry| inner.row(entry)).collect())
    }

    fn scan_back(
        &self,
        table: Table,
        scope: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let inner = &*self.inner;
        let range = inner.layout.scope(table, scope).before(before);
        let _read = inner.reading()?;
        unpanicked(|| {
            let rows = inner.tree.range(range).rev().take(limit);
            rows.map(|entry| inner.row(entry)).collect()
        })
    }

    fn walk(
        &self,
        table: Table,
        after: Option<&TableCursor>,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<TableCursor>), StoreError> {
        let inner = &*self.inner;
        let range = Layout::table(table, after.map(|cursor| cursor.0.as_slice()));
        let _read = inner.reading()?;
        unpanicked(|| {
            let (mut values, mut last) = (Vec::new(), None);
            for entry in inner.tree.range(range).take(limit) {
                let (key, head) = entry.map_err(store_error)?;
                values.push(inner.open_row(&key, &head)?);
                last = Some(key);
            }
            let full = values.len() == limit;
            Ok((values, last.filter(|_| full).map(|key| TableCursor(key.to_vec()))))
        })
    }
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SledStore({:?})", self.inner.health())
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store closed after a failed commit".to_owned())
}

/// sled panics on some damage; a caller sees an error like any other.
fn unpanicked<T>(action: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(action))
        .unwrap_or(Err(StoreError::Corrupt("database (sled panicked)")))
}

fn store_error(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => io_error(&error),
        sled::Error::Corruption { .. } => StoreError::Corrupt("database"),
        sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_) => StoreError::Unavailable(error.to_string()),
    }
}

fn io_error(error: &std::io::Error) -> StoreError {
    if error::is_full(error) {
        StoreError::Full
    } else {
        StoreError::Unavailable(error.to_string())
    }
}

#[cfg(test)]
mod tests;
