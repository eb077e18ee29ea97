//! Ids that a user's program gives to what it sends, so that sending again sends once.
//!
//! A row points to the message in the history: its text is compared there, so nothing of the text is kept
//! twice, and with the history the id is forgotten.
//!
//! See docs/SPEC.md, section "Delivery".

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::id::{AccountId, MessageId, exactly};
use crate::store::{Key, Overlay, Store, StoreError, Table, TableCursor};
use crate::time::UnixMillis;

use std::time::Duration;

/// Bytes of an id.
pub const SEND_ID_BYTES_MAX: usize = 128;

/// How long an id is remembered: as long as the recipient remembers the message.
pub const SEND_IDS_FOR: Duration = Duration::from_secs(45 * 24 * 3600);

/// Ids that are remembered. A new one beyond is refused: none is forgotten before its time.
pub const SEND_IDS_MAX: u64 = 100_000;

const CORRUPT: StoreError = StoreError::Corrupt("send id row");

/// Rows looked at together.
const PAGE: usize = 1_000;

/// An id, 1 to [`SEND_ID_BYTES_MAX`] bytes of text without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendId(String);

/// The message that was sent under an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentUnder {
    /// Message.
    pub message: MessageId,
    /// To whom.
    pub account: AccountId,
    /// Its place in the history.
    pub index: u64,
    /// When.
    pub at: UnixMillis,
}

impl SendId {
    /// `None` for what is no id.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = !text.is_empty() && text.len() <= SEND_ID_BYTES_MAX;
        (fits && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }

    fn key(&self) -> Key {
        Key::of(Table::SendId, self.0.as_bytes())
    }

    /// What was sent under it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the row cannot be read.
    pub fn sent(&self, store: &impl Store) -> Result<Option<SentUnder>, StoreError> {
        let Some(value) = store.get(&self.key())? else {
            return Ok(None);
        };
        let row = rest::SendId::decode(value.as_slice()).map_err(|_| CORRUPT)?;
        Ok(Some(SentUnder {
            message: MessageId(exactly(&row.message, "send id").map_err(|_| CORRUPT)?),
            account: AccountId(exactly(&row.account, "send id").map_err(|_| CORRUPT)?),
            index: row.index,
            at: UnixMillis(row.at_ms),
        }))
    }

    /// Remembers what is sent under it.
    pub fn remember<S: Store>(&self, store: &mut Overlay<S>, sent: &SentUnder) {
        let row = rest::SendId {
            id: self.0.clone(),
            message: sent.message.0.to_vec(),
            account: sent.account.0.to_vec(),
            index: sent.index,
            at_ms: sent.at.0,
        };
        store.put(self.key(), row.encode_to_vec());
    }
}

/// How many ids are remembered.
///
/// # Errors
///
/// [`StoreError`] if the rows cannot be read.
pub fn count_send_ids(store: &impl Store) -> Result<u64, StoreError> {
    let (mut count, mut after) = (0u64, None);
    loop {
        let (values, next) = store.walk(Table::SendId, after.as_ref(), PAGE)?;
        count = count.saturating_add(u64::try_from(values.len()).unwrap_or(u64::MAX));
        match next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(count),
        }
    }
}

/// Forgets one page of ids that are older than [`SEND_IDS_FOR`]; says how many, and where to go on.
///
/// # Errors
///
/// [`StoreError`] if the rows cannot be read.
pub fn purge_send_ids<S: Store>(
    store: &mut Overlay<S>,
    after: Option<&TableCursor>,
    now: UnixMillis,
) -> Result<(u64, Option<TableCursor>), StoreError> {
    let (values, next) = store.walk(Table::SendId, after, PAGE)?;
    let mut forgotten = 0u64;
    for value in values {
        let row = rest::SendId::decode(value.as_slice()).map_err(|_| CORRUPT)?;
        if now.since(UnixMillis(row.at_ms)) > SEND_IDS_FOR {
            store.delete(Key::of(Table::SendId, row.id.as_bytes()));
            forgotten = forgotten.saturating_add(1);
        }
    }
    Ok((forgotten, next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn an_id_is_forgotten_after_45_days_and_not_before() {
        let mut store = Overlay::new(MemoryStore::default());
        let id = SendId::new("order 7").expect("an id");
        let (message, account, at) = (MessageId([1; 16]), AccountId([2; 32]), UnixMillis(5_000));
        let sent = SentUnder { message, account, index: 3, at };
        id.remember(&mut store, &sent);
        let batch = store.seal().expect("a write");
        let mut disk = MemoryStore::default();
        let _ = disk.commit(&batch);
        let mut store = Overlay::new(disk);

        let end = at.plus(SEND_IDS_FOR);
        let early = purge_send_ids(&mut store, None, end).expect("memory").0;
        let kept = id.sent(&store);
        let late = purge_send_ids(&mut store, None, UnixMillis(end.0 + 1)).expect("memory").0;

        assert_eq!((early, kept), (0, Ok(Some(sent))));
        assert_eq!((late, id.sent(&store)), (1, Ok(None)));
    }

    #[test]
    fn an_id_is_short_visible_text() {
        let long = "x".repeat(SEND_ID_BYTES_MAX + 1);
        for text in ["", "a\nb", long.as_str()] {
            assert_eq!(SendId::new(text), None, "{text:?}");
        }
        assert!(SendId::new("2026-11-24/ümlaut 1").is_some());
    }
}
