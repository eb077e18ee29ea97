//! Sparse post-quantum healing: now and then an ML-KEM-768 exchange is mixed into the root key.
//!
//! ```text
//!   chain n      whoever is due         each header carries an encapsulation key
//!   chain n + 1  the other side         each header carries the ciphertext to it; the root step
//!                                       that founds this chain takes DH output || shared secret
//! ```
//!
//! Chains of the two sides alternate, so at most one exchange is under way. What a chain carries is in
//! each of its headers, and mixing is part of the step that founds a chain: whichever message of it
//! comes first, both sides mix the same at the same place. Who offered a key takes no chain
//! without a ciphertext: an exchange cannot be left out unseen.
//!
//! Sparse as in Apple's PQ3: an exchange costs [`EXTENSION_BYTES`](super::header::EXTENSION_BYTES)
//! twice, so one in 64 chains adds 37 bytes to a message of a ping-pong. See docs/SPEC.md, section "Ratchet".

use std::time::Duration;

use rand_core::CryptoRng;

use crate::crypto::{Ciphertext, DecapsulationKey, EncapsulationKey, MlKem768, Secret, Transcript};
use crate::error::Malformed;
use crate::time::UnixMillis;

/// Turns of ours (two chains each) after which an exchange is due.
pub const HEALING_TURNS: u32 = 32;

/// Time after which an exchange is due at the next turn.
pub const HEALING_AGE: Duration = Duration::from_hours(24);

/// What the headers of one chain carry.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Extension {
    /// Offers an exchange.
    Key(EncapsulationKey<MlKem768>),
    /// Answers the offer of the chain before.
    Ciphertext(Ciphertext<MlKem768>),
}

/// What our sending chain carries, with its secret.
pub(super) enum Carried {
    Nothing,
    Key(DecapsulationKey<MlKem768>),
    Ciphertext(Ciphertext<MlKem768>),
}

/// Our side of the healing.
pub(super) struct Healing {
    pub(super) carried: Carried,
    /// Turns of ours since the last exchange.
    pub(super) turns: u32,
    /// When the last exchange was mixed in; 0: not yet.
    pub(super) mixed: UnixMillis,
}

/// A shared secret for a root step, bound to the key and the ciphertext that made it.
pub(super) struct Mix {
    pub(super) shared: Secret<32>,
    /// Transcript of key and ciphertext.
    pub(super) context: [u8; 32],
}

/// What the first message of the peer's chain brings.
pub(super) enum Brought {
    Nothing,
    /// To be answered by our next chain.
    Key(EncapsulationKey<MlKem768>),
    /// For the root step that founds the peer's chain.
    Mix(Mix),
}

impl Healing {
    /// Before the first turn. The handshake has mixed a KEM in, yet the first reply offers: the
    /// prekey of the handshake may be one that served others too.
    pub(super) const fn new() -> Self {
        Self { carried: Carried::Nothing, turns: 0, mixed: UnixMillis(0) }
    }

    /// For the headers of our sending chain.
    pub(super) fn extension(&self) -> Option<Extension> {
        match &self.carried {
            Carried::Nothing => None,
            Carried::Key(secret) => Some(Extension::Key(secret.public().clone())),
            Carried::Ciphertext(ciphertext) => Some(Extension::Ciphertext(ciphertext.clone())),
        }
    }

    /// Takes what a header of the peer's next chain carries. Changes nothing.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it does not answer what our chain carries.
    pub(super) fn bring(&self, theirs: Option<&Extension>) -> Result<Brought, Malformed> {
        match (&self.carried, theirs) {
            (Carried::Key(secret), Some(Extension::Ciphertext(ciphertext))) => {
                let shared = secret.decapsulate(ciphertext);
                Ok(Brought::Mix(Mix::new(shared, secret.public(), ciphertext)))
            }
            (Carried::Key(_), _) => Err(Malformed("missing KEM ciphertext")),
            (_, Some(Extension::Ciphertext(_))) => Err(Malformed("unasked KEM ciphertext")),
            (_, Some(Extension::Key(key))) => Ok(Brought::Key(key.clone())),
            (_, None) => Ok(Brought::Nothing),
        }
    }

    /// What our next chain carries, and the secret for the root step that founds it. `mixed`: the
    /// turn has just mixed the answer to our own offer in.
    pub(super) fn answer(
        &self,
        offered: Option<&EncapsulationKey<MlKem768>>,
        mixed: bool,
        now: UnixMillis,
        rng: &mut impl CryptoRng,
    ) -> (Carried, Option<Mix>) {
        if let Some(key) = offered {
            let (ciphertext, shared) = key.encapsulate(rng);
            let mix = Mix::new(shared, key, &ciphertext);
            return (Carried::Ciphertext(ciphertext), Some(mix));
        }
        let due =
            self.turns.saturating_add(1) >= HEALING_TURNS || now.since(self.mixed) >= HEALING_AGE;
        if due && !mixed {
            return (Carried::Key(DecapsulationKey::random(rng)), None);
        }
        (Carried::Nothing, None)
    }

    /// After a turn: the new chain carries `carried`; `mixed` if the turn has mixed anything in.
    pub(super) fn turned(&mut self, carried: Carried, mixed: bool, now: UnixMillis) {
        self.carried = carried;
        if mixed {
            (self.turns, self.mixed) = (0, now);
        } else {
            self.turns = self.turns.saturating_add(1);
        }
    }
}

impl Mix {
    fn new(
        shared: Secret<32>,
        key: &EncapsulationKey<MlKem768>,
        ciphertext: &Ciphertext<MlKem768>,
    ) -> Self {
        let mut context = Transcript::new(b"bitchat/1 ratchet KEM");
        context.add("key", key.as_bytes());
        context.add("ciphertext", ciphertext.as_bytes());
        Self { shared, context: context.finish() }
    }
}
