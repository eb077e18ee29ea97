//! Sending a text: into the history and the outbox, once for each id that its sender gives it.

use std::time::Duration;

use bitchat_proto::limits::TEXT_BYTES_MAX;
use rand_core::CryptoRng;

use super::command::{CommandError, DeliveryView, Who};
use super::{Engine, Fact};
use crate::envelope::{Body, Content};
use crate::id::{AccountId, MessageId};
use crate::inbox::Stored;
use crate::outbox::{EXPIRES_AFTER, EXPIRES_AFTER_MAX, SEND_IDS_MAX, SendId, SentUnder};
use crate::store::{Key, Row, Store, Table};

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn send(
        &mut self,
        to: &Who,
        text: String,
        expires: Option<Duration>,
    ) -> Result<DeliveryView, CommandError> {
        let account = self.may_send(to, &text)?;
        self.send_text(account, text, expires).map(|(view, _)| view)
    }

    /// Sends once for each id. What was sent under it before is answered with, wherever it is by now.
    pub(super) fn send_once(
        &mut self,
        id: &str,
        to: &Who,
        text: String,
        expires: Option<Duration>,
    ) -> Result<DeliveryView, CommandError> {
        let wrong = "an id has 1 to 128 bytes and no control characters";
        let send_id = SendId::new(id).ok_or(CommandError::OutOfRange(wrong))?;
        if let Some(sent) = send_id.sent(&self.store)?
            && let Some(before) = self.sent_text(&sent)?
        {
            let same = self.find(to)?.account == sent.account && before == text;
            if !same {
                return Err(CommandError::IdTaken(id.to_owned()));
            }
            self.fact(Fact::SendKnown);
            let known = self.delivery(sent.message)?;
            return known.ok_or(CommandError::UnknownMessage(sent.message));
        }
        if self.send_ids >= SEND_IDS_MAX {
            self.fact(Fact::BoundReached("send ids"));
            return Err(CommandError::IdsFull(SEND_IDS_MAX));
        }
        let account = self.may_send(to, &text)?;
        let (view, index) = self.send_text(account, text, expires)?;
        let at = self.now.wall;
        send_id.remember(&mut self.store, &SentUnder { message: view.id, account, index, at });
        self.send_ids = self.send_ids.saturating_add(1);
        Ok(view)
    }

    /// The text that was sent under an id; `None` if its history was erased since.
    fn sent_text(&self, sent: &SentUnder) -> Result<Option<String>, CommandError> {
        let key = Key::numbered(Table::Message, &sent.account.0, sent.index);
        let Some(value) = self.store.get(&key)? else {
            return Ok(None);
        };
        let (_, stored) = Stored::from_row(&Row { order: key.order, value })?;
        Ok(Some(stored.text).filter(|_| stored.id == sent.message))
    }

    /// To whom, if anything may be sent there.
    fn may_send(&self, to: &Who, text: &str) -> Result<AccountId, CommandError> {
        let contact = self.find(to)?;
        if contact.is_blocked() {
            return Err(CommandError::KeyChanged);
        }
        if text.is_empty() {
            return Err(CommandError::TextEmpty);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(CommandError::TextTooLong { bytes: text.len(), limit: TEXT_BYTES_MAX });
        }
        Ok(contact.account)
    }

    /// Writes and queues a text; also says where in the history it stands.
    fn send_text(
        &mut self,
        account: AccountId,
        text: String,
        expires: Option<Duration>,
    ) -> Result<(DeliveryView, u64), CommandError> {
        let expires = expires.unwrap_or(EXPIRES_AFTER);
        if expires > EXPIRES_AFTER_MAX || expires.is_zero() {
            return Err(CommandError::OutOfRange(
                "a message expires after more than 0 and at most 30 days",
            ));
        }
        self.check_outbox()?;
        let id = MessageId::random(&mut self.rng);
        let conversation = self.conversations.edit(account, &self.store)?;
        let lamport = conversation.lamport.saturating_add(1);
        let sequence = conversation.sent.saturating_add(1);
        let parents = conversation.heads.clone();
        let (sent, introduction, body) = (self.now.wall, None, Body::Text(text.clone()));
        let content = Content { lamport, sequence, parents, sent, introduction, body };
        conversation.sent = sequence;
        conversation.advance(lamport, id);
        let index = conversation.take_index();
        let stored = Stored {
            id,
            outgoing: true,
            text,
            lamport,
            sent,
            received: None,
            gap: 0,
            late: false,
            cursor: 0,
            unreadable: false,
            read: false,
        };
        stored.write(&mut self.store, account, index);
        let view = self.begin_delivery(id, account);
        self.fact(Fact::Queued);
        self.enqueue(account, id, &content, expires)?;
        Ok((view, index))
    }
}
