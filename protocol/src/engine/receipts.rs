//! Receipts: that a message is on our disk, and, if the user wishes, that it was read.
//!
//! ```text
//!   message taken ──> owed to its sender ──┐
//!   message read  ──> if the user says so ─┴─ one frame for each contact and commit ──> link
//! ```
//!
//! Neither is ever a row of the outbox. A receipt that finds no link waits on the disk; a notice that something
//! was read waits in memory, and nothing but a mark is lost with it.
//!
//! See docs/SPEC.md, section "Delivery".

use rand_core::CryptoRng;

use super::{DeliveryState, Engine, Fact};
use crate::envelope::{Body, Receipts};
use crate::error::Error;
use crate::id::{AccountId, MessageId};
use crate::inbox::{self, PAGE_MAX, Stored};
use crate::outbox::{Delivery, Queue};
use crate::store::{Store, Table};

/// Message ids of each kind in one frame.
const RECEIPT_IDS: usize = 512;

/// Notices that wait for a link to their contact. More are not said.
const UNSAID_MAX: usize = 512;

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Receipts of a contact's device came, through the ratchet.
    pub(super) fn receipts(
        &mut self,
        account: AccountId,
        receipts: &Receipts,
    ) -> Result<(), Error> {
        let oldest = self.outbox.queue(&account).and_then(Queue::first);
        for id in &receipts.delivered {
            self.receipted(account, *id)?;
        }
        for id in &receipts.read {
            self.was_read(account, *id)?;
        }
        let moved = self.outbox.queue(&account).and_then(Queue::first) != oldest;
        self.receipts_came(account, moved)
    }

    /// The contact's device has this message.
    fn receipted(&mut self, account: AccountId, id: MessageId) -> Result<(), Error> {
        match self.outbox.place(&id) {
            Some(place) if place.0 == account => {
                let evidence = "receipt of the recipient's device";
                self.finish(id, DeliveryState::Delivered, evidence)
            }
            Some(_) => Ok(()),
            None => self.receipted_late(account, id),
        }
    }

    /// A receipt for what has ended: the end stays, the receipt is shown beside it.
    fn receipted_late(&mut self, account: AccountId, id: MessageId) -> Result<(), Error> {
        if let Some(mut delivery) = Delivery::read(&self.store, id)?
            && delivery.account == account
            && delivery.arrived_late(self.now.wall)
        {
            delivery.write(&mut self.store, id);
        }
        Ok(())
    }

    /// The contact's user says that this message was read. So its device has it.
    fn was_read(&mut self, account: AccountId, id: MessageId) -> Result<(), Error> {
        self.receipted(account, id)?;
        let ours = Delivery::read(&self.store, id)?.is_some_and(|known| known.account == account);
        if ours {
            self.set_delivery(id, DeliveryState::Read, "the recipient says so")?;
        }
        Ok(())
    }

    /// A reader went on from one cursor to another: whoever wrote what lies between is told, if the user
    /// wishes that, once for each message and for the newest page alone.
    pub(super) fn tell_read(
        &mut self,
        (before, upto): (u64, u64),
        only: Option<AccountId>,
    ) -> Result<(), Error> {
        let page = u64::try_from(PAGE_MAX).unwrap_or(u64::MAX);
        let from = before.max(upto.saturating_sub(page)).saturating_add(1);
        let rows = self.store.scan(Table::Inbox, &[], &from.to_be_bytes(), PAGE_MAX)?;
        for row in rows.iter().filter(|row| row.number().is_some_and(|cursor| cursor <= upto)) {
            let Some((account, index, mut stored)) = Stored::from_inbox(&self.store, row)? else {
                continue;
            };
            let wanted = only.is_none_or(|only| only == account) && self.tells_read(&account);
            if wanted && !stored.read && !stored.unreadable {
                stored.read = true;
                stored.write_history(&mut self.store, account, index);
                self.receipts.entry(account).or_default().read.push(stored.id);
            }
        }
        Ok(())
    }

    /// Whether a contact is told what was read: its own setting, or else that of the profile.
    pub(super) fn tells_read(&self, account: &AccountId) -> bool {
        self.book
            .get(account)
            .is_some_and(|contact| contact.read_receipts.unwrap_or(self.read_receipts))
    }

    /// Remembers to tell the contact that we have its message.
    pub(super) fn owe_receipt(&mut self, account: AccountId, id: MessageId) {
        self.receipts.entry(account).or_default().delivered.push(id);
    }

    /// Encrypts everything that is to be said of messages, one frame for many ids, into the batch that
    /// holds them. It is said once: if a receipt is lost, the sender asks by sending again. Without a
    /// link it is owed.
    pub(super) fn flush_receipts(&mut self) {
        for (account, receipts) in std::mem::take(&mut self.receipts) {
            let Some(device) = self.book.get(&account).map(|contact| contact.device) else {
                continue;
            };
            let told = if self.links.contains(&device) {
                let mut frames = frames(&receipts);
                frames.try_for_each(|body| self.send_unqueued(account, device, body))
            } else {
                self.owe(account, receipts)
            };
            if let Err(error) = told {
                self.fact(Fact::Refused(error.label()));
            }
        }
    }

    fn owe(&mut self, account: AccountId, receipts: Receipts) -> Result<(), Error> {
        if !receipts.read.is_empty() {
            let unsaid = self.unsaid.entry(account).or_default();
            unsaid.extend(receipts.read);
            if unsaid.len() > UNSAID_MAX {
                unsaid.truncate(UNSAID_MAX);
                self.fact(Fact::BoundReached("read notices"));
            }
        }
        if !receipts.delivered.is_empty()
            && inbox::owe(&mut self.store, account, &receipts.delivered, self.now.wall)?
        {
            self.fact(Fact::BoundReached("owed receipts"));
        }
        self.want_notice(account);
        Ok(())
    }

    /// Pays over a new link what could not be said before.
    pub(super) fn pay_owed(&mut self, account: AccountId) -> Result<(), Error> {
        for id in inbox::owed(&mut self.store, account, self.now.wall)? {
            self.owe_receipt(account, id);
        }
        if let Some(unsaid) = self.unsaid.remove(&account) {
            self.receipts.entry(account).or_default().read.extend(unsaid);
        }
        Ok(inbox::forget_owed(&mut self.store, account)?)
    }
}

/// As many bodies as it takes.
fn frames(receipts: &Receipts) -> impl Iterator<Item = Body> {
    let count = receipts.delivered.len().max(receipts.read.len()).div_ceil(RECEIPT_IDS);
    let part = |ids: &[MessageId], number: usize| {
        ids.chunks(RECEIPT_IDS).nth(number).map(<[MessageId]>::to_vec).unwrap_or_default()
    };
    (0..count).map(move |number| {
        Body::Receipts(Receipts {
            delivered: part(&receipts.delivered, number),
            read: part(&receipts.read, number),
        })
    })
}
