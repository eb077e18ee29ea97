//! ChaCha20-Poly1305 (RFC 8439) for bodies, XChaCha20-Poly1305 for headers; tags are never cut.
//!
//! See docs/SPEC.md, section "Primitives".

use chacha20::{R20, hchacha};
use zeroize::Zeroize;

use super::Secret;
use super::kdf::expand;
use super::provider::{self, NONCE_BYTES, TAG_BYTES};
use crate::error::Error;

/// Bytes that sealing adds to a body or header.
pub const BODY_TAG_BYTES: usize = TAG_BYTES;

/// Bytes of the random nonce in front of a sealed header.
pub const HEADER_NONCE_BYTES: usize = 24;

/// Key and nonce of one body. The message key is used once and the salt is random and travels in
/// clear, so that a state restored from a snapshot still never repeats a (key, nonce) pair.
fn body_key(
    message_key: &Secret<32>,
    salt: &[u8; HEADER_NONCE_BYTES],
) -> (Secret<32>, [u8; NONCE_BYTES]) {
    split(&expand(salt, message_key.expose(), b"bitchat/1 body"))
}

/// 32 bytes of key and 12 of nonce.
fn split(key_and_nonce: &Secret<44>) -> (Secret<32>, [u8; NONCE_BYTES]) {
    let (key, nonce) = key_and_nonce.expose().split_at(32);
    let (mut key_array, mut nonce_array) = ([0; 32], [0; NONCE_BYTES]);
    key_array.copy_from_slice(key);
    nonce_array.copy_from_slice(nonce);
    (Secret::take(&mut key_array), nonce_array)
}

/// Key and nonce of ChaCha20-Poly1305 that XChaCha20-Poly1305 makes of its own (RFC draft
/// `irtf-cfrg-xchacha`, section 2.3).
fn header_key(
    key: &Secret<32>,
    nonce: &[u8; HEADER_NONCE_BYTES],
) -> (Secret<32>, [u8; NONCE_BYTES]) {
    let (mut input, mut inner) = ([0; 16], [0; NONCE_BYTES]);
    let (first, last) = nonce.split_at(16);
    input.copy_from_slice(first);
    inner[4..].copy_from_slice(last);
    let mut subkey = hchacha::<R20>(key.expose().into(), &input.into());
    let mut bytes = subkey.0;
    subkey.0.zeroize();
    (Secret::take(&mut bytes), inner)
}

/// Seals `plaintext`; the result is [`BODY_TAG_BYTES`] longer.
///
/// # Errors
///
/// [`Error::Bug`] if the text is longer than 256 GiB.
pub fn seal_body(
    message_key: &Secret<32>,
    salt: &[u8; HEADER_NONCE_BYTES],
    associated: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Error> {
    let (key, nonce) = body_key(message_key, salt);
    #[cfg(any(test, feature = "test-hooks"))]
    super::ledger::enter(&key, &nonce, associated, plaintext);
    provider::seal(key.expose(), &nonce, associated, plaintext).ok_or(Error::Bug("body too long"))
}

/// Opens what [`seal_body`] made.
///
/// # Errors
///
/// [`Error::Decrypt`] whatever is wrong.
pub fn open_body(
    message_key: &Secret<32>,
    salt: &[u8; HEADER_NONCE_BYTES],
    associated: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, Error> {
    let (key, nonce) = body_key(message_key, salt);
    provider::open(key.expose(), &nonce, associated, sealed).ok_or(Error::Decrypt)
}

/// Seals a ratchet header under its random nonce; the result is [`BODY_TAG_BYTES`] longer.
///
/// # Errors
///
/// [`Error::Bug`] if the header is longer than 256 GiB.
pub fn seal_header(
    key: &Secret<32>,
    nonce: &[u8; HEADER_NONCE_BYTES],
    associated: &[u8],
    header: &[u8],
) -> Result<Vec<u8>, Error> {
    #[cfg(any(test, feature = "test-hooks"))]
    super::ledger::enter(key, nonce, associated, header);
    let (key, nonce) = header_key(key, nonce);
    provider::seal(key.expose(), &nonce, associated, header).ok_or(Error::Bug("header too long"))
}

/// Opens what [`seal_header`] made.
///
/// # Errors
///
/// [`Error::Decrypt`] whatever is wrong.
pub fn open_header(
    key: &Secret<32>,
    nonce: &[u8; HEADER_NONCE_BYTES],
    associated: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, Error> {
    let (key, nonce) = header_key(key, nonce);
    provider::open(key.expose(), &nonce, associated, sealed).ok_or(Error::Decrypt)
}

/// Seals one text under a key and nonce that were derived for it alone; the result is
/// [`BODY_TAG_BYTES`] longer.
///
/// # Errors
///
/// [`Error::Bug`] if the text is longer than 256 GiB.
pub fn seal_once(
    key_and_nonce: &Secret<44>,
    associated: &[u8],
    plaintext: &[u8],
) -> Result<Vec<u8>, Error> {
    let (key, nonce) = split(key_and_nonce);
    #[cfg(any(test, feature = "test-hooks"))]
    super::ledger::enter(&key, &nonce, associated, plaintext);
    provider::seal(key.expose(), &nonce, associated, plaintext).ok_or(Error::Bug("text too long"))
}

/// Opens what [`seal_once`] made.
///
/// # Errors
///
/// [`Error::Decrypt`] whatever is wrong.
pub fn open_once(
    key_and_nonce: &Secret<44>,
    associated: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, Error> {
    let (key, nonce) = split(key_and_nonce);
    provider::open(key.expose(), &nonce, associated, sealed).ok_or(Error::Decrypt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_tag_or_another_context_does_not_open() {
        let key = Secret::take(&mut [1; 32]);
        let salt = [2; HEADER_NONCE_BYTES];

        let sealed = seal_body(&key, &salt, b"context", b"text").expect("short");

        assert_eq!(open_body(&key, &salt, b"context", &sealed).expect("intact"), b"text");
        for end in 0..sealed.len() {
            assert!(open_body(&key, &salt, b"context", &sealed[..end]).is_err());
        }
        assert!(open_body(&key, &salt, b"other", &sealed).is_err());
        assert!(open_body(&key, &[3; HEADER_NONCE_BYTES], b"context", &sealed).is_err());
    }
}
