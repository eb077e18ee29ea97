//! What arrives on a link: known or new, for which session, from whom.

use rand_core::CryptoRng;

use super::{Engine, Fact, Output};
use crate::envelope::{Body, Content, Envelope, Frame};
use crate::error::{Code, Error};
use crate::id::{AccountId, DeviceId};
use crate::inbox;
use crate::store::Store;

use std::time::Duration;

/// When a refused sender may try again, if time helps and nobody knows how much.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What became of an envelope that was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// A text or a greeting that was new.
    Message,
    /// Receipts, or a record.
    Notice,
    /// Known, and dropped.
    Duplicate,
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn frame(&mut self, peer: DeviceId, number: u64, bytes: &[u8]) {
        let done = Frame::decode(bytes).map_err(Error::from).and_then(|frame| match frame {
            Frame::Envelope(envelope) => self.envelope(peer, &envelope).map(drop),
            Frame::RecordRequest(token) => self.record_requested(peer, token),
            Frame::RecordResponse(record) => self.record_received(peer, record),
            Frame::PrekeyRequest(token) => self.prekeys_requested(peer, token),
            Frame::PrekeyResponse(offer) => self.prekeys_received(peer, &offer),
        });
        if let Err(error) = done {
            self.fact(Fact::Refused(error.label()));
            if matches!(error, Error::Decrypt | Error::Stranger) {
                self.show_newest(peer);
            }
            let code = error.code();
            let retry_after = match (&error, code) {
                (Error::Busy { retry_after, .. }, _) => *retry_after,
                (_, Code::Busy | Code::Internal) => RETRY_AFTER,
                (_, Code::Rejected | Code::Stranger) => Duration::ZERO,
            };
            self.at_once(Output::Refuse { peer, number, code, retry_after });
        }
    }

    /// Takes an envelope of a device that its link or its seal has proven.
    pub(super) fn envelope(&mut self, peer: DeviceId, envelope: &Envelope) -> Result<Taken, Error> {
        let digest = envelope.digest();
        let known = inbox::seen(&self.store, peer, envelope.message)?;
        if known.as_deref() == Some(digest.as_slice()) {
            // The very bytes that we took before: their key is used up, the receipt was lost.
            self.fact(Fact::Duplicate);
            let account = self.book.of_device(&peer).ok_or(Error::Stranger)?.account;
            self.owe_receipt(account, envelope.message);
            return Ok(Taken::Duplicate);
        }
        let (account, plaintext) = self.open(peer, envelope)?;
        if known.is_some() {
            // Encrypted again for a new session: the ratchet step counts, the content is known. From
            // now on these are the bytes that a retry repeats.
            self.fact(Fact::Duplicate);
            inbox::mark_seen(&mut self.store, peer, envelope.message, digest, self.now.wall);
            self.owe_receipt(account, envelope.message);
            return Ok(Taken::Duplicate);
        }
        let content = Content::decode(&plaintext)?;
        let mut taken = Taken::Notice;
        if matches!(content.body, Body::Text(_) | Body::Hello) {
            inbox::mark_seen(&mut self.store, peer, envelope.message, digest, self.now.wall);
            taken = Taken::Message;
        }
        self.deliver(account, peer, envelope.message, content)?;
        Ok(taken)
    }

    /// Opens an envelope on its session, or on the new session that it founds. On an error nothing
    /// has changed, so that the same frame can be taken later.
    fn open(&mut self, peer: DeviceId, envelope: &Envelope) -> Result<(AccountId, Vec<u8>), Error> {
        if !self.sessions.has(peer, envelope.session, &self.store)? {
            let known = self.book.of_device(&peer).is_some();
            let initial = envelope.initial.as_ref();
            let initial = initial.ok_or(if known { Error::Decrypt } else { Error::Stranger })?;
            return self.admit(peer, envelope, initial);
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
        Ok((account, opened.plaintext))
    }
}
