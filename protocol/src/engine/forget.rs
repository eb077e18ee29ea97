//! What is to be forgotten: a contact, and what was said.

use rand_core::CryptoRng;

use super::command::{CommandError, Extent, Who};
use super::timer::Reason;
use super::{Engine, Event, Output};
use crate::contact::Contact;
use crate::id::{AccountId, DeviceId};
use crate::inbox::{self, PAGE_MAX, Stored};
use crate::outbox::Delivery;
use crate::store::{Key, Store, Table};

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Forgets a contact: its keys, sessions and whatever waited for it; the history too if asked.
    pub(super) fn remove_contact(&mut self, who: &Who, extent: Extent) -> Result<(), CommandError> {
        match (self.find(who).cloned(), extent) {
            (Ok(contact), Extent::Contact) => self.forget_contact(&contact),
            (Ok(contact), Extent::History) => {
                self.forget_contact(&contact)?;
                self.forget_history(contact.account, Some(contact.device))
            }
            // Whoever was removed before still has a history, under the account id.
            (Err(error), Extent::History) => {
                let account = who.0.parse().map_err(|_| error)?;
                self.forget_history(account, None)
            }
            (Err(error), Extent::Contact) => Err(error),
        }
    }

    fn forget_contact(&mut self, contact: &Contact) -> Result<(), CommandError> {
        let account = contact.account;
        self.release_held(account)?;
        self.finish_all(account, "the contact was removed")?;
        self.sessions.forget(contact.device, &mut self.store)?;
        for reason in [
            Reason::Retry(account),
            Reason::Receipt(account),
            Reason::Held(account),
            Reason::Prekeys(account),
        ] {
            self.timers.cancel(reason);
        }
        self.asked.remove(&contact.device);
        self.told.remove(&contact.device);
        self.receipts.remove(&account);
        self.unsaid.remove(&account);
        self.welcome_again(account);
        self.heals.forget(&account);
        self.forget_attempts(account, contact.device);
        inbox::forget_owed(&mut self.store, account)?;
        self.store.delete(Key::of(Table::Contact, &account.0));
        self.book.remove(&account);
        self.compare_tags_of(account);
        self.report_keys();
        self.after_writes(Output::Event(Event::Contact(account)));
        Ok(())
    }

    /// Deletes every message with an account, and what points to them, in one batch. With the last
    /// message the store throws the conversation's key away.
    fn forget_history(
        &mut self,
        account: AccountId,
        device: Option<DeviceId>,
    ) -> Result<(), CommandError> {
        let mut from = 0u64;
        loop {
            let page =
                self.store.scan(Table::Message, &account.0, &from.to_be_bytes(), PAGE_MAX)?;
            let full = page.len() == PAGE_MAX;
            for row in page {
                let (index, message) = Stored::from_row(&row)?;
                from = index.saturating_add(1);
                self.store.delete(Key::numbered(Table::Message, &account.0, index));
                if message.outgoing {
                    Delivery::forget(&mut self.store, message.id);
                } else {
                    // Cursors count on from the last one, which must not come again.
                    let is_last = message.cursor.saturating_add(1) >= self.next_cursor;
                    inbox::forget(&mut self.store, &message, device, is_last);
                }
            }
            if !full {
                break;
            }
        }
        self.conversations.edit(account, &self.store)?.forget();
        Ok(())
    }
}
