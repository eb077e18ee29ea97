//! Export: what waits for contacts, each message sealed for its recipient's device, for a file.
//!
//! Whoever carries the file learns neither who wrote nor to whom nor what (docs/SPEC.md, "Sealed
//! envelopes"). An export claims nothing: a message stays queued until its receipt comes, over a
//! link or in a file the other way; receipts that found no link are taken along. Nothing leaves
//! before its ratchet step is durable: a page is a reply, and replies wait for their batch.

use rand_core::CryptoRng;

use super::command::CommandError;
use super::{DeliveryState, Engine, Fact};
use crate::envelope::{Body, Envelope, Frame, Receipts};
use crate::error::Error;
use crate::id::{AccountId, DeviceId, MessageId};
use crate::identity::Certificate;
use crate::inbox;
use crate::invitation::ContactRecord;
use crate::outbox::{Delivery, Place};
use crate::sealed;
use crate::store::Store;

/// Envelopes of one page, and bytes after which it ends.
const PAGE_SEALS: usize = 128;
const PAGE_BYTES: usize = 1024 * 1024;

/// Message ids in one receipt.
const RECEIPT_IDS: usize = 512;

/// What the user sees as evidence of a message that was exported and not receipted.
const EVIDENCE: &str = "exported";

/// What to export.
#[derive(Clone, Copy, Debug)]
pub enum Export {
    /// One message that waits.
    One(MessageId),
    /// Everything that waits, and the receipts that are owed, page by page.
    All {
        /// [`ExportView::next`] of the page before.
        after: Option<Place>,
    },
}

/// One page of an export.
#[derive(Clone, Default)]
pub struct ExportView {
    /// The sealed envelopes.
    pub seals: Vec<Vec<u8>>,
    /// How many of them hold messages of ours; greetings count.
    pub messages: u64,
    /// How many messages of others the rest acknowledges.
    pub receipts: u64,
    /// Messages that cannot be encrypted: the recipient's keys are not known, or out of date.
    pub no_keys: u64,
    /// Messages that wait for receipts of earlier ones.
    pub held_back: u64,
    /// Where the next page begins, if there is one.
    pub next: Option<Place>,
}

/// Whom a seal is for.
struct Recipient {
    account: AccountId,
    device: DeviceId,
    certificate: Certificate,
}

