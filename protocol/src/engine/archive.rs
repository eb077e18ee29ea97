//! What a backup takes from a running engine, page by page: contacts, then conversations.
//!
//! Account after account, in the order of the book. A page is cut from what is written now; what
//! comes in behind the cursor while a backup is made is not in it.
//!
//! See docs/SPEC.md, section "Backup".

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;

use super::command::CommandError;
use super::{DeliveryState, Engine};
use crate::backup::{Item, Saved};
use crate::error::Malformed;
use crate::id::AccountId;
use crate::inbox::{Conversation, Stored};
use crate::outbox::Delivery;
use crate::store::{Store, Table};

/// Contacts of a page: with their records about half a megabyte.
const CONTACTS_PAGE: usize = 64;

/// Messages of a page: at most 4 MiB of text.
const MESSAGES_PAGE: usize = 64;

/// Where a backup goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupCursor {
    /// Contacts up to this one are through.
    contact: Option<AccountId>,
    /// The account whose messages come next, and from which index.
    messages: Option<(AccountId, u64)>,
}

impl fmt::Display for BackupCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.messages, self.contact) {
            (Some((account, index)), _) => write!(f, "messages/{account}/{index}"),
            (None, Some(account)) => write!(f, "contacts/{account}"),
            (None, None) => f.write_str("contacts"),
        }
    }
}

impl FromStr for BackupCursor {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("backup cursor");
        let parts: Vec<&str> = text.split('/').collect();
        let account = |text: &str| text.parse().map_err(|_| WRONG);
        match parts.as_slice() {
            ["contacts"] => Ok(Self::default()),
            ["contacts", after] => Ok(Self { contact: Some(account(after)?), messages: None }),
            ["messages", of, index] => {
                let index = index.parse().map_err(|_| WRONG)?;
                Ok(Self { contact: None, messages: Some((account(of)?, index)) })
            }
            _ => Err(WRONG),
        }
    }
}

/// One page: items, each behind its length, and where to go on.
#[derive(Clone)]
pub struct BackupPage {
    /// The bytes of whole items.
    pub items: Vec<u8>,
    /// `None`: this was the last.
    pub next: Option<BackupCursor>,
}

impl fmt::Debug for BackupPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackupPage({} bytes)", self.items.len())
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn backup_page(
        &mut self,
        cursor: BackupCursor,
        history: bool,
    ) -> Result<BackupPage, CommandError> {
        match cursor.messages {
            Some((account, index)) => self.messages_page(account, index),
            None => {
                // What waits for a predecessor is receipted already and will not come again.
                for account in self.held.accounts().collect::<Vec<_>>() {
                    self.release_held(account)?;
                }
                self.contacts_page(cursor.contact, history)
            }
        }
    }

    /// Without history a conversation stands beside its contact: it has no page of its own.
    fn contacts_page(
        &mut self,
        after: Option<AccountId>,
        history: bool,
    ) -> Result<BackupPage, CommandError> {
        let contacts: Vec<_> = self.book.after(after).take(CONTACTS_PAGE).cloned().collect();
        let full = contacts.len() == CONTACTS_PAGE;
        let contact = contacts.last().map(|contact| contact.account).filter(|_| full);
        let mut items = Vec::new();
        for contact in contacts {
            let account = contact.account;
            items.extend_from_slice(&Item::Contact(Box::new(contact)).frame());
            if !history {
                let conversation = self.saved_conversation(account, history)?;
                items.extend_from_slice(&Item::Conversation(account, conversation).frame());
            }
        }
        let next = match contact {
            Some(_) => Some(BackupCursor { contact, messages: None }),
            None if history => self.first_account(None),
            None => None,
        };
        Ok(BackupPage { items, next })
    }

    fn messages_page(
        &mut self,
        account: AccountId,
        index: u64,
    ) -> Result<BackupPage, CommandError> {
        let mut items = Vec::new();
        let from = index.to_be_bytes();
        let rows = self.store.scan(Table::Message, &account.0, &from, MESSAGES_PAGE)?;
        let full = rows.len() == MESSAGES_PAGE;
        let mut last = index;
        for row in &rows {
            let (index, message) = Stored::from_row(row)?;
            last = index;
            let saved = self.saved(account, index, message)?;
            items.extend_from_slice(&Item::Message(Box::new(saved)).frame());
        }
        let next = if full {
            let messages = Some((account, last.saturating_add(1)));
            Some(BackupCursor { contact: None, messages })
        } else {
            // With the last page, so that no message comes between a count and what it counts.
            let conversation = self.saved_conversation(account, true)?;
            items.extend_from_slice(&Item::Conversation(account, conversation).frame());
            self.first_account(Some(account))
        };
        Ok(BackupPage { items, next })
    }

    fn first_account(&self, after: Option<AccountId>) -> Option<BackupCursor> {
        let account = self.book.after(after).next()?.account;
        Some(BackupCursor { contact: None, messages: Some((account, 0)) })
    }

    /// A message as a restored device may show it. The outbox stays behind, so what was under way
    /// ends; the inbox does, too, so nothing old is news.
    fn saved(
        &self,
        account: AccountId,
        index: u64,
        message: Stored,
    ) -> Result<Saved, CommandError> {
        let mut delivery = Delivery::read(&self.store, message.id)?.filter(|_| message.outgoing);
        if let Some(delivery) = &mut delivery {
            // Nothing follows a receipt or an end: those stay as they are.
            let why = "not delivered when the backup was made";
            delivery.reach(DeliveryState::Undeliverable, why, self.now.wall);
        }
        Ok(Saved { account, index, message: Stored { cursor: 0, ..message }, delivery })
    }

    /// Our own count begins anew with the new device, the contact's goes on.
    fn saved_conversation(
        &mut self,
        account: AccountId,
        history: bool,
    ) -> Result<Conversation, CommandError> {
        let now = self.conversations.view(account, &self.store)?.clone();
        let next_index = if history { now.next_index } else { 0 };
        let heads = if history { now.heads } else { Vec::new() };
        Ok(Conversation { sent: 0, next_index, heads, ..now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text_and_nothing_else_is_one() {
        let account = AccountId([3; 32]);
        for (contact, messages) in
            [(None, None), (Some(account), None), (None, Some((account, u64::MAX)))]
        {
            let cursor = BackupCursor { contact, messages };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for text in ["", "contacts/", "messages", "messages/x/1", "contacts/x", "x"] {
            assert!(text.parse::<BackupCursor>().is_err(), "{text:?}");
        }
    }
}
