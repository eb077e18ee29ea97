//! A session at rest: `rest::Session`.

use bitchat_proto::prost::Message;
use bitchat_proto::{rest, wire};

use super::{Peer, Session};
use crate::error::Malformed;
use crate::id::{AccountId, DeviceId, SessionId, exactly};
use crate::ratchet::{self, Ratchet};
use crate::time::UnixMillis;

const WHAT: &str = "session row";

impl Session {
    /// The bytes at rest. They hold secrets: the store seals them.
    #[must_use]
    pub fn to_record(&self) -> Vec<u8> {
        let mut row = rest::Session {
            id: self.id.0.to_vec(),
            account: self.peer.account.0.to_vec(),
            device: self.peer.device.0.to_vec(),
            initiator: self.initiator,
            initial: self.initial.as_ref().map(Message::encode_to_vec).unwrap_or_default(),
            associated_data: self.associated.clone(),
            ratchet: Some(self.ratchet.to_record()),
            created_ms: self.created.0,
            used_ms: self.used.0,
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
        let peer = Peer {
            account: AccountId(exactly(&row.account, WHAT)?),
            device: DeviceId(exactly(&row.device, WHAT)?),
        };
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
        })
    }
}
