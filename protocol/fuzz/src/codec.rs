//! What comes from the network or from a person, before any key is involved.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bitchat_proto::wire;
use bitchat_protocol::crypto::{Label, digest};
use bitchat_protocol::envelope::{Content, Frame};
use bitchat_protocol::id::{AccountId, DeviceId, MessageId};
use bitchat_protocol::identity::Certificate;
use bitchat_protocol::invitation::{ContactRecord, Invitation};
use bitchat_protocol::session::unpad;
use prost::Message;

use super::forge::{Forger, NOW};

/// A frame that parses comes back from its own encoding.
pub fn frame(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(bytes) {
        let encoded = frame.encode();
        assert!(encoded.len() <= bytes.len(), "a frame grows by being parsed");
        let again = Frame::decode(&encoded).expect("own encoding");
        assert_eq!(again.encode(), encoded);
    }
}

/// Content that parses comes back from its own encoding; padding comes off without a panic.
pub fn content(bytes: &[u8]) {
    let _ = unpad(bytes.to_vec());
    if let Ok(content) = Content::decode(bytes) {
        let encoded = content.encode();
        let again = Content::decode(&encoded).expect("own encoding");
        assert!(again.body == content.body);
        assert_eq!(again.encode(), encoded);
    }
}

/// The bytes as a record, and as the fields of a record whose signatures hold.
pub fn contact_record(bytes: &[u8]) {
    check_record(bytes);
    if let Ok(fields) = wire::ContactRecord::decode(bytes) {
        let forger = Forger::new();
        check_record(&forger.sign(&fields));
        let certificate = Some(forger.certificate());
        check_record(&forger.sign(&wire::ContactRecord { certificate, ..fields }));
    }
}

fn check_record(bytes: &[u8]) {
    let Ok(record) = ContactRecord::parse(bytes) else {
        return;
    };
    assert!(record.created() < record.expires());
    assert!(!record.supersedes(&record), "a record supersedes itself");
    assert!(record.check_time(record.created()).is_ok());
    assert!(record.check_time(record.expires()).is_err());
    assert!(record.signed_prekey().0 != 0 && record.kem_prekey().0 != 0);
    assert_eq!(ContactRecord::parse(bytes).ok(), Some(record));
}

/// The bytes as an answer with one-time prekeys, and as one whose keys its device has signed.
pub fn one_time_prekeys(bytes: &[u8]) {
    let Ok(fields) = wire::PrekeyResponse::decode(bytes) else {
        return;
    };
    let forger = Forger::new();
    let sign = |prekey, algorithm| sign_prekey(&forger, prekey, algorithm);
    let signed = wire::PrekeyResponse {
        x25519: fields.x25519.clone().map(|prekey| sign(prekey, 1)),
        ml_kem: fields.ml_kem.clone().map(|prekey| sign(prekey, 2)),
    };
    let device = DeviceId(forger.device.public());
    for response in [fields, signed] {
        let link = wire::Link { frame: Some(wire::link::Frame::PrekeyResponse(response)) };
        let Ok(Frame::PrekeyResponse(offer)) = Frame::decode(&link.encode_to_vec()) else {
            continue;
        };
        let Ok(keys) = offer.verify(&device, NOW) else {
            continue;
        };
        assert_eq!(keys.x25519.is_some(), offer.x25519.is_some());
        assert_eq!(keys.ml_kem.is_some(), offer.ml_kem.is_some());
        assert!(keys.x25519.is_none_or(|(id, _)| id != 0));
        if let Some(expires) = offer.expires() {
            assert!(offer.verify(&device, expires).is_err(), "an expired key is taken");
            let other = DeviceId(forger.account.public());
            assert!(offer.verify(&other, NOW).is_err(), "a key of another device is taken");
        }
    }
}

/// Signs a one-time prekey, whatever it holds.
fn sign_prekey(
    forger: &Forger,
    mut prekey: wire::OneTimePrekey,
    algorithm: u32,
) -> wire::OneTimePrekey {
    let mut bytes = forger.device.public().to_vec();
    bytes.extend(algorithm.to_be_bytes());
    bytes.extend(prekey.id.to_be_bytes());
    bytes.extend(prekey.expires_ms.to_be_bytes());
    bytes.extend(&prekey.key);
    prekey.signature = forger.device.sign(Label::OneTimePrekey, &bytes).to_vec();
    prekey
}

/// The bytes as a certificate, and as one that its account has signed.
pub fn certificate(bytes: &[u8]) {
    check_certificate(bytes);
    if let Ok(fields) = wire::Certificate::decode(bytes) {
        let forger = Forger::new();
        check_certificate(&forger.certify(fields.clone()).encode_to_vec());
        let account = forger.account.public().to_vec();
        check_certificate(&forger.certify(wire::Certificate { account, ..fields }).encode_to_vec());
    }
}

fn check_certificate(bytes: &[u8]) {
    if let Ok(certificate) = Certificate::decode(bytes) {
        assert_eq!(certificate.to_wire().encode_to_vec(), bytes, "two spellings");
        assert_ne!(certificate.account().0, certificate.device().0);
    }
}

/// The bytes as a link, and as what a link with a good check holds.
pub fn invitation_link(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check_link(text);
    }
    let checked = [bytes, &digest(bytes)[..4]].concat();
    check_link(&format!("bitchat:{}", URL_SAFE_NO_PAD.encode(checked)));
}

fn check_link(text: &str) {
    let Ok(invitation) = Invitation::parse_link(text) else {
        return;
    };
    assert_eq!(invitation.to_link(), text.trim_ascii(), "two spellings");
    let _ = invitation.is_expired(NOW);
    if let Ok(short) = invitation.to_short() {
        let again = Invitation::parse_link(&short.to_link()).expect("own link");
        assert_eq!(again, short);
    }
}

/// An id that parses prints as it was written; any 32 or 16 bytes make an id.
pub fn ids(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(id) = text.parse::<AccountId>() {
            assert_eq!(id.to_string(), text);
        }
        if let Ok(id) = text.parse::<MessageId>() {
            assert_eq!(id.to_string(), text);
        }
    }
    if let Some((id, _)) = bytes.split_first_chunk() {
        let id = AccountId(*id);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(!id.fingerprint().is_empty());
    }
    if let Some((id, _)) = bytes.split_first_chunk() {
        let id = MessageId(*id);
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
