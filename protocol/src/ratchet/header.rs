//! The header of a message: which chain, which number; of two sizes, sealed under the header key.
//!
//! ```text
//!   plain      dh 32 | be32 previous | be32 number                                  40
//!   extended   plain | 01 | ML-KEM-768 key 1184          or
//!              plain | 02 | ML-KEM-768 ciphertext 1088 | 00 * 96                  1,225
//!   sealed     nonce 24 | XChaCha20-Poly1305(plain or extended) | tag 16      80 or 1,265
//! ```
//!
//! Key and ciphertext have one size, so that a length shows only that an exchange goes on.
//!
//! See docs/SPEC.md, section "Ratchet".

use crate::crypto::{
    BODY_TAG_BYTES, Ciphertext, DhPublic, EncapsulationKey, HEADER_NONCE_BYTES, Secret,
    open_header, seal_header,
};
use crate::error::{Error, Malformed};

use super::healing::Extension;

/// Bytes of a plain header.
const HEADER_BYTES: usize = 40;

/// Bytes that an extension adds: its kind, and the longer one of key and ciphertext.
pub const EXTENSION_BYTES: usize = 1 + KEY_BYTES;

const KEY_BYTES: usize = 1184;
const CIPHERTEXT_BYTES: usize = 1088;

/// Kinds of extensions.
const KEY: u8 = 1;
const CIPHERTEXT: u8 = 2;

/// Bytes of a sealed header with its nonce.
pub const SEALED_HEADER_BYTES: usize = HEADER_NONCE_BYTES + HEADER_BYTES + BODY_TAG_BYTES;

/// The same of an extended header.
pub const SEALED_EXTENDED_HEADER_BYTES: usize = SEALED_HEADER_BYTES + EXTENSION_BYTES;

/// A plain header.
pub(super) struct Header {
    /// The sender's ratchet key.
    pub(super) dh: DhPublic,
    /// Messages of the sender's previous chain.
    pub(super) previous: u32,
    /// Number of the message in its chain, from 0.
    pub(super) number: u32,
    /// The same in each header of a chain.
    pub(super) extension: Option<Extension>,
}

/// A sealed header, cut into its parts.
pub(super) struct SealedHeader<'a> {
    /// Also the salt of the body's key.
    pub(super) nonce: [u8; HEADER_NONCE_BYTES],
    text: &'a [u8],
}

impl Header {
    /// Nonce and sealed header.
    pub(super) fn seal(
        &self,
        key: &Secret<32>,
        nonce: &[u8; HEADER_NONCE_BYTES],
        associated: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let mut sealed = nonce.to_vec();
        sealed.extend_from_slice(&seal_header(key, nonce, associated, &self.bind(&[]))?);
        Ok(sealed)
    }

    /// Associated data of the body: `associated`, then the plain header with its extension. The
    /// caller's part has one length for a session, so the border between the two is known.
    pub(super) fn bind(&self, associated: &[u8]) -> Vec<u8> {
        let extended = if self.extension.is_some() { EXTENSION_BYTES } else { 0 };
        let mut bound = Vec::with_capacity(associated.len() + HEADER_BYTES + extended);
        bound.extend_from_slice(associated);
        bound.extend_from_slice(self.dh.as_bytes());
        bound.extend_from_slice(&self.previous.to_be_bytes());
        bound.extend_from_slice(&self.number.to_be_bytes());
        let (kind, bytes) = match &self.extension {
            None => return bound,
            Some(Extension::Key(key)) => (KEY, key.as_bytes()),
            Some(Extension::Ciphertext(ciphertext)) => (CIPHERTEXT, ciphertext.as_bytes()),
        };
        bound.push(kind);
        bound.extend_from_slice(bytes);
        bound.resize(associated.len() + HEADER_BYTES + EXTENSION_BYTES, 0);
        bound
    }

    /// The header if `key` opens it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it opens and is no header: the peer's fault, no oracle for anybody else.
    pub(super) fn try_open(
        sealed: &SealedHeader<'_>,
        key: &Secret<32>,
        associated: &[u8],
    ) -> Result<Option<Self>, Malformed> {
        open_header(key, &sealed.nonce, associated, sealed.text)
            .ok()
            .map(|plain| Self::parse(&plain))
            .transpose()
    }

    fn parse(plain: &[u8]) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("ratchet header");
        let (dh, rest) = plain.split_first_chunk::<32>().ok_or(WRONG)?;
        let (previous, rest) = rest.split_first_chunk::<4>().ok_or(WRONG)?;
        let (number, extension) = rest.split_first_chunk::<4>().ok_or(WRONG)?;
        Ok(Self {
            dh: DhPublic::parse(dh)?,
            previous: u32::from_be_bytes(*previous),
            number: u32::from_be_bytes(*number),
            extension: parse_extension(extension)?,
        })
    }
}

/// What stands behind the plain header; its length is that of a header already.
fn parse_extension(bytes: &[u8]) -> Result<Option<Extension>, Malformed> {
    const WRONG: Malformed = Malformed("ratchet header extension");
    match bytes.split_first() {
        None => Ok(None),
        Some((&KEY, key)) => Ok(Some(Extension::Key(EncapsulationKey::parse(key)?))),
        Some((&CIPHERTEXT, rest)) => {
            let (ciphertext, padding) = rest.split_at_checked(CIPHERTEXT_BYTES).ok_or(WRONG)?;
            if padding.iter().any(|byte| *byte != 0) {
                return Err(WRONG);
            }
            Ok(Some(Extension::Ciphertext(Ciphertext::parse(ciphertext)?)))
        }
        Some(_) => Err(WRONG),
    }
}

impl<'a> SealedHeader<'a> {
    /// Cuts `bytes`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the length is wrong.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        bytes
            .split_first_chunk()
            .filter(|_| [SEALED_HEADER_BYTES, SEALED_EXTENDED_HEADER_BYTES].contains(&bytes.len()))
            .map(|(nonce, text)| Self { nonce: *nonce, text })
            .ok_or(Malformed("sealed ratchet header"))
    }
}
