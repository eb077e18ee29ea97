//! What happens when a contact's keys change, by the policy that the user set for it.
//!
//! A change is a certificate of the contact's account for another device, or for other keys of the
//! same device, of a higher generation. Whoever gets here has proven it: the record is verified.

use rand_core::CryptoRng;

use super::command::{CommandError, ContactView, KeyChangeView, Who};
use super::{Engine, Event, Fact, Output};
use crate::contact::{Contact, KeyPolicy, Newer};
use crate::error::Error;
use crate::id::AccountId;
use crate::identity::Certificate;
use crate::invitation::ContactRecord;
use crate::store::Store;

/// What a record says about the keys of a known contact.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Keys {
    /// Those that we use.
    Same,
    /// Newer ones, which the policy accepts.
    Accepted,
    /// Newer ones, which wait for the user.
    Held,
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Compares a certificate with what we know of the account.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] if the account has certified another device since: that one counts, for ever.
    pub(super) fn compare_keys(
        &self,
        known: &Contact,
        certificate: &Certificate,
    ) -> Result<Keys, Error> {
        let (device, generation) = (certificate.device(), certificate.generation());
        let before = known.record.as_deref().map(ContactRecord::parse).transpose()?;
        let same_dh =
            before.is_none_or(|old| old.certificate().identity_dh() == certificate.identity_dh());
        if generation >= known.generation && device == known.device && same_dh {
            return Ok(Keys::Same);
        }
        if generation <= known.generation {
            return Err(Error::Stale("certificate of an earlier device"));
        }
        match &known.pending {
            Some(newer) if generation < newer.generation => {
                Err(Error::Stale("certificate of an earlier device"))
            }
            _ if known.policy == KeyPolicy::Verified => Ok(Keys::Held),
            _ => Ok(Keys::Accepted),
        }
    }

    /// Keeps the record of newer keys until the user trusts them, and says that they came.
    pub(super) fn hold_keys(&mut self, account: AccountId, record: Vec<u8>) -> Result<(), Error> {
        let newer = Newer::parse(record)?;
        self.check_device(account, newer.device)?;
        let Some(known) = self.book.get(&account) else {
            return Err(Error::Stranger);
        };
        let is_news =
            known.pending.as_ref().is_none_or(|before| before.generation < newer.generation);
        let mut contact = known.clone();
        contact.pending = Some(newer);
        if is_news {
            contact.changed = Some(self.now.wall);
        }
        self.save_contact(contact);
        if is_news {
            self.say_keys_changed(account);
        }
        Ok(())
    }

    /// Tells the user's programs and the operator that a contact's keys changed. Never silent.
    pub(super) fn say_keys_changed(&mut self, account: AccountId) {
        let Some(contact) = self.book.get(&account) else { return };
        let (name, blocked) = (contact.name.clone(), contact.is_blocked());
        let device = contact.pending.as_ref().map_or(contact.device, |newer| newer.device);
        let view = KeyChangeView { account, name, device, blocked, at: self.now.wall };
        self.after_writes(Output::Event(Event::KeyChange(view)));
        self.fact(Fact::KeyChanged { blocked });
        self.report_keys();
    }

    /// How many contacts have changed keys that their user has not answered.
    pub(super) fn report_keys(&mut self) {
        let changed = self.book.iter().filter(|contact| contact.changed.is_some()).count();
        let blocked = self.book.iter().filter(|contact| contact.is_blocked()).count();
        self.fact(Fact::KeysUnanswered { changed, blocked });
    }

    pub(super) fn set_read_receipts(
        &mut self,
        who: &Who,
        tells: Option<bool>,
    ) -> Result<ContactView, CommandError> {
        let mut contact = self.find(who)?.clone();
        contact.read_receipts = tells;
        let account = contact.account;
        self.save_contact(contact);
        self.view_of(account)
    }

    pub(super) fn set_policy(
        &mut self,
        who: &Who,
        policy: KeyPolicy,
    ) -> Result<ContactView, CommandError> {
        let mut contact = self.find(who)?.clone();
        contact.policy = policy;
        let account = contact.account;
        let accepts = policy == KeyPolicy::Tofu && contact.is_blocked();
        self.save_contact(contact);
        if accepts {
            // As if the policy had been this when they came: accepted, and the warning stands.
            self.accept_pending(account)?;
        }
        self.view_of(account)
    }

    /// The user says that the present keys of a contact are its own, those that waited included.
    pub(super) fn trust(&mut self, who: &Who) -> Result<ContactView, CommandError> {
        let mut contact = self.find(who)?.clone();
        let account = contact.account;
        let waits = contact.is_blocked();
        contact.changed = None;
        self.save_contact(contact);
        if waits {
            self.accept_pending(account)?;
        }
        self.report_keys();
        self.view_of(account)
    }

    fn view_of(&self, account: AccountId) -> Result<ContactView, CommandError> {
        let contact = self.book.get(&account).ok_or(CommandError::Internal("contact"))?;
        Ok(self.contact_view(contact, true))
    }

    /// Goes over to the device that waited: whatever is queued goes there, on a session of its own.
    fn accept_pending(&mut self, account: AccountId) -> Result<(), CommandError> {
        let Some(mut contact) = self.book.get(&account).cloned() else {
            return Ok(());
        };
        let Some(newer) = contact.pending.take() else {
            return Ok(());
        };
        self.check_device(account, newer.device)?;
        self.sessions.preferred(newer.device, &self.store).map_err(CommandError::from)?;
        self.sessions.forget(contact.device, &mut self.store)?;
        let record = ContactRecord::parse(&newer.record)?;
        contact.move_to(newer.device, newer.generation);
        contact.addresses = record.addresses().to_vec();
        // One that has expired meanwhile is asked for anew.
        contact.record = Some(newer.record).filter(|_| record.check_time(self.now.wall).is_ok());
        let device = contact.device;
        self.save_contact(contact.clone());
        self.show_former(&contact);
        self.report_keys();
        if let Some(queue) = self.outbox.queue_mut(&account) {
            queue.restart();
            queue.paused_until = None;
        }
        self.welcome_again(account); // It was the other device that asked for a pause.
        self.renew_session(account, device)?;
        // Nobody told the new device that it is welcome.
        self.greet_anew(account);
        Ok(())
    }
}
