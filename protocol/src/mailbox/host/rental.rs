//! A queue as the host knows it in memory: numbers alone, whatever lies in it.
//!
//! About 300 bytes and 48 for each fellow node, so that a thousand full queues need less than a
//! megabyte. The row is written with the batch that changes what it counts.
//!
//! See docs/SPEC.md, section "What a node gives".

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use super::super::{QueueKey, Tag};
use super::port::Ending;
use super::settings::LAPSE;
use crate::id::{DeviceId, exactly};
use crate::store::StoreError;
use crate::time::UnixMillis;

/// One-time prekeys of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stock {
    pub(super) left: u32,
    /// The highest id that was ever left here: the same order again adds nothing, also after keys
    /// of it were handed out.
    pub(super) last: u32,
}

/// A fellow node, without where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mate {
    pub(super) rank: u32,
    pub(super) device: DeviceId,
    /// The last cursor of ours that it has.
    pub(super) copied: u64,
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rental {
    pub(super) until: UnixMillis,
    pub(super) first: u64,
    pub(super) next: u64,
    pub(super) bytes: u64,
    pub(super) envelopes: u64,
    pub(super) held: u64,
    pub(super) tags: u64,
    pub(super) request_tag: Option<Tag>,
    pub(super) over: Option<Ending>,
    /// X25519, ML-KEM.
    pub(super) stock: [Stock; 2],
    /// Of this node among the owner's. Not in the row of the rental.
    pub(super) rank: u32,
    pub(super) mates: Vec<Mate>,
}

const CORRUPT: StoreError = StoreError::Corrupt("mailbox rental row");

impl Rental {
    /// Cursors begin at the clock, so that they rise also from one rental of a queue to the next.
    pub(super) fn new(now: UnixMillis) -> Self {
        let first = now.0.saturating_mul(1_024);
        Self {
            until: now.plus(LAPSE),
            first,
            next: first,
            bytes: 0,
            envelopes: 0,
            held: 0,
            tags: 0,
            request_tag: None,
            over: None,
            stock: [Stock::default(); 2],
            rank: 0,
            mates: Vec::new(),
        }
    }

    pub(super) fn take_cursor(&mut self) -> u64 {
        let cursor = self.next;
        self.next = cursor.saturating_add(1);
        cursor
    }

    pub(super) const fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.envelopes = self.envelopes.saturating_add(1);
    }

    pub(super) const fn remove(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.envelopes = self.envelopes.saturating_sub(1);
    }

    pub(super) fn encode(&self, queue: QueueKey) -> Vec<u8> {
        let [x25519, ml_kem] = self.stock;
        rest::MailboxRental {
            queue: queue.0.to_vec(),
            until_ms: self.until.0,
            first_cursor: self.first,
            next_cursor: self.next,
            bytes: self.bytes,
            envelopes: self.envelopes,
            held: self.held,
            tags: self.tags,
            request_tag: self.request_tag.map(|tag| tag.0.to_vec()).unwrap_or_default(),
            over: match self.over {
                None => 0,
                Some(Ending::Owner) => 1,
                Some(Ending::Lapse) => 2,
            },
            x25519_left: x25519.left,
            x25519_last: x25519.last,
            ml_kem_left: ml_kem.left,
            ml_kem_last: ml_kem.last,
        }
        .encode_to_vec()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<(QueueKey, Self), StoreError> {
        let raw = rest::MailboxRental::decode(bytes).map_err(|_| CORRUPT)?;
        let queue = exactly(&raw.queue, "queue").map_err(|_| CORRUPT)?;
        let request_tag = match raw.request_tag.as_slice() {
            [] => None,
            tag => Some(Tag(exactly(tag, "tag").map_err(|_| CORRUPT)?)),
        };
        let rental = Self {
            until: UnixMillis(raw.until_ms),
            first: raw.first_cursor,
            next: raw.next_cursor,
            bytes: raw.bytes,
            envelopes: raw.envelopes,
            held: raw.held,
            tags: raw.tags,
            request_tag,
            over: match raw.over {
                0 => None,
                1 => Some(Ending::Owner),
                _ => Some(Ending::Lapse),
            },
            stock: [
                Stock { left: raw.x25519_left, last: raw.x25519_last },
                Stock { left: raw.ml_kem_left, last: raw.ml_kem_last },
            ],
            rank: 0,
            mates: Vec::new(),
        };
        Ok((QueueKey(queue), rental))
    }
}
