//! Receipts that are owed to a contact without a link, left with its mailboxes.
//!
//! They stay owed until one node gives custody. Nothing receipts them: if they are lost all the same, the
//! sender's next attempt asks for them.
//!
//! See docs/SPEC.md, section "The client".

use std::collections::BTreeSet;

use rand_core::CryptoRng;

use super::super::Engine;
use super::depot::{Cargo, ROOM_PAUSE};
use crate::envelope::{Body, Receipts};
use crate::error::Error;
use crate::id::{AccountId, DeviceId, MessageId};
use crate::inbox;
use crate::outbox::EXPIRES_AFTER;
use crate::sealed;
use crate::store::Store;
use crate::time::Moment;

/// Message ids in one.
const RECEIPT_IDS: usize = 512;

/// Nodes that are asked to keep one.
const NODES: usize = 3;

/// Receipts on their way.
#[derive(Debug)]
pub(super) struct Notice {
    /// Tells it from those before: the answer for one says nothing of another.
    pub number: u64,
    ids: Vec<MessageId>,
    /// Messages that it says were read.
    read: BTreeSet<MessageId>,
    letter: Vec<u8>,
    pub asking: BTreeSet<DeviceId>,
    /// Nodes that have been asked in this round.
    asked: BTreeSet<DeviceId>,
    is_paid: bool,
    /// When there is something to do.
    pub again: Option<Moment>,
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// After a start: what was owed before and no link comes for.
    pub(in crate::engine) fn want_owed_notices(&mut self) -> Result<(), Error> {
        for account in self.book.iter().map(|contact| contact.account).collect::<Vec<_>>() {
            if inbox::owes(&self.store, account)? {
                self.want_notice(account);
            }
        }
        Ok(())
    }

    pub(super) fn deposit_receipts(&mut self, account: AccountId) -> Result<(), Error> {
        let now = self.now.mono;
        let Some(depot) = self.mail.depots.get_mut(&account) else { return Ok(()) };
        depot.notice.take_if(|notice| notice.is_paid && notice.asking.is_empty());
        if depot.notice.is_none() && !self.begin_notice(account)? {
            return Ok(());
        }
        let Some(depot) = self.mail.depots.get_mut(&account) else { return Ok(()) };
        let recipient = depot.recipient.clone();
        let (open, opens) = depot.open(now);
        let Some(notice) = &mut depot.notice else { return Ok(()) };
        notice.again = None;
        if notice.asking.is_empty() && !open.iter().any(|node| !notice.asked.contains(node)) {
            notice.asked.clear(); // Another round, when somebody may be asked again.
            notice.again = Some(opens.unwrap_or(now + ROOM_PAUSE));
        }
        for node in open {
            let Some(depot) = self.mail.depots.get_mut(&account) else { return Ok(()) };
            let Some(notice) = &mut depot.notice else { return Ok(()) };
            if notice.is_paid || notice.asking.len() >= NODES {
                break;
            }
            if notice.asked.contains(&node) {
                continue;
            }
            let (number, letter) = (notice.number, notice.letter.clone());
            if !self.has_room(account, node) {
                continue;
            }
            let seal = sealed::seal(&self.identity, &recipient, &letter, &mut self.rng)?;
            if let Some(depot) = self.mail.depots.get_mut(&account)
                && let Some(notice) = &mut depot.notice
            {
                notice.asked.insert(node);
                notice.asking.insert(node);
            }
            let until = self.now.wall.plus(EXPIRES_AFTER);
            self.send_seal((account, node), Cargo::Notice(number), (seal, until))?;
        }
        Ok(())
    }

    /// Encrypts what is owed, if there is anything and a session to do it on.
    fn begin_notice(&mut self, account: AccountId) -> Result<bool, Error> {
        let mut ids = inbox::owed(&mut self.store, account, self.now.wall)?;
        ids.truncate(RECEIPT_IDS);
        let unsaid = self.unsaid.get(&account).map(Vec::as_slice).unwrap_or_default();
        let read: Vec<_> = unsaid.iter().take(RECEIPT_IDS).copied().collect();
        let is_needed = !ids.is_empty() || !read.is_empty();
        let Some(depot) = self.mail.depots.get(&account).filter(|_| is_needed) else {
            return Ok(false);
        };
        let device = depot.recipient.device();
        let body = Body::Receipts(Receipts { delivered: ids.clone(), read: read.clone() });
        let Some(envelope) = self.encrypt_unqueued(account, device, body)? else {
            return Ok(false);
        };
        self.mail.notices = self.mail.notices.saturating_add(1);
        let notice = Notice {
            number: self.mail.notices,
            ids,
            read: read.into_iter().collect(),
            letter: envelope.to_letter(),
            asking: BTreeSet::new(),
            asked: BTreeSet::new(),
            is_paid: false,
            again: None,
        };
        if let Some(depot) = self.mail.depots.get_mut(&account) {
            depot.notice = Some(notice);
        }
        Ok(true)
    }

    /// A node keeps the receipts: they are owed no longer.
    pub(super) fn notice_kept(&mut self, account: AccountId, number: u64) -> Result<(), Error> {
        let Some(depot) = self.mail.depots.get_mut(&account) else { return Ok(()) };
        let notice = depot.notice.as_mut();
        let Some(notice) = notice.filter(|it| it.number == number && !it.is_paid) else {
            return Ok(());
        };
        notice.is_paid = true;
        let (ids, read) = (notice.ids.clone(), std::mem::take(&mut notice.read));
        if let Some(unsaid) = self.unsaid.get_mut(&account) {
            unsaid.retain(|id| !read.contains(id));
            if unsaid.is_empty() {
                self.unsaid.remove(&account);
            }
        }
        Ok(inbox::pay(&mut self.store, account, &ids, self.now.wall)?)
    }
}
