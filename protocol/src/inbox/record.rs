//! A message of the history at rest, and the rows that point to it.
//!
//! See docs/SPEC.md, section "Delivery".

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::error::Malformed;
use crate::id::{AccountId, MessageId, exactly};
use crate::store::{Key, Overlay, Row, Store, StoreError, Table};
use crate::time::UnixMillis;

const CORRUPT: StoreError = StoreError::Corrupt("message row");

/// One message of a conversation.
#[derive(Clone)]
pub struct Stored {
    /// Message.
    pub id: MessageId,
    /// Whether we sent it.
    pub outgoing: bool,
    /// The text.
    pub text: String,
    /// The sender's Lamport clock.
    pub lamport: u64,
    /// By the sender's clock.
    pub sent: UnixMillis,
    /// By our clock; `None` if we sent it.
    pub received: Option<UnixMillis>,
    /// Messages missing before it.
    pub gap: u64,
    /// Whether it came after messages that follow it.
    pub late: bool,
    /// Place in the inbox; 0 if we sent it.
    pub cursor: u64,
    /// Whether there is no text because this version cannot read it.
    pub unreadable: bool,
    /// Whether its sender was told that it was read, or is to be.
    pub read: bool,
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stored({:?}, {})", self.id, self.cursor)
    }
}

impl Stored {
    pub(crate) fn to_rest(&self) -> rest::Message {
        rest::Message {
            id: self.id.0.to_vec(),
            outgoing: self.outgoing,
            text: self.text.clone(),
            lamport: self.lamport,
            sent_ms: self.sent.0,
            received_ms: self.received.map_or(0, |at| at.0),
            gap: self.gap,
            late: self.late,
            cursor: self.cursor,
            unreadable: self.unreadable,
            read: self.read,
        }
    }

    pub(crate) fn from_rest(row: rest::Message) -> Result<Self, Malformed> {
        Ok(Self {
            id: MessageId(exactly(&row.id, "message row")?),
            outgoing: row.outgoing,
            text: row.text,
            lamport: row.lamport,
            sent: UnixMillis(row.sent_ms),
            received: Some(UnixMillis(row.received_ms)).filter(|_| !row.outgoing),
            gap: row.gap,
            late: row.late,
            cursor: row.cursor,
            unreadable: row.unreadable,
            read: row.read,
        })
    }

    /// Writes it at its place in the history, and in the inbox if it came from outside.
    pub fn write<S: Store>(&self, store: &mut Overlay<S>, account: AccountId, index: u64) {
        self.write_history(store, account, index);
        if !self.outgoing {
            let row = rest::Inbox { account: account.0.to_vec(), index };
            store.put(Key::numbered(Table::Inbox, &[], self.cursor), row.encode_to_vec());
        }
    }

    /// Writes it at its place in the history alone: a restored message is nobody's news.
    pub fn write_history<S: Store>(&self, store: &mut Overlay<S>, account: AccountId, index: u64) {
        store.put(Key::numbered(Table::Message, &account.0, index), self.to_rest().encode_to_vec());
    }

    /// Reads a history row: its index and the message.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if no version wrote it.
    pub fn from_row(row: &Row) -> Result<(u64, Self), StoreError> {
        let message = rest::Message::decode(row.value.as_slice()).map_err(|_| CORRUPT)?;
        Ok((row.number().ok_or(CORRUPT)?, Self::from_rest(message).map_err(|_| CORRUPT)?))
    }

    /// Follows an inbox row to its message.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if either row cannot be read.
    pub fn from_inbox(
        store: &impl Store,
        row: &Row,
    ) -> Result<Option<(AccountId, u64, Self)>, StoreError> {
        let pointer = rest::Inbox::decode(row.value.as_slice()).map_err(|_| CORRUPT)?;
        let account = AccountId(exactly(&pointer.account, "inbox row").map_err(|_| CORRUPT)?);
        let Some(value) = store.get(&Key::numbered(Table::Message, &account.0, pointer.index))?
        else {
            return Ok(None);
        };
        let message = rest::Message::decode(value.as_slice()).map_err(|_| CORRUPT)?;
        Ok(Some((account, pointer.index, Self::from_rest(message).map_err(|_| CORRUPT)?)))
    }
}
