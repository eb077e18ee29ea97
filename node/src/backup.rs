//! Backups: one age file under a passphrase, made from a node, checked, and turned into a new device.
//!
//! ```text
//!   keystore --Head--> Creator --chunks--> age file --Opened--> verify: counts
//!   node ------items--^                                  \----> restore: a new home, a new device
//! ```
//!
//! See docs/SPEC.md, section "Backup", and docs/BACKUP.md for people.
//!
//! # Invariants
//!
//! - A file under its final name is whole; nothing is replaced without being asked for.
//! - A restore is a new device: fresh keys, a higher generation, no session of the old one.
//! - A home that exists is never touched; one that a restore could not finish is no profile.
//! - Memory is bounded whatever a file claims: one chunk and one item at a time.

mod create;
mod file;
mod open;
mod restore;

pub use create::Creator;
pub use file::NewFile;
pub use open::verify;
pub use restore::{Restored, restore};

use bitchat_protocol::backup::{Counts, Head};
use bitchat_protocol::identity::{Account, Phrase};

use crate::error::NodeError;
use crate::keystore::Passphrase;

/// What a backup does not hold, in the words that every command says.
pub const NOT_HELD: &str =
    "sessions, prekeys and device keys, invitations, waiting messages, settings, the passphrase";

/// What is in a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Account id.
    pub account: String,
    /// As the account calls itself.
    pub nickname: String,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// Generation of the device that made it.
    pub generation: u64,
    /// Whether messages were asked for.
    pub history: bool,
    /// How much of everything.
    pub counts: Counts,
}

impl Contents {
    fn new(head: &Head, counts: Counts) -> Result<Self, NodeError> {
        let phrase = Phrase::from_entropy(head.phrase_entropy.duplicate());
        let phrase = phrase.map_err(|_| damaged("the identity"))?;
        Ok(Self {
            account: Account::from_phrase(&phrase).id().to_string(),
            nickname: head.nickname.clone(),
            created_ms: head.created.0,
            generation: head.generation,
            history: head.history,
            counts,
        })
    }
}

fn damaged(what: &str) -> NodeError {
    NodeError::BackupDamaged { what: what.to_owned() }
}

fn failed(what: &str, error: &std::io::Error) -> NodeError {
    NodeError::BackupIo { what: what.to_owned(), reason: error.to_string() }
}

/// As the key store takes it: in NFC, so that every keyboard spells it the same.
fn normal(passphrase: &str) -> Result<Passphrase, NodeError> {
    Ok(Passphrase::new(passphrase)?)
}

#[cfg(test)]
mod tests;
