//! Receipts that found no link: they wait on the disk for one, or are carried by an export.
//!
//! One row holds many ids. An export takes receipts along and leaves them here, because a file may
//! be lost; a link pays them for good. What is dropped costs nothing but time: the sender asks for a
//! receipt by sending its message again.
//!
//! See docs/SPEC.md, section "Delivery".

use std::collections::BTreeSet;
use std::time::Duration;

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::id::{AccountId, MessageId, exactly};
use crate::store::{Key, Overlay, Row, Store, StoreError, Table};
use crate::time::UnixMillis;

/// Ids in one row.
const IDS_MAX: usize = 512;

/// Rows of a contact: 32,768 ids. The oldest row goes first.
const ROWS_MAX: u64 = 64;

/// How long a receipt is owed: longer than any sender tries.
const OWED_FOR: Duration = Duration::from_secs(30 * 24 * 3600);

const CORRUPT: StoreError = StoreError::Corrupt("owed receipts");

/// Remembers receipts for a contact; says whether older ones had to go.
///
/// # Errors
///
/// [`StoreError`] if the rows cannot be read.
pub fn owe<S: Store>(
    store: &mut Overlay<S>,
    account: AccountId,
    ids: &[MessageId],
    now: UnixMillis,
) -> Result<bool, StoreError> {
    let last = store.scan_back(Table::Owed, &account.0, None, 1)?;
    let (mut number, mut row) = match last.first() {
        Some(last) => (last.number().ok_or(CORRUPT)?, decode(last)?),
        None => (1, Vec::new()),
    };
    for id in ids {
        if row.contains(id) {
            continue;
        }
        if row.len() >= IDS_MAX {
            write(store, account, number, &row, now);
            row.clear();
            number = number.saturating_add(1);
        }
        row.push(*id);
    }
    write(store, account, number, &row, now);
    let mut dropped = false;
    for old in store.scan(Table::Owed, &account.0, &[], usize::MAX)? {
        let old = old.number().ok_or(CORRUPT)?;
        if number.saturating_sub(old) < ROWS_MAX {
            break;
        }
        store.delete(Key::numbered(Table::Owed, &account.0, old));
        dropped = true;
    }
    Ok(dropped)
}

/// Every receipt that is owed to a contact, each once; what is too old is forgotten.
///
/// # Errors
///
/// [`StoreError`] if the rows cannot be read.
pub fn owed<S: Store>(
    store: &mut Overlay<S>,
    account: AccountId,
    now: UnixMillis,
) -> Result<Vec<MessageId>, StoreError> {
    let mut ids = BTreeSet::new();
    for row in store.scan(Table::Owed, &account.0, &[], usize::MAX)? {
        let kept = rest::Owed::decode(row.value.as_slice()).map_err(|_| CORRUPT)?;
        if now.since(UnixMillis(kept.at_ms)) > OWED_FOR {
            store.delete(Key { table: Table::Owed, scope: account.0.to_vec(), order: row.order });
        } else {
            ids.extend(decode(&row)?);
        }
    }
    Ok(ids.into_iter().collect())
}

/// Whether anything may be owed to a contact.
///
/// # Errors
///
/// [`StoreError`] if the rows cannot be read.
pub fn owes<S: Store>(store: &Overlay<S>, account: AccountId) -> Result<bool, StoreError> {
    Ok(!store.scan(Table::Owed, &account.0, &[], 1)?.is_empty())
}

/// Forgets some of what is owed to a contact: somebody passes it on.
///
/// # Errors
///
/// [`StoreError`] if the rows cannot be read.
pub fn pay<S: Store>(
    store: &mut Overlay<S>,
    account: AccountId,
    ids: &[MessageId],
    now: UnixMillis,
) -> Result<(), StoreError> {
    let paid: BTreeSet<_> = ids.iter().collect();
    for row in store.scan(Table::Owed, &account.0, &[], usize::MAX)? {
        let before = decode(&row)?;
        let left: Vec<_> = before.iter().filter(|id| !paid.contains(id)).copied().collect();
        if left.is_empty() {
            store.delete(Key { table: Table::Owed, scope: account.0.to_vec(), order: row.order });
        } else if left.len() < before.len() {
            write(store, account, row.number().ok_or(CORRUPT)?, &left, now);
        }
    }
    Ok(())
}

/// Forgets what is owed to a contact.
///
/// # Errors
///
/// [`StoreError`] if the rows cannot be read.
pub fn forget_owed<S: Store>(store: &mut Overlay<S>, account: AccountId) -> Result<(), StoreError> {
    for row in store.scan(Table::Owed, &account.0, &[], usize::MAX)? {
        store.delete(Key { table: Table::Owed, scope: account.0.to_vec(), order: row.order });
    }
    Ok(())
}

fn write<S: Store>(
    store: &mut Overlay<S>,
    account: AccountId,
    number: u64,
    ids: &[MessageId],
    now: UnixMillis,
) {
    let row = rest::Owed { messages: ids.iter().map(|id| id.0.to_vec()).collect(), at_ms: now.0 };
    store.put(Key::numbered(Table::Owed, &account.0, number), row.encode_to_vec());
}

fn decode(row: &Row) -> Result<Vec<MessageId>, StoreError> {
    let row = rest::Owed::decode(row.value.as_slice()).map_err(|_| CORRUPT)?;
    let ids = row.messages.iter().map(|id| exactly(id, "owed receipt").map(MessageId));
    ids.collect::<Result<_, _>>().map_err(|_| CORRUPT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    const ANN: AccountId = AccountId([1; 32]);
    const BEN: AccountId = AccountId([2; 32]);

    fn id(number: u32) -> MessageId {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        MessageId(bytes)
    }

    fn day(days: u64) -> UnixMillis {
        UnixMillis(days * 24 * 3_600_000)
    }

    #[test]
    fn receipts_are_owed_once_to_each_contact_until_they_are_forgotten() {
        let mut store = Overlay::new(MemoryStore::default());
        let _ = owe(&mut store, ANN, &[id(1), id(2)], day(0)).expect("rows");
        let _ = owe(&mut store, ANN, &[id(2), id(3)], day(0)).expect("rows");
        let _ = owe(&mut store, BEN, &[id(9)], day(0)).expect("rows");

        assert_eq!(owed(&mut store, ANN, day(30)), Ok(vec![id(1), id(2), id(3)]));
        forget_owed(&mut store, ANN).expect("rows");
        assert_eq!(owed(&mut store, ANN, day(0)), Ok(Vec::new()));
        assert_eq!(owed(&mut store, BEN, day(0)), Ok(vec![id(9)]));
    }

    #[test]
    fn a_receipt_is_not_owed_for_more_than_30_days() {
        let mut store = Overlay::new(MemoryStore::default());
        let _ = owe(&mut store, ANN, &[id(1)], day(0)).expect("rows");

        assert_eq!(owed(&mut store, ANN, day(31)), Ok(Vec::new()));
        assert_eq!(owed(&mut store, ANN, day(0)), Ok(Vec::new()), "the row is gone");
    }

    #[test]
    fn the_oldest_receipts_go_when_there_are_too_many() {
        let mut store = Overlay::new(MemoryStore::default());
        let ids: Vec<_> = (0..512 * 64 + 1).map(id).collect();
        let (first, rest) = ids.split_at(512);

        assert_eq!(owe(&mut store, ANN, first, day(0)), Ok(false));
        assert_eq!(owe(&mut store, ANN, rest, day(0)), Ok(true));

        assert_eq!(owed(&mut store, ANN, day(0)), Ok(rest.to_vec()));
    }
}