impl ExportView {
    fn is_full(&self) -> bool {
        self.seals.len() >= PAGE_SEALS
            || self.seals.iter().map(Vec::len).sum::<usize>() >= PAGE_BYTES
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn export(&mut self, what: Export) -> Result<ExportView, CommandError> {
        let mut page = ExportView::default();
        match what {
            Export::One(id) => {
                let place = self.outbox.place(&id).ok_or(CommandError::NotWaiting(id))?;
                match self.recipient(place.0)? {
                    Some(recipient) => {
                        self.try_row(place.1, &recipient, &mut page)?;
                        self.doubt(recipient.device);
                    }
                    None => page.no_keys = 1,
                }
            }
            Export::All { after } => self.export_all(after, &mut page)?,
        }
        Ok(page)
    }

    /// Contacts in the order of their accounts, from the one where the last page ended.
    fn export_all(&mut self, after: Option<Place>, page: &mut ExportView) -> Result<(), Error> {
        let accounts: Vec<_> = self
            .book
            .iter()
            .map(|contact| contact.account)
            .filter(|account| after.is_none_or(|(last, _)| *account >= last))
            .collect();
        let mut done = None;
        for account in accounts {
            if page.is_full() {
                page.next = done.map(|account| (account, u64::MAX));
                break;
            }
            let after = after.filter(|(last, _)| *last == account).map(|(_, sequence)| sequence);
            self.export_contact(account, after, page)?;
            if page.next.is_some() {
                break;
            }
            done = Some(account);
        }
        Ok(())
    }

    /// What waits for one contact; `after` is `None` if nothing of it was exported yet.
    fn export_contact(
        &mut self,
        account: AccountId,
        after: Option<u64>,
        page: &mut ExportView,
    ) -> Result<(), Error> {
        let first = after.unwrap_or(0);
        let owed = match after {
            None => inbox::owed(&mut self.store, account, self.now.wall)?,
            Some(_) => Vec::new(),
        };
        if owed.is_empty() && self.next_after(account, first).is_none() {
            return Ok(());
        }
        let Some(recipient) = self.recipient(account)? else {
            let rows = self.outbox.queue(&account).map_or(0, |queue| queue.entries().count());
            page.no_keys = page.no_keys.saturating_add(u64::try_from(rows).unwrap_or(u64::MAX));
            return Ok(());
        };
        if let Err(error) = self.export_receipts(&owed, &recipient, page) {
            self.passed_over(error)?;
        }
        let mut last = first;
        while let Some(sequence) = self.next_after(account, last) {
            if page.is_full() {
                page.next = Some((account, last));
                break;
            }
            self.try_row(sequence, &recipient, page)?;
            last = sequence;
        }
        self.doubt(recipient.device);
        Ok(())
    }

    fn next_after(&self, account: AccountId, sequence: u64) -> Option<u64> {
        self.outbox.queue(&account).and_then(|queue| queue.next_after(sequence))
    }

    /// The device that a contact speaks from, if we can encrypt for it.
    fn recipient(&mut self, account: AccountId) -> Result<Option<Recipient>, Error> {
        let Some(contact) = self.book.get(&account) else { return Ok(None) };
        let device = contact.device;
        if contact.is_blocked() {
            return Ok(None); // By no way before the user trusts the new device.
        }
        let Some(record) = contact.record.as_deref() else { return Ok(None) };
        let Ok(record) = ContactRecord::parse(record) else { return Ok(None) };
        let certificate = record.certificate().clone();
        let usable = certificate.device() == device && self.has_way(account, device)?;
        Ok(usable.then_some(Recipient { account, device, certificate }))
    }

    fn try_row(
        &mut self,
        sequence: u64,
        recipient: &Recipient,
        page: &mut ExportView,
    ) -> Result<(), Error> {
        let Err(error) = self.export_row(sequence, recipient, page) else { return Ok(()) };
        page.no_keys = page.no_keys.saturating_add(1);
        self.passed_over(error)
    }

    /// A contact whose keys are good for nothing does not keep the others back; our disk does.
    fn passed_over(&mut self, error: Error) -> Result<(), Error> {
        if let Error::Store(_) = error {
            return Err(error);
        }
        self.fact(Fact::Refused(error.label()));
        Ok(())
    }

    fn export_row(
        &mut self,
        sequence: u64,
        recipient: &Recipient,
        page: &mut ExportView,
    ) -> Result<(), Error> {
        let place = (recipient.account, sequence);
        if !self.outbox.queue(&place.0).is_some_and(|queue| queue.may_encrypt(sequence)) {
            page.held_back = page.held_back.saturating_add(1);
            return Ok(());
        }
        let (session, frame) = self.frame_of(place, recipient.device)?;
        let queue = self.outbox.queue_mut(&place.0).ok_or(Error::Bug("outbox index"))?;
        queue.encrypted(sequence, session);
        let message = queue.message(sequence).ok_or(Error::Bug("outbox index"))?;
        let Frame::Envelope(envelope) = Frame::decode(&frame)? else {
            return Err(Error::Bug("a row that holds no envelope"));
        };
        self.put_in(&envelope, recipient, page)?;
        page.messages = page.messages.saturating_add(1);
        self.note_exported(message)
    }

    /// Receipts that found no link. They stay owed: the file may be lost.
    fn export_receipts(
        &mut self,
        owed: &[MessageId],
        recipient: &Recipient,
        page: &mut ExportView,
    ) -> Result<(), Error> {
        for ids in owed.chunks(RECEIPT_IDS) {
            let body = Body::Receipts(Receipts::delivered(ids.to_vec()));
            let Some(envelope) =
                self.encrypt_unqueued(recipient.account, recipient.device, body)?
            else {
                return Ok(());
            };
            self.put_in(&envelope, recipient, page)?;
            let ids = u64::try_from(ids.len()).unwrap_or(u64::MAX);
            page.receipts = page.receipts.saturating_add(ids);
        }
        Ok(())
    }

    fn put_in(
        &mut self,
        envelope: &Envelope,
        recipient: &Recipient,
        page: &mut ExportView,
    ) -> Result<(), Error> {
        let letter = envelope.to_letter();
        let seal = sealed::seal(&self.identity, &recipient.certificate, &letter, &mut self.rng)?;
        page.seals.push(seal);
        Ok(())
    }

    /// The evidence changes, the state does not.
    fn note_exported(&mut self, id: MessageId) -> Result<(), Error> {
        if let Some(mut delivery) = Delivery::read(&self.store, id)?
            && delivery.state() == DeliveryState::Queued
        {
            delivery.annotate(EVIDENCE);
            delivery.write(&mut self.store, id);
        }
        Ok(())
    }

    /// A file may never arrive: whoever it was for is told our record again over the next link.
    fn doubt(&mut self, device: DeviceId) {
        if !self.links.contains(&device) {
            self.told.remove(&device);
        }
    }
}

impl std::fmt::Debug for ExportView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ExportView({} seals)", self.seals.len())
    }
}
