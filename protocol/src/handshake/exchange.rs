//! What both sides must see alike, and the keys that follow from it.
//!
//! See docs/SPEC.md, section "Handshake".

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
    pub(super) one_time_prekey: Option<(u32, DhPublic)>,
    pub(super) kem: KemPrekey<'a>,
    pub(super) ciphertext: &'a KemCiphertext,
    pub(super) record_sequence: u64,
}

/// Id and key of the KEM prekey; the ids of both kinds are never looked up in each other's place.
#[derive(Clone, Copy)]
pub(super) enum KemPrekey<'a> {
    LastResort(u32, &'a KemPublic),
    OneTime(u32, &'a KemPublic),
}

/// The secret part of a handshake.
pub(super) struct Agreement {
    pub(super) identity_prekey: Secret<32>,
    pub(super) ephemeral_identity: Secret<32>,
    pub(super) ephemeral_prekey: Secret<32>,
    pub(super) ephemeral_one_time: Option<Secret<32>>,
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
        let numbered = |id: u32, key: Vec<u8>| [id.to_be_bytes().to_vec(), key].concat();
        let one_time = self.one_time_prekey.map(|(id, key)| numbered(id, curve_key(&key)));
        transcript.add("one-time prekey", &one_time.unwrap_or_else(|| NONE.to_vec()));
        let key = kem_bytes(self.kem.key().as_bytes());
        let (last_resort, one_time) = match self.kem {
            KemPrekey::LastResort(..) => (key, NONE.to_vec()),
            KemPrekey::OneTime(id, _) => (NONE.to_vec(), numbered(id, key)),
        };
        transcript.add("kem prekey id", &self.kem.last_resort_id().to_be_bytes());
        transcript.add("kem prekey", &last_resort);
        transcript.add("one-time kem prekey", &one_time);
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

impl<'a> KemPrekey<'a> {
    pub(super) const fn key(self) -> &'a KemPublic {
        let (Self::LastResort(_, key) | Self::OneTime(_, key)) = self;
        key
    }

    /// Of the last-resort key, 0 without it.
    pub(super) const fn last_resort_id(self) -> u32 {
        match self {
            Self::LastResort(id, _) => id,
            Self::OneTime(..) => 0,
        }
    }

    /// Of the one-time key, 0 without it.
    pub(super) const fn one_time_id(self) -> u32 {
        match self {
            Self::LastResort(..) => 0,
            Self::OneTime(id, _) => id,
        }
    }
}

impl Agreement {
    pub(super) fn derive(&self, transcript: &[u8; 32]) -> Result<InitialKeys, Error> {
        const BUG: Error = Error::Bug("handshake keys");
        let mut material = Zeroizing::new([0xFF; 192]);
        let parts = [&self.identity_prekey, &self.ephemeral_identity, &self.ephemeral_prekey];
        let parts = parts.into_iter().chain(&self.ephemeral_one_time).chain([&self.shared]);
        // The first 32 bytes stay 0xFF (PQXDH, section 2.2).
        let mut length = 32;
        for (slot, part) in material.chunks_exact_mut(32).skip(1).zip(parts) {
            slot.copy_from_slice(part.expose());
            length += 32;
        }
        let material = material.get(..length).ok_or(BUG)?;
        let info = [SUITE_LABEL, transcript].concat();
        let keys: Secret<96> = expand(&[0; 32], material, &info);
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

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::crypto::{DhSecret, KemSecret};
    use crate::identity::{Account, Device, Phrase};
    use crate::time::UnixMillis;

    /// Re-encapsulation: the same shared secret under another KEM key or in another ciphertext must not
    /// give the same session, nor may any other public value be exchanged.
    #[test]
    fn every_public_value_changes_the_keys() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let [alice, bob, other] = [(); 3].map(|()| certificate(&mut rng));
        let [ephemeral, prekey, once, point] =
            [(); 4].map(|()| DhSecret::random(&mut rng).public());
        let [kem, other_kem] = [(); 2].map(|()| KemSecret::random(&mut rng));
        let [ciphertext, other_ciphertext] = [(); 2].map(|()| kem.public().encapsulate(&mut rng).0);
        let base = || Exchange {
            initiator: &alice,
            responder: &bob,
            ephemeral,
            signed_prekey: (1, prekey),
            one_time_prekey: Some((1, once)),
            kem: KemPrekey::LastResort(1, kem.public()),
            ciphertext: &ciphertext,
            record_sequence: 1,
        };
        let others = [
            Exchange { initiator: &other, ..base() },
            Exchange { responder: &other, ..base() },
            Exchange { initiator: &bob, responder: &alice, ..base() },
            Exchange { ephemeral: point, ..base() },
            Exchange { ephemeral: prekey, signed_prekey: (1, ephemeral), ..base() },
            Exchange { signed_prekey: (2, prekey), ..base() },
            Exchange { signed_prekey: (1, point), ..base() },
            Exchange { one_time_prekey: None, ..base() },
            Exchange { one_time_prekey: Some((2, once)), ..base() },
            Exchange { one_time_prekey: Some((1, point)), ..base() },
            Exchange { signed_prekey: (1, once), one_time_prekey: Some((1, prekey)), ..base() },
            Exchange { kem: KemPrekey::LastResort(2, kem.public()), ..base() },
            Exchange { kem: KemPrekey::LastResort(1, other_kem.public()), ..base() },
            Exchange { kem: KemPrekey::OneTime(1, kem.public()), ..base() },
            Exchange { ciphertext: &other_ciphertext, ..base() },
            Exchange { record_sequence: 2, ..base() },
        ];
        let agreement = agreement([1, 2, 3, 4]);

        let keys = agreement.derive(&base().transcript()).expect("derived");
        for (index, exchange) in others.iter().enumerate() {
            let transcript = exchange.transcript();
            let changed = agreement.derive(&transcript).expect("derived");

            assert_ne!(changed.root, keys.root, "change {index}");
            assert_ne!(changed.header_initiator, keys.header_initiator, "change {index}");
            assert_ne!(changed.header_responder, keys.header_responder, "change {index}");
            assert_ne!(session_id(&transcript), session_id(&base().transcript()));
        }
    }

    /// Computed a second time by a Python program from RFC 5869.
    #[test]
    fn the_keys_match_their_known_answer() {
        let keys = agreement([1, 2, 3, 4]).derive(&[0; 32]).expect("derived");

        assert_eq!(keys.root.expose()[..8], [0x81, 0x52, 0x20, 0x54, 0x4D, 0x7E, 0xCF, 0x1C]);
        assert_eq!(
            keys.header_initiator.expose()[..8],
            [0xD0, 0x4A, 0x93, 0x64, 0x88, 0x88, 0x44, 0x78]
        );
        assert_eq!(
            keys.header_responder.expose()[..8],
            [0x75, 0x4D, 0x30, 0x76, 0xA7, 0x00, 0x1B, 0x90]
        );
    }

    #[test]
    fn every_shared_secret_changes_the_keys() {
        let keys = agreement([1, 2, 3, 4]).derive(&[0; 32]).expect("derived");
        for parts in [[9, 2, 3, 4], [1, 9, 3, 4], [1, 2, 9, 4], [1, 2, 3, 9], [2, 1, 3, 4]] {
            let changed = agreement(parts).derive(&[0; 32]).expect("derived");

            assert_ne!(changed.root, keys.root, "{parts:?}");
        }
        let once = |byte| Agreement {
            ephemeral_one_time: Some(Secret::take(&mut [byte; 32])),
            ..agreement([1, 2, 3, 4])
        };
        let with = once(5).derive(&[0; 32]).expect("derived");
        assert_ne!(with.root, keys.root);
        assert_ne!(with.root, once(6).derive(&[0; 32]).expect("derived").root);
    }

    #[test]
    fn a_curve_key_never_reads_as_a_kem_value() {
        let point = DhSecret::random(&mut ChaCha20Rng::seed_from_u64(1)).public();

        assert_ne!(curve_key(&point), kem_bytes(point.as_bytes()));
    }

    fn agreement(bytes: [u8; 4]) -> Agreement {
        let [a, b, c, d] = bytes.map(|byte| Secret::take(&mut [byte; 32]));
        Agreement {
            identity_prekey: a,
            ephemeral_identity: b,
            ephemeral_prekey: c,
            ephemeral_one_time: None,
            shared: d,
        }
    }

    fn certificate(rng: &mut ChaCha20Rng) -> Certificate {
        let phrase = Phrase::generate(rng).expect("32 bytes");
        Account::from_phrase(&phrase).certify(&Device::random(rng), 0, 1, UnixMillis(1))
    }
}
