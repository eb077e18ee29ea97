//! Our one-time prekeys: handed out to whoever may found a session, refilled, forgotten.
//!
//! ```text
//!   request --known or invited?--limits--> hand out --batch durable--> answer
//!   first message opened -----------------> deleted in the batch of its session (`admit`)
//! ```
//!
//! See docs/SPEC.md, section "One-time prekeys".

use std::time::Duration;

use rand_core::CryptoRng;

use super::timer::Reason;
use super::{Engine, Fact, Output};
use crate::envelope::Frame;
use crate::error::Error;
use crate::id::{DeviceId, InvitationToken};
use crate::prekey::HandTo;
use crate::store::Store;

/// Between two portions of new keys.
const REFILL_PAUSE: Duration = Duration::from_millis(20);

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Somebody is about to found a session with us.
    pub(super) fn prekeys_requested(
        &mut self,
        peer: DeviceId,
        token: Option<InvitationToken>,
    ) -> Result<(), Error> {
        if self.book.is_waiting(&peer) {
            return Err(Error::Untrusted);
        }
        let to = if self.book.of_device(&peer).is_some() {
            HandTo::Contact
        } else {
            self.admit_record(peer)?;
            token.filter(|token| self.is_invited(*token)).ok_or(Error::Stranger)?;
            self.limits.invited(peer);
            HandTo::Stranger
        };
        self.admit_prekeys(peer)?;
        let (device, wall) = (self.identity.device(), self.now.wall);
        let was_reached = self.pool.is_bound_reached();
        let offer = self.pool.hand_out(&mut self.store, device, to, wall)?;
        if offer.x25519.is_none() || offer.ml_kem.is_none() {
            self.fact(Fact::PrekeysExhausted);
        }
        self.pool_dirty = true;
        if self.pool.is_bound_reached() && !was_reached {
            self.fact(Fact::BoundReached("one-time prekeys"));
        }
        if self.pool.is_low() {
            self.timers.set_if_none(Reason::Refill, self.now.mono + REFILL_PAUSE);
        }
        let token = self.take_token();
        let frame = Frame::PrekeyResponse(offer).encode();
        self.after_writes(Output::Send { peer, token, frame });
        Ok(())
    }

    /// Makes one portion of new keys.
    pub(super) fn refill_prekeys(&mut self) {
        let more = self.pool.refill(&mut self.store, &mut self.rng);
        self.pool_dirty = true;
        if more {
            self.timers.set(Reason::Refill, self.now.mono + REFILL_PAUSE);
        }
    }

    /// The first message of a session opened: its one-time keys found no other, from this batch on.
    pub(super) fn spend_prekeys(&mut self, ids: (u32, u32)) {
        if ids != (0, 0) {
            self.pool.spend(&mut self.store, ids.0, ids.1);
            self.pool_dirty = true;
        }
    }

    /// Forgets keys that founded nothing in their time.
    pub(super) fn expire_prekeys(&mut self) -> bool {
        let more = self.pool.expire(&mut self.store, self.expiry.wall());
        self.pool_dirty = true;
        more
    }

    /// Once for each batch.
    pub(super) fn report_prekeys(&mut self) {
        if std::mem::take(&mut self.pool_dirty) {
            self.fact(Fact::Prekeys(self.pool.remaining()));
        }
    }
}
