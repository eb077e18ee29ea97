//! Asking a device for one-time prekeys before a session with it is founded.
//!
//! ```text
//!   (link, something to send, no session) --ask--> Waiting --answer, refusal, 1 s--> Answered --found--> (gone)
//! ```
//!
//! While an answer is awaited nothing is sent to that contact. Whatever comes instead of a good answer
//! (none left, a refusal, a bad signature, silence), the session starts on the keys of the record: a
//! peer can only weaken what is written to it, never keep it from being written.
//!
//! See docs/SPEC.md, section "One-time prekeys".

use std::time::Duration;

use rand_core::CryptoRng;

use super::timer::Reason;
use super::{Engine, Output};
use crate::envelope::Frame;
use crate::error::Error;
use crate::id::{AccountId, DeviceId, SendToken};
use crate::invitation::ContactRecord;
use crate::prekey::{Offer, OneTimeKeys};
use crate::store::Store;
use crate::time::UnixMillis;

/// How long an answer may take. Long for a round trip and a flush, short for a person.
const ANSWER_MAX: Duration = Duration::from_secs(1);

/// Before a renewal that failed is tried again.
const RENEW_PAUSE: Duration = Duration::from_secs(10);

/// How far the question to one device has come.
#[derive(Debug)]
pub(super) enum Asked {
    /// No answer yet.
    Waiting {
        token: SendToken,
        /// Whether a new session is wanted although there is one.
        renews: bool,
    },
    /// The next session takes these, if they are good for so long.
    Answered { keys: OneTimeKeys, until: Option<UnixMillis> },
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Asks, if the next message to this contact founds a session; says whether to wait for the answer.
    /// The link stands.
    pub(super) fn awaits_prekeys(
        &mut self,
        account: AccountId,
        device: DeviceId,
    ) -> Result<bool, Error> {
        let has_session = self.sessions.preferred(device, &self.store)?.is_some();
        match self.asked.get(&device) {
            Some(Asked::Waiting { renews, .. }) if *renews || !has_session => return Ok(true),
            // The peer was faster and has founded one.
            Some(Asked::Waiting { .. }) => {
                self.asked.remove(&device);
                self.timers.cancel(Reason::Prekeys(account));
            }
            Some(Asked::Answered { .. }) => return Ok(false),
            None => {}
        }
        let queue = self.outbox.queue(&account);
        let is_idle = queue.is_none_or(|queue| queue.next_to_send(self.now.mono, true).is_none());
        if is_idle || has_session || !self.has_record(account) {
            return Ok(false);
        }
        Ok(self.ask_for_prekeys(account, device, false))
    }

    fn has_record(&self, account: AccountId) -> bool {
        let record = self.book.get(&account).and_then(|contact| contact.record.as_deref());
        record.is_some_and(|bytes| ContactRecord::verify(bytes, self.now.wall).is_ok())
    }

    /// Says whether it asks: not more often than the peer answers.
    fn ask_for_prekeys(&mut self, account: AccountId, peer: DeviceId, renews: bool) -> bool {
        if !self.may_ask_prekeys(peer) {
            return false;
        }
        let invitation = self.book.get(&account).and_then(|contact| contact.token);
        let token = self.take_token();
        self.asked.insert(peer, Asked::Waiting { token, renews });
        self.timers.set(Reason::Prekeys(account), self.now.mono + ANSWER_MAX);
        let frame = Frame::PrekeyRequest(invitation).encode();
        self.after_writes(Output::Send { peer, token, frame });
        true
    }

    /// Starts a session with a contact that may have forgotten us, on one-time keys if it can be asked:
    /// then once it has answered.
    pub(super) fn renew_session(
        &mut self,
        account: AccountId,
        device: DeviceId,
    ) -> Result<(), Error> {
        if let Some(Asked::Waiting { renews, .. }) = self.asked.get_mut(&device) {
            *renews = true;
            return Ok(());
        }
        let may_ask = self.links.contains(&device) && !self.asked.contains_key(&device);
        if may_ask && self.has_record(account) && self.ask_for_prekeys(account, device, true) {
            return Ok(());
        }
        self.renew_now(account, device)
    }

    /// A device answers.
    pub(super) fn prekeys_received(&mut self, peer: DeviceId, offer: &Offer) -> Result<(), Error> {
        if !matches!(self.asked.get(&peer), Some(Asked::Waiting { .. })) {
            return Ok(()); // Too late: the session was founded without. The owner forgets the keys.
        }
        let verified = offer.verify(&peer, self.now.wall);
        let (keys, result) = match verified {
            Ok(keys) => (keys, Ok(())),
            Err(error) => (OneTimeKeys::default(), Err(error)),
        };
        let until = offer.expires();
        result.and(self.prekeys_settled(peer, Asked::Answered { keys, until }))
    }

    /// Whether this send was the question to a device that is still awaited.
    pub(super) fn is_prekey_question(&self, peer: DeviceId, sent: SendToken) -> bool {
        matches!(self.asked.get(&peer), Some(Asked::Waiting { token, .. }) if *token == sent)
    }

    /// There will be no answer.
    pub(super) fn prekeys_denied(&mut self, peer: DeviceId) -> Result<(), Error> {
        if !matches!(self.asked.get(&peer), Some(Asked::Waiting { .. })) {
            return Ok(());
        }
        self.prekeys_settled(peer, Asked::Answered { keys: OneTimeKeys::default(), until: None })
    }

    /// The answer of a contact's device is overdue.
    pub(super) fn prekeys_overdue(&mut self, account: AccountId) -> Result<(), Error> {
        match self.book.get(&account).map(|contact| contact.device) {
            Some(device) if matches!(self.asked.get(&device), Some(Asked::Waiting { .. })) => {
                self.prekeys_denied(device)
            }
            // An export did not wait and founded the session.
            Some(_) | None => self.drain(account),
        }
    }

    /// The link is gone: no answer will come, and keys that were not used may be too old next time.
    pub(super) fn prekeys_unlinked(&mut self, peer: DeviceId) -> Result<(), Error> {
        let done = self.prekeys_denied(peer);
        self.asked.remove(&peer);
        done
    }

    fn prekeys_settled(&mut self, peer: DeviceId, answer: Asked) -> Result<(), Error> {
        let before = self.asked.insert(peer, answer);
        let Some(account) = self.book.of_device(&peer).map(|contact| contact.account) else {
            self.asked.remove(&peer);
            return Ok(());
        };
        self.timers.cancel(Reason::Prekeys(account));
        if let Some(Asked::Waiting { renews: true, .. }) = before
            && let Err(error) = self.renew_now(account, peer)
        {
            self.asked.extend(before.map(|waiting| (peer, waiting)));
            self.timers.set(Reason::Prekeys(account), self.now.mono + RENEW_PAUSE);
            return Err(error);
        }
        self.drain(account)
    }

    /// What the session that is founded now may use.
    pub(super) fn take_prekeys(&mut self, device: DeviceId) -> OneTimeKeys {
        match self.asked.remove(&device) {
            Some(Asked::Answered { keys, until })
                if until.is_some_and(|until| self.now.wall < until) =>
            {
                keys
            }
            Some(Asked::Answered { .. } | Asked::Waiting { .. }) | None => OneTimeKeys::default(),
        }
    }
}
