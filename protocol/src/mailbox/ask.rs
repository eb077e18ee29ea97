//! Questions as the engine hands them out: to which node, under which link identity.

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use rand_core::CryptoRng;

use crate::crypto::{Secret, SigningSecret, wiped};
use crate::id::DeviceId;

/// Pairs a question with its answer. Random: a node that sees two of ours learns nothing from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

impl RequestId {
    /// A fresh id.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(rng.next_u64())
    }
}

/// A link identity that was made to ask under, so that a node cannot tell who asks. Kept in memory alone.
pub struct Veil {
    /// Names it within this process.
    pub number: u64,
    seed: Secret<32>,
}

wiped!(Veil { seed } open { number });

impl Veil {
    /// A fresh one.
    pub fn random(number: u64, rng: &mut impl CryptoRng) -> Self {
        Self { number, seed: Secret::random(rng) }
    }

    /// The device that the node will see.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        DeviceId(SigningSecret::from_seed(self.seed.duplicate()).public())
    }

    /// The Ed25519 seed of the link.
    #[must_use]
    pub const fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    /// For one more question under the same identity.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { number: self.number, seed: self.seed.duplicate() }
    }
}

/// One question to a mailbox node.
#[derive(Debug)]
pub struct Ask {
    /// Comes back with the answer, or with the word that there is none.
    pub request: RequestId,
    /// Whom.
    pub node: DeviceId,
    /// Multiaddresses without `/p2p`.
    pub addresses: Vec<String>,
    /// As whom.
    pub veil: Veil,
    /// An encoded `wire::Link` with the question.
    pub frame: Vec<u8>,
    /// How long an answer may take from now, dialling included.
    pub within: Duration,
}

/// Why a question has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// No link came about.
    Unreachable,
    /// The link broke, or the time was up: the node may have done what was asked.
    Silent,
    /// Too many questions wait here already; nothing was sent.
    Full,
}

impl Debug for Veil {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Veil({})", self.number)
    }
}
