//! One-time prekeys as they travel: each signed by its device, each good for one session.
//!
//! ```text
//!   signed = device 32 || be32(algorithm) || be32(id) || be64(expires_ms) || key
//! ```
//!
//! The device is not sent along: it is the one that was asked. A key that somebody else signed, or
//! that was signed for another device, another algorithm or under another id, does not verify.
//!
//! Their ids are of no other kind: a message names them in fields of their own, and the transcript
//! hashes them under names of their own. See docs/SPEC.md, section "One-time prekeys".

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use super::DAY;
use crate::crypto::{DhPublic, DhSecret, KemPublic, KemSecret, Label, verify};
use crate::error::{Error, Malformed};
use crate::id::DeviceId;
use crate::identity::Device;
use crate::time::UnixMillis;

/// How long an initiator may start with a key that it was handed.
pub const ONE_TIME_VALIDITY: Duration = DAY.saturating_mul(7);

/// How long a key of anybody may be good.
const LIFETIME_MAX: Duration = DAY.saturating_mul(60);

/// What a one-time prekey is for. The number is signed and on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Algorithm {
    /// A fourth DH.
    X25519 = 1,
    /// The KEM, in place of the last-resort key.
    MlKem1024 = 2,
}

/// A one-time prekey with its signature, which nobody has checked yet.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPrekey {
    /// Its id, not 0.
    pub id: u32,
    /// The public key.
    pub key: Vec<u8>,
    /// No session is started with it from then on.
    pub expires: UnixMillis,
    /// The device's.
    pub signature: Vec<u8>,
}

/// What a device hands to one initiator; unchecked. What is absent was not left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// For a fourth DH.
    pub x25519: Option<SignedPrekey>,
    /// In place of the last-resort key.
    pub ml_kem: Option<SignedPrekey>,
}

/// One-time prekeys of somebody, verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneTimeKeys {
    /// Id and key for a fourth DH.
    pub x25519: Option<(u32, DhPublic)>,
    /// Id and key in place of the last-resort key.
    pub ml_kem: Option<(u32, KemPublic)>,
}

/// Secret one-time prekeys of ours that a message names.
#[derive(Debug, Default)]
pub struct OneTimeSecrets {
    /// Id and key for a fourth DH.
    pub x25519: Option<(u32, DhSecret)>,
    /// Id and key in place of the last-resort key.
    pub ml_kem: Option<(u32, KemSecret)>,
}

/// On what a session was founded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrekeyUse {
    /// On a one-time key of both kinds: who steals the device later cannot read what founded it.
    OneTime,
    /// On a one-time key of one kind.
    Partial,
    /// On the keys of the record alone, which live for weeks.
    LastResort,
}

impl PrekeyUse {
    pub(crate) const fn of(x25519: bool, ml_kem: bool) -> Self {
        match (x25519, ml_kem) {
            (true, true) => Self::OneTime,
            (false, false) => Self::LastResort,
            (true, false) | (false, true) => Self::Partial,
        }
    }

    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OneTime => "one_time",
            Self::Partial => "partial",
            Self::LastResort => "last_resort",
        }
    }
}

impl SignedPrekey {
    /// Signs a key of ours.
    #[must_use]
    pub fn issue(
        device: &Device,
        algorithm: Algorithm,
        id: u32,
        key: &[u8],
        expires: UnixMillis,
    ) -> Self {
        let message = signed_bytes(&device.id(), algorithm, id, key, expires);
        let signature = device.signing().sign(Label::OneTimePrekey, &message).to_vec();
        Self { id, key: key.to_vec(), expires, signature }
    }

    fn check(&self, device: &DeviceId, algorithm: Algorithm, now: UnixMillis) -> Result<(), Error> {
        if self.id == 0 {
            return Err(Malformed("one-time prekey id").into());
        }
        if self.expires <= now {
            return Err(Error::Stale("one-time prekey expired"));
        }
        if self.expires > now.plus(LIFETIME_MAX) {
            return Err(Malformed("one-time prekey lifetime").into());
        }
        let message = signed_bytes(device, algorithm, self.id, &self.key, self.expires);
        verify(&device.0, Label::OneTimePrekey, &message, &self.signature)
    }
}

impl Offer {
    /// Checks what `device` has handed out.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if a key has the wrong shape, the id 0 or more than 60 days to live,
    /// [`Error::Stale`] if it is expired, [`Error::NotAuthentic`] if the device did not sign it.
    pub fn verify(&self, device: &DeviceId, now: UnixMillis) -> Result<OneTimeKeys, Error> {
        let mut keys = OneTimeKeys::default();
        if let Some(offered) = &self.x25519 {
            offered.check(device, Algorithm::X25519, now)?;
            keys.x25519 = Some((offered.id, DhPublic::parse(&offered.key)?));
        }
        if let Some(offered) = &self.ml_kem {
            offered.check(device, Algorithm::MlKem1024, now)?;
            keys.ml_kem = Some((offered.id, KemPublic::parse(&offered.key)?));
        }
        Ok(keys)
    }

