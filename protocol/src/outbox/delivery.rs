//! Where a message of ours is: the ladder of states, each with its evidence.

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::error::Malformed;
use crate::id::{AccountId, MessageId, exactly};
use crate::store::{Key, Overlay, Store, StoreError, Table};
use crate::time::UnixMillis;

const CORRUPT: StoreError = StoreError::Corrupt("delivery row");

/// Where a message is. Later states are greater; a state never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DeliveryState {
    /// The outbox row is durable on this disk.
    Queued = 1,
    /// A peer's node accepted the bytes.
    Sent = 2,
    /// Mailboxes took custody.
    Stored = 3,
    /// The recipient's device has it: its receipt came through the ratchet.
    Delivered = 4,
    /// The recipient chose to say that it was read.
    Read = 5,
    /// Its time ran out before anybody took it.
    Expired = 10,
    /// It can never be delivered.
    Undeliverable = 11,
    /// The recipient refused it.
    Rejected = 12,
}

impl DeliveryState {
    /// The word in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Stored => "stored",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Expired => "expired",
            Self::Undeliverable => "undeliverable",
            Self::Rejected => "rejected",
        }
    }

    /// Whether nothing more will happen although the recipient does not have it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Expired | Self::Undeliverable | Self::Rejected)
    }

    /// Whether a wait for `wanted` is over, successfully.
    #[must_use]
    pub fn reaches(self, wanted: Self) -> bool {
        !self.is_failure() && self >= wanted
    }

    /// From the store; `None` for a number that no version wrote.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Queued,
            2 => Self::Sent,
            3 => Self::Stored,
            4 => Self::Delivered,
            5 => Self::Read,
            10 => Self::Expired,
            11 => Self::Undeliverable,
            12 => Self::Rejected,
            _ => return None,
        })
    }
}

/// The present state of one message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// To whom.
    pub account: AccountId,
    /// State.
    pub state: DeliveryState,
    /// What proves it, in words.
    pub evidence: String,
    /// Since when.
    pub at: UnixMillis,
}

impl Delivery {
    /// Reads the state of a message; `None` if nobody is shown such a message.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the row cannot be read.
    pub fn read(store: &impl Store, id: MessageId) -> Result<Option<Self>, StoreError> {
        let Some(value) = store.get(&Key::of(Table::Delivery, &id.0))? else {
            return Ok(None);
        };
        let row = rest::Delivery::decode(value.as_slice()).map_err(|_| CORRUPT)?;
        Self::from_rest(row).map(Some).map_err(|_| CORRUPT)
    }

    /// Deletes the state of a message.
    pub fn forget<S: Store>(store: &mut Overlay<S>, id: MessageId) {
        store.delete(Key::of(Table::Delivery, &id.0));
    }

    pub(crate) fn from_rest(row: rest::Delivery) -> Result<Self, Malformed> {
        Ok(Self {
            account: AccountId(exactly(&row.account, "account")?),
            state: DeliveryState::from_number(row.state).ok_or(Malformed("delivery state"))?,
            evidence: row.evidence,
            at: UnixMillis(row.at_ms),
        })
    }

    pub(crate) fn to_rest(&self) -> rest::Delivery {
        rest::Delivery {
            state: u32::from(self.state as u8),
            at_ms: self.at.0,
            account: self.account.0.to_vec(),
            evidence: self.evidence.clone(),
        }
    }

    /// Writes the state of a message.
    pub fn write<S: Store>(&self, store: &mut Overlay<S>, id: MessageId) {
        store.put(Key::of(Table::Delivery, &id.0), self.to_rest().encode_to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_its_number_and_a_later_one_reaches_an_earlier_one() {
        use DeliveryState::{
            Delivered, Expired, Queued, Read, Rejected, Sent, Stored, Undeliverable,
        };
        for state in [Queued, Sent, Stored, Delivered, Read, Expired, Undeliverable, Rejected] {
            assert_eq!(DeliveryState::from_number(u32::from(state as u8)), Some(state));
        }

        assert!(Delivered.reaches(Sent) && Delivered.reaches(Delivered));
        assert!(!Sent.reaches(Delivered));
        assert!(!Expired.reaches(Queued), "an end without delivery reaches nothing");
    }
}
