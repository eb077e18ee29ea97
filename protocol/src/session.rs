//! A session: one handshake's ratchet between our device and one other.
//!
//! ```text
//!   initiate --> unconfirmed --first message of the peer--> confirmed
//!   accept   --> confirmed
//! ```
//!
//! While unconfirmed, every message repeats the first half of the handshake, so that any one of
//! them founds the session at the responder. The message id is bound into the associated data.

mod padding;
mod record;
mod set;
mod skipped;

pub use padding::{pad, padme, unpad};
pub use set::{SESSIONS_PER_DEVICE_MAX, Sessions};
pub use skipped::StoredKeys;

use bitchat_proto::wire;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::handshake::{Accepted, Initiated};
use crate::id::{AccountId, DeviceId, MessageId, SessionId};
use crate::prekey::PrekeyUse;
use crate::ratchet::{Opened, Ratchet, Sealed, SkippedChange, SkippedKeys};
use crate::store::{Overlay, Store};
use crate::time::UnixMillis;

/// The other end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its account.
    pub account: AccountId,
    /// Its device.
    pub device: DeviceId,
}

/// One session.
pub struct Session {
    id: SessionId,
    peer: Peer,
    initiator: bool,
    initial: Option<wire::Initial>,
    associated: Vec<u8>,
    ratchet: Ratchet,
    created: UnixMillis,
    used: UnixMillis,
    prekeys: PrekeyUse,
}

impl Session {
    /// The initiator's side.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthentic`] if the peer's prekey is a low-order point.
    pub fn initiated(
        handshake: Initiated,
        peer: Peer,
        now: UnixMillis,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Error> {
        Ok(Self {
            id: handshake.session,
            peer,
            initiator: true,
            initial: Some(handshake.initial),
            associated: handshake.associated,
            ratchet: Ratchet::initiator(handshake.keys, handshake.their_prekey, rng)?,
            created: now,
            used: now,
            prekeys: handshake.prekeys,
        })
    }

    /// The responder's side. Nothing is proven before the first [`Session::open`] succeeds.
    #[must_use]
    pub fn accepted(handshake: Accepted, now: UnixMillis) -> Self {
        let peer = Peer { account: handshake.peer.account(), device: handshake.peer.device() };
        Self {
            id: handshake.session,
            peer,
            initiator: false,
            initial: None,
            associated: handshake.associated,
            ratchet: Ratchet::responder(handshake.keys, handshake.our_prekey),
            created: now,
            used: now,
            prekeys: handshake.prekeys,
        }
    }

    /// Its id.
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// The other end.
    #[must_use]
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// On what it was founded.
    #[must_use]
    pub const fn prekeys(&self) -> PrekeyUse {
        self.prekeys
    }

    /// Whether the peer has not answered a session of ours yet.
    #[must_use]
    pub const fn is_unconfirmed(&self) -> bool {
        self.initial.is_some()
    }

    /// The first half of the handshake, to be repeated while unconfirmed.
    #[must_use]
    pub const fn initial(&self) -> Option<&wire::Initial> {
        self.initial.as_ref()
    }

    /// Encrypts one message.
    ///
    /// # Errors
    ///
    /// [`Error::Bug`] if the chain's counter is used up (4 billion messages without an answer).
    pub fn seal(
        &mut self,
        message: MessageId,
        content: &[u8],
        now: UnixMillis,
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, Error> {
        let padded = Zeroizing::new(pad(content));
        let sealed = self.ratchet.seal(rng, &self.associated(message), &padded)?;
        self.used = now;
        Ok(sealed)
    }

    /// Decrypts one message, still padded (see [`unpad`]); a success confirms the session.
    ///
    /// # Errors
    ///
    /// As [`Ratchet::open`]; the session is unchanged then.
    pub fn open(
        &mut self,
        message: MessageId,
        sealed: &Sealed,
        skipped: &impl SkippedKeys,
        now: UnixMillis,
        rng: &mut impl CryptoRng,
    ) -> Result<Opened, Error> {
        let opened = self.ratchet.open(rng, skipped, &self.associated(message), sealed, now)?;
        self.initial = None;
        self.used = now;
        Ok(opened)
    }

    /// Writes what [`Session::open`] changed among the skipped keys of a session that is not kept yet.
    pub fn write_skipped<S: Store>(
        &self,
        changes: Vec<SkippedChange>,
        store: &mut Overlay<S>,
        now: UnixMillis,
    ) {
        skipped::write(store, self.id, changes, now);
    }

    fn associated(&self, message: MessageId) -> Vec<u8> {
        [self.associated.as_slice(), &message.0].concat()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({:?})", self.id)
    }
}
