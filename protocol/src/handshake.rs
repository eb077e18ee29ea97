//! PQXDH: two devices agree on the first keys of a session while one of them sleeps.
//!
//! ```text
//!   DH1 = initiator identity x signed prekey      who started
//!   DH2 = ephemeral x responder identity          who answers
//!   DH3 = ephemeral x signed prekey               forward secrecy
//!   ss  = ML-KEM-1024 to the KEM prekey           against a quantum computer
//!   keys = HKDF(salt 0, ff*32 || DH1 || DH2 || DH3 || ss, suite || transcript)
//! ```
//!
//! Follows [PQXDH]. One-time prekeys do not exist yet; the transcript says so, hence a
//! message with one will never derive the keys of a message without.
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

use self::exchange::{Agreement, Exchange, SUITE};
use crate::crypto::{DhPublic, DhSecret, KemCiphertext, Transcript};
use crate::error::{Error, Malformed};
use crate::id::SessionId;
use crate::identity::{Certificate, Identity};
use crate::invitation::ContactRecord;
use crate::prekey::Prekeys;
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
}

/// Starts a session with the device of `record`, which the caller has verified at the present time.
///
/// # Errors
///
/// [`Error::NotAuthentic`] if the record is our own or holds a low-order key.
pub fn initiate(
    identity: &Identity,
    record: &ContactRecord,
    rng: &mut impl CryptoRng,
) -> Result<Initiated, Error> {
    refuse_reflection(identity, record.certificate())?;
    let ephemeral = DhSecret::random(rng);
    let (signed_id, their_prekey) = record.signed_prekey();
    let (kem_id, kem_public) = record.kem_prekey();
    let (ciphertext, shared) = kem_public.encapsulate(rng);
    let agreement = Agreement {
        identity_prekey: identity.device().dh().agree(&their_prekey)?,
        ephemeral_identity: ephemeral.agree(&record.certificate().identity_dh())?,
        ephemeral_prekey: ephemeral.agree(&their_prekey)?,
        shared,
    };
    let exchange = Exchange {
        initiator: identity.certificate(),
        responder: record.certificate(),
        ephemeral: ephemeral.public(),
        signed_prekey: (signed_id, their_prekey),
        kem_prekey: (kem_id, kem_public),
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
            kem_prekey: kem_id,
            kem_ciphertext: ciphertext.as_bytes().to_vec(),
            record_sequence: record.sequence(),
        },
        peer: record.certificate().clone(),
        their_prekey,
    })
}

/// Derives the session that `initial` proposes. The work is the same whatever the secrets are.
///
/// # Errors
///
/// [`Error::Malformed`] if a field has the wrong shape or the suite is unknown,
/// [`Error::NotAuthentic`] if the certificate does not hold, a key is of low order or serves two
/// purposes, or the message is a reflection of ours, [`Error::Spent`] if we hold a named prekey no longer.
pub fn accept(
    identity: &Identity,
    prekeys: &Prekeys,
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
    let kem = prekeys.kem_by_id(initial.kem_prekey).ok_or(Error::Spent)?;

    // All four are computed before the first is judged.
    let identity_prekey = signed.secret().agree(&peer.identity_dh());
    let ephemeral_identity = identity.device().dh().agree(&ephemeral);
    let ephemeral_prekey = signed.secret().agree(&ephemeral);
    let shared = kem.secret().decapsulate(&ciphertext);
    let agreement = Agreement {
        identity_prekey: identity_prekey?,
        ephemeral_identity: ephemeral_identity?,
        ephemeral_prekey: ephemeral_prekey?,
        shared,
    };
    let exchange = Exchange {
        initiator: &peer,
        responder: identity.certificate(),
        ephemeral,
        signed_prekey: (signed.id(), signed.secret().public()),
        kem_prekey: (kem.id(), kem.secret().public()),
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
        peer,
    })
}

/// Refuses a peer that has a key of ours: its message is one of ours, sent back.
fn refuse_reflection(identity: &Identity, peer: &Certificate) -> Result<(), Error> {
    let ours = identity.certificate();
    let reflected = peer.account() == ours.account()
        || peer.device() == ours.device()
        || peer.identity_dh() == ours.identity_dh();
    if reflected { Err(Error::NotAuthentic("handshake with ourselves")) } else { Ok(()) }
}

fn replay(ephemeral: &DhPublic, initial: &wire::Initial) -> [u8; 32] {
    let mut transcript = Transcript::new(b"bitchat/1 initial message");
    transcript.add("ephemeral", ephemeral.as_bytes());
    transcript.add("signed prekey", &initial.signed_prekey.to_be_bytes());
    transcript.add("kem prekey", &initial.kem_prekey.to_be_bytes());
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
