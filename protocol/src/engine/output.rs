//! What the engine decides.

use std::time::Duration;

use super::command::{CommandError, DeliveryView, MessageView, Reply};
use super::input::CommandId;
use crate::error::Code;
use crate::id::{AccountId, DeviceId, MessageId, SendToken};
use crate::store::Batch;

/// One thing to do.
#[derive(Debug)]
pub enum Output {
    /// Make this durable, then say `Input::Persisted`. Batches come in order.
    Persist(Batch),
    /// Send a frame (an encoded `wire::Link`) over the standing link.
    Send {
        /// To whom.
        peer: DeviceId,
        /// Comes back in `Accepted`, `SendFailed` or `Refused`.
        token: SendToken,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Tell the peer that its frame is refused.
    Refuse {
        /// Whom.
        peer: DeviceId,
        /// `Input::Frame::number`.
        number: u64,
        /// Why.
        code: Code,
        /// When to try again.
        retry_after: Duration,
    },
    /// Dial the device, at these addresses and at those that the shell knows.
    Connect {
        /// Whom.
        peer: DeviceId,
        /// Multiaddresses without `/p2p`.
        addresses: Vec<String>,
    },
    /// Answer a command.
    Reply {
        /// Which command.
        id: CommandId,
        /// The answer.
        reply: Result<Reply, CommandError>,
    },
    /// Tell the user's programs.
    Event(Event),
    /// Tell the operator.
    Fact(Fact),
}

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

/// Something that a user's program may wait for. Durable when it leaves the engine.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message is in the inbox.
    Received(MessageView),
    /// A message of ours moved on.
    Delivery(DeliveryView),
    /// A contact was added, changed or removed.
    Contact(AccountId),
}

/// Something that an operator may count. Names nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A message entered the outbox.
    Queued,
    /// A message of ours reached a state after this long since it was queued.
    Reached {
        /// The state.
        state: DeliveryState,
        /// Since it was queued, by the wall clock.
        after: Duration,
    },
    /// A message entered the inbox.
    Received,
    /// A message came again and was dropped.
    Duplicate,
    /// A frame was refused; the label of `Error::label`.
    Refused(&'static str),
    /// A session was founded, as initiator or not.
    SessionFounded {
        /// Whether we started it.
        initiator: bool,
    },
    /// Message keys were kept for messages that did not come yet.
    KeysSkipped(u32),
    /// Skipped message keys were thrown away because there were too many.
    KeysEvicted(u32),
    /// A frame was sent again.
    Retried,
    /// A message was shown although others before it are missing.
    Gap,
    /// The outbox changed: rows and the age of the oldest.
    Outbox {
        /// Rows.
        rows: u64,
        /// When the oldest row was queued.
        oldest_ms: Option<u64>,
    },
    /// A bound was reached; names the bound.
    BoundReached(&'static str),
    /// An impossible case happened; names it.
    Bug(&'static str),
    /// Where a message id is in its life, for one line of a debug log.
    Step(&'static str, MessageId),
}
