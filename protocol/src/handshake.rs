//! PQXDH: two devices agree on the first keys of a session while one of them sleeps.
//!
//! ```text
//!   DH1 = initiator identity x signed prekey      who started
//!   DH2 = ephemeral x responder identity          who answers
//!   DH3 = ephemeral x signed prekey               forward secrecy
//!   DH4 = ephemeral x one-time prekey             the same at once, if there was one
//!   ss  = ML-KEM-1024 to the KEM prekey           against a quantum computer
//!   keys = HKDF(salt 0, ff*32 || DH1 || DH2 || DH3 [|| DH4] || ss, suite || transcript)
//! ```
//!
//! Follows [PQXDH]. The KEM prekey is a one-time key or the last-resort key of the record. The
//! transcript names all four places and says "none" where there is no key, hence a message with one
//! never derives the keys of a message without.
//!
//! # Invariants
//!
//! - The KEM is not optional and the suite is bound into keys and associated data: no downgrade.
//! - Both sides derive equal keys only if they see the same identities, keys, ids and ciphertext.
//! - [`accept`] proves nothing by itself: the peer is authentic when its first message opens.
//!
//! # What this module does not do
//!
//! It keeps no memory of initial messages: the caller stores [`Accepted::replay`].
//!
//! [PQXDH]: https://signal.org/docs/specifications/pqxdh/

mod exchange;
mod replay;

pub use replay::{is_replay, purge_replays, remember_replay};

use std::fmt::{self, Debug, Formatter};

use bitchat_proto::wire;
use prost::Message;
use rand_core::CryptoRng;

use self::exchange::{Agreement, Exchange, KemPrekey, SUITE};
use crate::crypto::{DhPublic, DhSecret, KemCiphertext, KemSecret, Transcript};
use crate::error::{Error, Malformed};
use crate::id::SessionId;
use crate::identity::{Certificate, Identity};
use crate::invitation::ContactRecord;
use crate::prekey::{OneTimeKeys, OneTimeSecrets, PrekeyUse, Prekeys};
use crate::ratchet::InitialKeys;

/// What [`initiate`] gives.
pub struct Initiated {
    /// Selects the session on both sides.
    pub session: SessionId,
    /// Goes into the associated data of every message.
    pub associated: Vec<u8>,
    /// First keys of the ratchet.
    pub keys: InitialKeys,
    /// To be sent with every message until the responder answers.
    pub initial: wire::Initial,
    /// The responder.
    pub peer: Certificate,
    /// The first ratchet key of the responder.
    pub their_prekey: DhPublic,
    /// Whether one-time keys took part.
    pub prekeys: PrekeyUse,
}

/// What [`accept`] gives.
#[derive(Debug)]
pub struct Accepted {
    /// Selects the session on both sides.
    pub session: SessionId,
    /// Goes into the associated data of every message.
    pub associated: Vec<u8>,
    /// First keys of the ratchet.
    pub keys: InitialKeys,
    /// The initiator, if its first message opens.
    pub peer: Certificate,
    /// Our first ratchet key.
    pub our_prekey: DhSecret,
    /// To be remembered as long as the prekeys: an initial message founds one session.
    pub replay: [u8; 32],
    /// Whether one-time keys took part; they are to be deleted with what this founds.
    pub prekeys: PrekeyUse,
}

