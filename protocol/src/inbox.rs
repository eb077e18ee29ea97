//! What arrives: each message once, in its sender's order, with its gaps shown.
//!
//! ```text
//!   text --seen?--> duplicate
//!     |no
//!     +-- next in order ----> shown, then every held one that now follows
//!     +-- a predecessor is missing --> held (durably) for 10 s, then shown with its gap
//!     +-- after its successors ------> shown, marked late
//! ```
//!
//! Duplicates are known by (sender device, message id), durably and for [`SEEN_FOR`], which is longer
//! than any sender keeps trying. Order is the sender's own count; clocks order nothing.
//!
//! See docs/SPEC.md, section "Delivery".

mod conversation;
mod order;
mod owed;
mod reader;
mod record;

pub use conversation::{Conversation, Conversations, LAMPORT_JUMP_MAX};
pub use order::{HELD_MAX, HOLD_FOR, Held, Release};
pub use owed::{forget_owed, owe, owed, owes, pay};
pub use reader::{READER_BYTES_MAX, Reader};
pub use record::Stored;

use std::time::Duration;

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::id::{AccountId, DeviceId, MessageId};
use crate::store::{Key, Overlay, Store, StoreError, Table};
use crate::time::UnixMillis;

/// How long a message id is remembered: 30 days of the longest expiry and a margin for clocks.
pub const SEEN_FOR: Duration = Duration::from_secs(45 * 24 * 3600);

/// Messages of one page at most.
pub const PAGE_MAX: usize = 1_000;

/// A text that was opened and authenticated.
#[derive(Clone)]
pub struct Incoming {
    /// Message.
    pub id: MessageId,
    /// Its sender.
    pub account: AccountId,
    /// The sender's device.
    pub device: DeviceId,
    /// Number among the device's messages to us, from 1; 0: not ordered.
    pub sequence: u64,
    /// The sender's Lamport clock.
    pub lamport: u64,
    /// By the sender's clock.
    pub sent: UnixMillis,
    /// By our clock.
    pub received: UnixMillis,
    /// The text.
    pub text: String,
    /// Whether there is no text because this version cannot read it.
    pub unreadable: bool,
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Incoming({:?}, {})", self.id, self.sequence)
    }
}

fn seen_key(device: DeviceId, message: MessageId) -> Key {
    Key::of(Table::Seen, &[device.0.as_slice(), &message.0].concat())
}

/// A message that was opened before.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    /// Of its envelope.
    pub digest: Vec<u8>,
    /// Whether it was refused for good, because this version cannot read it.
    pub unreadable: bool,
}

/// How a message of a device was taken, if it was.
///
/// # Errors
///
/// [`StoreError`] if the row cannot be read.
pub fn seen(
    store: &impl Store,
    device: DeviceId,
    message: MessageId,
) -> Result<Option<Seen>, StoreError> {
    let Some(value) = store.get(&seen_key(device, message))? else {
        return Ok(None);
    };
    let row = rest::Seen::decode(value.as_slice()).map_err(|_| StoreError::Corrupt("seen row"))?;
    Ok(Some(Seen { digest: row.digest, unreadable: row.unreadable }))
}

/// Remembers that a message was taken. Only after it was authenticated: else anybody could make us
/// drop a message that is still to come.
pub fn mark_seen<S: Store>(
    store: &mut Overlay<S>,
    device: DeviceId,
    message: MessageId,
    seen: Seen,
    now: UnixMillis,
) {
    let row = rest::Seen {
        device: device.0.to_vec(),
        message: message.0.to_vec(),
        digest: seen.digest,
        at_ms: now.0,
        unreadable: seen.unreadable,
    };
    store.put(seen_key(device, message), row.encode_to_vec());
}

/// Deletes what points to a message that came from outside: its place in the inbox and, if the
/// sender's device is known, its id. The last place stays, empty, because cursors count from it.
pub fn forget<S: Store>(
    store: &mut Overlay<S>,
    message: &Stored,
    device: Option<DeviceId>,
    is_last: bool,
) {
    let place = Key::numbered(Table::Inbox, &[], message.cursor);
    if is_last {
        store.put(place, rest::Inbox { account: vec![0; 32], index: 0 }.encode_to_vec());
    } else {
        store.delete(place);
    }
    if let Some(device) = device {
        store.delete(seen_key(device, message.id));
    }
}

/// Forgets one page of message ids that are older than [`SEEN_FOR`].
///
/// # Errors
///
/// [`StoreError`] if the rows cannot be read.
pub fn purge_seen<S: Store>(
    store: &mut Overlay<S>,
    after: Option<&crate::store::TableCursor>,
    now: UnixMillis,
) -> Result<Option<crate::store::TableCursor>, StoreError> {
    let (values, next) = store.walk(Table::Seen, after, PAGE_MAX)?;
    for value in values {
        let row =
            rest::Seen::decode(value.as_slice()).map_err(|_| StoreError::Corrupt("seen row"))?;
        if now.since(UnixMillis(row.at_ms)) > SEEN_FOR {
            store.delete(Key::of(Table::Seen, &[row.device, row.message].concat()));
        }
    }
    Ok(next)
}
