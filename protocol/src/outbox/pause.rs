//! Until when a contact asked not to be sent to: kept over a restart, so that no restart is an early retry.
//!
//! See docs/SPEC.md, section "Delivery".

use std::collections::BTreeMap;
use std::time::Duration;

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::id::{AccountId, exactly};
use crate::store::{Key, Overlay, Store, StoreError, Table};
use crate::time::UnixMillis;

/// The longest that a contact is obeyed: no node of ours tells a longer wait. A contact that tells one only
/// keeps its own messages away.
pub const PAUSE_MAX: Duration = Duration::from_secs(24 * 3600);

const CORRUPT: StoreError = StoreError::Corrupt("pause row");

/// Contacts read at a time.
const PAGE: usize = 1_000;

/// Remembers a pause.
pub fn remember_pause<S: Store>(store: &mut Overlay<S>, account: AccountId, until: UnixMillis) {
    let row = rest::Pause { account: account.0.to_vec(), until_ms: until.0 };
    store.put(Key::of(Table::Pause, &account.0), row.encode_to_vec());
}

/// Forgets a pause.
pub fn forget_pause<S: Store>(store: &mut Overlay<S>, account: AccountId) {
    store.delete(Key::of(Table::Pause, &account.0));
}

/// Every pause.
///
/// # Errors
///
/// [`StoreError`] if the rows cannot be read.
pub fn pauses(store: &impl Store) -> Result<BTreeMap<AccountId, UnixMillis>, StoreError> {
    let (mut pauses, mut after) = (BTreeMap::new(), None);
    loop {
        let (values, next) = store.walk(Table::Pause, after.as_ref(), PAGE)?;
        for value in values {
            let row = rest::Pause::decode(value.as_slice()).map_err(|_| CORRUPT)?;
            let account = AccountId(exactly(&row.account, "pause").map_err(|_| CORRUPT)?);
            pauses.insert(account, UnixMillis(row.until_ms));
        }
        match next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(pauses),
        }
    }
}
