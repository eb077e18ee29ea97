//! What the engine decides.

use std::time::Duration;

use super::command::{CommandError, DeliveryView, KeyChangeView, MessageView, Reply};
use super::input::CommandId;
use super::limits::RateClass;
use crate::copies::CopiesSeen;
use crate::error::Code;
use crate::id::{AccountId, DeviceId, MessageId, SendToken};
use crate::mailbox::Ask;
use crate::outbox::DeliveryState;
use crate::prekey::{PrekeyUse, Remaining};
use crate::resilience::breaker::{Counts, Move};
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
    /// Ask a mailbox node, then say `Input::Answered` or `Input::Unanswered`, one of them once.
    Ask(Ask),
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

/// Something that a user's program may wait for. Durable when it leaves the engine.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message is in the inbox.
    Received(MessageView),
    /// A message of ours moved on.
    Delivery(DeliveryView),
    /// A contact was added, changed or removed.
    Contact(AccountId),
    /// A contact's keys changed.
    KeyChange(KeyChangeView),
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
    /// A seal did not open and was dropped without an answer.
    SealDropped,
    /// A peer asked more often than a limit allows; the frame is refused as well.
    RateLimited(RateClass),
    /// A session was founded, as initiator or not.
    SessionFounded {
        /// Whether we started it.
        initiator: bool,
        /// On which prekeys.
        prekeys: PrekeyUse,
    },
    /// How many one-time prekeys of ours can be handed out.
    Prekeys(Remaining),
    /// Somebody asked for one-time prekeys and did not get one of each kind.
    PrekeysExhausted,
    /// A fresh session was started because something did not open; says why.
    SessionHealed(&'static str),
    /// Messages of ours that a contact could not open and that go out again.
    Unreadable(u32),
    /// The keys of a contact changed.
    KeyChanged {
        /// Whether they wait for the user.
        blocked: bool,
    },
    /// Contacts whose user has not answered a change of their keys.
    KeysUnanswered {
        /// All of them.
        changed: usize,
        /// Those that nothing is sent to meanwhile.
        blocked: usize,
    },
    /// Message keys were kept for messages that did not come yet.
    KeysSkipped(u32),
    /// A post-quantum exchange was mixed into a session.
    KemMixed,
    /// Skipped message keys were thrown away because there were too many.
    KeysEvicted(u32),
    /// A frame was sent again.
    Retried,
    /// A frame was to be sent again and waits for the retry budget.
    RetryHeld,
    /// A text was sent again under its id, and is the message of the first time.
    SendKnown,
    /// A message was shown although others before it are missing.
    Gap,
    /// The outbox changed: rows and the age of the oldest.
    Outbox {
        /// Rows.
        rows: u64,
        /// When the oldest row was queued.
        oldest_ms: Option<u64>,
    },
    /// A circuit breaker changed its state.
    BreakerMoved(Move),
    /// How many peers have a breaker in each state; comes when it changes.
    Breakers(Counts),
    /// What is known about other copies of this device; comes at the start and when it changes.
    Copies(CopiesSeen),
    /// The wall clock was set while the engine ran, or was set back to where it had been.
    ClockJumped {
        /// How far it is now from what it said before; 0 when it is back.
        skew_ms: i64,
    },
    /// A bound was reached; names the bound.
    BoundReached(&'static str),
    /// An impossible case happened; names it.
    Bug(&'static str),
    /// Where a message id is in its life, for one line of a debug log.
    Step(&'static str, MessageId),
}
