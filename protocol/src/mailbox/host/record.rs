//! Rows of a host and their keys.
//!
//! Custody and envelope are two rows: the first outlives the second, which is deleted when it is taken.
//!
//! See docs/SPEC.md, section "What a node gives".

use bitchat_proto::prost::Message;
use bitchat_proto::rest;

use super::super::{Fellow, QueueKey, Tag, Token};
use crate::crypto::digest;
use crate::id::{DeviceId, exactly};
use crate::prekey::SignedPrekey;
use crate::store::{Key, StoreError, Table};
use crate::time::UnixMillis;

/// Whom a queue lets in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Door {
    pub(super) queue: QueueKey,
    /// First cursor of the rental: a door of an earlier one is none.
    pub(super) rental: u64,
    pub(super) until: UnixMillis,
    pub(super) bytes: u64,
    pub(super) envelopes: u64,
    pub(super) prekeys: u32,
}

/// A seal that nobody took yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) hash: [u8; 32],
    pub(super) tag: Tag,
    pub(super) until: UnixMillis,
    pub(super) at: UnixMillis,
    pub(super) seal: Vec<u8>,
}

/// Custody that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) cursor: u64,
    pub(super) until: UnixMillis,
    pub(super) taken: bool,
}

/// What ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Custody(QueueKey, [u8; 32]),
    Door(QueueKey, Tag),
}

/// A fellow node and what it has of ours.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FellowRow {
    pub(super) fellow: Fellow,
    pub(super) copied: u64,
}

/// The other nodes of a queue's owner.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FellowsRow {
    pub(super) rank: u32,
    pub(super) fellows: Vec<FellowRow>,
}

pub(super) fn rental_key(queue: QueueKey) -> Key {
    Key::of(Table::MailboxRental, &queue.0)
}

pub(super) fn door_key(tag: Tag) -> Key {
    Key::of(Table::MailboxTag, &tag.0)
}

pub(super) fn envelope_key(queue: QueueKey, cursor: u64) -> Key {
    Key::numbered(Table::MailboxEnvelope, &queue.0, cursor)
}

pub(super) fn held_key(queue: QueueKey, hash: &[u8; 32]) -> Key {
    Key::of(Table::MailboxHeld, &[queue.0, *hash].concat())
}

pub(super) fn fellows_key(queue: QueueKey) -> Key {
    Key::of(Table::MailboxFellows, &queue.0)
}

pub(super) fn prekey_scope(queue: QueueKey, kind: usize) -> Vec<u8> {
    let mut scope = queue.0.to_vec();
    scope.push(u8::from(kind != 0));
    scope
}

pub(super) fn prekey_key(queue: QueueKey, kind: usize, id: u32) -> Key {
    Key::numbered(Table::MailboxPrekey, &prekey_scope(queue, kind), u64::from(id))
}

/// Names the same thing always, so that it can be deleted without a search.
pub(super) fn end_key(until: UnixMillis, ends: &Ends) -> Key {
    let name = match ends {
        Ends::Custody(queue, hash) => digest(&[queue.0, *hash].concat()),
        Ends::Door(queue, tag) => digest(&[queue.0.as_slice(), &tag.0, b"door"].concat()),
    };
    let order = until.0.to_be_bytes().into_iter().chain(name.into_iter().take(8)).collect();
    Key { table: Table::MailboxEnd, scope: Vec::new(), order }
}

/// The time in the order of a row of [`Table::MailboxEnd`].
pub(super) fn end_time(order: &[u8]) -> Option<UnixMillis> {
    Some(UnixMillis(u64::from_be_bytes(*order.first_chunk()?)))
}

fn decoded<M: Message + Default>(bytes: &[u8], what: &'static str) -> Result<M, StoreError> {
    M::decode(bytes).map_err(|_| StoreError::Corrupt(what))
}

fn fixed<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], StoreError> {
    exactly(bytes, what).map_err(|_| StoreError::Corrupt(what))
}

impl Door {
    pub(super) fn encode(&self) -> Vec<u8> {
        rest::MailboxTag {
            queue: self.queue.0.to_vec(),
            rental: self.rental,
            until_ms: self.until.0,
            bytes: self.bytes,
            envelopes: self.envelopes,
            prekeys: self.prekeys,
        }
        .encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        const WHAT: &str = "mailbox tag row";
        let raw: rest::MailboxTag = decoded(bytes, WHAT)?;
        Ok(Self {
            queue: QueueKey(fixed(&raw.queue, WHAT)?),
            rental: raw.rental,
            until: UnixMillis(raw.until_ms),
            bytes: raw.bytes,
            envelopes: raw.envelopes,
            prekeys: raw.prekeys,
        })
    }
}

