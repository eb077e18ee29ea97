//! One-time prekeys by way of mailboxes: ours lie there, and a contact's are asked for before a session is
//! founded without a link.
//!
//! As over a link, a bad answer or none weakens the session and never hinders it.
//!
//! See docs/SPEC.md, section "The client".

use std::time::Duration;

use rand_core::CryptoRng;

use super::super::ask::Asked;
use super::super::timer::Reason;
use super::super::{Engine, Fact};
use super::Purpose;
use super::order::Ordered;
use crate::error::Error;
use crate::id::{AccountId, DeviceId};
use crate::mailbox::{Admission, Answer, Epoch, Order, Question, Unanswered};
use crate::prekey::{HandTo, OneTimeKeys};
use crate::store::Store;

/// How long an answer may take, dialling included.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Keys of each kind left with a node at a time, and how many there may be before more are left.
const PORTION: usize = 8;
const LOW: u32 = 3;

/// Keys that stay here, for links.
const KEPT_HERE: usize = 40;

/// Between two portions for a node: keys are signed for a week.
pub(super) const STOCK_AGE: Duration = Duration::from_secs(5 * 24 * 3600);

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Keys for a node that has few of ours, or old ones. The mark that they are handed out is durable
    /// before they leave.
    pub(super) fn stock_order(
        &mut self,
        node: DeviceId,
    ) -> Result<Option<(Order, Ordered)>, Error> {
        let (now, wall) = (self.now.mono, self.now.wall);
        let Some(rent) = self.mail.rents.get_mut(&node) else { return Ok(None) };
        let Some(offer) = &rent.offer else { return Ok(None) };
        let left = offer.prekeys_left.0.min(offer.prekeys_left.1);
        let is_old = rent.stocked.is_some_and(|at| now.since(at) >= STOCK_AGE);
        if !is_old && (left >= LOW || rent.restocked) {
            return Ok(None);
        }
        rent.stocked = Some(now);
        rent.restocked = true; // Until the node says anew how many are left.
        let (mut x25519, mut ml_kem) = (Vec::new(), Vec::new());
        for _ in 0..PORTION {
            let remaining = self.pool.remaining();
            if remaining.x25519.min(remaining.ml_kem) <= KEPT_HERE {
                break;
            }
            let device = self.identity.device();
            let offer = self.pool.hand_out(&mut self.store, device, HandTo::Contact, wall)?;
            x25519.extend(offer.x25519);
            ml_kem.extend(offer.ml_kem);
        }
        self.pool_dirty = true;
        if self.pool.remaining().x25519.min(self.pool.remaining().ml_kem) <= KEPT_HERE {
            self.timers.set_if_none(Reason::Refill, self.now.mono);
        }
        if x25519.is_empty() && ml_kem.is_empty() {
            return Ok(None);
        }
        Ok(Some((Order::Stock { x25519, ml_kem }, Ordered::Stock)))
    }

    /// Asks a contact's node, if the next message founds a session; says whether to wait for the answer.
    pub(super) fn awaits_node_prekeys(
        &mut self,
        account: AccountId,
        device: DeviceId,
    ) -> Result<bool, Error> {
        let now = self.now.mono;
        let waits = self.outbox.queue(&account).is_some();
        let has_session = self.sessions.preferred(device, &self.store)?.is_some();
        let Some(depot) = self.mail.depots.get_mut(&account) else { return Ok(false) };
        if depot.asks_prekeys {
            return Ok(!has_session);
        }
        if has_session || !waits || self.asked.contains_key(&device) {
            return Ok(false);
        }
        let Some(node) = depot.open(now).0.first().copied() else { return Ok(false) };
        let Some(place) = depot.place(node) else { return Ok(false) };
        depot.asks_prekeys = true;
        let veil = depot.veil.duplicate();
        let week = Epoch::at(self.now.wall);
        let shared = self.shared(account)?.ok_or(Error::Stranger)?;
        let question = Question::Prekeys(Admission::Token(shared.theirs.token(node, week)));
        self.ask_node(place, veil, question, (Purpose::Prekeys(account, device), ANSWER_MAX));
        Ok(true)
    }

    /// The node answers, or not: what waits goes out now.
    pub(super) fn node_prekeys(
        &mut self,
        (account, device): (AccountId, DeviceId),
        answer: Result<Answer, Unanswered>,
    ) {
        let Some(depot) = self.mail.depots.get_mut(&account) else { return };
        depot.asks_prekeys = false;
        let (mut keys, mut until) = (OneTimeKeys::default(), None);
        if let Ok(Answer::Prekeys(offer)) = answer {
            match offer.verify(&device, self.now.wall) {
                Ok(verified) => (keys, until) = (verified, offer.expires()),
                Err(error) => self.fact(Fact::Refused(error.label())),
            }
        }
        self.asked.entry(device).or_insert(Asked::Answered { keys, until });
        self.timers.set(Reason::Deposit(account), self.now.mono);
    }
}
