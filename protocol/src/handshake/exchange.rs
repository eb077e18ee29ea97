//! What both sides must see alike, and the keys that follow from it.

use zeroize::Zeroizing;

use crate::crypto::{DhPublic, KemCiphertext, KemPublic, Secret, Transcript, digest, expand};
use crate::error::Error;
use crate::id::SessionId;
use crate::identity::Certificate;
use crate::ratchet::InitialKeys;

/// The one suite: X25519, ML-KEM-1024, HKDF-SHA-256.
pub(super) const SUITE: u32 = 1;

const SUITE_LABEL: &[u8] = b"bitchat/1 PQXDH 1 X25519 ML-KEM-1024 HKDF-SHA-256";

/// Stands in the transcript for a one-time prekey; no encoded key is this short.
const NONE: &[u8] = b"none";

/// First byte of an encoded key, so that a key of one kind never reads as one of the other.
const X25519: u8 = 1;
const ML_KEM_1024: u8 = 2;

/// The public part of a handshake.
pub(super) struct Exchange<'a> {
    pub(super) initiator: &'a Certificate,
    pub(super) responder: &'a Certificate,
    pub(super) ephemeral: DhPublic,
    pub(super) signed_prekey: (u32, DhPublic),
    pub(super) kem_prekey: (u32, &'a KemPublic),
    pub(super) ciphertext: &'a KemCiphertext,
    pub(super) record_sequence: u64,
}

/// The secret part of a handshake.
pub(super) struct Agreement {
    pub(super) identity_prekey: Secret<32>,
    pub(super) ephemeral_identity: Secret<32>,
    pub(super) ephemeral_prekey: Secret<32>,
    pub(super) shared: Secret<32>,
}

impl Exchange<'_> {
    /// Hash of every public value. The responder's certificate counts by its keys alone: it may have
    /// been renewed since the record was made. The initiator's counts whole, because it travels along.
    pub(super) fn transcript(&self) -> [u8; 32] {
        let mut transcript = Transcript::new(b"bitchat/1 PQXDH");
        transcript.add("suite", &SUITE.to_be_bytes());
        transcript.add("initiator account", &self.initiator.account().0);
        transcript.add("initiator device", &self.initiator.device().0);
        transcript.add("initiator identity", &curve_key(&self.initiator.identity_dh()));
        transcript.add("initiator certificate", &self.initiator.signed_bytes());
        transcript.add("responder account", &self.responder.account().0);
        transcript.add("responder device", &self.responder.device().0);
        transcript.add("responder identity", &curve_key(&self.responder.identity_dh()));
        transcript.add("ephemeral", &curve_key(&self.ephemeral));
        transcript.add("signed prekey id", &self.signed_prekey.0.to_be_bytes());
        transcript.add("signed prekey", &curve_key(&self.signed_prekey.1));
        transcript.add("one-time prekey", NONE);
        transcript.add("kem prekey id", &self.kem_prekey.0.to_be_bytes());
        transcript.add("kem prekey", &kem_bytes(self.kem_prekey.1.as_bytes()));
        transcript.add("one-time kem prekey", NONE);
        transcript.add("kem ciphertext", &kem_bytes(self.ciphertext.as_bytes()));
        transcript.add("record sequence", &self.record_sequence.to_be_bytes());
        transcript.finish()
    }

    /// Suite, both identities in role order, transcript; all of fixed length.
    pub(super) fn associated(&self, transcript: &[u8; 32]) -> Vec<u8> {
        let mut associated = SUITE.to_be_bytes().to_vec();
        for party in [self.initiator, self.responder] {
            associated.extend_from_slice(&party.account().0);
            associated.extend_from_slice(&party.device().0);
            associated.extend_from_slice(party.identity_dh().as_bytes());
        }
        associated.extend_from_slice(transcript);
        associated
    }
}

impl Agreement {
    pub(super) fn derive(&self, transcript: &[u8; 32]) -> Result<InitialKeys, Error> {
        const BUG: Error = Error::Bug("handshake keys");
        let mut material = Zeroizing::new([0xFF; 160]);
        let parts =
            [&self.identity_prekey, &self.ephemeral_identity, &self.ephemeral_prekey, &self.shared];
        // The first 32 bytes stay 0xFF (PQXDH, section 2.2).
        for (slot, part) in material.chunks_exact_mut(32).skip(1).zip(parts) {
            slot.copy_from_slice(part.expose());
        }
        let info = [SUITE_LABEL, transcript].concat();
        let keys: Secret<96> = expand(&[0; 32], material.as_slice(), &info);
        let mut keys = keys.expose().chunks_exact(32).map(Secret::from_slice);
        let mut next = || keys.next().flatten().ok_or(BUG);
        Ok(InitialKeys { root: next()?, header_initiator: next()?, header_responder: next()? })
    }
}

/// Names the session; a hash of its own, so that the associated data stays unseen.
pub(super) fn session_id(transcript: &[u8; 32]) -> SessionId {
    let [a, b, c, d, e, f, g, h, ..] =
        digest(&[b"bitchat/1 session id\0", transcript.as_slice()].concat());
    SessionId([a, b, c, d, e, f, g, h])
}

fn curve_key(key: &DhPublic) -> Vec<u8> {
    [&[X25519], key.as_bytes().as_slice()].concat()
}

fn kem_bytes(bytes: &[u8]) -> Vec<u8> {
    [&[ML_KEM_1024], bytes].concat()
}