/// Starts a session with the device of `record`, on the one-time keys that it handed out. The caller
/// has verified both at the present time, and for that device.
///
/// # Errors
///
/// [`Error::NotAuthentic`] if the record is our own, a key is of low order or serves two purposes.
pub fn initiate(
    identity: &Identity,
    record: &ContactRecord,
    one_time: &OneTimeKeys,
    rng: &mut impl CryptoRng,
) -> Result<Initiated, Error> {
    refuse_reflection(identity, record.certificate())?;
    refuse_reuse(record, one_time)?;
    let ephemeral = DhSecret::random(rng);
    let (signed_id, their_prekey) = record.signed_prekey();
    let kem = match &one_time.ml_kem {
        Some((id, key)) => KemPrekey::OneTime(*id, key),
        None => KemPrekey::LastResort(record.kem_prekey().0, record.kem_prekey().1),
    };
    let (ciphertext, shared) = kem.key().encapsulate(rng);
    let agree_once = |(_, key): (u32, DhPublic)| ephemeral.agree(&key);
    let agreement = Agreement {
        identity_prekey: identity.device().dh().agree(&their_prekey)?,
        ephemeral_identity: ephemeral.agree(&record.certificate().identity_dh())?,
        ephemeral_prekey: ephemeral.agree(&their_prekey)?,
        ephemeral_one_time: one_time.x25519.map(agree_once).transpose()?,
        shared,
    };
    let exchange = Exchange {
        initiator: identity.certificate(),
        responder: record.certificate(),
        ephemeral: ephemeral.public(),
        signed_prekey: (signed_id, their_prekey),
        one_time_prekey: one_time.x25519,
        kem,
        ciphertext: &ciphertext,
        record_sequence: record.sequence(),
    };
    let transcript = exchange.transcript();
    Ok(Initiated {
        session: exchange::session_id(&transcript),
        associated: exchange.associated(&transcript),
        keys: agreement.derive(&transcript)?,
        initial: wire::Initial {
            suite: SUITE,
            certificate: identity.certificate().to_wire().encode_to_vec(),
            ephemeral: ephemeral.public().as_bytes().to_vec(),
            signed_prekey: signed_id,
            kem_prekey: kem.last_resort_id(),
            kem_ciphertext: ciphertext.as_bytes().to_vec(),
            record_sequence: record.sequence(),
            one_time_prekey: one_time.x25519.map_or(0, |(id, _)| id),
            one_time_kem_prekey: kem.one_time_id(),
        },
        peer: record.certificate().clone(),
        their_prekey,
        prekeys: PrekeyUse::of(one_time.x25519.is_some(), one_time.ml_kem.is_some()),
    })
}

/// Derives the session that `initial` proposes, with the secret one-time keys that it names. The work
/// is the same whatever the secrets are.
///
/// # Errors
///
/// [`Error::Malformed`] if a field has the wrong shape, the suite is unknown or not exactly one KEM
/// prekey is named, [`Error::NotAuthentic`] if the certificate does not hold, a key is of low order or serves two
/// purposes, or the message is a reflection of ours, [`Error::Spent`] if we hold a named prekey no longer.
pub fn accept(
    identity: &Identity,
    prekeys: &Prekeys,
    one_time: &OneTimeSecrets,
    initial: &wire::Initial,
) -> Result<Accepted, Error> {
    if initial.suite != SUITE {
        return Err(Malformed("handshake suite").into());
    }
    let ephemeral = DhPublic::parse(&initial.ephemeral)?;
    let ciphertext = KemCiphertext::parse(&initial.kem_ciphertext)?;
    let peer = Certificate::decode(&initial.certificate)?;
    refuse_reflection(identity, &peer)?;
    if ephemeral == peer.identity_dh() {
        return Err(Error::NotAuthentic("one key for two purposes"));
    }
    let signed = prekeys.signed_by_id(initial.signed_prekey).ok_or(Error::Spent)?;
    let once = match initial.one_time_prekey {
        0 => None,
        id => Some(one_time.x25519.as_ref().filter(|key| key.0 == id).ok_or(Error::Spent)?),
    };
    let (kem, kem_secret) = kem_prekey(prekeys, one_time, initial)?;

    // All are computed before the first is judged.
    let identity_prekey = signed.secret().agree(&peer.identity_dh());
    let ephemeral_identity = identity.device().dh().agree(&ephemeral);
    let ephemeral_prekey = signed.secret().agree(&ephemeral);
    let ephemeral_one_time = once.map(|(_, secret)| secret.agree(&ephemeral));
    let shared = kem_secret.decapsulate(&ciphertext);
    let agreement = Agreement {
        identity_prekey: identity_prekey?,
        ephemeral_identity: ephemeral_identity?,
        ephemeral_prekey: ephemeral_prekey?,
        ephemeral_one_time: ephemeral_one_time.transpose()?,
        shared,
    };
    let exchange = Exchange {
        initiator: &peer,
        responder: identity.certificate(),
        ephemeral,
        signed_prekey: (signed.id(), signed.secret().public()),
        one_time_prekey: once.map(|(id, secret)| (*id, secret.public())),
        kem,
        ciphertext: &ciphertext,
        record_sequence: initial.record_sequence,
    };
    let transcript = exchange.transcript();
    Ok(Accepted {
        session: exchange::session_id(&transcript),
        associated: exchange.associated(&transcript),
        keys: agreement.derive(&transcript)?,
        our_prekey: DhSecret::from_secret(signed.secret().secret().duplicate()),
        replay: replay(&ephemeral, initial),
        prekeys: PrekeyUse::of(once.is_some(), kem.one_time_id() != 0),
        peer,
    })
}

