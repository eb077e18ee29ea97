//! The open database behind every handle: its locks, and the one way to read and to write a row.

use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use bitchat_protocol::store::{Row, StoreError};
use sled::IVec;

use super::erasure::{Epochs, Progress};
use super::error::{StoreOpenError, is_full};
use super::keyfile::KeyFile;
use super::keyring::{Chain, Class, Ring};
use super::layout::{ERASE, Head, Layout};
use super::mark::{COMMITS, Mark};
use super::open;
use super::sealing::{ChangedKeys, Conversations};
use crate::keystore::StoreKeys;

/// Free bytes below which nothing is written: sled writes whole segments and a snapshot at the
/// next start, and what it cannot finish it cannot take back.
pub(super) const ROOM_MIN: u64 = 4 * 1024 * 1024;

/// Free bytes below which nothing new is taken; what lies between this and [`ROOM_MIN`] is kept for
/// acknowledgements, receipts and deletions.
pub(super) const ROOM_RESERVED: u64 = 16 * 1024 * 1024;

/// Free bytes below which somebody should make room.
pub(super) const ROOM_LOW: u64 = 64 * 1024 * 1024;

/// A row whose key was destroyed, or never was.
pub(super) const KEY_GONE: StoreError = StoreError::Corrupt("row: its key is gone");

/// A row of which a piece is missing.
pub(super) const PIECE_GONE: StoreError = StoreError::Corrupt("row lacks a piece");

pub(super) struct Inner {
    pub(super) layout: Layout,
    pub(super) tree: sled::Tree,
    pub(super) db: sled::Db,
    /// Our own handle on sled's file, open since before its first write: the kernel reports a
    /// failed write-back once per handle, and sled swallows what it is told.
    pub(super) log: File,
    pub(super) mark: Mark,
    pub(super) ring: RwLock<Ring>,
    pub(super) conversations: Conversations,
    pub(super) epochs: Epochs,
    /// Held for a whole commit or step of erasure, so that one at a time runs.
    pub(super) committing: Mutex<Writer>,
    /// Held for writing while a batch is applied, so that readers see all of it or nothing.
    pub(super) health: RwLock<Health>,
    /// The writer's progress, for those who must not wait for it.
    pub(super) published: Mutex<Progress>,
}

/// What only whoever writes needs.
pub(super) struct Writer {
    pub(super) keys: KeyFile,
    pub(super) progress: Progress,
}

/// What may still be asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    /// A commit was refused before it touched the disk.
    ReadOnly,
    /// A commit failed half-way: rows may be visible that a restart will not find.
    Broken,
}

impl Inner {
    pub(super) fn open(
        dir: &Path,
        keys: &StoreKeys,
        epochs: Epochs,
    ) -> Result<Self, StoreOpenError> {
        let now = (epochs.clock)();
        let open::Opened { db, log, keys, ring, mark } = open::open(dir, keys, now)?;
        let wanted = unpanicked(|| db.contains_key(ERASE).map_err(store_error));
        let wanted = wanted.map_err(|error| StoreOpenError::Corrupt {
            dir: dir.to_owned(),
            detail: error.to_string(),
        })?;
        let progress = Progress::opened(&ring, wanted, now);
        Ok(Self {
            layout: Layout::new(&ring.scopes),
            tree: sled::Tree::clone(&db),
            db,
            log,
            mark,
            ring: RwLock::new(ring),
            conversations: Conversations::default(),
            epochs,
            published: Mutex::new(progress.clone()),
            committing: Mutex::new(Writer { keys, progress }),
            health: RwLock::new(Health::Good),
        })
    }

    pub(super) fn health(&self) -> Health {
        *self.health.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_health(&self, health: Health) {
        *self.health.write().unwrap_or_else(PoisonError::into_inner) = health;
    }

    /// Keeps commits away while rows are read.
    pub(super) fn reading(&self) -> Result<RwLockReadGuard<'_, Health>, StoreError> {
        let health = self.health.read().unwrap_or_else(PoisonError::into_inner);
        match *health {
            Health::Good | Health::ReadOnly => Ok(health),
            Health::Broken => Err(closed()),
        }
    }

    pub(super) fn room(&self) -> Result<u64, StoreError> {
        let found = rustix::fs::fstatvfs(&self.log);
        let found = found.map_err(|errno| StoreError::Unavailable(errno.to_string()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    pub(super) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.committing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, writer: &Writer) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.clone_from(&writer.progress);
    }

    pub(super) fn published(&self) -> Progress {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, batch: sled::Batch) -> Result<(), StoreError> {
        self.write_with(batch, ChangedKeys::new())
    }

    pub(super) fn write_with(
        &self,
        mut batch: sled::Batch,
        keys: ChangedKeys,
    ) -> Result<(), StoreError> {
        let number = self.mark.next();
        batch.insert(COMMITS, &number.to_be_bytes());
        {
            let _alone = self.health.write().unwrap_or_else(PoisonError::into_inner);
            self.tree.apply_batch(batch).map_err(store_error)?;
            // A reader in between could take a key back in that is gone.
            self.conversations.changed(keys);
        }
        self.db.flush().map_err(store_error)?;
        self.sync()?;
        self.mark.synced(number);
        Ok(())
    }

    /// What sled leaves out.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.log.sync_data().map_err(|error| io_error(&error))
    }

    /// The value of the row with this head.
    pub(super) fn open_row(&self, key: &[u8], head: &[u8]) -> Result<Vec<u8>, StoreError> {
        let ring = self.ring();
        match Class::of(key.first().copied().unwrap_or_default()) {
            Class::Chain(chain) => self.open_chained(&ring, chain, key, head),
            Class::Conversation => {
                let head = Head::parse(head)?;
                let key_row = Layout::conversation_key(key, head.number);
                let secret = self.conversation(&ring, &key_row)?;
                let secret = secret.ok_or(KEY_GONE)?;
                Layout::open(&secret, key, &head, |piece| self.piece(key, piece))
            }
        }
    }

    pub(super) fn open_chained(
        &self,
        ring: &Ring,
        chain: Chain,
        key: &[u8],
        head: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let head = Head::parse(head)?;
        let secret = ring.key(chain, head.number);
        let secret = secret.ok_or(KEY_GONE)?;
        Layout::open(secret, key, &head, |piece| self.piece(key, piece))
    }

    pub(super) fn piece(&self, key: &[u8], piece: u16) -> Result<IVec, StoreError> {
        let found = self.tree.get(self.layout.piece_key(key, piece)).map_err(store_error)?;
        found.ok_or(PIECE_GONE)
    }

    pub(super) fn row(&self, entry: sled::Result<(IVec, IVec)>) -> Result<Row, StoreError> {
        let (key, head) = entry.map_err(store_error)?;
        let value = self.open_row(&key, &head)?;
        Ok(Row { order: Layout::order(&key).to_vec(), value })
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the store closed after a failed commit".to_owned())
}

/// sled panics on some damage; a caller sees an error like any other.
pub(super) fn unpanicked<T>(
    action: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(action))
        .unwrap_or(Err(StoreError::Corrupt("database (sled panicked)")))
}

pub(super) fn store_error(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => io_error(&error),
        sled::Error::Corruption { .. } => StoreError::Corrupt("database"),
        sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_) => StoreError::Unavailable(error.to_string()),
    }
}

pub(super) fn io_error(error: &io::Error) -> StoreError {
    if is_full(error) { StoreError::Full } else { StoreError::Unavailable(error.to_string()) }
}
