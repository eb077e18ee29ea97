//! A session at rest: `rest::Session`.
//!
//! See docs/SPEC.md, section "Delivery".

use bitchat_proto::prost::Message;
use bitchat_proto::{rest, wire};

use super::{Peer, Session};
use crate::error::Malformed;
use crate::id::{AccountId, DeviceId, SessionId, exactly};
use crate::prekey::PrekeyUse;
use crate::ratchet::{self, Ratchet};
use crate::time::UnixMillis;

const WHAT: &str = "session row";

impl Session {
    /// The bytes at rest. They hold secrets: the store seals them.
    #[must_use]
    pub fn to_record(&self) -> Vec<u8> {
        let mut row = rest::Session {
            id: self.id.0.to_vec(),
            initiator: self.initiator,
            initial: self.initial.as_ref().map(Message::encode_to_vec).unwrap_or_default(),
            associated_data: self.associated.clone(),
            ratchet: Some(self.ratchet.to_record()),
            created_ms: self.created.0,
            used_ms: self.used.0,
            prekeys: match self.prekeys {
                PrekeyUse::OneTime => 2,
                PrekeyUse::Partial => 1,
                PrekeyUse::LastResort => 0,
            },
        };
        let bytes = row.encode_to_vec();
        if let Some(ratchet) = row.ratchet.as_mut() {
            ratchet::wipe(ratchet);
        }
        bytes
    }

    /// From bytes at rest.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if no version wrote this.
    pub fn from_record(bytes: &[u8]) -> Result<Self, Malformed> {
        let row = rest::Session::decode(bytes).map_err(|_| Malformed(WHAT))?;
        let initial = match row.initial.as_slice() {
            [] => None,
            bytes => Some(wire::Initial::decode(bytes).map_err(|_| Malformed(WHAT))?),
        };
        let peer = peer(&row.associated_data, row.initiator).ok_or(Malformed(WHAT))?;
        let ratchet = row.ratchet.ok_or(Malformed(WHAT))?;
        Ok(Self {
            id: SessionId(exactly(&row.id, WHAT)?),
            peer,
            initiator: row.initiator,
            initial,
            associated: row.associated_data,
            ratchet: Ratchet::from_record(ratchet).map_err(|_| Malformed(WHAT))?,
            created: UnixMillis(row.created_ms),
            used: UnixMillis(row.used_ms),
            prekeys: match row.prekeys {
                2 => PrekeyUse::OneTime,
                1 => PrekeyUse::Partial,
                0 => PrekeyUse::LastResort,
                _ => return Err(Malformed(WHAT)),
            },
        })
    }
}

/// The other party, out of the associated data of the handshake (docs/SPEC.md, "Handshake"): suite,
/// initiator, responder, transcript; a party is account, device, identity, 32 bytes each.
fn peer(associated: &[u8], initiator: bool) -> Option<Peer> {
    let (_suite, rest) = associated.split_first_chunk::<4>()?;
    let (first, rest) = rest.split_first_chunk::<96>()?;
    let (second, transcript) = rest.split_first_chunk::<96>()?;
    let theirs = if initiator { second } else { first };
    let (account, rest) = theirs.split_first_chunk::<32>()?;
    let (device, _identity) = rest.split_first_chunk::<32>()?;
    let whole = transcript.len() == 32;
    whole.then_some(Peer { account: AccountId(*account), device: DeviceId(*device) })
}
