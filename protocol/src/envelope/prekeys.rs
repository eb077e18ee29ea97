//! One-time prekeys on the wire.
//!
//! See docs/SPEC.md, section "Frames".

use bitchat_proto::wire;

use crate::error::Malformed;
use crate::id::{InvitationToken, exactly};
use crate::prekey::{Offer, SignedPrekey};
use crate::time::UnixMillis;

/// Bytes of an X25519 key, of an ML-KEM-1024 key, of a signature.
const DH_BYTES: usize = 32;
const KEM_BYTES: usize = 1_568;
const SIGNATURE_BYTES: usize = 64;

pub(super) fn request(token: Option<InvitationToken>) -> wire::PrekeyRequest {
    wire::PrekeyRequest { token: token.map(|token| token.0.to_vec()).unwrap_or_default() }
}

pub(super) fn parse_request(
    raw: &wire::PrekeyRequest,
) -> Result<Option<InvitationToken>, Malformed> {
    match raw.token.as_slice() {
        [] => Ok(None),
        bytes => Ok(Some(InvitationToken(exactly(bytes, "token")?))),
    }
}

pub(crate) fn response(offer: Offer) -> wire::PrekeyResponse {
    wire::PrekeyResponse { x25519: offer.x25519.map(key), ml_kem: offer.ml_kem.map(key) }
}

/// A key of either kind.
pub(crate) fn key(prekey: SignedPrekey) -> wire::OneTimePrekey {
    let SignedPrekey { id, key, expires, signature } = prekey;
    wire::OneTimePrekey { id, key, expires_ms: expires.0, signature }
}

pub(crate) fn parse_response(raw: wire::PrekeyResponse) -> Result<Offer, Malformed> {
    Ok(Offer {
        x25519: raw.x25519.map(parse_x25519).transpose()?,
        ml_kem: raw.ml_kem.map(parse_ml_kem).transpose()?,
    })
}

pub(crate) fn parse_x25519(raw: wire::OneTimePrekey) -> Result<SignedPrekey, Malformed> {
    parse_key(raw, DH_BYTES)
}

pub(crate) fn parse_ml_kem(raw: wire::OneTimePrekey) -> Result<SignedPrekey, Malformed> {
    parse_key(raw, KEM_BYTES)
}

fn parse_key(raw: wire::OneTimePrekey, bytes: usize) -> Result<SignedPrekey, Malformed> {
    if raw.key.len() != bytes || raw.signature.len() != SIGNATURE_BYTES {
        return Err(Malformed("one-time prekey"));
    }
    let wire::OneTimePrekey { id, key, expires_ms, signature } = raw;
    Ok(SignedPrekey { id, key, expires: UnixMillis(expires_ms), signature })
}

#[cfg(test)]
mod tests {
    use super::super::Frame;
    use super::*;

    fn prekey(length: usize) -> SignedPrekey {
        SignedPrekey { id: 7, key: vec![1; length], expires: UnixMillis(9), signature: vec![2; 64] }
    }

    #[test]
    fn requests_and_answers_survive_encoding() {
        let whole = Offer { x25519: Some(prekey(32)), ml_kem: Some(prekey(1_568)) };
        for offer in [whole, Offer::default()] {
            let bytes = Frame::PrekeyResponse(offer.clone()).encode();
            let decoded = Frame::decode(&bytes).expect("own encoding");
            assert!(matches!(decoded, Frame::PrekeyResponse(again) if again == offer));
        }
        for token in [None, Some(InvitationToken([3; 16]))] {
            let decoded = Frame::decode(&Frame::PrekeyRequest(token).encode());
            assert!(matches!(decoded, Ok(Frame::PrekeyRequest(again)) if again == token));
        }
    }

    #[test]
    fn a_key_or_signature_of_another_length_is_malformed() {
        let cut = SignedPrekey { signature: vec![2; 63], ..prekey(32) };
        for x25519 in [prekey(31), prekey(1_568), cut] {
            let offer = Offer { x25519: Some(x25519), ml_kem: None };
            assert!(Frame::decode(&Frame::PrekeyResponse(offer).encode()).is_err());
        }
        let offer = Offer { x25519: None, ml_kem: Some(prekey(32)) };
        assert!(Frame::decode(&Frame::PrekeyResponse(offer).encode()).is_err());
    }
}
