//! What arrives on a link: known or new, for which session, from whom.
//!
//! See docs/SPEC.md, section "Delivery".

use rand_core::CryptoRng;

use super::{Engine, Fact, Output};
use crate::envelope::{Body, Content, Envelope, Frame};
use crate::error::{Code, Error, Malformed};
use crate::id::{AccountId, DeviceId, MessageId};
use crate::inbox::{self, Seen};
use crate::session::unpad;
use crate::store::Store;

use std::time::Duration;

/// When a refused sender may try again, if time helps and nobody knows how much.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// When a device may try again that waits for our user. Trust starts a session with it, and that ends
/// its pause.
const UNTRUSTED_RETRY_AFTER: Duration = Duration::from_secs(300);

/// What became of an envelope that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A text or a greeting that was new.
    Message,
    /// Receipts, or a record.
    Notice,
    /// Known, and dropped.
    Duplicate,
    /// Opened, and of no use: this version cannot read it.
    Unreadable,
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn frame(&mut self, peer: DeviceId, number: u64, bytes: &[u8]) {
        let done = self.admit_frame(peer, bytes.len());
        let done = done.and_then(|()| self.take_frame(peer, number, bytes));
        if let Err(error) = done {
            self.charge_fault(peer, &error);
            self.fact(Fact::Refused(error.label()));
            if matches!(error, Error::Decrypt | Error::Stranger) {
                self.show_newest(peer);
            }
            let code = error.code();
            let retry_after = match (&error, code) {
                (Error::Busy { retry_after, .. }, _) => *retry_after,
                (Error::Untrusted, _) => UNTRUSTED_RETRY_AFTER,
                (_, Code::Busy | Code::Internal) => RETRY_AFTER,
                (_, Code::Rejected | Code::Stranger | Code::Unsupported) => Duration::ZERO,
            };
            self.at_once(Output::Refuse { peer, number, code, retry_after });
        }
    }

    fn take_frame(&mut self, peer: DeviceId, number: u64, bytes: &[u8]) -> Result<(), Error> {
        match Frame::decode(bytes)? {
            Frame::Envelope(envelope) => self.direct(peer, number, &envelope),
            Frame::RecordRequest(token) => self.record_requested(peer, token),
            Frame::RecordResponse(record) => self.record_received(peer, record),
            Frame::PrekeyRequest(token) => self.prekeys_requested(peer, token),
            Frame::PrekeyResponse(offer) => self.prekeys_received(peer, &offer),
        }
    }

    /// An envelope over the link of its sender.
    fn direct(&mut self, peer: DeviceId, number: u64, envelope: &Envelope) -> Result<(), Error> {
        let taken = self.envelope(peer, envelope);
        if let Err(error) = &taken {
            self.heal(peer, envelope, error);
        }
        if taken? == Taken::Unreadable {
            self.refuse_for_good(peer, number);
        }
        Ok(())
    }

    /// Takes an envelope of a device that its link or its seal has proven.
    pub(super) fn envelope(&mut self, peer: DeviceId, envelope: &Envelope) -> Result<Taken, Error> {
        let (message, digest) = (envelope.message, envelope.digest().to_vec());
        let known = inbox::seen(&self.store, peer, message)?;
        if let Some(known) = known.as_ref().filter(|known| known.digest == digest) {
            // The very bytes that we took before: their key is used up, the answer was lost.
            let account = self.book.of_device(&peer).ok_or(Error::Stranger)?.account;
            return Ok(self.duplicate(account, message, known.unreadable));
        }
        let (account, content) = self.open(peer, envelope)?;
        // From now on these are the bytes that a retry repeats.
        let take = |unreadable| Seen { digest, unreadable };
        if let Some(known) = known {
            // Encrypted again for a new session: the ratchet step counts, the content is known.
            let seen = take(known.unreadable);
            inbox::mark_seen(&mut self.store, peer, message, seen, self.now.wall);
            return Ok(self.duplicate(account, message, known.unreadable));
        }
        let Ok(content) = content else {
            inbox::mark_seen(&mut self.store, peer, message, take(true), self.now.wall);
            return Ok(Taken::Unreadable);
        };
        let taken = match content.body {
            Body::Text(_) | Body::Hello => {
                inbox::mark_seen(&mut self.store, peer, message, take(false), self.now.wall);
                Taken::Message
            }
            Body::Unknown => {
                inbox::mark_seen(&mut self.store, peer, message, take(true), self.now.wall);
                Taken::Unreadable
            }
            Body::Unreadable(_) if envelope.initial.is_none() => {
                return Err(Error::NotAuthentic("unreadable messages named in an old session"));
            }
            Body::Receipts(_) | Body::Update | Body::Unreadable(_) => Taken::Notice,
        };
        self.deliver(account, peer, message, content)?;
        Ok(taken)
    }

    /// A message that was taken before is answered as it was then.
    fn duplicate(&mut self, account: AccountId, message: MessageId, unreadable: bool) -> Taken {
        self.fact(Fact::Duplicate);
        if unreadable {
            return Taken::Unreadable;
        }
        self.owe_receipt(account, message);
        Taken::Duplicate
    }

    /// What was opened and cannot be read ends at its sender, visibly. Only after it is written here,
    /// for it will not come again.
    fn refuse_for_good(&mut self, peer: DeviceId, number: u64) {
        self.fact(Fact::Refused("unsupported"));
        let (code, retry_after) = (Code::Unsupported, Duration::ZERO);
        self.after_writes(Output::Refuse { peer, number, code, retry_after });
    }

    /// Opens an envelope on its session, or on the new session that it founds. On an error nothing
    /// has changed, so that the same frame can be taken later. Content that cannot be read costs its
    /// ratchet step.
    fn open(
        &mut self,
        peer: DeviceId,
        envelope: &Envelope,
    ) -> Result<(AccountId, Result<Content, Malformed>), Error> {
        if !self.sessions.has(peer, envelope.session, &self.store)? {
            let known = self.book.of_device(&peer).is_some();
            let initial = envelope.initial.as_ref();
            let initial = initial.ok_or(if known { Error::Decrypt } else { Error::Stranger })?;
            return self
                .admit(peer, envelope, initial)
                .map(|(account, content)| (account, Ok(content)));
        }
        let account = self.sessions.account(peer, envelope.session, &self.store)?;
        let is_known = self.book.get(&account).is_some_and(|contact| contact.device == peer);
        if !is_known {
            return Err(Error::Stranger);
        }
        // Read now what delivery will need: after the ratchet step a failing disk would lose the message.
        self.conversations.load(account, &self.store)?;
        let opened = self.sessions.open(
            (peer, envelope.session),
            (envelope.message, &envelope.sealed),
            (self.now.wall, &mut self.rng),
            &mut self.store,
        )?;
        if opened.skipped > 0 {
            self.fact(Fact::KeysSkipped(opened.skipped));
        }
        if opened.mixed {
            self.fact(Fact::KemMixed);
        }
        if opened.evicted > 0 {
            self.fact(Fact::KeysEvicted(opened.evicted));
        }
        Ok((account, unpad(opened.plaintext).and_then(|plaintext| Content::decode(&plaintext))))
    }
}
