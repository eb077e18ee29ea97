//! Opened content: texts into the inbox, records into the book; and the ends of what waits.

use rand_core::CryptoRng;

use super::timer::Reason;
use super::{DeliveryState, Engine, Event, Fact, Output};
use crate::envelope::{Body, Content, Envelope, Frame};
use crate::error::Error;
use crate::id::{AccountId, DeviceId, MessageId};
use crate::inbox::{self, Incoming, Release, Stored};
use crate::invitation::ContactRecord;
use crate::outbox;
use crate::store::Store;
use crate::time::UnixMillis;

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn deliver(
        &mut self,
        account: AccountId,
        device: DeviceId,
        id: MessageId,
        content: Content,
    ) -> Result<(), Error> {
        let message = Incoming {
            id,
            account,
            device,
            sequence: content.sequence,
            lamport: content.lamport,
            sent: content.sent,
            received: self.now.wall,
            text: String::new(),
            unreadable: false,
        };
        match content.body {
            Body::Text(text) => {
                self.admit_text(Incoming { text, ..message })?;
                self.owe_receipt(account, id);
            }
            // Something for a person, in its place: that it came is all that can be said.
            Body::Unknown if content.sequence > 0 => {
                self.admit_text(Incoming { unreadable: true, ..message })?;
            }
            Body::Unknown => {}
            Body::Unreadable(ids) => self.named_unreadable(account, &ids),
            Body::Hello => self.owe_receipt(account, id),
            Body::Update => {}
            Body::Receipts(receipts) => self.receipts(account, &receipts)?,
        }
        // Last: a bad record must not cost the message that carried it.
        if let Some(introduction) = content.introduction {
            let record = ContactRecord::verify(&introduction.record, self.now.wall)?;
            if record.certificate().account() != account || record.certificate().device() != device
            {
                return Err(Error::NotAuthentic("introduction of somebody else"));
            }
            self.learn_record(account, &record, introduction.record)?;
        }
        Ok(())
    }

    fn admit_text(&mut self, message: Incoming) -> Result<(), Error> {
        let account = message.account;
        let conversation = self.conversations.edit(account, &self.store)?;
        let released = self.held.admit(message, conversation, &mut self.store);
        self.show_all(released)?;
        self.set_held_timer(account);
        Ok(())
    }

    /// A message waited long enough for its predecessors.
    pub(super) fn release_held(&mut self, account: AccountId) -> Result<(), Error> {
        let conversation = self.conversations.edit(account, &self.store)?;
        let released = self.held.release_all(account, conversation, &mut self.store);
        self.show_all(released)?;
        self.set_held_timer(account);
        Ok(())
    }

    pub(super) fn set_held_timer(&mut self, account: AccountId) {
        match self.held.until(&account) {
            Some(until) => {
                let wait = until.since(self.now.wall).min(inbox::HOLD_FOR);
                self.timers.set(Reason::Held(account), self.now.mono + wait);
            }
            None => self.timers.cancel(Reason::Held(account)),
        }
    }

    fn show_all(&mut self, released: Vec<Release>) -> Result<(), Error> {
        for release in released {
            let account = release.message.account;
            let cursor = self.next_cursor;
            let conversation = self.conversations.edit(account, &self.store)?;
            let index = conversation.take_index();
            let lamport = conversation.place(release.message.lamport, release.late);
            conversation.advance(lamport, release.message.id);
            self.next_cursor = cursor.saturating_add(1);
            let stored = Stored {
                id: release.message.id,
                outgoing: false,
                text: release.message.text,
                lamport,
                sent: release.message.sent,
                received: Some(release.message.received),
                gap: release.gap,
                late: release.late,
                cursor,
                unreadable: release.message.unreadable,
                read: false,
            };
            stored.write(&mut self.store, account, index);
            self.fact(Fact::Received);
            if release.gap > 0 {
                self.fact(Fact::Gap);
            }
            let view = self.message_view(account, index, stored, None);
            self.after_writes(Output::Event(Event::Received(view)));
        }
        Ok(())
    }

    /// Takes everything that waits for a contact out of the outbox: nobody can deliver it.
    pub(super) fn finish_all(
        &mut self,
        account: AccountId,
        evidence: &'static str,
    ) -> Result<(), Error> {
        let waiting: Vec<_> = self
            .outbox
            .queue(&account)
            .map(|queue| queue.entries().map(|(_, entry)| entry.message).collect())
            .unwrap_or_default();
        for message in waiting {
            self.finish(message, DeliveryState::Undeliverable, evidence)?;
        }
        Ok(())
    }

    /// Takes a row out of the outbox, for good, and says why.
    pub(super) fn finish(
        &mut self,
        id: MessageId,
        state: DeliveryState,
        evidence: &'static str,
    ) -> Result<(), Error> {
        let Some(place) = self.outbox.place(&id) else {
            return Ok(());
        };
        self.set_delivery(id, state, evidence)?;
        let Some(entry) = self.outbox.remove(place) else {
            return Err(Error::Bug("outbox index"));
        };
        if let Some(token) = entry.token {
            self.tokens.remove(&token);
        }
        self.store.delete(outbox::key_of(place));
        self.forget_deposit(place);
        self.outbox_dirty = true;
        Ok(())
    }

    /// Encrypts content that is not worth a row of the outbox and sends it once.
    pub(super) fn send_unqueued(
        &mut self,
        account: AccountId,
        device: DeviceId,
        body: Body,
    ) -> Result<(), Error> {
        if let Some(envelope) = self.encrypt_unqueued(account, device, body)? {
            let (token, frame) = (self.take_token(), Frame::Envelope(envelope).encode());
            // Sent in any case: a fifth of what the peer allows is kept for such.
            let _ = self.admit_own(device, frame.len())?;
            self.after_writes(Output::Send { peer: device, token, frame });
        }
        Ok(())
    }

    /// Encrypts content that is not worth a row of the outbox; `None` if there is no session.
    pub(super) fn encrypt_unqueued(
        &mut self,
        account: AccountId,
        device: DeviceId,
        body: Body,
    ) -> Result<Option<Envelope>, Error> {
        let Some(session) = self.sessions.preferred(device, &self.store)? else {
            return Ok(None);
        };
        let lamport = 0;
        let sent = if body == Body::Update { self.now.wall } else { UnixMillis(0) };
        let mut content =
            Content { lamport, sequence: 0, parents: Vec::new(), sent, introduction: None, body };
        self.add_introduction(account, device, &mut content)?;
        let id = MessageId::random(&mut self.rng);
        self.seal((device, session), id, &content).map(Some)
    }
}
