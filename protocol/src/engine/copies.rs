//! Other copies of a device: ours, and those of contacts who may not know of each other.

use rand_core::CryptoRng;

use super::{CommandError, Engine, Fact, Output};
use crate::copies::{Copies, PlaceHash};
use crate::envelope::Frame;
use crate::error::Error;
use crate::id::{AccountId, DeviceId};
use crate::identity::Certificate;
use crate::invitation::ContactRecord;
use crate::store::{Key, Store, StoreError, Table};

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// The shell says where the profile lives.
    pub(super) fn placed(&mut self, place: PlaceHash) {
        let before = self.copies.seen();
        self.change_copies(|copies| copies.run_at(place));
        if self.copies.seen() != before {
            self.report_copies();
        }
    }

    /// A person says that no other copy is in use.
    pub(super) fn accept_copy(&mut self) -> Result<(), CommandError> {
        if self.copies.seen().superseded {
            return Err(CommandError::OutOfRange(
                "a later device has this account; `bitchat key reclaim` takes it back",
            ));
        }
        self.change_copies(Copies::accept);
        self.report_copies();
        Ok(())
    }

    /// A contact shows us a record of our own account: the newest that it holds.
    pub(super) fn own_record(&mut self, record: &ContactRecord) {
        let certificate = self.identity.certificate().clone();
        let before = self.copies.seen();
        self.change_copies(|copies| copies.look_at(&certificate, record));
        if self.copies.seen() != before {
            self.report_copies();
        }
    }

    pub(super) fn change_copies(&mut self, change: impl FnOnce(&mut Copies)) {
        let before = self.copies.encode();
        change(&mut self.copies);
        let after = self.copies.encode();
        if after != before {
            self.store.put(copies_key(), after);
        }
    }

    /// Tells the operator, also when nothing is wrong any more.
    pub(super) fn report_copies(&mut self) {
        self.fact(Fact::Copies(self.copies.seen()));
    }

    /// Shows a device the newest record of its account, once a link: an old device learns from it
    /// that it was replaced, a copy that another one runs, and everybody else nothing new.
    pub(super) fn show_newest(&mut self, peer: DeviceId) {
        let contact = self.book.of_device(&peer).or_else(|| self.book.of_former(&peer));
        if let Some(account) = contact.map(|contact| contact.account) {
            self.show_record_of(account, peer);
        }
    }

    /// Shows the newest record of `account` to `peer`, which that account has certified.
    pub(super) fn show_record_of(&mut self, account: AccountId, peer: DeviceId) {
        let Some(record) = self.book.get(&account).and_then(|contact| contact.record.clone())
        else {
            return;
        };
        if self.links.contains(&peer) && self.shown.insert(peer) {
            let frame = Frame::RecordResponse(Some(record)).encode();
            let token = self.take_token();
            self.after_writes(Output::Send { peer, token, frame });
        }
    }

    /// Shows the devices that a contact had before who took their place.
    pub(super) fn show_former(&mut self, contact: &crate::contact::Contact) {
        for device in &contact.former {
            self.show_newest(*device);
        }
    }

    /// Says hello to every contact, once after a restore or a new certificate: none of them knows this
    /// device by it. Sessions from before show the old certificate, or end in another device.
    pub(super) fn greet_after_restore(&mut self) -> Result<(), Error> {
        if self.store.get(&restored_key())?.is_none() {
            return Ok(());
        }
        let contacts: Vec<_> = self.book.iter().map(|it| (it.account, it.device)).collect();
        for (account, device) in contacts {
            self.sessions.forget(device, &mut self.store)?;
            if self.hello(account).is_err() {
                self.fact(Fact::BoundReached("outbox"));
            }
        }
        self.store.delete(restored_key());
        Ok(())
    }
}

/// What the device of `ours` knows about copies of itself.
pub(super) fn read_copies(store: &impl Store, ours: &Certificate) -> Result<Copies, StoreError> {
    let mut copies = stored_copies(store)?;
    copies.certified(ours);
    Ok(copies)
}

/// The highest generation of another device of this account that a contact has shown.
///
/// # Errors
///
/// [`StoreError`] if the row cannot be read.
pub fn later_generation(store: &impl Store) -> Result<Option<u64>, StoreError> {
    Ok(stored_copies(store)?.later_generation())
}

fn stored_copies(store: &impl Store) -> Result<Copies, StoreError> {
    let row = store.get(&copies_key())?;
    row.map_or_else(|| Ok(Copies::default()), |row| Copies::decode(&row))
}

fn copies_key() -> Key {
    Key::of(Table::Meta, b"copies")
}

/// The row that a restore or a new certificate leaves for the first start.
#[must_use]
pub fn restored_key() -> Key {
    Key::of(Table::Meta, b"restored")
}
