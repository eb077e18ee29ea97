//! Sealed envelopes: bytes that show a carrier neither who wrote them nor to whom nor what.
//!
//! ```text
//!   ephemeral 32 || hidden certificate 196 || letter ..
//!                   \ under ephemeral x recipient
//!                                            \ under that and sender x recipient
//! ```
//!
//! The shape is that of RFC 9180: DHKEM in base mode for the outer layer, in auth mode for the inner
//! one, over one ephemeral key (docs/decisions/0019). See docs/SPEC.md, section "Sealed envelopes".
//!
//! # Invariants
//!
//! - A letter that opens was sealed by somebody who holds the secret of the certificate's X25519 key,
//!   or of ours: it proves its sender to us and to nobody else.
//! - Every byte counts: both layers bind all that goes before them, our identity and the version.
//! - Whatever is wrong with a seal, the error is the same.
//! - The length is one of few; the other bytes look random, but for the ephemeral key, which is a
//!   point of the curve and can be told from random bytes with one chance in two.
//!
//! # What this module does not do
//!
//! It knows no replay and no forward secrecy: both are the ratchet's, inside the letter. Whoever gets
//! our identity secret can read the senders of old seals, and forge seals to us (not their content).

mod keys;

pub mod file;

#[cfg(test)]
mod tests;

use std::fmt::{self, Debug, Formatter};

use bitchat_proto::limits::SEAL_BYTES_MAX;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::crypto::{BODY_TAG_BYTES, DhPublic, DhSecret, open_once, seal_once};
use crate::error::Error;
use crate::identity::{CERTIFICATE_BYTES, Certificate, Identity};
use crate::session::padme;

use keys::{Inner, Outer};

/// Bytes of the ephemeral key.
const EPHEMERAL_BYTES: usize = 32;

/// Bytes of the sender's certificate, sealed.
const HIDDEN_BYTES: usize = CERTIFICATE_BYTES + BODY_TAG_BYTES;

/// What a seal adds to its padded letter.
const OVERHEAD: usize = EPHEMERAL_BYTES + HIDDEN_BYTES + BODY_TAG_BYTES;

/// No seal is shorter: texts of up to 400 bytes, receipts and greetings look alike, whether the
/// ratchet's header is of its small or of its large size.
pub const FLOOR: usize = 2_048;

/// Ends the letter; zeros follow.
const MARKER: u8 = 0x80;

/// The bit of an X25519 key that says nothing: it is filled with a random one.
const FREE_BIT: u8 = 0x80;

/// A letter and who sealed it.
pub struct Opened {
    /// The sender's device, proven to hold the X25519 key of this certificate.
    pub sender: Certificate,
    /// What it wrote.
    pub letter: Vec<u8>,
}

/// Seals `letter` for the device of `recipient`, whose certificate the caller has verified.
///
/// # Errors
///
/// [`Error::NotAuthentic`] if the recipient is this device or has a low-order key, [`Error::Bug`] if
/// the result would be longer than [`SEAL_BYTES_MAX`].
pub fn seal(
    identity: &Identity,
    recipient: &Certificate,
    letter: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Vec<u8>, Error> {
    if is_reflected(identity, recipient) {
        return Err(Error::NotAuthentic("seal for ourselves"));
    }
    let padded = pad(letter)?;
    let ephemeral = DhSecret::random(rng);
    let mut noise = [0];
    rng.fill_bytes(&mut noise);
    let mut travels = *ephemeral.public().as_bytes();
    if let (Some(last), [noise]) = (travels.last_mut(), noise) {
        *last |= noise & FREE_BIT;
    }
    let theirs = recipient.identity_dh();
    let shared = ephemeral.agree(&theirs)?;
    let outer = Outer::new(recipient, &travels, &shared);
    let certificate = identity.certificate().to_bytes();
    let hidden = seal_once(&outer.key, &outer.transcript, &certificate)?;
    let sender = identity.device().dh().agree(&theirs)?;
    let inner = Inner::new(&outer, &certificate, &hidden, (&shared, &sender));
    let text = seal_once(&inner.key, &inner.transcript, &padded)?;
    Ok([travels.as_slice(), &hidden, &text].concat())
}

/// Opens a seal for our device.
///
/// # Errors
///
/// [`Error::Decrypt`] whatever is wrong: for somebody else, damaged, forged, of another version.
pub fn open(identity: &Identity, seal: &[u8]) -> Result<Opened, Error> {
    open_layers(identity, seal).map_err(|_| Error::Decrypt)
}

fn open_layers(identity: &Identity, seal: &[u8]) -> Result<Opened, Error> {
    if seal.len() > SEAL_BYTES_MAX || padme(seal.len(), FLOOR) != seal.len() {
        return Err(Error::Decrypt); // No sender makes this length: no key is tried.
    }
    let (travels, rest) = seal.split_first_chunk::<EPHEMERAL_BYTES>().ok_or(Error::Decrypt)?;
    let (hidden, text) = rest.split_at_checked(HIDDEN_BYTES).ok_or(Error::Decrypt)?;
    let mut point = *travels;
    if let Some(last) = point.last_mut() {
        *last &= !FREE_BIT;
    }
    let ours = identity.device().dh();
    let shared = ours.agree(&DhPublic::parse(&point)?)?;
    let outer = Outer::new(identity.certificate(), travels, &shared);
    let certificate = open_once(&outer.key, &outer.transcript, hidden)?;
    let fixed = certificate.as_slice().try_into().map_err(|_| Error::Decrypt)?;
    let sender = Certificate::from_bytes(fixed)?;
    if is_reflected(identity, &sender) {
        return Err(Error::Decrypt);
    }
    let proof = ours.agree(&sender.identity_dh())?;
    let inner = Inner::new(&outer, &certificate, hidden, (&shared, &proof));
    let letter = unpad(open_once(&inner.key, &inner.transcript, text)?)?;
    Ok(Opened { sender, letter })
}

/// Whether the other side has a key of ours: nobody writes to itself.
fn is_reflected(identity: &Identity, other: &Certificate) -> bool {
    let ours = identity.certificate();
    other.account() == ours.account()
        || other.device() == ours.device()
        || other.identity_dh() == ours.identity_dh()
}

/// `letter || 80 || 00..`, so that the whole seal has a Padmé length.
fn pad(letter: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let total = padme(letter.len().saturating_add(1 + OVERHEAD), FLOOR);
    if total > SEAL_BYTES_MAX {
        return Err(Error::Bug("letter too long to be sealed"));
    }
    let mut padded = Zeroizing::new(Vec::with_capacity(total - OVERHEAD));
    padded.extend_from_slice(letter);
    padded.push(MARKER);
    padded.resize(total - OVERHEAD, 0);
    Ok(padded)
}

fn unpad(mut padded: Vec<u8>) -> Result<Vec<u8>, Error> {
    let marker = padded.iter().rposition(|byte| *byte != 0).ok_or(Error::Decrypt)?;
    let total = padme(marker.saturating_add(1 + OVERHEAD), FLOOR);
    if padded.get(marker) != Some(&MARKER) || padded.len().saturating_add(OVERHEAD) != total {
        return Err(Error::Decrypt);
    }
    padded.truncate(marker);
    Ok(padded)
}

impl Debug for Opened {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("sender", &self.sender).finish_non_exhaustive()
    }
}
