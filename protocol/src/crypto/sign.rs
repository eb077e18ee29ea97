//! Ed25519 (RFC 8032) with a label in front of every message, verified strictly.
//!
//! See docs/SPEC.md, section "Primitives".

use std::fmt::{self, Debug, Formatter};

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use zeroize::ZeroizeOnDrop;

use super::{Secret, wipes_itself};
use crate::error::Error;

/// What a signature is for. Its text stands in front of the signed bytes, so that a signature
/// for one purpose is worthless for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// An account certifies a device.
    DeviceCertificate,
    /// A device publishes how to reach it.
    ContactRecord,
    /// A device offers a one-time prekey.
    OneTimePrekey,
    /// A mailbox node says that it keeps a sealed envelope.
    MailboxCustody,
    /// The owner of a queue orders something of its mailbox node.
    MailboxOrder,
}

impl Label {
    /// The domain separator; no text is a prefix of another because each ends with a zero byte.
    const fn text(self) -> &'static [u8] {
        match self {
            Self::DeviceCertificate => b"bitchat/1 device certificate\0",
            Self::ContactRecord => b"bitchat/1 contact record\0",
            Self::OneTimePrekey => b"bitchat/1 one-time prekey\0",
            Self::MailboxCustody => b"bitchat/1 mailbox custody\0",
            Self::MailboxOrder => b"bitchat/1 mailbox order\0",
        }
    }
}

/// An Ed25519 signature.
pub type Signature = [u8; 64];

/// Our Ed25519 secret key.
pub struct SigningSecret {
    key: Box<SigningKey>,
    seed: Secret<32>,
}

impl SigningSecret {
    /// A fresh key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// The key of a stored seed (RFC 8032, section 5.1.5).
    #[must_use]
    pub fn from_seed(seed: Secret<32>) -> Self {
        Self { key: Box::new(SigningKey::from_bytes(seed.expose())), seed }
    }

    /// The seed, for a sealed record.
    #[must_use]
    pub const fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }

    /// Signs `message` for the purpose of `label`.
    #[must_use]
    pub fn sign(&self, label: Label, message: &[u8]) -> Signature {
        self.key.sign(&[label.text(), message].concat()).to_bytes()
    }
}

impl ZeroizeOnDrop for SigningSecret {}

// As `wiped!`, which cannot look through a box.
const _: fn(&SigningSecret) = |SigningSecret { key, seed }| {
    wipes_itself::<SigningKey>(key);
    wipes_itself(seed);
};

impl Debug for SigningSecret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(..)")
    }
}

/// Checks a signature of `public` over `message` for the purpose of `label`.
///
/// # Errors
///
/// [`Error::NotAuthentic`] on anything but a canonical signature by a full-order key
/// (`verify_strict`).
pub fn verify(
    public: &[u8; 32],
    label: Label,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Error> {
    const WRONG: Error = Error::NotAuthentic("signature");
    let key = VerifyingKey::from_bytes(public).map_err(|_| WRONG)?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| WRONG)?;
    key.verify_strict(&[label.text(), message].concat(), &signature).map_err(|_| WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_key_label_and_message_only() {
        let key = SigningSecret::from_seed(Secret::take(&mut [1; 32]));
        let other = SigningSecret::from_seed(Secret::take(&mut [2; 32]));

        let signature = key.sign(Label::ContactRecord, b"text");

        assert!(verify(&key.public(), Label::ContactRecord, b"text", &signature).is_ok());
        assert!(verify(&key.public(), Label::DeviceCertificate, b"text", &signature).is_err());
        assert!(verify(&other.public(), Label::ContactRecord, b"text", &signature).is_err());
        assert!(verify(&key.public(), Label::ContactRecord, b"texT", &signature).is_err());
    }

    #[test]
    fn every_flipped_bit_breaks_a_signature() {
        let key = SigningSecret::from_seed(Secret::take(&mut [1; 32]));
        let signature = key.sign(Label::ContactRecord, b"text");

        for bit in 0..512 {
            let mut flipped = signature;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&key.public(), Label::ContactRecord, b"text", &flipped).is_err());
        }
    }

    #[test]
    fn a_small_order_key_verifies_nothing() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;

        assert!(verify(&identity, Label::ContactRecord, b"any", &signature).is_err());
    }
}
