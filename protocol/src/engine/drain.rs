//! What leaves: rows of the outbox, oldest first, as far as the windows allow.
//!
//! See docs/SPEC.md, section "Delivery".

use std::time::Duration;

use rand_core::CryptoRng;

use super::breakers::DIAL_MAX;
use super::command::{CommandError, ContactView, Who};
use super::timeout::FAILED_PAUSE;
use super::timer::Reason;
use super::{Engine, Fact, Output};
use crate::contact::Contact;
use crate::envelope::{Content, Envelope, Frame, Introduction};
use crate::error::Error;
use crate::handshake;
use crate::id::{AccountId, DeviceId, InvitationToken, MessageId, SessionId};
use crate::invitation::ContactRecord;
use crate::outbox::{self, OutboxRow, Place};
use crate::prekey::OneTimeKeys;
use crate::resilience::Backoff;
use crate::resilience::breaker::Permit;
use crate::session::{Peer, Session};
use crate::store::{Store, StoreError};

/// Between attempts to reach a contact.
pub(super) const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(600));

/// The shortest wait between attempts, so that full jitter never makes a busy loop.
pub(super) const RETRY_MIN: Duration = Duration::from_millis(200);

/// How long a receipt may take on a standing link before the frame is sent again; doubles.
const RECEIPT_WAIT: Duration = Duration::from_secs(10);

/// How long a record that we asked for may take before we ask again; doubles, six times.
const RECORD_WAIT: Duration = Duration::from_secs(10);

