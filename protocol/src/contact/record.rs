//! A contact at rest: `rest::Contact`.

use bitchat_proto::prost::Message;
use bitchat_proto::rest;

use super::{Contact, FORMER_MAX, KeyPolicy, Newer};
use crate::error::Malformed;
use crate::id::{AccountId, DeviceId, InvitationToken, exactly};
use crate::time::UnixMillis;

impl Contact {
    /// The bytes at rest.
    #[must_use]
    pub fn to_record(&self) -> Vec<u8> {
        self.to_rest().encode_to_vec()
    }

    pub(crate) fn to_rest(&self) -> rest::Contact {
        rest::Contact {
            account: self.account.0.to_vec(),
            name: self.name.clone(),
            nickname: self.nickname.clone(),
            record: self.record.clone().unwrap_or_default(),
            device: self.device.0.to_vec(),
            addresses: self.addresses.clone(),
            token: self.token.map(|token| token.0.to_vec()).unwrap_or_default(),
            verified: self.verified,
            read_receipts: self.read_receipts.map_or(0, |tells| if tells { 1 } else { 2 }),
            added_ms: self.added.0,
            generation: self.generation,
            former: self.former.iter().map(|device| device.0.to_vec()).collect(),
            strict: self.policy == KeyPolicy::Verified,
            changed_ms: self.changed.map_or(0, |at| at.0),
            pending: self.pending.as_ref().map(|newer| newer.record.clone()).unwrap_or_default(),
        }
    }

    /// From bytes at rest.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if no version wrote this.
    pub fn from_record(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::from_rest(rest::Contact::decode(bytes).map_err(|_| Malformed("contact row"))?)
    }

    pub(crate) fn from_rest(row: rest::Contact) -> Result<Self, Malformed> {
        let former = row.former.iter().take(FORMER_MAX);
        let former: Result<_, _> =
            former.map(|device| exactly(device, "contact row").map(DeviceId)).collect();
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
            read_receipts: match row.read_receipts {
                0 => None,
                other => Some(other == 1),
            },
            added: UnixMillis(row.added_ms),
            former: former?,
            policy: if row.strict { KeyPolicy::Verified } else { KeyPolicy::Tofu },
            changed: Some(UnixMillis(row.changed_ms)).filter(|at| at.0 > 0),
            pending,
        })
    }
}
