//! The double ratchet: one conversation's keys, forward-secret and self-healing.
//!
//! ```text
//!   root key --DH--> root key --DH--> ...                   one step per change of direction
//!       \                \
//!        chain key        chain key --HMAC--> chain key     one step per message
//! ```
//!
//! Follows [Double Ratchet, revision 4], section 4: headers are encrypted, so that relays cannot
//! follow a conversation by its ratchet key. Each direction has a header key in use and the next
//! one; a message under the next one turns the ratchet. An ML-KEM exchange is mixed into the root key
//! now and then (`healing`). See docs/SPEC.md, section "Ratchet".
//!
//! # Invariants
//!
//! - A message key is used once: it is removed in the same step that gives the plaintext.
//! - A failed [`Ratchet::open`] or [`Ratchet::seal`] leaves the ratchet as it was, byte for byte.
//! - At most [`SKIPPED_KEYS_MAX`] skipped message keys exist; the oldest goes first.
//! - No (key, nonce) pair depends on stored state alone: a random nonce is in each, so that a
//!   state restored from a snapshot repeats none.
//!
//! # What this module does not do
//!
//! It stores nothing and sends nothing: the caller writes the new record and [`Opened::changes`]
//! in one batch, and lets nothing leave before that batch is durable. Skipped keys are rows of
//! their own, so that the record stays small.
//!
//! [Double Ratchet, revision 4]: https://signal.org/docs/specifications/doubleratchet/

mod chain;
mod header;
mod healing;
mod record;
mod skipped;
mod step;
#[cfg(test)]
mod tests;

pub use header::{EXTENSION_BYTES, SEALED_EXTENDED_HEADER_BYTES, SEALED_HEADER_BYTES};
pub use healing::{HEALING_AGE, HEALING_TURNS};
pub use record::wipe;
pub use skipped::{SkippedAt, SkippedChange, SkippedKeys};

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use rand_core::CryptoRng;
use zeroize::ZeroizeOnDrop;

use crate::crypto::{DhPublic, DhSecret, HEADER_NONCE_BYTES, Secret, chain_step, seal_body};
use crate::error::Error;
use crate::time::UnixMillis;

use chain::{OldChain, Receiving, Sending, root_step};
use header::Header;
use healing::Healing;

/// Skipped message keys kept for one session, and so for one step. As many as a sender keeps
/// encrypted without a receipt, so an honest peer loses none. Above it the oldest is dropped.
pub const SKIPPED_KEYS_MAX: u32 = 2_000;

/// Messages that one message may overtake, in both chains together. 100,000 chain steps are some
/// 20 ms (`benches/ratchet.rs`), and only who holds a header sealed by the peer can ask for them.
/// Above it the message is refused with [`Error::CounterJump`] and a new session heals.
pub const GAP_MAX: u32 = 100_000;

/// Closed receiving chains that still wait for messages. With the current and the next header
/// key at most 66 trials are made for one message; above it the oldest chain's keys are dropped.
pub const OLD_CHAINS_MAX: usize = 64;

/// Age of a skipped key at which it is dropped: longer than any mailbox or outbox keeps a message.
pub const SKIPPED_KEY_AGE_MAX: Duration = Duration::from_hours(31 * 24);

/// A counter has no next value; like any jump too far it is answered by a new session.
const EXHAUSTED: Error = Error::CounterJump { jump: 1, limit: 0 };

/// What the handshake gives to both sides.
#[derive(Debug)]
pub struct InitialKeys {
    /// First root key (`SK` of the specification).
    pub root: Secret<32>,
    /// Header key of the initiator's first chain (`shared_hka`).
    pub header_initiator: Secret<32>,
    /// Header key of the responder's first chain (`shared_nhkb`).
    pub header_responder: Secret<32>,
}

/// One side of a session.
pub struct Ratchet {
    root: Secret<32>,
    ours: DhSecret,
    /// `None`: the responder, before the first message of the initiator.
    sending: Option<Sending>,
    /// `None`: nothing has been received. `Some` implies a sending chain.
    receiving: Option<Receiving>,
    next_header_send: Secret<32>,
    next_header_receive: Secret<32>,
    /// Messages of our previous sending chain.
    previous: u32,
    /// Closed receiving chains with kept keys, oldest first.
    old: Vec<OldChain>,
    healing: Healing,
}

/// A message on its way; both parts look random from the first byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Nonce and sealed header: [`SEALED_HEADER_BYTES`] or [`SEALED_EXTENDED_HEADER_BYTES`].
    pub header: Vec<u8>,
    /// The text, sealed: [`crate::crypto::BODY_TAG_BYTES`] longer.
    pub body: Vec<u8>,
}

