//! Accounts, devices and the certificate that ties a device to its account.
//!
//! ```text
//!   phrase --HKDF--> account key --certificate--> device key (libp2p, contact record)
//!                                           \---> device X25519 key (handshake)
//! ```
//!
//! # Invariants
//!
//! - The account key signs certificates and nothing else; the device key signs records and is the
//!   libp2p key; the X25519 key agrees and nothing else.
//! - A [`Certificate`] that exists holds: it was made by [`Account::certify`] or verified.
//!
//! # What this module does not do
//!
//! It stores nothing and does not decide which certificate of a contact counts: the engine compares
//! generations. See docs/SPEC.md, section "Identities".

mod certificate;
mod phrase;
mod safety;

use std::fmt::{self, Debug, Formatter};

use rand_core::CryptoRng;

pub use certificate::{CERTIFICATE_BYTES, Certificate};
pub use phrase::Phrase;
pub use safety::{CodeError, check_safety_code, safety_code, safety_number};

use crate::crypto::{DhSecret, Secret, SigningSecret, expand};
use crate::error::Error;
use crate::id::{AccountId, DeviceId};
use crate::time::UnixMillis;

/// Separates the account key from anything else that the same phrase may ever give.
const ACCOUNT_LABEL: &[u8] = b"bitchat/1 account signing key";

/// Our account: the key that certifies devices. Lives only while a device is being made.
pub struct Account {
    signing: SigningSecret,
}

/// Our device: the keys that talk.
pub struct Device {
    signing: SigningSecret,
    dh: DhSecret,
}

/// Who we are: a device and its certificate.
#[derive(Debug)]
pub struct Identity {
    device: Device,
    certificate: Certificate,
}

impl Account {
    /// The account of a phrase: HKDF over the BIP-39 seed (empty BIP-39 passphrase).
    #[must_use]
    pub fn from_phrase(phrase: &Phrase) -> Self {
        let seed = expand(b"", phrase.seed().expose(), ACCOUNT_LABEL);
        Self { signing: SigningSecret::from_seed(seed) }
    }

    /// The public name of the account.
    #[must_use]
    pub fn id(&self) -> AccountId {
        AccountId(self.signing.public())
    }

    /// Certifies `device`. `number` tells the devices of an account apart; a device made later
    /// has a higher `generation`.
    #[must_use]
    pub fn certify(
        &self,
        device: &Device,
        number: u32,
        generation: u64,
        created: UnixMillis,
    ) -> Certificate {
        Certificate::issue(&self.signing, device, number, generation, created)
    }
}

impl Device {
    /// A fresh device.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let seed = Secret::random(rng);
        Self::from_secrets(seed, Secret::random(rng))
    }

    /// The device of stored secrets: the Ed25519 seed and the X25519 secret.
    #[must_use]
    pub fn from_secrets(seed: Secret<32>, dh: Secret<32>) -> Self {
        Self { signing: SigningSecret::from_seed(seed), dh: DhSecret::from_secret(dh) }
    }

    /// The public name of the device, which is also its libp2p key.
    #[must_use]
    pub fn id(&self) -> DeviceId {
        DeviceId(self.signing.public())
    }

    /// The key that signs our records.
    #[must_use]
    pub const fn signing(&self) -> &SigningSecret {
        &self.signing
    }

    /// The key that agrees in handshakes.
    #[must_use]
    pub const fn dh(&self) -> &DhSecret {
        &self.dh
    }
}

impl Identity {
    /// Joins a device and its certificate.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthentic`] if the certificate is for other keys: a mixed-up backup.
    pub fn new(device: Device, certificate: Certificate) -> Result<Self, Error> {
        let same = certificate.device() == device.id()
            && certificate.identity_dh() == device.dh().public();
        if same {
            Ok(Self { device, certificate })
        } else {
            Err(Error::NotAuthentic("certificate of another device"))
        }
    }

    /// Our account.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.certificate.account()
    }

    /// Our device and its secrets.
    #[must_use]
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// Our certificate.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }
}

crate::crypto::wiped!(Account { signing } open {});
crate::crypto::wiped!(Device { signing, dh } open {});

impl Debug for Account {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account").field(&self.id()).finish()
    }
}

impl Debug for Device {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.id()).finish()
    }
}
