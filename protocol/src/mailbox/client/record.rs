//! Rows of the client's side: `rest::Rental`, `rest::Admitted`, `rest::Deposited`.

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use super::{Admitted, Deposited, Rental};
use crate::crypto::Secret;
use crate::error::Malformed;
use crate::id::{AccountId, DeviceId, exactly};
use crate::mailbox::{ContactSecret, Epoch, Tag};
use crate::store::{Key, StoreError, Table};
use crate::time::UnixMillis;

fn corrupt(_: Malformed) -> StoreError {
    StoreError::Corrupt("mailbox row")
}

fn secret(bytes: &[u8]) -> Result<Secret<32>, StoreError> {
    Secret::from_slice(bytes).ok_or(StoreError::Corrupt("mailbox row"))
}

impl Rental {
    /// Where its row is.
    #[must_use]
    pub fn key_of(node: DeviceId) -> Key {
        Key::of(Table::Rental, &node.0)
    }

    /// The bytes at rest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rest::Rental {
            node: self.node.0.to_vec(),
            addresses: self.addresses.clone(),
            access: self.access.clone(),
            queue: self.queue.expose().to_vec(),
            request_tag: self.request_tag.0.to_vec(),
            rank: self.rank,
            rented: self.rented,
            until_ms: self.until.0,
            renewed_ms: self.renewed.0,
            cursor: self.cursor,
            removed_ms: self.removed.map_or(0, |at| at.0),
        }
        .encode_to_vec()
    }

    /// From bytes at rest.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if no version wrote this.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let row = rest::Rental::decode(bytes).map_err(|_| corrupt(Malformed("row")))?;
        Ok(Self {
            node: DeviceId(exactly(&row.node, "node").map_err(corrupt)?),
            addresses: row.addresses,
            access: row.access,
            queue: secret(&row.queue)?,
            request_tag: Tag(exactly(&row.request_tag, "tag").map_err(corrupt)?),
            rank: row.rank,
            rented: row.rented,
            until: UnixMillis(row.until_ms),
            renewed: UnixMillis(row.renewed_ms),
            cursor: row.cursor,
            removed: (row.removed_ms > 0).then_some(UnixMillis(row.removed_ms)),
        })
    }
}

impl Admitted {
    /// Where its row is.
    #[must_use]
    pub fn key_of(node: DeviceId, account: AccountId) -> Key {
        Key::of(Table::Admitted, &[node.0, account.0].concat())
    }

    /// The bytes at rest.
    #[must_use]
    pub fn encode(&self, node: DeviceId) -> Vec<u8> {
        rest::Admitted {
            node: node.0.to_vec(),
            account: self.account.0.to_vec(),
            secret: self.secret.expose().expose().to_vec(),
            first_week: self.first.0,
            last_week: self.last.0,
            confirmed: self.confirmed,
        }
        .encode_to_vec()
    }

    /// From bytes at rest: at which node, and what.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if no version wrote this.
    pub fn decode(bytes: &[u8]) -> Result<(DeviceId, Self), StoreError> {
        let row = rest::Admitted::decode(bytes).map_err(|_| corrupt(Malformed("row")))?;
        let node = DeviceId(exactly(&row.node, "node").map_err(corrupt)?);
        let admitted = Self {
            account: AccountId(exactly(&row.account, "account").map_err(corrupt)?),
            secret: ContactSecret::from_bytes(secret(&row.secret)?),
            first: Epoch(row.first_week),
            last: Epoch(row.last_week),
            confirmed: row.confirmed,
        };
        Ok((node, admitted))
    }
}

impl Deposited {
    /// Where its row is.
    #[must_use]
    pub fn key_of((account, sequence): (AccountId, u64)) -> Key {
        Key::numbered(Table::Deposited, &account.0, sequence)
    }

    /// The bytes at rest.
    #[must_use]
    pub fn encode(&self, (account, sequence): (AccountId, u64)) -> Vec<u8> {
        let keeper = |(node, until): (&DeviceId, &UnixMillis)| rest::Keeper {
            node: node.0.to_vec(),
            until_ms: until.0,
        };
        rest::Deposited {
            account: account.0.to_vec(),
            sequence,
            secret: self.secret.expose().to_vec(),
            attempt: self.attempt,
            begun_ms: self.begun.0,
            letter_hash: self.letter.to_vec(),
            keepers: self.keepers.iter().map(keeper).collect(),
        }
        .encode_to_vec()
    }

    /// From bytes at rest.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if no version wrote this.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let row = rest::Deposited::decode(bytes).map_err(|_| corrupt(Malformed("row")))?;
        let keepers = row.keepers.iter().map(|keeper| {
            let node = DeviceId(exactly(&keeper.node, "node").map_err(corrupt)?);
            Ok((node, UnixMillis(keeper.until_ms)))
        });
        Ok(Self {
            secret: secret(&row.secret)?,
            attempt: row.attempt,
            begun: UnixMillis(row.begun_ms),
            letter: exactly(&row.letter_hash, "hash").map_err(corrupt)?,
            keepers: keepers.collect::<Result<_, StoreError>>()?,
        })
    }
}
