//! Turns batches into one sled batch: rows sealed under the keys of their class, and the keys of
//! conversations made with the first message and thrown away with the last.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use bitchat_protocol::crypto::Secret;
use bitchat_protocol::store::{Batch, Key, StoreError, Table};

use super::inner::{Inner, store_error};
use super::keyring::{Chain, Class, Ring, random};
use super::layout::{ERASE, Head, Layout, Under};

/// Keys of conversations that are kept opened. A profile that talks more than this at once opens
/// some again.
const OPEN_MAX: usize = 256;

/// Tables whose rows are under the key of their conversation.
const BODIES: [Table; 2] = [Table::Message, Table::Held];

/// Opened keys of conversations, by the row that holds each.
#[derive(Default)]
pub(super) struct Conversations(Mutex<BTreeMap<Vec<u8>, Arc<Secret<32>>>>);

/// Keys of conversations that are new (`Some`) or gone, by the row that holds each.
pub(super) type ChangedKeys = BTreeMap<Vec<u8>, Option<Arc<Secret<32>>>>;

/// What one commit writes, and what follows from it.
#[derive(Default)]
pub(super) struct Sealed {
    pub(super) batch: sled::Batch,
    pub(super) conversations: ChangedKeys,
    /// Chains of which a row was overwritten or deleted.
    pub(super) outdated: Vec<Chain>,
    /// Whether a conversation was erased.
    pub(super) erased: bool,
}

/// The last write of each row in a group of batches.
type Rows<'a> = BTreeMap<&'a Key, Option<&'a [u8]>>;

impl Inner {
    /// One sled batch of everything in `batches`. One instead of many because sled syncs twice for
    /// each of its batches.
    pub(super) fn sealed(&self, batches: &[Batch]) -> Result<Sealed, StoreError> {
        let mut rows = Rows::new();
        let mut emptied = BTreeSet::new();
        for batch in batches {
            rows.extend(batch.writes.iter().map(|(key, value)| (key, value.as_deref())));
            let deleted = batch.writes.iter().filter(|(_, value)| value.is_none());
            let bodies = deleted.map(|(key, _)| key).filter(|key| BODIES.contains(&key.table));
            let scopes: BTreeSet<&[u8]> = bodies.map(|key| key.scope.as_slice()).collect();
            for scope in scopes {
                // Now, because a later batch may begin the conversation anew: under another key.
                if self.is_empty(scope, &rows)? {
                    emptied.insert(scope);
                }
            }
        }
        let mut sealed = Sealed::default();
        for scope in emptied {
            let row = self.layout.key(&Key::of(Table::Message, scope))?;
            for entry in self.tree.range(Layout::keys_of_conversation(&row)) {
                let (key_row, _) = entry.map_err(store_error)?;
                sealed.batch.remove(&key_row);
                sealed.batch.insert(ERASE, b"");
                sealed.conversations.insert(key_row.to_vec(), None);
                sealed.outdated.push(Chain::Hour);
                sealed.erased = true;
            }
        }
        let ring = self.ring();
        for (key, value) in rows {
            self.seal_row(&ring, key, value, &mut sealed)?;
        }
        Ok(sealed)
    }

