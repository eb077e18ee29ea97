//! Invitations that we issued, and the record requests that they admit.
//!
//! See docs/SPEC.md, section "Invitations".

use rand_core::CryptoRng;

use super::command::{CommandError, InvitationView};
use super::{Engine, Output};
use crate::envelope::Frame;
use crate::error::Error;
use crate::id::{AccountId, DeviceId, InvitationToken};
use crate::invitation::{ContactRecord, Invitation, Issued, Target};
use crate::store::Store;

/// Invitations that may stand at a time; the limit keeps a runaway script from filling memory.
const INVITATIONS_MAX: usize = 10_000;

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn invite(
        &mut self,
        once: bool,
        expires: Option<std::time::Duration>,
    ) -> Result<InvitationView, CommandError> {
        if self.invitations.len() >= INVITATIONS_MAX {
            return Err(CommandError::OutOfRange("too many invitations stand; let some expire"));
        }
        let token = InvitationToken::random(&mut self.rng);
        let expires = expires.map(|after| self.now.wall.plus(after));
        let issued = Issued { expires, once, used: 0 };
        let target = Target::Record(self.record.clone());
        let invitation = Invitation { token, expires, nickname: self.nickname.clone(), target };
        let short = invitation.to_short()?.to_link();
        issued.write(&mut self.store, token);
        self.invitations.insert(token, issued);
        Ok(InvitationView { link: invitation.to_link(), short, expires })
    }

    /// Whether a stranger who shows this token is welcome.
    pub(super) fn is_invited(&self, token: InvitationToken) -> bool {
        self.invitations.get(&token).is_some_and(|issued| issued.admits(self.now.wall))
    }

    /// A stranger became a contact by this token.
    pub(super) fn used_invitation(&mut self, token: InvitationToken) {
        if let Some(issued) = self.invitations.get_mut(&token) {
            issued.used = issued.used.saturating_add(1);
            issued.write(&mut self.store, token);
        }
    }

    pub(super) fn forget_expired_invitations(&mut self) {
        let wall = self.expiry.wall();
        let expired = self.invitations.iter().filter(|(_, issued)| !issued.admits(wall));
        for token in expired.map(|(token, _)| *token).collect::<Vec<_>>() {
            self.invitations.remove(&token);
            Issued::forget(&mut self.store, token);
        }
    }

    /// Somebody asks for the record behind a short invitation.
    pub(super) fn record_requested(
        &mut self,
        peer: DeviceId,
        token: InvitationToken,
    ) -> Result<(), Error> {
        if self.book.is_waiting(&peer) {
            return Err(Error::Untrusted); // It could start nothing with a record, only find us.
        }
        // A contact may ask for a newer one whenever its own is too old to start a session with.
        let is_known = self.book.of_device(&peer).is_some();
        self.admit_record(peer)?;
        let is_invited = self.is_invited(token);
        if is_invited {
            self.limits.invited(peer);
        }
        let record = (is_known || is_invited).then(|| self.record.clone());
        let frame = Frame::RecordResponse(record).encode();
        let token = self.take_token();
        self.after_writes(Output::Send { peer, token, frame });
        Ok(())
    }

    /// The record that we asked a contact's device for.
    pub(super) fn record_received(
        &mut self,
        peer: DeviceId,
        bytes: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        let Some(contact) = self.book.of_device(&peer) else {
            return Err(Error::Stranger);
        };
        let account = contact.account;
        let Some(bytes) = bytes else {
            return self.no_record(account, peer);
        };
        let record = ContactRecord::parse(&bytes)?;
        if record.certificate().account() == self.identity.account() {
            self.own_record(&record);
            return Ok(());
        }
        record.check_time(self.now.wall)?;
        if record.certificate().account() != account || record.certificate().device() != peer {
            return Err(Error::NotAuthentic("record of somebody else"));
        }
        self.learn_record(account, &record, bytes)?;
        self.heal_with_record(account, peer)?;
        self.drain(account)
    }

    /// The invitation that we hold does not stand any more: what waits for the inviter can never be
    /// encrypted, and its sender should know.
    fn no_record(&mut self, account: AccountId, peer: DeviceId) -> Result<(), Error> {
        if self.has_way(account, peer)? {
            return Ok(());
        }
        self.finish_all(account, "the recipient knows neither this account nor the invitation")
    }
}