/// The one KEM prekey that the message names, as both sides must see it, and its secret.
fn kem_prekey<'a>(
    prekeys: &'a Prekeys,
    one_time: &'a OneTimeSecrets,
    initial: &wire::Initial,
) -> Result<(KemPrekey<'a>, &'a KemSecret), Error> {
    match (initial.kem_prekey, initial.one_time_kem_prekey) {
        (id, 0) if id != 0 => {
            let secret = prekeys.kem_by_id(id).ok_or(Error::Spent)?.secret();
            Ok((KemPrekey::LastResort(id, secret.public()), secret))
        }
        (0, id) if id != 0 => {
            let held = one_time.ml_kem.as_ref().filter(|key| key.0 == id);
            let (_, secret) = held.ok_or(Error::Spent)?;
            Ok((KemPrekey::OneTime(id, secret.public()), secret))
        }
        _ => Err(Malformed("KEM prekey").into()),
    }
}

/// Refuses a peer that has a key of ours: its message is one of ours, sent back.
fn refuse_reflection(identity: &Identity, peer: &Certificate) -> Result<(), Error> {
    let ours = identity.certificate();
    let reflected = peer.account() == ours.account()
        || peer.device() == ours.device()
        || peer.identity_dh() == ours.identity_dh();
    if reflected { Err(Error::NotAuthentic("handshake with ourselves")) } else { Ok(()) }
}

/// Refuses a one-time key that the record has as another key.
fn refuse_reuse(record: &ContactRecord, one_time: &OneTimeKeys) -> Result<(), Error> {
    let is_dh = one_time.x25519.is_some_and(|(_, key)| {
        key == record.signed_prekey().1 || key == record.certificate().identity_dh()
    });
    let is_kem = one_time.ml_kem.as_ref().is_some_and(|(_, key)| key == record.kem_prekey().1);
    if is_dh || is_kem { Err(Error::NotAuthentic("one key for two purposes")) } else { Ok(()) }
}

fn replay(ephemeral: &DhPublic, initial: &wire::Initial) -> [u8; 32] {
    let mut transcript = Transcript::new(b"bitchat/1 initial message");
    transcript.add("ephemeral", ephemeral.as_bytes());
    transcript.add("signed prekey", &initial.signed_prekey.to_be_bytes());
    transcript.add("kem prekey", &initial.kem_prekey.to_be_bytes());
    transcript.add("one-time prekey", &initial.one_time_prekey.to_be_bytes());
    transcript.add("one-time kem prekey", &initial.one_time_kem_prekey.to_be_bytes());
    transcript.finish()
}

impl Debug for Initiated {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiated")
            .field("session", &self.session)
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}
