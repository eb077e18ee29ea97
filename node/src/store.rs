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
//! - A directory that does not open is left as it is; one that lacks what was committed does not open.
//! - What was overwritten or deleted cannot be read any more once its key is destroyed: `erasure`.

mod committer;
mod erasure;
mod error;
mod inner;
mod keyfile;
mod keyring;
mod layout;
mod mark;
mod open;
mod room;
mod sealing;

pub use committer::{CommitStats, Committer, Refused};
pub use erasure::{Epochs, Erasure, Step};
pub use error::StoreOpenError;
pub use room::Room;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::keystore::StoreKeys;
use bitchat_protocol::store::{Batch, Durable, Key, Row, Store, StoreError, Table, TableCursor};
use inner::{Health, Inner, ROOM_MIN, closed, store_error, unpanicked};
use layout::{Head, Layout};
use sealing::Sealed;

/// A sled database in one directory. `Clone` is a second handle on the same database.
#[derive(Clone)]
pub struct SledStore {
    inner: Arc<Inner>,
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
        Self::open_with(dir, keys, Epochs::default())
    }

    /// As [`SledStore::open`], with another clock or length of epochs.
    ///
    /// # Errors
    ///
    /// As [`SledStore::open`].
    pub fn open_with(dir: &Path, keys: StoreKeys, epochs: Epochs) -> Result<Self, StoreOpenError> {
        Ok(Self { inner: Arc::new(Inner::open(dir, &keys, epochs)?) })
    }

    /// Hands the closed store in `dir` from the keys `old` to `new`: no row is touched, and what is
    /// written from then on is under keys that `old` never opened, as soon as both chains turned.
    /// `swap` makes
    /// `new` the keys that the profile will open it with, durably, and is called while either opens
    /// it; so a stop at any point, or a failing `swap`, leaves a store that its profile opens.
    ///
    /// # Errors
    ///
    /// [`StoreOpenError`]; the error of `swap` is its `Io`.
    pub fn hand_over(
        dir: &Path,
        old: &StoreKeys,
        new: &StoreKeys,
        swap: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), StoreOpenError> {
        let failed = |source| StoreOpenError::Io { dir: dir.to_owned(), source };
        let (mut file, ring) = open::open_keys(dir, old)?;
        let next = ring.handed_over().map_err(|error| failed(io::Error::other(error)))?;
        file.lend(new, &ring, &next).map_err(failed)?;
        swap().map_err(failed)?;
        let (mut file, ring) = open::open_keys(dir, new)?;
        file.settle(&ring).map_err(failed)
    }

    /// Makes `batches` durable in their order, all of them or none; one flush serves them all.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; from then on every commit fails, and the store must be opened anew, after
    /// every clone is dropped. Reads go on if the error came before anything was written.
    pub fn commit(&self, batches: &[Batch]) -> Result<Vec<Durable>, StoreError> {
        let inner = &*self.inner;
        let mut writer = inner.writer();
        match inner.health() {
            Health::Good => {}
            Health::ReadOnly | Health::Broken => return Err(closed()),
        }
        let prepared = inner.room().and_then(|room| match room {
            0..ROOM_MIN => Err(StoreError::Full),
            _ => unpanicked(|| inner.sealed(batches)),
        });
        let Sealed { batch, conversations, outdated, erased } =
            prepared.inspect_err(|_| inner.set_health(Health::ReadOnly))?;
        let written = unpanicked(|| inner.write_with(batch, conversations));
        written.inspect_err(|_| inner.set_health(Health::Broken))?;
        if !outdated.is_empty() || erased {
            writer.progress.committed(&outdated, erased, inner.now());
            inner.publish(&writer);
        }
        Ok(batches.iter().map(Durable::after_sync).collect())
    }

    /// Free bytes on the store's file system.
    ///
    /// # Errors
    ///
    /// [`StoreError::Unavailable`].
    pub fn room(&self) -> Result<u64, StoreError> {
        self.inner.room()
    }

    /// Whether a commit has room, to be asked before work is taken on.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.room().is_ok_and(|room| room >= ROOM_MIN)
    }

    /// What may be taken on with the room that is left; [`Room::None`] if nobody can say.
    #[must_use]
    pub fn room_for(&self) -> Room {
        self.room().map_or(Room::None, Room::of)
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
            for entry in inner.tree.range(Layout::conversation_keys()) {
                let (key, head) = entry.map_err(store_error)?;
                found.corrupt += u64::from(inner.open_row(&key, &head).is_err());
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

#[cfg(test)]
mod tests;
