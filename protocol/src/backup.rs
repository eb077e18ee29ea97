//! What a backup holds: the items of its payload, their order, and the rows that they become.
//!
//! ```text
//!   Head, then in any order Contact | Message | Conversation, then End with the counts of all three
//! ```
//!
//! Each item stands behind its length (a varint), so that a backup is written and read in pieces.
//! Ratchet states, prekeys and device keys have no item: a restore is a new device. So have
//! invitations (they name the old device) and the outbox (what waits for a session that is gone).
//! See docs/SPEC.md, section "Backup".

mod record;

use zeroize::{Zeroize, Zeroizing};

use crate::contact::Contact;
use crate::crypto::Secret;
use crate::error::Malformed;
use crate::id::AccountId;
use crate::inbox::{self, Conversation, Seen, Stored};
use crate::outbox::Delivery;
use crate::store::{Key, Overlay, Store, StoreError, Table};
use crate::time::UnixMillis;

/// First bytes of every payload; the number is the version of what follows.
pub const MAGIC: &[u8] = b"bitchat backup 1\n";

/// Bytes of one item: a text with its labels, or a contact with its record, several times over.
pub const ITEM_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a length up to [`ITEM_BYTES_MAX`].
const LENGTH_BYTES_MAX: usize = 3;
const _: () = assert!(ITEM_BYTES_MAX < 1 << (7 * LENGTH_BYTES_MAX));

const WRONG: Malformed = Malformed("backup item");

/// One item.
#[derive(Debug)]
pub enum Item {
    /// Who the backup belongs to.
    Head(Head),
    /// A contact.
    Contact(Box<Contact>),
    /// A message of the history.
    Message(Box<Saved>),
    /// The counters of a conversation.
    Conversation(AccountId, Conversation),
    /// The last one.
    End(Counts),
}

/// Who a backup belongs to.
#[derive(Debug)]
pub struct Head {
    /// Entropy of the 24 words.
    pub phrase_entropy: Secret<32>,
    /// As the account calls itself.
    pub nickname: String,
    /// Number of the device that made the backup.
    pub number: u32,
    /// Its generation; a restore makes a higher one.
    pub generation: u64,
    /// When the backup was made.
    pub created: UnixMillis,
    /// Whether messages were asked for.
    pub history: bool,
}

/// A message of the history.
#[derive(Debug)]
pub struct Saved {
    /// Whose conversation.
    pub account: AccountId,
    /// Place in it.
    pub index: u64,
    /// The message.
    pub message: Stored,
    /// Where it is, if we sent it.
    pub delivery: Option<Delivery>,
}

/// What came so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Contacts.
    pub contacts: u64,
    /// Contacts whose safety number was compared.
    pub verified: u64,
    /// Messages.
    pub messages: u64,
    /// Conversations.
    pub conversations: u64,
}

/// Cuts a payload into items and holds it to its order.
#[derive(Default)]
pub struct Intake {
    buffer: Zeroizing<Vec<u8>>,
    counts: Counts,
    place: Place,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    Body,
    Ended,
}

impl Head {
    /// A second copy, for whoever writes one and keeps one.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            phrase_entropy: self.phrase_entropy.duplicate(),
            nickname: self.nickname.clone(),
            ..*self
        }
    }
}

impl Item {
    /// The item behind its length.
    #[must_use]
    pub fn frame(&self) -> Zeroizing<Vec<u8>> {
        let body = self.encode();
        let mut frame = Zeroizing::new(Vec::with_capacity(body.len() + LENGTH_BYTES_MAX));
        let mut length = body.len();
        while length >= 0x80 {
            frame.push(0x80 | low_bits(length));
            length >>= 7;
        }
        frame.push(low_bits(length));
        frame.extend_from_slice(&body);
        frame
    }

