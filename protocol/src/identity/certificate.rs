//! Device certificates: an account says which keys a device has.
//!
//! See docs/SPEC.md, section "Identities".

use bitchat_proto::wire;
use prost::Message;

use super::Device;
use crate::crypto::{DhPublic, Label, Signature, SigningSecret, verify};
use crate::error::{Error, Malformed};
use crate::id::{AccountId, DeviceId, exactly};
use crate::time::UnixMillis;

/// Bytes of the form of a fixed length: 116 that are signed and a signature of 64.
pub const CERTIFICATE_BYTES: usize = 180;

/// A device of an account, signed by the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    account: AccountId,
    device: DeviceId,
    identity_dh: DhPublic,
    number: u32,
    generation: u64,
    created: UnixMillis,
    signature: Signature,
}

impl Certificate {
    pub(super) fn issue(
        account: &SigningSecret,
        device: &Device,
        number: u32,
        generation: u64,
        created: UnixMillis,
    ) -> Self {
        let mut certificate = Self {
            account: AccountId(account.public()),
            device: device.id(),
            identity_dh: device.dh().public(),
            number,
            generation,
            created,
            signature: [0; 64],
        };
        certificate.signature = account.sign(Label::DeviceCertificate, &certificate.signed_bytes());
        certificate
    }

    /// Parses and verifies.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if a field has the wrong shape, [`Error::NotAuthentic`] if the account
    /// did not sign these fields or serves as its own device.
    pub fn parse(wire: &wire::Certificate) -> Result<Self, Error> {
        let certificate = Self {
            account: AccountId(exactly(&wire.account, "certificate account")?),
            device: DeviceId(exactly(&wire.device, "certificate device")?),
            identity_dh: DhPublic::parse(&wire.identity_dh)?,
            number: wire.number,
            generation: wire.generation,
            created: UnixMillis(wire.created_ms),
            signature: exactly(&wire.signature, "certificate signature")?,
        };
        if certificate.account.0 == certificate.device.0 {
            return Err(Error::NotAuthentic("one key for two purposes"));
        }
        verify(
            &certificate.account.0,
            Label::DeviceCertificate,
            &certificate.signed_bytes(),
            &certificate.signature,
        )?;
        Ok(certificate)
    }

    /// Parses and verifies an encoded certificate in its one canonical encoding.
    ///
    /// # Errors
    ///
    /// As [`Certificate::parse`]; [`Error::Malformed`] for every other encoding of the same fields.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        const WRONG: Malformed = Malformed("certificate");
        let wire = wire::Certificate::decode(bytes).map_err(|_| WRONG)?;
        if wire.encode_to_vec() != bytes {
            return Err(WRONG.into());
        }
        Self::parse(&wire)
    }

    /// The form that travels.
    #[must_use]
    pub fn to_wire(&self) -> wire::Certificate {
        wire::Certificate {
            account: self.account.0.to_vec(),
            device: self.device.0.to_vec(),
            identity_dh: self.identity_dh.as_bytes().to_vec(),
            number: self.number,
            generation: self.generation,
            created_ms: self.created.0,
            signature: self.signature.to_vec(),
        }
    }

    /// What the account signs: every field in order, fixed lengths, big-endian. Not the wire
    /// encoding, whose bytes are not unique.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        let number = self.number.to_be_bytes();
        let generation = self.generation.to_be_bytes();
        let created = self.created.0.to_be_bytes();
        let dh = self.identity_dh.as_bytes();
        let fields: [&[u8]; 6] =
            [&self.account.0, &self.device.0, dh, &number, &generation, &created];
        fields.concat()
    }

    /// The form of a fixed length: what the account signs, then the signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.signed_bytes().as_slice(), &self.signature].concat()
    }

    /// Parses and verifies the form of a fixed length.
    ///
    /// # Errors
    ///
    /// As [`Certificate::parse`].
    pub fn from_bytes(bytes: &[u8; CERTIFICATE_BYTES]) -> Result<Self, Error> {
        const WRONG: Malformed = Malformed("certificate");
        let (account, rest) = bytes.split_first_chunk::<32>().ok_or(WRONG)?;
        let (device, rest) = rest.split_first_chunk::<32>().ok_or(WRONG)?;
        let (identity_dh, rest) = rest.split_first_chunk::<32>().ok_or(WRONG)?;
        let (number, rest) = rest.split_first_chunk().ok_or(WRONG)?;
        let (generation, rest) = rest.split_first_chunk().ok_or(WRONG)?;
        let (created, signature) = rest.split_first_chunk().ok_or(WRONG)?;
        Self::parse(&wire::Certificate {
            account: account.to_vec(),
            device: device.to_vec(),
            identity_dh: identity_dh.to_vec(),
            number: u32::from_be_bytes(*number),
            generation: u64::from_be_bytes(*generation),
            created_ms: u64::from_be_bytes(*created),
            signature: signature.to_vec(),
        })
    }

    /// The account that signed.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.account
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The device's X25519 key.
    #[must_use]
    pub const fn identity_dh(&self) -> DhPublic {
        self.identity_dh
    }

    /// Tells the devices of an account apart; 0 for the first.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Higher for a device that was made later.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// When the account signed, by its own clock.
    #[must_use]
    pub const fn created(&self) -> UnixMillis {
        self.created
    }
}