    /// When the first of its keys expires; `None` if it holds none.
    #[must_use]
    pub fn expires(&self) -> Option<UnixMillis> {
        self.x25519.iter().chain(&self.ml_kem).map(|offered| offered.expires).min()
    }
}

fn signed_bytes(
    device: &DeviceId,
    algorithm: Algorithm,
    id: u32,
    key: &[u8],
    expires: UnixMillis,
) -> Vec<u8> {
    let mut bytes = device.0.to_vec();
    bytes.extend(u32::from(algorithm as u8).to_be_bytes());
    bytes.extend(id.to_be_bytes());
    bytes.extend(expires.0.to_be_bytes());
    bytes.extend(key);
    bytes
}

impl Debug for SignedPrekey {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "SignedPrekey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn device(seed: u64) -> Device {
        Device::random(&mut ChaCha20Rng::seed_from_u64(seed))
    }

    fn offer() -> Offer {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (dh, kem) = (DhSecret::random(&mut rng), KemSecret::random(&mut rng));
        let issue = |algorithm, id, key: &[u8]| {
            SignedPrekey::issue(&device(1), algorithm, id, key, NOW.plus(ONE_TIME_VALIDITY))
        };
        Offer {
            x25519: Some(issue(Algorithm::X25519, 3, dh.public().as_bytes())),
            ml_kem: Some(issue(Algorithm::MlKem1024, 4, kem.public().as_bytes())),
        }
    }

    /// The offer with something changed in its X25519 key.
    fn changed(change: impl FnOnce(&mut SignedPrekey)) -> Result<OneTimeKeys, Error> {
        let mut offer = offer();
        offer.x25519.as_mut().map(change);
        offer.verify(&device(1).id(), NOW)
    }

    #[test]
    fn what_a_device_has_signed_verifies() {
        let keys = offer().verify(&device(1).id(), NOW).expect("its own keys");

        assert_eq!(keys.x25519.map(|(id, _)| id), Some(3));
        assert_eq!(keys.ml_kem.map(|(id, _)| id), Some(4));
        let nothing = Offer::default().verify(&device(1).id(), NOW).expect("nothing is wrong");
        assert_eq!(nothing, OneTimeKeys::default());
    }

    #[test]
    fn a_substituted_key_is_not_authentic() {
        let other = DhSecret::random(&mut ChaCha20Rng::seed_from_u64(9));
        let key = other.public().as_bytes().to_vec();
        let kem = KemSecret::random(&mut ChaCha20Rng::seed_from_u64(9));
        let mut offer = offer();
        offer.ml_kem.as_mut().expect("there").key = kem.public().as_bytes().to_vec();

        assert!(matches!(changed(|prekey| prekey.key = key), Err(Error::NotAuthentic(_))));
        assert!(matches!(offer.verify(&device(1).id(), NOW), Err(Error::NotAuthentic(_))));
    }

    #[test]
    fn an_id_or_a_time_that_was_not_signed_is_not_authentic() {
        assert!(matches!(changed(|prekey| prekey.id = 5), Err(Error::NotAuthentic(_))));
        let later = |prekey: &mut SignedPrekey| prekey.expires = prekey.expires.plus(DAY);
        assert!(matches!(changed(later), Err(Error::NotAuthentic(_))));
    }

    #[test]
    fn a_key_of_another_device_is_not_authentic() {
        assert!(matches!(offer().verify(&device(2).id(), NOW), Err(Error::NotAuthentic(_))));
    }

    #[test]
    fn a_key_of_one_kind_never_stands_for_the_other() {
        let offer = offer();
        let exchanged = Offer { x25519: offer.ml_kem, ml_kem: offer.x25519 };

        assert!(matches!(exchanged.verify(&device(1).id(), NOW), Err(Error::NotAuthentic(_))));
    }

    #[test]
    fn an_expired_key_is_stale_and_one_for_ever_is_malformed() {
        let (device, offer) = (device(1), offer());
        let end = NOW.plus(ONE_TIME_VALIDITY);

        assert!(offer.verify(&device.id(), UnixMillis(end.0 - 1)).is_ok());
        assert!(matches!(offer.verify(&device.id(), end), Err(Error::Stale(_))));
        assert_eq!(offer.expires(), Some(end));
        let early = UnixMillis(end.0 - 61 * 24 * 3_600_000);
        assert!(matches!(offer.verify(&device.id(), early), Err(Error::Malformed(_))));
    }

    #[test]
    fn an_id_of_zero_or_a_bad_point_is_malformed_although_it_is_signed() {
        let signed = |id, key: &[u8]| {
            let expires = NOW.plus(DAY);
            let prekey = SignedPrekey::issue(&device(1), Algorithm::X25519, id, key, expires);
            Offer { x25519: Some(prekey), ml_kem: None }.verify(&device(1).id(), NOW)
        };

        assert!(signed(1, &[9; 32]).is_ok());
        assert!(matches!(signed(0, &[9; 32]), Err(Error::Malformed(_))));
        assert!(matches!(signed(1, &[0xFF; 32]), Err(Error::Malformed(_))));
        assert!(matches!(signed(1, &[9; 31]), Err(Error::Malformed(_))));
    }
}
