//! ChaCha20-Poly1305 (RFC 8439) for bodies, XChaCha20-Poly1305 for headers; tags are never cut.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};

use super::Secret;
use super::kdf::expand;
use crate::error::Error;

/// Bytes that sealing adds to a body or header.
pub const BODY_TAG_BYTES: usize = 16;

/// Bytes of the random nonce in front of a sealed header.
pub const HEADER_NONCE_BYTES: usize = 24;

/// Key and nonce of one body. The message key is used once and the salt is random and travels in
/// clear, so that a state restored from a snapshot still never repeats a (key, nonce) pair.
fn body_key(
    message_key: &Secret<32>,
    salt: &[u8; HEADER_NONCE_BYTES],
) -> ([u8; 12], ChaCha20Poly1305) {
    split(&expand(salt, message_key.expose(), b"bitchat/1 body"))
}

/// Nonce and cipher of 32 bytes of key and 12 of nonce.
fn split(key_and_nonce: &Secret<44>) -> ([u8; 12], ChaCha20Poly1305) {
    let (key, nonce) = key_and_nonce.expose().split_at(32);
    let (mut key_array, mut nonce_array) = ([0; 32], [0; 12]);
    key_array.copy_from_slice(key);
    nonce_array.copy_from_slice(nonce);
    let cipher = ChaCha20Poly1305::new(Secret::take(&mut key_array).expose().into());
    (nonce_array, cipher)
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
    let (nonce, cipher) = body_key(message_key, salt);
    let payload = Payload { msg: plaintext, aad: associated };
    cipher.encrypt(&nonce.into(), payload).map_err(|_| Error::Bug("body too long"))
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
    let (nonce, cipher) = body_key(message_key, salt);
    let payload = Payload { msg: sealed, aad: associated };
    cipher.decrypt(&nonce.into(), payload).map_err(|_| Error::Decrypt)
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
    let payload = Payload { msg: header, aad: associated };
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    cipher.encrypt(nonce.into(), payload).map_err(|_| Error::Bug("header too long"))
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
    let payload = Payload { msg: sealed, aad: associated };
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    cipher.decrypt(nonce.into(), payload).map_err(|_| Error::Decrypt)
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
    let (nonce, cipher) = split(key_and_nonce);
    let payload = Payload { msg: plaintext, aad: associated };
    cipher.encrypt(&nonce.into(), payload).map_err(|_| Error::Bug("text too long"))
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
    let (nonce, cipher) = split(key_and_nonce);
    let payload = Payload { msg: sealed, aad: associated };
    cipher.decrypt(&nonce.into(), payload).map_err(|_| Error::Decrypt)
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
