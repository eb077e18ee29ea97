//! Skipped message keys as rows of their own, so that a session's row stays small.
//!
//! See docs/SPEC.md, section "Delivery".

use bitchat_proto::prost::Message;
use bitchat_proto::rest;
use zeroize::Zeroize;

use crate::crypto::Secret;
use crate::id::SessionId;
use crate::ratchet::{SkippedAt, SkippedChange, SkippedKeys};
use crate::store::{Key, Overlay, Store, StoreError, Table};
use crate::time::UnixMillis;

const CORRUPT: StoreError = StoreError::Corrupt("skipped key");

/// The skipped keys of one session in a store.
#[derive(Debug)]
pub struct StoredKeys<'a, S> {
    store: &'a S,
    session: SessionId,
}

impl<'a, S: Store> StoredKeys<'a, S> {
    /// Those of `session`.
    pub const fn new(store: &'a S, session: SessionId) -> Self {
        Self { store, session }
    }
}

/// Ordered by chain, then by number: the oldest first.
fn key_of(session: SessionId, chain: u32, number: u32) -> Key {
    let order = [chain.to_be_bytes(), number.to_be_bytes()].concat();
    Key { table: Table::SkippedKey, scope: session.0.to_vec(), order }
}

impl<S: Store> SkippedKeys for StoredKeys<'_, S> {
    fn get(&self, chain: u32, number: u32) -> Result<Option<Secret<32>>, StoreError> {
        let Some(mut value) = self.store.get(&key_of(self.session, chain, number))? else {
            return Ok(None);
        };
        let mut row = rest::SkippedKey::decode(value.as_slice()).map_err(|_| CORRUPT)?;
        value.zeroize();
        let key = Secret::from_slice(&row.key).ok_or(CORRUPT);
        row.key.zeroize();
        key.map(Some)
    }

    fn oldest(&self, limit: usize) -> Result<Vec<SkippedAt>, StoreError> {
        let rows = self.store.scan(Table::SkippedKey, &self.session.0, &[], limit)?;
        rows.into_iter()
            .map(|mut row| {
                let (chain, number) = row.order.split_at_checked(4).ok_or(CORRUPT)?;
                let chain = u32::from_be_bytes(chain.try_into().map_err(|_| CORRUPT)?);
                let number = u32::from_be_bytes(number.try_into().map_err(|_| CORRUPT)?);
                let mut kept =
                    rest::SkippedKey::decode(row.value.as_slice()).map_err(|_| CORRUPT)?;
                row.value.zeroize();
                kept.key.zeroize();
                Ok(SkippedAt { chain, number, created: UnixMillis(kept.created_ms) })
            })
            .collect()
    }
}

/// Writes what opening a message changed among the skipped keys of `session`.
pub(super) fn write<S: Store>(
    store: &mut Overlay<S>,
    session: SessionId,
    changes: Vec<SkippedChange>,
    now: UnixMillis,
) {
    for change in changes {
        match change {
            SkippedChange::Keep { chain, number, key } => {
                let mut row = rest::SkippedKey { key: key.expose().to_vec(), created_ms: now.0 };
                store.put(key_of(session, chain, number), row.encode_to_vec());
                row.key.zeroize();
            }
            SkippedChange::Drop { chain, number } => store.delete(key_of(session, chain, number)),
        }
    }
}

/// Deletes every skipped key of a session that is given up.
pub(super) fn forget<S: Store>(
    store: &mut Overlay<S>,
    session: SessionId,
) -> Result<(), StoreError> {
    for row in store.scan(Table::SkippedKey, &session.0, &[], usize::MAX)? {
        store.delete(Key { table: Table::SkippedKey, scope: session.0.to_vec(), order: row.order });
    }
    Ok(())
}
