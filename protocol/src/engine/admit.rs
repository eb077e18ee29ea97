//! Initial messages: who may found a session, and what its introduction teaches us.
//!
//! Cheapest check first. Nothing is stored before the first message has opened, and everything is
//! stored in the batch that holds that message.

use bitchat_proto::wire;
use rand_core::CryptoRng;

use super::frame::RETRY_AFTER;
use super::keys::Keys;
use super::{Engine, Event, Fact, Output};
use crate::contact::{self, CONTACTS_MAX, Contact, KeyPolicy, Newer};
use crate::envelope::{Content, Envelope, Introduction};
use crate::error::{Error, Malformed};
use crate::handshake;
use crate::id::{AccountId, DeviceId};
use crate::identity::Certificate;
use crate::invitation::ContactRecord;
use crate::session::{Session, StoredKeys, unpad};
use crate::store::{Key, Store, Table};

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Founds a session from its first message; returns the sender and the content.
    pub(super) fn admit(
        &mut self,
        peer: DeviceId,
        envelope: &Envelope,
        initial: &wire::Initial,
    ) -> Result<(AccountId, Content), Error> {
        if self.book.is_waiting(&peer) {
            return Err(Error::Untrusted); // Cheap, however often it comes.
        }
        self.admit_handshake(peer)?;
        let ids = (initial.one_time_prekey, initial.one_time_kem_prekey);
        let one_time = self.pool.secrets(&self.store, ids.0, ids.1)?;
        let accepted = handshake::accept(&self.identity, &self.prekeys, &one_time, initial)?;
        let certificate = accepted.peer.clone();
        if certificate.device() != peer || accepted.session != envelope.session {
            return Err(Error::NotAuthentic("initial message of another device"));
        }
        let (replay, prekeys) = (accepted.replay, accepted.prekeys);
        if handshake::is_replay(&self.store, &replay)? {
            return Err(Error::Spent);
        }
        let mut session = Session::accepted(accepted, self.now.wall);
        let opened = session.open(
            envelope.message,
            &envelope.sealed,
            &StoredKeys::new(&self.store, envelope.session),
            self.now.wall,
            &mut self.rng,
        )?;
        let content = Content::decode(&unpad(opened.plaintext)?)?;
        let introduction = content.introduction.clone();
        let introduction = introduction.ok_or(Malformed("initial message without introduction"))?;
        let record = self.check_introduction(&certificate, &introduction)?;
        if self.compare_with_known(&certificate)? == Some(Keys::Held) {
            self.hold_keys(certificate.account(), introduction.record)?;
            return Err(Error::Untrusted);
        }
        self.conversations.load(certificate.account(), &self.store)?;
        self.sessions.preferred(peer, &self.store)?;
        self.introduce(&certificate, &introduction, &record)?;

        session.write_skipped(opened.changes, &mut self.store, self.now.wall);
        let account = certificate.account();
        self.sessions.found(session, &mut self.store)?;
        self.encrypt_again(account, envelope.session);
        self.welcome_again(account);
        self.spend_prekeys(ids);
        // Last: were the session not kept, its initial message could never found it again.
        handshake::remember_replay(&mut self.store, &replay, self.now.wall);
        self.fact(Fact::SessionFounded { initiator: false, prekeys });
        Ok((account, content))
    }

    /// A device whose certificate is earlier than the one we know is shown that: it may be the one in
    /// use, made under a clock that was behind.
    fn compare_with_known(&mut self, certificate: &Certificate) -> Result<Option<Keys>, Error> {
        let Some(known) = self.book.get(&certificate.account()) else { return Ok(None) };
        let compared = self.compare_keys(known, certificate);
        if matches!(compared, Err(Error::Stale(_))) {
            let waiting = known.pending.as_ref().map(|newer| newer.record.clone());
            let record = waiting.or_else(|| known.record.clone());
            self.show_record(record, certificate.device());
        }
        compared.map(Some)
    }

    /// Checks that the sender is a contact or invited. Leaves no trace: anybody may ask.
    fn check_introduction(
        &self,
        certificate: &Certificate,
        introduction: &Introduction,
    ) -> Result<ContactRecord, Error> {
        let record = ContactRecord::verify(&introduction.record, self.now.wall)?;
        if record.certificate() != certificate {
            return Err(Error::NotAuthentic("introduction of somebody else"));
        }
        let account = certificate.account();
        self.check_device(account, certificate.device())?;
        if self.book.get(&account).is_none() {
            if !introduction.token.is_some_and(|token| self.is_invited(token)) {
                return Err(Error::Stranger);
            }
            if self.book.len() >= CONTACTS_MAX {
                return Err(Error::Busy { what: "contacts", retry_after: RETRY_AFTER });
            }
        }
        Ok(record)
    }

    /// A device speaks for one account: whoever claims another's would get its messages and receipts.
    pub(super) fn check_device(&self, account: AccountId, device: DeviceId) -> Result<(), Error> {
        match self.book.of_device(&device) {
            Some(other) if other.account != account => {
                Err(Error::NotAuthentic("device of another contact"))
            }
            _ => Ok(()),
        }
    }

    /// Takes a checked sender into the book, and learns its record.
    fn introduce(
        &mut self,
        certificate: &Certificate,
        introduction: &Introduction,
        record: &ContactRecord,
    ) -> Result<(), Error> {
        let account = certificate.account();
        if self.book.get(&account).is_none() {
            if let Some(token) = introduction.token {
                self.used_invitation(token);
            }
            let contact = self.new_contact(certificate, &introduction.nickname);
            self.save_contact(contact);
        }
        self.learn_record(account, record, introduction.record.clone())
    }

    fn new_contact(&self, certificate: &Certificate, nickname: &str) -> Contact {
        let account = certificate.account();
        let fingerprint = account.fingerprint();
        Contact {
            account,
            name: self.book.free_name(contact::suggested(nickname, &fingerprint), &fingerprint),
            nickname: nickname.to_owned(),
            record: None,
            device: certificate.device(),
            generation: certificate.generation(),
            addresses: Vec::new(),
            token: None,
            read_receipts: None,
            verified: false,
            added: self.now.wall,
            former: Vec::new(),
            policy: KeyPolicy::Tofu,
            changed: None,
            pending: None,
        }
    }

    /// Keeps a verified record of a contact if it is newer than the one we have. Newer keys are taken
    /// over as the contact's policy says; accounts are what a person verifies, so the mark stays.
    ///
    /// # Errors
    ///
    /// [`Error::Untrusted`] if newer keys wait for the user; they are kept until then.
    pub(super) fn learn_record(
        &mut self,
        account: AccountId,
        record: &ContactRecord,
        bytes: Vec<u8>,
    ) -> Result<(), Error> {
        let Some(known) = self.book.get(&account) else {
            return Err(Error::Stranger);
        };
        let certificate = record.certificate();
        let device = certificate.device();
        self.check_device(account, device)?;
        let old = known.record.as_deref().map(ContactRecord::parse).transpose()?;
        if let Some(old) = &old
            && !record.supersedes(old)
        {
            if old.supersedes(record) {
                self.show_newest(device); // It may not know: a copy of it is ahead.
            }
            return Ok(());
        }
        let keys = self.compare_keys(known, certificate)?;
        if keys == Keys::Held {
            self.hold_keys(account, bytes)?;
            return Err(Error::Untrusted);
        }
        let mut contact = known.clone();
        if keys == Keys::Accepted {
            self.sessions.forget(contact.device, &mut self.store)?;
            contact.changed = Some(self.now.wall);
        }
        contact.move_to(device, certificate.generation());
        let is_later = |newer: &Newer| newer.generation > contact.generation;
        contact.pending = contact.pending.take().filter(is_later);
        contact.addresses = record.addresses().to_vec();
        contact.record = Some(bytes);
        self.save_contact(contact.clone());
        self.show_former(&contact);
        if keys == Keys::Accepted {
            self.say_keys_changed(account);
        } else {
            self.report_keys(); // One that waited may wait no more.
        }
        Ok(())
    }

    /// Writes a contact and tells the user's programs.
    pub(super) fn save_contact(&mut self, contact: Contact) {
        let account = contact.account;
        self.store.put(Key::of(Table::Contact, &account.0), contact.to_record());
        self.book.insert(contact);
        self.compare_tags_of(account);
        self.after_writes(Output::Event(Event::Contact(account)));
    }
}
