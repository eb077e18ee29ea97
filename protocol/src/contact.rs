//! The people we know: accounts under local names.
//!
//! A petname is ours; what a contact calls itself is a suggestion and never identifies anybody.
//! A contact that would call itself like another gets a name that tells them apart. Two may carry
//! the same name only by our own wish; then the name alone finds neither.
//!
//! See docs/SPEC.md, section "Limits".

mod book;
mod keys;
mod name;
mod record;

pub use book::{Book, CONTACTS_MAX, Lookup};
pub use keys::{KeyPolicy, Newer};
pub use name::{suggested, usable};

use crate::id::{AccountId, DeviceId, InvitationToken};
use crate::time::UnixMillis;

/// Former devices that are remembered of a contact; the oldest is forgotten.
pub const FORMER_MAX: usize = 4;

/// One contact.
#[derive(Clone, Debug)]
pub struct Contact {
    /// Account: what the contact is.
    pub account: AccountId,
    /// Petname: what we call it.
    pub name: String,
    /// What it calls itself.
    pub nickname: String,
    /// Its newest signed record; `None` while a short invitation is unresolved.
    pub record: Option<Vec<u8>>,
    /// Its device.
    pub device: DeviceId,
    /// Generation of the device's certificate; older ones are refused.
    pub generation: u64,
    /// Where it may be found, from its record or invitation.
    pub addresses: Vec<String>,
    /// The invitation that admits us, shown until the contact has answered.
    pub token: Option<InvitationToken>,
    /// Whether the safety number was compared.
    pub verified: bool,
    /// Whether it is told that its messages were read; `None`: as the profile says.
    pub read_receipts: Option<bool>,
    /// When it was added.
    pub added: UnixMillis,
    /// Devices that it had before, the latest first: one that still runs is told of its successor.
    pub former: Vec<DeviceId>,
    /// What happens when its keys change.
    pub policy: KeyPolicy,
    /// When its keys changed last, until the user has answered.
    pub changed: Option<UnixMillis>,
    /// A newer device that waits for the user: meanwhile no message is sent to the contact, and this
    /// device is not listened to. Receipts and our record still go to the one that was trusted.
    pub pending: Option<Newer>,
}

impl Contact {
    /// Moves to another device of the same account and remembers the one before.
    pub fn move_to(&mut self, device: DeviceId, generation: u64) {
        self.generation = generation;
        if self.device == device {
            return;
        }
        let before = std::mem::replace(&mut self.device, device);
        self.former.retain(|former| *former != before && *former != device);
        self.former.insert(0, before);
        self.former.truncate(FORMER_MAX);
    }

    /// Whether nothing may be sent before the user trusts the new keys.
    #[must_use]
    pub const fn is_blocked(&self) -> bool {
        self.pending.is_some()
    }
}
