//! What happens when the keys behind a known account change.
//!
//! ```text
//!   tofu       a newer device is accepted, and said to have come
//!   verified   a newer device waits: nothing goes to it and nothing comes from it until `trust`
//! ```
//!
//! An account certifies its devices, so both need a certificate of the account, of a generation that
//! is higher than any accepted before. Another account is another contact.

use crate::error::Error;
use crate::id::DeviceId;
use crate::invitation::ContactRecord;

/// Whether a newer device of a contact is accepted or waits for the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyPolicy {
    /// Accept it and say so.
    #[default]
    Tofu,
    /// Block until the user trusts it.
    Verified,
}

impl KeyPolicy {
    /// The word in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tofu => "tofu",
            Self::Verified => "verified",
        }
    }

    /// From that word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Tofu, Self::Verified].into_iter().find(|policy| policy.as_str() == word)
    }
}

/// A device that an account certified after the one that we use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newer {
    /// Its signed record.
    pub record: Vec<u8>,
    /// The device.
    pub device: DeviceId,
    /// Generation of its certificate.
    pub generation: u64,
}

impl Newer {
    /// From its signed record, whose time does not matter yet.
    ///
    /// # Errors
    ///
    /// As [`ContactRecord::parse`].
    pub fn parse(record: Vec<u8>) -> Result<Self, Error> {
        let parsed = ContactRecord::parse(&record)?;
        let certificate = parsed.certificate();
        let (device, generation) = (certificate.device(), certificate.generation());
        Ok(Self { record, device, generation })
    }
}