/// Rows that are sent again when receipts are overdue: enough to find out, too few to flood.
const REPEATED: usize = 64;

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Hands over what may leave to a contact, or sees to it that a link comes about. What fails is
    /// tried again.
    pub(super) fn drain(&mut self, account: AccountId) -> Result<(), Error> {
        let done = self.drain_now(account);
        if done.is_err() {
            self.timers.set_if_none(Reason::Retry(account), self.now.mono + FAILED_PAUSE);
        }
        done
    }

    fn drain_now(&mut self, account: AccountId) -> Result<(), Error> {
        let Some(contact) = self.book.get(&account) else {
            return Ok(());
        };
        if contact.is_blocked() {
            return Ok(()); // Everything waits for the user.
        }
        let device = contact.device;
        if !self.links.contains(&device) {
            self.want_link(account);
            return Ok(());
        }
        if let Some(until) = self.messages_withheld(device) {
            self.timers.set_if_none(Reason::Retry(account), until);
            return Ok(());
        }
        if self.awaits_prekeys(account, device)? {
            return Ok(());
        }
        let mut repeats = true;
        while let Some(sequence) = self.next_row(account, repeats) {
            if !self.has_way(account, device)? {
                return self.ask_for_record(account, device);
            }
            let repeat = self.outbox.queue(&account).is_some_and(|queue| queue.is_repeat(sequence));
            if !self.may_hand_over(account, sequence) {
                repeats = false; // What was not sent yet need not wait for what was.
                continue;
            }
            match self.leave_to_send(device) {
                Ok(permit) => self.hand_over((account, sequence), device, permit)?,
                Err(until) => {
                    if let Some(queue) = self.outbox.queue_mut(&account).filter(|_| repeat) {
                        queue.step_begun = true; // The attempt of this step is still to come.
                    }
                    self.timers.set_if_none(Reason::Retry(account), until);
                    break;
                }
            }
        }
        // Whatever else set the deadline: what is paused goes on when its pause ends.
        let closed =
            self.outbox.queue(&account).and_then(|queue| queue.closed_until(self.now.mono));
        if let Some(until) = closed {
            self.timers.set_if_none(Reason::Retry(account), until);
        }
        Ok(())
    }

    /// Whether there is a session, or a record to start one with.
    pub(super) fn has_way(&mut self, account: AccountId, device: DeviceId) -> Result<bool, Error> {
        if self.sessions.preferred(device, &self.store)?.is_some() {
            return Ok(true);
        }
        let record = self.book.get(&account).and_then(|contact| contact.record.as_deref());
        Ok(record.is_some_and(|bytes| ContactRecord::verify(bytes, self.now.wall).is_ok()))
    }

    /// Asks a contact's device for a record to start a session with; with the invitation that we hold,
    /// if it may not know us. Not sooner than the last question may have been answered.
    pub(super) fn ask_for_record(
        &mut self,
        account: AccountId,
        peer: DeviceId,
    ) -> Result<(), Error> {
        if let Some(queue) = self.outbox.queue_mut(&account) {
            let again = queue.ask_again.filter(|again| self.now.mono < *again);
            let next = again.unwrap_or_else(|| {
                let wait = RECORD_WAIT.saturating_mul(1 << queue.asked.min(6));
                queue.asked = queue.asked.saturating_add(1);
                self.now.mono + wait
            });
            queue.ask_again = Some(next);
            self.timers.set_if_none(Reason::Retry(account), next);
            if again.is_some() {
                return Ok(());
            }
        }
        let invitation = self.book.get(&account).and_then(|contact| contact.token);
        let token = self.take_token();
        let frame = Frame::RecordRequest(invitation.unwrap_or(InvitationToken([0; 16]))).encode();
        self.after_writes(Output::Send { peer, token, frame });
        Ok(())
    }

    fn hand_over(
        &mut self,
        place: Place,
        device: DeviceId,
        permit: Option<Permit>,
    ) -> Result<(), Error> {
        let (session, frame) = self.frame_of(place, device)?;
        let waits = self.admit_own(device, frame.len())?;
        let is_probe = permit.as_ref().is_some_and(Permit::is_probe); // A few; its slot must be spent.
        if let Err(wait) = waits
            && !is_probe
        {
            let until = self.now.mono + wait;
            if let Some(queue) = self.outbox.queue_mut(&place.0) {
                queue.encrypted(place.1, session);
                queue.pause(until);
            }
            self.timers.set_if_none(Reason::Retry(place.0), until);
            return Ok(());
        }
        let token = self.take_token();
        let Some(queue) = self.outbox.queue_mut(&place.0) else {
            return Err(Error::Bug("outbox index"));
        };
        queue.encrypted(place.1, session);
        if let Some(before) = queue.handed_over(place.1, token) {
            self.tokens.remove(&before);
            self.fact(Fact::Retried);
        }
        self.tokens.insert(token, place);
        self.handed_over((place.0, device), token, permit);
        self.after_writes(Output::Send { peer: device, token, frame });
        Ok(())
    }

    /// The frame of a row: the one made before if its session stands, else a new encryption.
    pub(super) fn frame_of(
        &mut self,
        place: Place,
        device: DeviceId,
    ) -> Result<(SessionId, Vec<u8>), Error> {
        let key = outbox::key_of(place);
        let value = self.store.get(&key)?.ok_or(StoreError::Corrupt("outbox row"))?;
        let mut row = OutboxRow::decode(&value)?;
        let indexed = self.outbox.queue(&place.0).and_then(|queue| queue.session(place.1));
        if let Some((session, frame)) = row.encrypted.take()
            && indexed == Some(session)
            && self.sessions.preferred(device, &self.store)? == Some(session)
        {
            return Ok((session, frame));
        }
        let session = self.session_to_send_on(place.0, device)?;
        let mut content = Content::decode(&row.content)?;
        self.add_introduction(place.0, device, &mut content)?;
        let envelope = self.seal((device, session), row.message, &content)?;
        let frame = Frame::Envelope(envelope).encode();
        row.encrypted = Some((session, frame.clone()));
        self.store.put(key, row.encode());
        Ok((session, frame))
    }

    /// The preferred session, or a new one from the contact's record.
    fn session_to_send_on(
        &mut self,
        account: AccountId,
        device: DeviceId,
    ) -> Result<SessionId, Error> {
        if let Some(session) = self.sessions.preferred(device, &self.store)? {
            return Ok(session);
        }
        self.start_session(account, device)
    }

    /// The user wants a new session: whatever is queued goes out on it. What the contact has under way
    /// on the old ones can still be read.
    pub(super) fn reset_session(&mut self, who: &Who) -> Result<ContactView, CommandError> {
        let contact = self.find(who)?.clone();
        if contact.is_blocked() {
            return Err(CommandError::KeyChanged);
        }
        self.renew_session(contact.account, contact.device)?;
        self.greet_anew(contact.account);
        Ok(self.contact_view(&contact, true))
    }

    /// Starts a session with a contact that may have forgotten us: only a new one shows it our token.
    /// The old ones stay for what it has under way on them, unless nothing new can be started yet.
    pub(super) fn renew_now(&mut self, account: AccountId, device: DeviceId) -> Result<(), Error> {
        match self.start_session(account, device) {
            Ok(session) => self.encrypt_again(account, session),
            Err(Error::Stale(_)) => self.sessions.forget(device, &mut self.store)?,
            Err(error) => return Err(error),
        }
        Ok(())
    }

    pub(super) fn start_session(
        &mut self,
        account: AccountId,
        device: DeviceId,
    ) -> Result<SessionId, Error> {
        let contact = self.book.get(&account).ok_or(Error::Stranger)?;
        let record = contact.record.as_deref().ok_or(Error::Stale("contact record"))?;
        let record = ContactRecord::verify(record, self.now.wall)?;
        let one_time = self.take_prekeys(device);
        let initiate = |keys, rng: &mut R| handshake::initiate(&self.identity, &record, keys, rng);
        let initiated = match initiate(&one_time, &mut self.rng) {
            // Keys that the contact signed and that are none all the same: they must not silence us.
            Err(Error::NotAuthentic(_)) if one_time != OneTimeKeys::default() => {
                initiate(&OneTimeKeys::default(), &mut self.rng)?
            }
            done => done?,
        };
        let prekeys = initiated.prekeys;
        let session =
            Session::initiated(initiated, Peer { account, device }, self.now.wall, &mut self.rng)?;
        let id = session.id();
        self.sessions.found(session, &mut self.store)?;
        self.fact(Fact::SessionFounded { initiator: true, prekeys });
        Ok(id)
    }

    pub(super) fn seal(
        &mut self,
        session: (DeviceId, SessionId),
        id: MessageId,
        content: &Content,
    ) -> Result<Envelope, Error> {
        self.sessions.seal(
            session,
            (id, &content.encode()),
            (self.now.wall, &mut self.rng),
            &self.store,
            |session, sealed| Envelope {
                session: session.id(),
                message: id,
                initial: session.initial().cloned(),
                sealed,
            },
        )
    }

    /// Says who we are, as long as the contact may not know: until it has answered, and once for
    /// each record of ours.
    pub(super) fn add_introduction(
        &mut self,
        account: AccountId,
        device: DeviceId,
        content: &mut Content,
    ) -> Result<(), Error> {
        let unconfirmed = self.sessions.is_unconfirmed(device, &self.store)?;
        let news = self.told.get(&device) != Some(&self.record_sequence);
        if unconfirmed || news {
            let token =
                self.book.get(&account).and_then(|contact| contact.token).filter(|_| unconfirmed);
            let (nickname, record) = (self.nickname.clone(), self.record.clone());
            content.introduction = Some(Introduction { token, nickname, record });
            self.told.insert(device, self.record_sequence);
        }
        Ok(())
    }

    /// Sees to it that somebody dials the contact, now or when its back-off ends.
    pub(super) fn want_link(&mut self, account: AccountId) {
        let blocked = self.book.get(&account).is_some_and(Contact::is_blocked);
        let Some(queue) = self.outbox.queue(&account).filter(|_| !blocked) else {
            return;
        };
        let failures = queue.failures;
        let wait = match failures {
            0 => Duration::ZERO,
            _ => RETRY.wait(failures, &mut self.rng).max(RETRY_MIN),
        };
        self.timers.set_if_none(Reason::Retry(account), self.now.mono + wait);
        self.want_deposit(account, false);
    }

    /// The retry deadline of a contact passed.
    pub(super) fn retry(&mut self, account: AccountId) -> Result<(), Error> {
        let Some(contact) = self.book.get(&account) else {
            return Ok(());
        };
        if contact.is_blocked() {
            return Ok(());
        }
        let (peer, addresses) = (contact.device, contact.addresses.clone());
        if self.outbox.queue(&account).is_none() {
            return Ok(());
        }
        if self.links.contains(&peer) {
            return self.drain(account);
        }
        match self.leave_to_dial(peer) {
            Ok(()) => {
                self.timers.set(Reason::Retry(account), self.now.mono + DIAL_MAX);
                self.at_once(Output::Connect { peer, addresses });
            }
            Err(until) => self.timers.set(Reason::Retry(account), until),
        }
        Ok(())
    }

    /// Arms the receipt deadline of a contact if a receipt is awaited.
    pub(super) fn await_receipts(&mut self, account: AccountId) {
        let Some(queue) = self.outbox.queue(&account).filter(|queue| queue.awaits_receipt()) else {
            return;
        };
        let wait = RECEIPT_WAIT.saturating_mul(1 << queue.overdue.min(6));
        self.timers.set_if_none(Reason::Receipt(account), self.now.mono + wait);
    }

    /// A receipt is overdue although the link stands: send the oldest rows again.
    pub(super) fn receipt_overdue(&mut self, account: AccountId) -> Result<(), Error> {
        let Some(queue) = self.outbox.queue_mut(&account) else {
            return Ok(());
        };
        if queue.repeat_oldest(REPEATED) > 0 {
            queue.overdue = queue.overdue.saturating_add(1);
            queue.step_begun = true;
            self.trouble(account, "no receipt in time");
        }
        self.want_deposit(account, true);
        self.drain(account)?;
        self.await_receipts(account);
        Ok(())
    }

    /// Receipts came: the contact is well, and there is room in its window.
    ///
    /// Only a receipt of the oldest row (`moved`) puts off its repetition: receipts of later ones may
    /// come for ever while it is missing.
    pub(super) fn receipts_came(&mut self, account: AccountId, moved: bool) -> Result<(), Error> {
        if let Some(queue) = self.outbox.queue_mut(&account) {
            queue.failures = 0;
            if moved {
                queue.overdue = 0;
            }
        }
        if moved {
            self.timers.cancel(Reason::Receipt(account));
        }
        self.drain(account)?;
        self.await_receipts(account);
        Ok(())
    }

    /// The contact started a session anew: what it has not receipted goes out again on that one.
    pub(super) fn encrypt_again(&mut self, account: AccountId, session: SessionId) {
        if let Some(queue) = self.outbox.queue_mut(&account) {
            queue.forget_other_sessions(session);
            queue.paused_until = None;
            self.timers.set(Reason::Retry(account), self.now.mono);
        }
    }
}
