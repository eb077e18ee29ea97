//! A row of the outbox at rest: `rest::Outbox`.
//!
//! See docs/SPEC.md, section "Delivery".

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::id::{AccountId, MessageId, SessionId, exactly};
use crate::store::StoreError;
use crate::time::UnixMillis;

const CORRUPT: StoreError = StoreError::Corrupt("outbox row");

/// One row, whole.
#[derive(Clone)]
pub struct OutboxRow {
    /// To whom.
    pub account: AccountId,
    /// Place in the contact's queue.
    pub sequence: u64,
    /// Message.
    pub message: MessageId,
    /// Encoded `wire::Content` without introduction.
    pub content: Vec<u8>,
    /// When it was queued.
    pub created: UnixMillis,
    /// When it is given up.
    pub expires: UnixMillis,
    /// The session that it was encrypted on, and the frame to send again.
    pub encrypted: Option<(SessionId, Vec<u8>)>,
}

impl std::fmt::Debug for OutboxRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OutboxRow({:?}, {})", self.message, self.sequence)
    }
}

impl OutboxRow {
    /// The bytes at rest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (session, frame) = self.encrypted.clone().map_or_else(
            || (Vec::new(), Vec::new()),
            |(session, frame)| (session.0.to_vec(), frame),
        );
        rest::Outbox {
            account: self.account.0.to_vec(),
            sequence: self.sequence,
            message: self.message.0.to_vec(),
            content: self.content.clone(),
            created_ms: self.created.0,
            expires_ms: self.expires.0,
            session,
            frame,
        }
        .encode_to_vec()
    }

    /// From bytes at rest.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if no version wrote this.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let row = rest::Outbox::decode(bytes).map_err(|_| CORRUPT)?;
        let encrypted = match row.session.as_slice() {
            [] => None,
            session => {
                Some((SessionId(exactly(session, "session").map_err(|_| CORRUPT)?), row.frame))
            }
        };
        Ok(Self {
            account: AccountId(exactly(&row.account, "account").map_err(|_| CORRUPT)?),
            sequence: row.sequence,
            message: MessageId(exactly(&row.message, "message").map_err(|_| CORRUPT)?),
            content: row.content,
            created: UnixMillis(row.created_ms),
            expires: UnixMillis(row.expires_ms),
            encrypted,
        })
    }
}