impl Envelope {
    pub(super) fn encode(self) -> Vec<u8> {
        rest::MailboxEnvelope {
            hash: self.hash.to_vec(),
            tag: self.tag.0.to_vec(),
            until_ms: self.until.0,
            at_ms: self.at.0,
            seal: self.seal,
        }
        .encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        const WHAT: &str = "mailbox envelope row";
        let raw: rest::MailboxEnvelope = decoded(bytes, WHAT)?;
        Ok(Self {
            hash: fixed(&raw.hash, WHAT)?,
            tag: Tag(fixed(&raw.tag, WHAT)?),
            until: UnixMillis(raw.until_ms),
            at: UnixMillis(raw.at_ms),
            seal: raw.seal,
        })
    }

    pub(super) fn size(&self) -> u64 {
        u64::try_from(self.seal.len()).unwrap_or(u64::MAX)
    }
}

impl Held {
    pub(super) fn encode(self) -> Vec<u8> {
        let Self { cursor, until, taken } = self;
        rest::MailboxHeld { cursor, until_ms: until.0, taken }.encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let raw: rest::MailboxHeld = decoded(bytes, "mailbox custody row")?;
        Ok(Self { cursor: raw.cursor, until: UnixMillis(raw.until_ms), taken: raw.taken })
    }
}

impl Ends {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Custody(queue, hash) => {
                rest::MailboxEnd { queue: queue.0.to_vec(), hash: hash.to_vec(), tag: Vec::new() }
            }
            Self::Door(queue, tag) => {
                rest::MailboxEnd { queue: queue.0.to_vec(), hash: Vec::new(), tag: tag.0.to_vec() }
            }
        }
        .encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        const WHAT: &str = "mailbox end row";
        let raw: rest::MailboxEnd = decoded(bytes, WHAT)?;
        let queue = QueueKey(fixed(&raw.queue, WHAT)?);
        Ok(match raw.tag.as_slice() {
            [] => Self::Custody(queue, fixed(&raw.hash, WHAT)?),
            tag => Self::Door(queue, Tag(fixed(tag, WHAT)?)),
        })
    }
}

pub(super) fn encode_prekey(prekey: SignedPrekey) -> Vec<u8> {
    let SignedPrekey { id, key, expires, signature } = prekey;
    rest::MailboxPrekey { id, key, expires_ms: expires.0, signature }.encode_to_vec()
}

pub(super) fn decode_prekey(bytes: &[u8]) -> Result<SignedPrekey, StoreError> {
    let raw: rest::MailboxPrekey = decoded(bytes, "mailbox prekey row")?;
    let rest::MailboxPrekey { id, key, expires_ms, signature } = raw;
    Ok(SignedPrekey { id, key, expires: UnixMillis(expires_ms), signature })
}

impl FellowsRow {
    pub(super) fn encode(&self) -> Vec<u8> {
        let fellow = |row: &FellowRow| rest::MailboxFellow {
            rank: row.fellow.rank,
            device: row.fellow.device.0.to_vec(),
            addresses: row.fellow.addresses.clone(),
            token: row.fellow.token.as_bytes().to_vec(),
            copied: row.copied,
        };
        let fellows = self.fellows.iter().map(fellow).collect();
        rest::MailboxFellows { rank: self.rank, fellows }.encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        const WHAT: &str = "mailbox fellows row";
        let raw: rest::MailboxFellows = decoded(bytes, WHAT)?;
        let fellow = |raw: rest::MailboxFellow| {
            let fellow = Fellow {
                rank: raw.rank,
                device: DeviceId(fixed(&raw.device, WHAT)?),
                addresses: raw.addresses,
                token: Token::new(fixed(&raw.token, WHAT)?),
            };
            Ok(FellowRow { fellow, copied: raw.copied })
        };
        let fellows = raw.fellows.into_iter().map(fellow).collect::<Result<_, StoreError>>()?;
        Ok(Self { rank: raw.rank, fellows })
    }
}
