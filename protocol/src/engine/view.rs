//! What a person or program is shown.

use rand_core::CryptoRng;

use super::Engine;
use super::command::{CommandError, ContactView, IdentityView, MessageView, Who};
use crate::contact::{Contact, Lookup};
use crate::id::AccountId;
use crate::identity::{safety_code, safety_number};
use crate::inbox::Stored;
use crate::outbox::DeliveryState;
use crate::store::Store;

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
            read_receipts: self.tells_read(&contact.account),
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
    pub(super) fn name_of(&self, account: &AccountId) -> String {
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
            lamport: stored.lamport,
            sent: stored.sent,
            received: stored.received,
            gap: stored.gap,
            late: stored.late,
            unreadable: stored.unreadable,
            state,
        }
    }
}