/// What an opened message gives.
pub struct Opened {
    /// The text.
    pub plaintext: Vec<u8>,
    /// To be written in the batch that writes the new record.
    pub changes: Vec<SkippedChange>,
    /// Messages that this one has overtaken.
    pub skipped: u32,
    /// Keys lost to a bound: dropped, or of those just skipped never kept.
    pub evicted: u32,
    /// Whether a KEM exchange was mixed into the root key.
    pub mixed: bool,
}

impl Ratchet {
    /// The side that sends first, to the responder's signed prekey.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthentic`] if `theirs` is of low order.
    pub fn initiator(
        keys: InitialKeys,
        theirs: DhPublic,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Error> {
        let ours = DhSecret::random(rng);
        let turned = root_step(&keys.root, &ours.agree(&theirs)?, None);
        Ok(Self {
            root: turned.root,
            ours,
            sending: Some(Sending { chain: turned.chain, header: keys.header_initiator, sent: 0 }),
            receiving: None,
            next_header_send: turned.next_header,
            next_header_receive: keys.header_responder,
            previous: 0,
            old: Vec::new(),
            healing: Healing::new(),
        })
    }

    /// The side that receives first, on its signed prekey `ours`.
    #[must_use]
    pub fn responder(keys: InitialKeys, ours: DhSecret) -> Self {
        Self {
            root: keys.root,
            ours,
            sending: None,
            receiving: None,
            next_header_send: keys.header_responder,
            next_header_receive: keys.header_initiator,
            previous: 0,
            old: Vec::new(),
            healing: Healing::new(),
        }
    }

    /// Seals the next message. `associated` is authenticated, not sent; [`Ratchet::open`] needs
    /// the same bytes.
    ///
    /// # Errors
    ///
    /// [`Error::CounterJump`] if the chain has no number left; [`Error::Bug`] on a responder that
    /// has not received yet. The ratchet is then unchanged.
    pub fn seal(
        &mut self,
        rng: &mut impl CryptoRng,
        associated: &[u8],
        plaintext: &[u8],
    ) -> Result<Sealed, Error> {
        let sending =
            self.sending.as_mut().ok_or(Error::Bug("a responder sends before it receives"))?;
        let sent = sending.sent.checked_add(1).ok_or(EXHAUSTED)?;
        let header = Header {
            dh: self.ours.public(),
            previous: self.previous,
            number: sending.sent,
            extension: self.healing.extension(),
        };
        let mut nonce = [0; HEADER_NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let (chain, key) = chain_step(&sending.chain);
        let sealed_header = header.seal(&sending.header, &nonce, associated)?;
        let body = seal_body(&key, &nonce, &header.bind(associated), plaintext)?;
        sending.chain = chain;
        sending.sent = sent;
        Ok(Sealed { header: sealed_header, body })
    }

    /// Opens a message of the peer, in whatever order it comes, and turns the ratchet where the
    /// peer did.
    ///
    /// # Errors
    ///
    /// [`Error::Decrypt`] if no key opens it: foreign, changed, a duplicate, or too late;
    /// [`Error::CounterJump`] beyond [`GAP_MAX`]; [`Error::Malformed`] or [`Error::NotAuthentic`]
    /// if the header has a wrong length or a bad point; [`Error::Store`] if `skipped` fails or
    /// contradicts the ratchet. The ratchet is then unchanged.
    pub fn open(
        &mut self,
        rng: &mut impl CryptoRng,
        skipped: &impl SkippedKeys,
        associated: &[u8],
        sealed: &Sealed,
        now: UnixMillis,
    ) -> Result<Opened, Error> {
        let (place, nonce, header) = self.locate(associated, &sealed.header)?;
        let plan = self.plan(&place, &header, skipped)?;
        let plaintext = plan.open_body(&nonce, &header.bind(associated), &sealed.body)?;
        // Authentic from here on; what may still fail comes before the first change.
        let dropped = self.dropped(&plan, skipped, now)?;
        let reply = plan.reply(&self.healing, now, rng)?;
        Ok(self.apply(plan, reply, dropped, plaintext))
    }
}

impl ZeroizeOnDrop for Ratchet {}

crate::crypto::wiped!(InitialKeys { root, header_initiator, header_responder } open {});

impl Debug for Ratchet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Ratchet(..)")
    }
}

impl Debug for Sealed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} + {} bytes)", self.header.len(), self.body.len())
    }
}

impl Debug for Opened {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({} bytes, {} changes)", self.plaintext.len(), self.changes.len())
    }
}
