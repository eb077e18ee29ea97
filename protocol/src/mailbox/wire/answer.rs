//! What a node answers.
//!
//! See docs/SPEC.md, section "Mailboxes".

use std::time::Duration;

use bitchat_proto::wire::{self, link, mailbox_response};
use prost::Message;

use super::{framed, unframed};
use crate::envelope::prekeys;
use crate::error::Malformed;
use crate::id::exactly;
use crate::mailbox::{Custody, RequestId};
use crate::prekey::Offer as PrekeyOffer;
use crate::time::{UnixMillis, millis_up};

/// Hashes of a summary.
const SUMMARY_MAX: usize = 4_096;

/// What a node offers, and what a queue of it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// End of the rental unless it is renewed; 0: none.
    pub until: UnixMillis,
    /// Bytes of a queue.
    pub bytes_max: u64,
    /// Envelopes of a queue.
    pub envelopes_max: u64,
    /// Bytes of a seal.
    pub seal_bytes_max: u64,
    /// How long a seal is kept.
    pub keep_max: Duration,
    /// For request tags and new rentals.
    pub work_bits: u32,
    /// Whether a rental needs a word of the operator.
    pub needs_access: bool,
    /// Bytes in this queue.
    pub bytes: u64,
    /// Envelopes in this queue.
    pub envelopes: u64,
    /// One-time prekeys left of X25519 and of ML-KEM.
    pub prekeys_left: (u32, u32),
}

/// One envelope of a queue.
#[derive(Clone, PartialEq, Eq)]
pub struct Item {
    /// Its place.
    pub cursor: u64,
    /// The sealed envelope.
    pub seal: Vec<u8>,
}

/// Envelopes behind a cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order of their cursors.
    pub items: Vec<Item>,
    /// Behind the last of them.
    pub next: u64,
    /// Whether there are more.
    pub more: bool,
}

/// All that an asker is told about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum RefusalCode {
    /// It could not be taken as it is.
    Rejected = 1,
    /// Come back later.
    Busy = 2,
    /// The fault is there; later may help.
    Internal = 3,
    /// No room in the queue, or for this tag.
    QuotaExceeded = 6,
    /// No such queue or tag, or no longer: its owner must say so anew.
    Unknown = 7,
    /// More work, or the operator's word.
    Unpaid = 8,
    /// The node keeps no mailboxes.
    NoMailboxes = 9,
}

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The seal is kept.
    Custody(Custody),
    /// It is not.
    Refused {
        /// Why.
        code: RefusalCode,
        /// Not before.
        retry_after: Duration,
        /// With [`RefusalCode::Unpaid`]: so much work is asked for.
        work_bits: u32,
    },
    /// To `Offer` and `Rent`.
    Offer(Offer),
    /// To `Fetch`.
    Page(Page),
    /// To the other orders: durable.
    Done,
    /// One-time prekeys, as far as there are any.
    Prekeys(PrekeyOffer),
    /// Hashes of the seals that are held for an owner.
    Summary(Vec<[u8; 32]>),
}

/// An answer and the id of its question.
#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    /// Of the question.
    pub id: RequestId,
    /// What is answered.
    pub answer: Answer,
}

impl Response {
    /// As a frame of a link.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        use mailbox_response::Answer as Raw;
        let answer = match self.answer {
            Answer::Custody(custody) => Raw::Custody(custody.to_wire()),
            Answer::Refused { code, retry_after, work_bits } => {
                Raw::Refusal(wire::MailboxRefusal {
                    code: code as u32,
                    retry_after_ms: millis_up(retry_after),
                    work_bits,
                })
            }
            Answer::Offer(offer) => Raw::Offer(offer.to_wire()),
            Answer::Page(page) => Raw::Page(page.into_wire()),
            Answer::Done => Raw::Done(wire::MailboxDone {}),
            Answer::Prekeys(offer) => Raw::Prekeys(prekeys::response(offer)),
            Answer::Summary(hashes) => Raw::Summary(wire::MailboxSummary {
                seal_hashes: hashes.iter().map(|hash| hash.to_vec()).collect(),
            }),
        };
        let response = wire::MailboxResponse { number: self.id.0, answer: Some(answer) };
        framed(link::Frame::MailboxResponse(response))
    }

    /// From a frame of a link.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is no such frame or breaks a limit.
    pub fn decode(frame: &[u8]) -> Result<Self, Malformed> {
        use mailbox_response::Answer as Raw;
        const WRONG: Malformed = Malformed("mailbox response");
        let Some(link::Frame::MailboxResponse(raw)) = unframed(frame)? else { return Err(WRONG) };
        let answer = match raw.answer.ok_or(WRONG)? {
            Raw::Custody(raw) => Answer::Custody(Custody::from_wire(&raw)?),
            Raw::Refusal(raw) => Answer::Refused {
                code: RefusalCode::from_wire(raw.code),
                retry_after: Duration::from_millis(raw.retry_after_ms),
                work_bits: raw.work_bits,
            },
            Raw::Offer(raw) => Answer::Offer(Offer::from_wire(&raw)),
            Raw::Page(raw) => Answer::Page(Page::from_wire(raw)?),
            Raw::Done(wire::MailboxDone {}) => Answer::Done,
            Raw::Prekeys(raw) => Answer::Prekeys(prekeys::parse_response(raw)?),
            Raw::Summary(raw) if raw.seal_hashes.len() <= SUMMARY_MAX => {
                let hashes = raw.seal_hashes.iter().map(|hash| exactly(hash, "seal hash"));
                Answer::Summary(hashes.collect::<Result<_, _>>()?)
            }
            Raw::Summary(_) => return Err(Malformed("mailbox summary")),
        };
        Ok(Self { id: RequestId(raw.number), answer })
    }
}

