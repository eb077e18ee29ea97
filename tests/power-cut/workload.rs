//! What the writer writes and the checker expects: a pure function of the batch number.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bitchat_node::keystore::StoreKeys;
use bitchat_node::store::{SledStore, StoreOpenError};
use bitchat_protocol::crypto::Secret;
use bitchat_protocol::store::{Batch, BatchId, Key, Table};

/// Rows of the queue that are kept; older ones are deleted, so that sled reuses its segments.
const KEPT: u64 = 50;
/// Rows that are overwritten in turn.
const SLOTS: u64 = 16;

/// Opens the shipped store.
pub(crate) fn open(dir: &Path) -> Result<SledStore, StoreOpenError> {
    SledStore::open(dir, StoreKeys::derive(&Secret::take(&mut [7; 32])))
}

/// The row that names the last batch.
pub(crate) fn counter() -> Key {
    Key::of(Table::Meta, b"last batch")
}

/// Batch `number`: the counter, a new row, an overwritten one, a deletion.
pub(crate) fn batch(number: u64) -> Batch {
    let mut writes = BTreeMap::new();
    writes.insert(counter(), Some(number.to_be_bytes().to_vec()));
    writes.insert(queued(number), Some(value(number, size(number))));
    writes.insert(slot(number), Some(value(number, 600)));
    if number > KEPT {
        writes.insert(queued(number - KEPT), None);
    }
    Batch { id: BatchId(number), writes: Arc::new(writes) }
}

/// Every row after batch `last`.
pub(crate) fn state(last: u64) -> BTreeMap<Key, Vec<u8>> {
    let first = last.saturating_sub(KEPT + SLOTS) + 1;
    let mut rows = BTreeMap::new();
    for number in first..=last {
        for (key, value) in batch(number).writes.iter() {
            match value {
                Some(value) => drop(rows.insert(key.clone(), value.clone())),
                None => drop(rows.remove(key)),
            }
        }
    }
    rows.retain(|key, _| {
        key.table != Table::Outbox || key.order > queued(last.saturating_sub(KEPT)).order
    });
    rows
}

fn queued(number: u64) -> Key {
    Key::numbered(Table::Outbox, b"contact", number)
}

fn slot(number: u64) -> Key {
    Key::numbered(Table::Message, b"slots", number % SLOTS)
}

/// Mostly the size of a message; every twentieth row up to 200 KiB.
fn size(number: u64) -> usize {
    match (number.is_multiple_of(100), number.is_multiple_of(20)) {
        (true, _) => 200 * 1024,
        (_, true) => {
            usize::try_from(number.wrapping_mul(0x9E37_79B9) % (200 * 1024)).unwrap_or(600)
        }
        _ => 600,
    }
}

/// Bytes that no other batch writes.
fn value(number: u64, length: usize) -> Vec<u8> {
    let mut seed = number.wrapping_mul(0x2545_F491_4F6C_DD1D) | 1;
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize_with(length.max(8), || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[0]
    });
    bytes
}
