//! Memory of initial messages: each founds one session, however often it comes.
//!
//! See docs/SPEC.md, section "Handshake".

use std::time::Duration;

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::prekey::AGE_MAX;
use crate::store::{Key, Overlay, Store, StoreError, Table, TableCursor};
use crate::time::UnixMillis;

/// Longer than any prekey is kept: an initial message that outlives
/// it names a key that is gone.
const REMEMBERED: Duration = Duration::from_secs(75 * 24 * 3600);
const _: () = assert!(AGE_MAX.as_secs() < REMEMBERED.as_secs());

const PAGE: usize = 1_000;

fn key_of(hash: &[u8]) -> Key {
    Key::of(Table::Replay, hash)
}

/// Whether the initial message with this hash has founded a session.
///
/// # Errors
///
/// [`StoreError`] if the row cannot be read.
pub fn is_replay(store: &impl Store, hash: &[u8; 32]) -> Result<bool, StoreError> {
    Ok(store.get(&key_of(hash))?.is_some())
}

/// Remembers that the initial message with this hash founds a session, in that session's batch.
pub fn remember_replay<S: Store>(store: &mut Overlay<S>, hash: &[u8; 32], now: UnixMillis) {
    let row = rest::Replay { at_ms: now.0, hash: hash.to_vec() };
    store.put(key_of(hash), row.encode_to_vec());
}

/// Forgets one page of hashes whose prekeys are gone.
///
/// # Errors
///
/// [`StoreError`] if the rows cannot be read.
pub fn purge_replays<S: Store>(
    store: &mut Overlay<S>,
    after: Option<&TableCursor>,
    now: UnixMillis,
) -> Result<Option<TableCursor>, StoreError> {
    let (values, next) = store.walk(Table::Replay, after, PAGE)?;
    for value in values {
        let row = rest::Replay::decode(value.as_slice())
            .map_err(|_| StoreError::Corrupt("replay row"))?;
        if now.since(UnixMillis(row.at_ms)) > REMEMBERED {
            store.delete(key_of(&row.hash));
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn an_initial_message_is_remembered_for_75_days() {
        let mut disk = MemoryStore::default();
        let mut store = Overlay::new(MemoryStore::default());
        remember_replay(&mut store, &[1; 32], UnixMillis(0));
        let _ = disk.commit(&store.seal().expect("a row"));
        let mut store = Overlay::new(disk);
        let day = |days: u64| UnixMillis(days * 24 * 3_600_000);

        purge_replays(&mut store, None, day(75)).expect("rows");
        assert_eq!(is_replay(&store, &[1; 32]), Ok(true));
        purge_replays(&mut store, None, day(76)).expect("rows");
        assert_eq!(is_replay(&store, &[1; 32]), Ok(false));
    }
}
