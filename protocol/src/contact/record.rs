//! A contact at rest: `rest::Contact`.

use bitchat_proto::prost::Message;
use bitchat_proto::rest;

use super::{Contact, KeyPolicy, Newer};
use crate::error::Malformed;
use crate::id::{AccountId, DeviceId, InvitationToken, exactly};
use crate::time::UnixMillis;

impl Contact {
    /// The bytes at rest.
    #[must_use]
    pub fn to_record(&self) -> Vec<u8> {
        rest::Contact {
            account: self.account.0.to_vec(),
            name: self.name.clone(),
            nickname: self.nickname.clone(),
            record: self.record.clone().unwrap_or_default(),
            device: self.device.0.to_vec(),
            addresses: self.addresses.clone(),
            token: self.token.map(|token| token.0.to_vec()).unwrap_or_default(),
            verified: self.verified,
            added_ms: self.added.0,
            generation: self.generation,
            strict: self.policy == KeyPolicy::Verified,
            changed_ms: self.changed.map_or(0, |at| at.0),
            pending: self.pending.as_ref().map(|newer| newer.record.clone()).unwrap_or_default(),
        }
        .encode_to_vec()
    }

    /// From bytes at rest.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if no version wrote this.
    pub fn from_record(bytes: &[u8]) -> Result<Self, Malformed> {
        let row = rest::Contact::decode(bytes).map_err(|_| Malformed("contact row"))?;
        let token = if row.token.is_empty() {
            None
        } else {
            Some(InvitationToken(exactly(&row.token, "contact row")?))
        };
        let pending = match row.pending.as_slice() {
            [] => None,
            _ => Some(Newer::parse(row.pending).map_err(|_| Malformed("contact row"))?),
        };
        Ok(Self {
            account: AccountId(exactly(&row.account, "contact row")?),
            name: row.name,
            nickname: row.nickname,
            record: Some(row.record).filter(|record| !record.is_empty()),
            device: DeviceId(exactly(&row.device, "contact row")?),
            generation: row.generation,
            addresses: row.addresses,
            token,
            verified: row.verified,
            added: UnixMillis(row.added_ms),
            policy: if row.strict { KeyPolicy::Verified } else { KeyPolicy::Tofu },
            changed: Some(UnixMillis(row.changed_ms)).filter(|at| at.0 > 0),
            pending,
        })
    }
}