    fn seal_row(
        &self,
        ring: &Ring,
        key: &Key,
        value: Option<&[u8]>,
        sealed: &mut Sealed,
    ) -> Result<(), StoreError> {
        let row = self.layout.key(key)?;
        let class = Class::of(key.table as u8);
        let head = self.tree.get(&row).map_err(store_error)?;
        // A head that does not parse is about to be replaced; its pieces stay behind for `fsck`.
        let before = head.as_ref().and_then(|head| Head::pieces(head)).unwrap_or_default();
        if let (Class::Chain(chain), Some(_)) = (class, &head)
            && !sealed.outdated.contains(&chain)
        {
            sealed.outdated.push(chain);
        }
        let after = match (value, class) {
            (None, _) => {
                sealed.batch.remove(row.as_slice());
                0
            }
            (Some(value), Class::Chain(chain)) => {
                let current = &ring.chain(chain).current;
                let under = Under { number: current.number, key: &current.key };
                self.layout.seal(under, &row, value, &mut sealed.batch)?
            }
            (Some(value), Class::Conversation) => {
                let secret = self.key_to_write_with(ring, &row, sealed)?;
                let under = Under { number: ring.conversations, key: &secret };
                self.layout.seal(under, &row, value, &mut sealed.batch)?
            }
        };
        for piece in after..before {
            sealed.batch.remove(self.layout.piece_key(&row, piece).as_slice());
        }
        Ok(())
    }

    /// The key of the conversation of `row`; a new one if there is none, or none any more.
    fn key_to_write_with(
        &self,
        ring: &Ring,
        row: &[u8],
        sealed: &mut Sealed,
    ) -> Result<Arc<Secret<32>>, StoreError> {
        let key_row = Layout::conversation_key(row, ring.conversations);
        let found = match sealed.conversations.get(&key_row) {
            Some(changed) => changed.clone(),
            None => self.conversation(ring, &key_row)?,
        };
        if let Some(found) = found {
            return Ok(found);
        }
        let fresh = Arc::new(random()?);
        let current = &ring.chain(Chain::Hour).current;
        let under = Under { number: current.number, key: &current.key };
        self.layout.seal(under, &key_row, fresh.expose(), &mut sealed.batch)?;
        sealed.conversations.insert(key_row, Some(Arc::clone(&fresh)));
        Ok(fresh)
    }

    /// Whether no message of a conversation is left, counting what `rows` will change.
    fn is_empty(&self, scope: &[u8], rows: &Rows<'_>) -> Result<bool, StoreError> {
        for table in BODIES {
            let range = Layout::conversation(&self.layout.key(&Key::of(table, scope))?, table);
            for entry in self.tree.range(range) {
                let (row, _) = entry.map_err(store_error)?;
                let order = Layout::order(&row).to_vec();
                let key = Key { table, scope: scope.to_vec(), order };
                if !matches!(rows.get(&key), Some(None)) {
                    return Ok(false);
                }
            }
            let first = Key::of(table, scope);
            let mut written = rows
                .range::<&Key, _>(&first..)
                .take_while(|(key, _)| key.table == table && key.scope == scope);
            if written.any(|(_, value)| value.is_some()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The key in the row `key_row`, if there is one.
    pub(super) fn conversation(
        &self,
        ring: &Ring,
        key_row: &[u8],
    ) -> Result<Option<Arc<Secret<32>>>, StoreError> {
        if let Some(found) = self.conversations.get(key_row) {
            return Ok(Some(found));
        }
        let Some(head) = self.tree.get(key_row).map_err(store_error)? else {
            return Ok(None);
        };
        let opened =
            zeroize::Zeroizing::new(self.open_chained(ring, Chain::Hour, key_row, &head)?);
        let secret = Secret::from_slice(&opened).ok_or(StoreError::Corrupt("conversation key"))?;
        let secret = Arc::new(secret);
        self.conversations.keep(key_row.to_vec(), Arc::clone(&secret));
        Ok(Some(secret))
    }
}

impl Conversations {
    fn get(&self, key_row: &[u8]) -> Option<Arc<Secret<32>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key_row).cloned()
    }

    fn keep(&self, key_row: Vec<u8>, secret: Arc<Secret<32>>) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= OPEN_MAX {
            open.clear();
        }
        open.insert(key_row, secret);
    }

    /// Takes over what a commit changed.
    pub(super) fn changed(&self, changes: ChangedKeys) {
        for (key_row, secret) in changes {
            match secret {
                Some(secret) => self.keep(key_row, secret),
                None => {
                    self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key_row);
                }
            }
        }
    }
}