    /// Writes the rows of an item into a fresh store; a head and an end have none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if a contact that was written before cannot be read.
    pub fn write<S: Store>(&self, store: &mut Overlay<S>) -> Result<(), StoreError> {
        match self {
            Self::Head(_) | Self::End(_) => {}
            Self::Contact(contact) => {
                store.put(Key::of(Table::Contact, &contact.account.0), contact.to_record());
            }
            Self::Message(saved) => {
                saved.message.write_history(store, saved.account, saved.index);
                saved.mark_seen(store)?;
                if let Some(delivery) = &saved.delivery {
                    delivery.write(store, saved.message.id);
                }
            }
            Self::Conversation(account, conversation) => conversation.put(store, account),
        }
        Ok(())
    }
}

impl Saved {
    /// Its sender may not have our receipt, and then sends it to the new device again: it is known
    /// there, and receipted. The sender's device is that of the contact, which stands before.
    fn mark_seen<S: Store>(&self, store: &mut Overlay<S>) -> Result<(), StoreError> {
        let Some(received) = self.message.received.filter(|_| !self.message.outgoing) else {
            return Ok(());
        };
        if let Some(row) = store.get(&Key::of(Table::Contact, &self.account.0))? {
            let contact = Contact::from_record(&row);
            let contact = contact.map_err(|_| StoreError::Corrupt("contact row"))?;
            let seen = Seen { digest: Vec::new(), unreadable: self.message.unreadable };
            inbox::mark_seen(store, contact.device, self.message.id, seen, received);
        }
        Ok(())
    }
}

impl Counts {
    const fn add(&mut self, item: &Item) {
        match item {
            Item::Head(_) | Item::End(_) => {}
            Item::Contact(contact) => {
                self.contacts += 1;
                if contact.verified {
                    self.verified += 1;
                }
            }
            Item::Message(_) => self.messages += 1,
            Item::Conversation(..) => self.conversations += 1,
        }
    }
}

impl Intake {
    /// Takes more bytes of the payload, without its magic.
    pub fn push(&mut self, bytes: &[u8]) {
        let needed = self.buffer.len() + bytes.len();
        if needed > self.buffer.capacity() {
            // Grown by hand: a vector that grows by itself leaves a copy behind.
            let mut grown = Vec::with_capacity(needed.next_power_of_two());
            grown.extend_from_slice(&self.buffer);
            self.buffer = Zeroizing::new(grown);
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole item, if it is there.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is no item, or none that may stand here.
    pub fn item(&mut self) -> Result<Option<Item>, Malformed> {
        let Some((length, header)) = length_of(&self.buffer)? else { return Ok(None) };
        let end = header + length;
        let Some(bytes) = self.buffer.get(header..end) else { return Ok(None) };
        let item = Item::decode(bytes)?;
        let rest = self.buffer.len() - end;
        self.buffer.copy_within(end.., 0);
        self.buffer.get_mut(rest..).unwrap_or_default().zeroize();
        self.buffer.truncate(rest);
        self.place = match (self.place, &item) {
            (Place::Head, Item::Head(_)) => Place::Body,
            (Place::Body, Item::Contact(_) | Item::Message(_) | Item::Conversation(..)) => {
                Place::Body
            }
            (Place::Body, Item::End(counts)) if *counts == self.counts => Place::Ended,
            _ => return Err(Malformed("order of a backup's items")),
        };
        self.counts.add(&item);
        Ok(Some(item))
    }

    /// What came so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether the end came and nothing after it.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.place == Place::Ended && self.buffer.is_empty()
    }
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Intake({:?})", self.counts)
    }
}

/// Length of the item in front and of that length; `None` until it is whole.
fn length_of(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let mut length = 0;
    for (at, byte) in bytes.iter().enumerate().take(LENGTH_BYTES_MAX) {
        length |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 != 0 {
            continue;
        }
        let canonical = at == 0 || *byte != 0;
        return if canonical && (1..=ITEM_BYTES_MAX).contains(&length) {
            Ok(Some((length, at + 1)))
        } else {
            Err(WRONG)
        };
    }
    if bytes.len() < LENGTH_BYTES_MAX { Ok(None) } else { Err(WRONG) }
}

fn low_bits(length: usize) -> u8 {
    u8::try_from(length & 0x7F).unwrap_or_default()
}

#[cfg(test)]
mod tests;
