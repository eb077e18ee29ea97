//! `aws-lc-rs`: C and assembly, the copy that libp2p's QUIC already links.
//!
//! Its key objects lie on its own heap, and `OPENSSL_free` zeroes whatever it frees; so a dropped
//! key is gone, as with `zeroize`. What its assembly leaves on the stack is not wiped, no more than
//! with the other provider.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use zeroize::Zeroize;

use super::{NONCE_BYTES, TAG_BYTES};
use crate::crypto::Secret;

/// An X25519 secret as AWS-LC keeps it, with its public key.
pub(super) type Key = PrivateKey;

pub(super) fn seal(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    text: &[u8],
) -> Option<Vec<u8>> {
    let mut sealed = Vec::with_capacity(text.len().checked_add(TAG_BYTES)?);
    sealed.extend_from_slice(text);
    let done = cipher(key)?.seal_in_place_append_tag(
        Nonce::assume_unique_for_key(*nonce),
        Aad::from(associated),
        &mut sealed,
    );
    if done.is_err() {
        sealed.zeroize();
        return None;
    }
    Some(sealed)
}

pub(super) fn open(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let length = sealed.len().checked_sub(TAG_BYTES)?;
    let mut text = sealed.to_vec();
    let done = cipher(key)?.open_in_place(
        Nonce::assume_unique_for_key(*nonce),
        Aad::from(associated),
        &mut text,
    );
    if done.is_err() {
        // It may have been decrypted before the tag was found wrong.
        text.zeroize();
        return None;
    }
    text.truncate(length);
    Some(text)
}

fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).ok()
}

/// The secret and its public key; `None` if there is no memory.
pub(super) fn prepare(secret: &[u8; 32]) -> Option<(Key, [u8; 32])> {
    let key = PrivateKey::from_private_key(&X25519, secret).ok()?;
    let public = key.compute_public_key().ok()?.as_ref().try_into().ok()?;
    Some((key, public))
}

pub(super) fn agree(key: &Key, theirs: &[u8; 32]) -> Option<Secret<32>> {
    let theirs = UnparsedPublicKey::new(&X25519, theirs);
    // The library refuses a shared secret of all zeros, and wipes its own copy of any other.
    agreement::agree(key, theirs, (), |shared| Secret::from_slice(shared).ok_or(())).ok()
}
