//! Commands about contacts.

use rand_core::CryptoRng;

use super::Engine;
use super::command::{CommandError, ContactView, Who};
use crate::contact::{self, CONTACTS_MAX, Contact, KeyPolicy};
use crate::envelope::{Body, Content};
use crate::id::{AccountId, MessageId};
use crate::identity::{CodeError, check_safety_code};
use crate::invitation::{ContactRecord, Invitation, Target};
use crate::outbox::EXPIRES_AFTER;
use crate::store::Store;

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn add_contact(
        &mut self,
        link: &str,
        name: Option<String>,
    ) -> Result<ContactView, CommandError> {
        let invitation =
            Invitation::parse_link(link).map_err(|error| CommandError::BadLink(error.0))?;
        if invitation.is_expired(self.now.wall) {
            return Err(CommandError::LinkExpired);
        }
        let mut contact = self.invited(&invitation)?;
        if contact.account == self.identity.account() {
            return Err(CommandError::OwnLink);
        }
        self.check_device(contact.account, contact.device)?;
        // Its greeting needs a row: nothing is added that could not be told.
        self.check_outbox()?;
        if let Some(known) = self.book.get(&contact.account).cloned() {
            return self.invited_again(known, contact);
        }
        if self.book.len() >= CONTACTS_MAX {
            return Err(CommandError::OutOfRange("10,000 contacts are the limit"));
        }
        if let Some(name) = name {
            contact::usable(&name).map_err(CommandError::BadName)?;
            if self.book.is_taken(&name) {
                return Err(CommandError::NameTaken(name));
            }
            contact.name = name;
        } else if self.book.looks_taken(&contact.name) {
            return Err(CommandError::NameTaken(contact.name));
        }
        let (account, view) = (contact.account, self.contact_view(&contact, false));
        self.save_contact(contact);
        self.hello(account)?;
        Ok(view)
    }

    /// The contact that an invitation describes, under its suggested name.
    fn invited(&self, invitation: &Invitation) -> Result<Contact, CommandError> {
        let (account, device, generation, addresses, record) = match &invitation.target {
            Target::Record(bytes) => {
                let record = ContactRecord::verify(bytes, self.now.wall)?;
                let certificate = record.certificate();
                let ids = (certificate.account(), certificate.device(), certificate.generation());
                (ids.0, ids.1, ids.2, record.addresses().to_vec(), Some(bytes.clone()))
            }
            Target::Short { account, device, addresses } => {
                (*account, *device, 0, addresses.clone(), None)
            }
        };
        Ok(Contact {
            account,
            name: contact::suggested(&invitation.nickname, &account.fingerprint()),
            nickname: invitation.nickname.clone(),
            record,
            device,
            generation,
            addresses,
            token: Some(invitation.token),
            read_receipts: None,
            verified: false,
            added: self.now.wall,
            former: Vec::new(),
            policy: KeyPolicy::Tofu,
            changed: None,
            pending: None,
        })
    }

    /// A second invitation of a known account: newer addresses and keys are taken, the name and the
    /// verified mark stay.
    fn invited_again(
        &mut self,
        known: Contact,
        invited: Contact,
    ) -> Result<ContactView, CommandError> {
        let account = known.account;
        if let Some(bytes) = invited.record {
            let record = ContactRecord::verify(&bytes, self.now.wall)?;
            self.learn_record(account, &record, bytes)?;
        } else if invited.device != known.device {
            return Err(CommandError::KeyUnproven);
        }
        let mut contact = self.book.get(&account).cloned().unwrap_or(known);
        if contact.is_blocked() {
            return Err(CommandError::KeyChanged);
        }
        contact.token = invited.token;
        if contact.record.is_none() {
            contact.addresses = invited.addresses;
        }
        let view = self.contact_view(&contact, true);
        let device = contact.device;
        self.save_contact(contact);
        self.renew_session(account, device)?;
        self.hello(account)?;
        Ok(view)
    }

    /// A greeting on a new session, so that the contact learns of that. It fails only if the outbox is
    /// full; then something else may be on its way to the contact, and nothing is lost without.
    pub(super) fn greet_anew(&mut self, account: AccountId) {
        drop(self.hello(account));
    }

    /// Lets the inviter know that we are there, without a word to show.
    pub(super) fn hello(&mut self, account: AccountId) -> Result<(), CommandError> {
        let id = MessageId::random(&mut self.rng);
        let (lamport, sequence, sent, introduction) = (0, 0, self.now.wall, None);
        let content = Content {
            lamport,
            sequence,
            parents: Vec::new(),
            sent,
            introduction,
            body: Body::Hello,
        };
        self.enqueue(account, id, &content, EXPIRES_AFTER)
    }

    /// Two contacts may be called alike, if that is the wish: then neither answers to the name.
    pub(super) fn rename(&mut self, who: &Who, name: String) -> Result<ContactView, CommandError> {
        let mut contact = self.find(who)?.clone();
        contact::usable(&name).map_err(CommandError::BadName)?;
        contact.name = name;
        let view = self.contact_view(&contact, true);
        self.save_contact(contact);
        Ok(view)
    }

    pub(super) fn verify(
        &mut self,
        who: &Who,
        verified: bool,
    ) -> Result<ContactView, CommandError> {
        let mut contact = self.find(who)?.clone();
        contact.verified = verified;
        if verified && !contact.is_blocked() {
            // The account is the right one, and it certified the device.
            contact.changed = None;
        }
        let view = self.contact_view(&contact, true);
        self.save_contact(contact);
        self.report_keys();
        Ok(view)
    }

    /// Marks a contact as verified if this is the code that it shows for us.
    pub(super) fn verify_scanned(
        &mut self,
        who: &Who,
        code: &str,
    ) -> Result<ContactView, CommandError> {
        let theirs = self.find(who)?.account;
        check_safety_code(&self.identity.account(), &theirs, code).map_err(
            |error| match error {
                CodeError::Mismatch => CommandError::SafetyMismatch,
                CodeError::Malformed => {
                    CommandError::BadCode("it is cut short or was read wrongly")
                }
                CodeError::Version => CommandError::BadCode("another version made it"),
                CodeError::Own => CommandError::BadCode("it is your own, not the contact's"),
            },
        )?;
        self.verify(who, true)
    }
}
