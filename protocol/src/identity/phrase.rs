//! The 24 words that an account grows from (BIP-39, English).
//!
//! See docs/SPEC.md, section "Identities".

use std::fmt::{self, Debug, Formatter};

use bip39::{Language, Mnemonic};
use rand_core::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::Secret;
use crate::error::Malformed;

/// A longer input is no phrase; the longest English word has 8 letters.
const TEXT_BYTES_MAX: usize = 1024;

const WRONG: Malformed = Malformed("recovery phrase");

/// A recovery phrase: the only thing that a user must keep to keep the account.
pub struct Phrase {
    entropy: Secret<32>,
    mnemonic: Mnemonic,
}

impl Phrase {
    /// A fresh phrase.
    ///
    /// # Errors
    ///
    /// [`Malformed`] never in practice: 32 bytes are a length that BIP-39 knows.
    pub fn generate(rng: &mut impl CryptoRng) -> Result<Self, Malformed> {
        Self::from_entropy(Secret::random(rng))
    }

    /// The phrase of stored entropy.
    ///
    /// # Errors
    ///
    /// [`Malformed`] never in practice: 32 bytes are a length that BIP-39 knows.
    pub fn from_entropy(entropy: Secret<32>) -> Result<Self, Malformed> {
        let mnemonic =
            Mnemonic::from_entropy_in(Language::English, entropy.expose()).map_err(|_| WRONG)?;
        Ok(Self { entropy, mnemonic })
    }

    /// Parses what a user typed; case and white space do not matter.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if there are not 24 words of the list or the checksum does not hold.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(WRONG);
        }
        // One allocation that never grows: growing would leave a copy behind.
        let mut normal = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX));
        for word in text.split_whitespace() {
            if !normal.is_empty() {
                normal.push(' ');
            }
            normal.push_str(word);
        }
        normal.make_ascii_lowercase();
        let mnemonic =
            Mnemonic::parse_in_normalized(Language::English, &normal).map_err(|_| WRONG)?;
        let (mut padded, length) = mnemonic.to_entropy_array();
        // Only 24 words carry 32 bytes.
        let entropy = padded.get(..length).and_then(Secret::from_slice).ok_or(WRONG);
        padded.zeroize();
        Ok(Self { entropy: entropy?, mnemonic })
    }

    /// The words, lower case, separated by single spaces; for the one screen that shows them.
    #[must_use]
    pub fn words(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX));
        for word in self.mnemonic.words() {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// The entropy, for the key store.
    #[must_use]
    pub const fn entropy(&self) -> &Secret<32> {
        &self.entropy
    }

    /// The BIP-39 seed under the empty passphrase.
    pub(super) fn seed(&self) -> Secret<64> {
        Secret::take(&mut self.mnemonic.to_seed_normalized(""))
    }
}

crate::crypto::wiped!(Phrase { entropy, mnemonic } open {});

impl Debug for Phrase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Phrase(..)")
    }
}
