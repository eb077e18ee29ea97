//! A one-time prekey at rest, and the counter of their ids.
//!
//! See docs/SPEC.md, section "One-time prekeys".

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;
use zeroize::{Zeroize, Zeroizing};

use crate::crypto::Secret;
use crate::prekey::one_time::Algorithm;
use crate::store::{Key, StoreError, Table};
use crate::time::UnixMillis;

const CORRUPT: StoreError = StoreError::Corrupt("one-time prekey row");

/// One row.
pub(super) struct Row {
    pub(super) algorithm: Algorithm,
    pub(super) id: u32,
    pub(super) secret: Zeroizing<Vec<u8>>,
    /// Handed out, and gone then.
    pub(super) until: Option<UnixMillis>,
}

impl Row {
    /// The bytes that are stored. They hold a secret: the store seals them.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = rest::OneTimePrekey {
            algorithm: u32::from(self.algorithm as u8),
            id: self.id,
            secret: self.secret.to_vec(),
            until_ms: self.until.map_or(0, |until| until.0),
        };
        let bytes = row.encode_to_vec();
        row.secret.zeroize();
        bytes
    }

    /// Reads what [`Row::encode`] wrote.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let row = rest::OneTimePrekey::decode(bytes).map_err(|_| CORRUPT)?;
        let secret = Zeroizing::new(row.secret);
        let (algorithm, length) = match row.algorithm {
            1 => (Algorithm::X25519, 32),
            2 => (Algorithm::MlKem1024, 64),
            _ => return Err(CORRUPT),
        };
        if row.id == 0 || secret.len() != length {
            return Err(CORRUPT);
        }
        let until = Some(UnixMillis(row.until_ms)).filter(|until| until.0 != 0);
        Ok(Self { algorithm, id: row.id, secret, until })
    }

    pub(super) fn secret<const N: usize>(&self) -> Result<Secret<N>, StoreError> {
        Secret::from_slice(&self.secret).ok_or(CORRUPT)
    }
}

pub(super) fn row_key(algorithm: Algorithm, id: u32) -> Key {
    Key::numbered(Table::OneTimePrekey, &[algorithm as u8], id.into())
}

/// The last id that was given.
pub(super) fn counter(last: u32) -> Vec<u8> {
    rest::Counter { value: last.into() }.encode_to_vec()
}

pub(super) fn read_counter(bytes: &[u8]) -> Result<u32, StoreError> {
    const WRONG: StoreError = StoreError::Corrupt("one-time prekey counter");
    let row = rest::Counter::decode(bytes).map_err(|_| WRONG)?;
    u32::try_from(row.value).map_err(|_| WRONG)
}
