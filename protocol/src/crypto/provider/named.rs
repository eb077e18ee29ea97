//! `chacha20poly1305` and `x25519-dalek`: Rust alone.
//!
//! Both wipe the keys that they copy (their feature `zeroize`).

use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use x25519_dalek::{PublicKey, StaticSecret};

use super::NONCE_BYTES;
use crate::crypto::Secret;

pub(super) fn seal(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    text: &[u8],
) -> Option<Vec<u8>> {
    let payload = Payload { msg: text, aad: associated };
    ChaCha20Poly1305::new(key.into()).encrypt(nonce.into(), payload).ok()
}

pub(super) fn open(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    let payload = Payload { msg: sealed, aad: associated };
    ChaCha20Poly1305::new(key.into()).decrypt(nonce.into(), payload).ok()
}

/// By a table of multiples of the base point, in constant time.
pub(super) fn public(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

/// By the Montgomery ladder, in constant time.
pub(super) fn agree(secret: &[u8; 32], theirs: &[u8; 32]) -> Option<Secret<32>> {
    let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*theirs));
    shared.was_contributory().then(|| Secret::take(&mut shared.to_bytes()))
}
