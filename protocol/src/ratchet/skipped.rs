//! Keys of messages that were overtaken: rows of the caller's, read here, changed by value.

use std::collections::BTreeMap;

use crate::crypto::Secret;
use crate::error::Error;
use crate::store::StoreError;
use crate::time::UnixMillis;

use super::{Ratchet, SKIPPED_KEY_AGE_MAX, SKIPPED_KEYS_MAX};

/// The session's skipped keys as they are stored, pending writes included.
pub trait SkippedKeys {
    /// The key of one message.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the row cannot be read.
    fn get(&self, chain: u32, number: u32) -> Result<Option<Secret<32>>, StoreError>;

    /// The first rows in ascending order of (chain, number), at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if a row cannot be read.
    fn oldest(&self, limit: usize) -> Result<Vec<SkippedAt>, StoreError>;
}

/// Where a skipped key lies and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkippedAt {
    /// Receiving chain.
    pub chain: u32,
    /// Message in the chain.
    pub number: u32,
    /// When it was skipped.
    pub created: UnixMillis,
}

/// A write to the session's skipped keys.
#[derive(Debug, PartialEq, Eq)]
pub enum SkippedChange {
    /// Keep the key of a message that was overtaken.
    Keep {
        /// Receiving chain.
        chain: u32,
        /// Message in the chain.
        number: u32,
        /// The message key.
        key: Secret<32>,
    },
    /// Delete a key: used, too old, or one too many.
    Drop {
        /// Receiving chain.
        chain: u32,
        /// Message in the chain.
        number: u32,
    },
}

/// A row that goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Dropped {
    pub(super) chain: u32,
    pub(super) number: u32,
}

impl Ratchet {
    /// Skipped keys in the store.
    pub(super) fn kept(&self) -> u32 {
        let current = self.receiving.as_ref().map_or(0, |receiving| receiving.kept);
        self.old.iter().fold(current, |sum, old| sum.saturating_add(old.kept))
    }

    /// The `excess` oldest rows and all that are too old. Rows are as old as their order says: a
    /// chain is skipped from below and closed before the next one. (A clock that jumps only
    /// delays a row's end.) Reads nothing while no key is kept.
    pub(super) fn evictable(
        &self,
        excess: u32,
        skipped: &impl SkippedKeys,
        now: UnixMillis,
    ) -> Result<Vec<Dropped>, Error> {
        if self.kept() == 0 {
            return Ok(Vec::new());
        }
        let aged = |row: &SkippedAt| now.since(row.created) > SKIPPED_KEY_AGE_MAX;
        let excess = rows(excess);
        let mut found = skipped.oldest(excess.max(1))?;
        if found.first().is_some_and(aged) {
            found = skipped.oldest(rows(SKIPPED_KEYS_MAX))?;
        }
        let going = found
            .iter()
            .enumerate()
            .take_while(|(position, row)| *position < excess || aged(row))
            .map(|(_, row)| Dropped { chain: row.chain, number: row.number })
            .collect::<Vec<_>>();
        // Row and record are written in one batch: if they differ, the store has lost something.
        if going.len() < excess {
            return Err(StoreError::Corrupt("skipped keys").into());
        }
        Ok(going)
    }

    /// Checks that the ratchet knows of every row in `dropped`.
    pub(super) fn check_known(&self, dropped: &[Dropped]) -> Result<(), StoreError> {
        let mut kept: BTreeMap<u32, u32> =
            self.old.iter().map(|old| (old.index, old.kept)).collect();
        kept.extend(self.receiving.as_ref().map(|current| (current.index, current.kept)));
        for row in dropped {
            let left = kept.get_mut(&row.chain).filter(|left| **left > 0);
            *left.ok_or(StoreError::Corrupt("skipped keys"))? -= 1;
        }
        Ok(())
    }

    /// Counts `dropped` out.
    pub(super) fn forget(&mut self, dropped: &[Dropped]) {
        for row in dropped {
            let current = self.receiving.iter_mut().map(|chain| (chain.index, &mut chain.kept));
            let old = self.old.iter_mut().map(|chain| (chain.index, &mut chain.kept));
            if let Some((_, kept)) = current.chain(old).find(|(index, _)| *index == row.chain) {
                *kept = kept.saturating_sub(1);
            }
        }
        self.old.retain(|chain| chain.kept > 0);
    }
}

fn rows(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
