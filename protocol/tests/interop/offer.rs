//! One-time prekeys as both devices exchange them: an encoded `PrekeyResponse`.

use bitchat_proto::prost::Message;
use bitchat_proto::wire;
use bitchat_protocol::crypto::{DhSecret, KemSecret};
use bitchat_protocol::envelope::Frame;
use bitchat_protocol::identity::Identity;
use bitchat_protocol::prekey::{Algorithm, ONE_TIME_VALIDITY, Offer, OneTimeSecrets, SignedPrekey};
use rand_chacha::ChaCha20Rng;

use crate::side::NOW;

/// Keys of both kinds, of one or of none, as `choice` says.
pub(crate) fn secrets(rng: &mut ChaCha20Rng, choice: u32) -> OneTimeSecrets {
    let (dh, kem) = (DhSecret::random(rng), KemSecret::random(rng));
    OneTimeSecrets {
        x25519: (choice & 1 != 0).then_some((5, dh)),
        ml_kem: (choice & 2 != 0).then_some((6, kem)),
    }
}

/// Signed by their device.
pub(crate) fn offer(identity: &Identity, secrets: &OneTimeSecrets) -> Offer {
    let issue = |algorithm, id, key: &[u8]| {
        let expires = NOW.plus(ONE_TIME_VALIDITY);
        SignedPrekey::issue(identity.device(), algorithm, id, key, expires)
    };
    let x25519 = secrets.x25519.as_ref();
    let ml_kem = secrets.ml_kem.as_ref();
    Offer {
        x25519: x25519.map(|(id, key)| issue(Algorithm::X25519, *id, key.public().as_bytes())),
        ml_kem: ml_kem.map(|(id, key)| issue(Algorithm::MlKem1024, *id, key.public().as_bytes())),
    }
}

/// What the frame of an answer carries.
pub(crate) fn encode_offer(offer: Offer) -> Vec<u8> {
    let link = wire::Link::decode(Frame::PrekeyResponse(offer).encode().as_slice());
    match link.expect("own encoding").frame {
        Some(wire::link::Frame::PrekeyResponse(response)) => response.encode_to_vec(),
        _ => Vec::new(),
    }
}

/// The offer of the foreign device, without what `choice` leaves out.
pub(crate) fn decode_offer(bytes: &[u8], choice: u32) -> Offer {
    let response = wire::PrekeyResponse::decode(bytes).expect("an answer");
    let frame = Some(wire::link::Frame::PrekeyResponse(response));
    let frame = Frame::decode(&wire::Link { frame }.encode_to_vec()).expect("well formed");
    let Frame::PrekeyResponse(Offer { x25519, ml_kem }) = frame else { return Offer::default() };
    Offer { x25519: x25519.filter(|_| choice & 1 != 0), ml_kem: ml_kem.filter(|_| choice & 2 != 0) }
}
