//! The header of a message: which chain, which number; fixed size, sealed under the header key.
//!
//! ```text
//!   plain   dh 32 | be32 previous | be32 number
//!   sealed  nonce 24 | XChaCha20-Poly1305(plain) 40 | tag 16
//! ```
//!
//! An extension of the plain header is a second length in [`Header::try_open`]: the length of a
//! sealed header is the only thing that shows which of the two it is.

use crate::crypto::{
    BODY_TAG_BYTES, DhPublic, HEADER_NONCE_BYTES, Secret, open_header, seal_header,
};
use crate::error::{Error, Malformed};

/// Bytes of a plain header.
const HEADER_BYTES: usize = 40;

/// Bytes of a sealed header with its nonce.
pub const SEALED_HEADER_BYTES: usize = HEADER_NONCE_BYTES + HEADER_BYTES + BODY_TAG_BYTES;

/// A plain header.
pub(super) struct Header {
    /// The sender's ratchet key.
    pub(super) dh: DhPublic,
    /// Messages of the sender's previous chain.
    pub(super) previous: u32,
    /// Number of the message in its chain, from 0.
    pub(super) number: u32,
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
        let mut sealed = Vec::with_capacity(SEALED_HEADER_BYTES);
        sealed.extend_from_slice(nonce);
        sealed.extend_from_slice(&seal_header(key, nonce, associated, &self.bind(&[]))?);
        Ok(sealed)
    }

    /// Associated data of the body: `associated`, then the plain header. The header's length is
    /// known, so the border between the two is too.
    pub(super) fn bind(&self, associated: &[u8]) -> Vec<u8> {
        let mut bound = Vec::with_capacity(associated.len() + HEADER_BYTES);
        bound.extend_from_slice(associated);
        bound.extend_from_slice(self.dh.as_bytes());
        bound.extend_from_slice(&self.previous.to_be_bytes());
        bound.extend_from_slice(&self.number.to_be_bytes());
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
        let (previous, number) = rest.split_first_chunk::<4>().ok_or(WRONG)?;
        Ok(Self {
            dh: DhPublic::parse(dh)?,
            previous: u32::from_be_bytes(*previous),
            number: u32::from_be_bytes(number.try_into().map_err(|_| WRONG)?),
        })
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
            .filter(|_| bytes.len() == SEALED_HEADER_BYTES)
            .map(|(nonce, text)| Self { nonce: *nonce, text })
            .ok_or(Malformed("sealed ratchet header"))
    }
}