impl RefusalCode {
    /// Unknown numbers count as [`RefusalCode::Rejected`].
    const fn from_wire(number: u32) -> Self {
        match number {
            2 => Self::Busy,
            3 => Self::Internal,
            6 => Self::QuotaExceeded,
            7 => Self::Unknown,
            8 => Self::Unpaid,
            9 => Self::NoMailboxes,
            _ => Self::Rejected,
        }
    }
}

impl Custody {
    /// As it is kept: with the node's device anybody can verify it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        self.to_wire().encode_to_vec()
    }

    pub(crate) fn to_wire(&self) -> wire::MailboxCustody {
        wire::MailboxCustody {
            seal_hash: self.seal_hash.to_vec(),
            until_ms: self.until.0,
            signature: self.signature.to_vec(),
        }
    }

    pub(crate) fn from_wire(raw: &wire::MailboxCustody) -> Result<Self, Malformed> {
        Ok(Self {
            seal_hash: exactly(&raw.seal_hash, "seal hash")?,
            until: UnixMillis(raw.until_ms),
            signature: exactly(&raw.signature, "signature")?,
        })
    }
}

impl Offer {
    fn to_wire(&self) -> wire::MailboxOffer {
        wire::MailboxOffer {
            until_ms: self.until.0,
            bytes_max: self.bytes_max,
            envelopes_max: self.envelopes_max,
            seal_bytes_max: self.seal_bytes_max,
            keep_ms_max: millis_up(self.keep_max),
            work_bits: self.work_bits,
            access: self.needs_access,
            bytes: self.bytes,
            envelopes: self.envelopes,
            x25519_left: self.prekeys_left.0,
            ml_kem_left: self.prekeys_left.1,
        }
    }

    const fn from_wire(raw: &wire::MailboxOffer) -> Self {
        Self {
            until: UnixMillis(raw.until_ms),
            bytes_max: raw.bytes_max,
            envelopes_max: raw.envelopes_max,
            seal_bytes_max: raw.seal_bytes_max,
            keep_max: Duration::from_millis(raw.keep_ms_max),
            work_bits: raw.work_bits,
            needs_access: raw.access,
            bytes: raw.bytes,
            envelopes: raw.envelopes,
            prekeys_left: (raw.x25519_left, raw.ml_kem_left),
        }
    }
}

impl Page {
    fn into_wire(self) -> wire::MailboxPage {
        let item = |Item { cursor, seal }| wire::MailboxItem { cursor, seal };
        wire::MailboxPage {
            items: self.items.into_iter().map(item).collect(),
            next: self.next,
            more: self.more,
        }
    }

    /// Cursors rise: a node that says otherwise could make us go round for ever.
    fn from_wire(raw: wire::MailboxPage) -> Result<Self, Malformed> {
        let items: Vec<_> =
            raw.items.into_iter().map(|raw| Item { cursor: raw.cursor, seal: raw.seal }).collect();
        let rises = items.is_sorted_by(|a, b| a.cursor < b.cursor);
        let ends = items.last().is_none_or(|last| last.cursor <= raw.next);
        if !rises || !ends || (raw.more && items.is_empty()) {
            return Err(Malformed("mailbox page"));
        }
        Ok(Self { items, next: raw.next, more: raw.more })
    }
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Item({}, {} bytes)", self.cursor, self.seal.len())
    }
}
