//! What a person or program is shown.

use rand_core::CryptoRng;

use super::command::{
    CommandError, ContactView, DeliveryView, IdentityView, MessageView, QueueView, Who,
};
use super::{Engine, Event, Output};
use crate::contact::{Contact, Lookup};
use crate::error::Error;
use crate::id::{AccountId, MessageId};
use crate::identity::{safety_code, safety_number};
use crate::inbox::Stored;
use crate::outbox::{Delivery, DeliveryState};
use crate::store::{Store, StoreError};

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// The one contact that a person means.
    pub(super) fn find(&self, who: &Who) -> Result<&Contact, CommandError> {
        let unknown = || CommandError::UnknownContact(who.0.clone());
        match self.book.find(&who.0) {
            Lookup::One(account) => self.book.get(&account).ok_or_else(unknown),
            Lookup::Unknown => Err(unknown()),
            Lookup::Ambiguous(accounts) => {
                let found = accounts.iter().filter_map(|account| self.book.get(account));
                let matches = found.map(|c| (c.name.clone(), c.account.fingerprint())).collect();
                Err(CommandError::AmbiguousContact { name: who.0.clone(), matches })
            }
        }
    }

    pub(super) fn identity_view(&self) -> IdentityView {
        IdentityView {
            account: self.identity.account(),
            device: self.identity.device().id(),
            nickname: self.nickname.clone(),
            addresses: self.addresses.clone(),
        }
    }

    pub(super) fn contact_view(&self, contact: &Contact, known: bool) -> ContactView {
        ContactView {
            name: contact.name.clone(),
            nickname: contact.nickname.clone(),
            account: contact.account,
            device: contact.device,
            verified: contact.verified,
            safety_number: safety_number(&self.identity.account(), &contact.account),
            safety_code: safety_code(&self.identity.account(), &contact.account),
            policy: contact.policy,
            changed: contact.changed,
            waiting: contact.pending.as_ref().map(|newer| newer.device),
            addresses: contact.addresses.clone(),
            connected: self.links.contains(&contact.device),
            // A session that cannot be read is shown as none; whoever sends on it is told.
            prekeys: self.sessions.prekeys(contact.device, &self.store).unwrap_or_default(),
            known,
        }
    }

    /// Petname, or the account id of somebody who is no contact any more.
    fn name_of(&self, account: &AccountId) -> String {
        self.book.get(account).map_or_else(|| account.to_string(), |contact| contact.name.clone())
    }

    pub(super) fn message_view(
        &self,
        account: AccountId,
        index: u64,
        stored: Stored,
        state: Option<DeliveryState>,
    ) -> MessageView {
        let name = self.name_of(&account);
        let ours = || self.identity.account().to_string();
        MessageView {
            from: if stored.outgoing { ours() } else { name.clone() },
            id: stored.id,
            cursor: stored.cursor,
            index,
            outgoing: stored.outgoing,
            account,
            name,
            verified: self.book.get(&account).is_some_and(|contact| contact.verified),
            text: stored.text,
            sent: stored.sent,
            received: stored.received,
            gap: stored.gap,
            late: stored.late,
            unreadable: stored.unreadable,
            state,
        }
    }

    pub(super) fn queue_views(&self) -> Vec<QueueView> {
        let mut views: Vec<_> = self
            .outbox
            .queues()
            .flat_map(|(account, queue)| queue.entries().map(move |(_, entry)| (account, entry)))
            .filter(|(_, entry)| entry.is_shown)
            .map(|(account, entry)| QueueView {
                id: entry.message,
                to: self.name_of(account),
                state: if entry.was_accepted { DeliveryState::Sent } else { DeliveryState::Queued },
                created: entry.created,
                expires: entry.expires,
                attempts: entry.attempts,
                bytes: entry.bytes,
            })
            .collect();
        views.sort_by_key(|view| (view.created, view.id));
        views
    }

    /// Where a message of ours is; `None` if there never was such a message.
    pub(super) fn delivery(&self, id: MessageId) -> Result<Option<DeliveryView>, StoreError> {
        let delivery = Delivery::read(&self.store, id)?;
        Ok(delivery.map(|delivery| self.delivery_view(id, delivery)))
    }

    fn delivery_view(&self, id: MessageId, delivery: Delivery) -> DeliveryView {
        let Delivery { account, state, evidence, at } = delivery;
        DeliveryView { id, to: self.name_of(&account), state, evidence, at }
    }

    /// The first state of a message.
    pub(super) fn begin_delivery(&mut self, id: MessageId, account: AccountId) -> DeliveryView {
        self.write_delivery(id, account, DeliveryState::Queued, "on this disk")
    }

    /// Moves a message on, never back; says whether anybody is shown this message.
    pub(super) fn set_delivery(
        &mut self,
        id: MessageId,
        state: DeliveryState,
        evidence: &'static str,
    ) -> Result<bool, Error> {
        let Some(before) = Delivery::read(&self.store, id)? else {
            return Ok(false);
        };
        if before.state < state {
            let view = self.write_delivery(id, before.account, state, evidence);
            self.after_writes(Output::Event(Event::Delivery(view)));
        }
        Ok(true)
    }

    fn write_delivery(
        &mut self,
        id: MessageId,
        account: AccountId,
        state: DeliveryState,
        evidence: &'static str,
    ) -> DeliveryView {
        let delivery =
            Delivery { account, state, evidence: evidence.to_owned(), at: self.now.wall };
        delivery.write(&mut self.store, id);
        self.delivery_view(id, delivery)
    }
}
