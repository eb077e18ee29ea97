//! What goes into a host and what comes out.

use super::super::{Ask, RefusalCode, RequestId, Unanswered};
use super::HostSettings;
use crate::id::DeviceId;
use crate::store::{Batch, Durable};

/// One thing that happened.
#[derive(Debug)]
pub enum HostInput {
    /// A frame (an encoded `wire::Link` with a `MailboxRequest`) from an authenticated device: anybody.
    Request {
        /// Proven by the link.
        peer: DeviceId,
        /// At most `limits::FRAME_BYTES_MAX`.
        bytes: Vec<u8>,
    },
    /// The last link of the device is gone: its fetches no longer wait.
    Gone {
        /// Which device.
        peer: DeviceId,
    },
    /// The answer to a question of this host ([`HostOutput::Ask`]).
    Answered {
        /// Which one.
        request: RequestId,
        /// An encoded `wire::Link` with the answer.
        frame: Vec<u8>,
    },
    /// A question of this host has no answer.
    Unanswered {
        /// Which one.
        request: RequestId,
        /// Why.
        why: Unanswered,
    },
    /// The operator changed something. What is held stays, also beyond a smaller bound.
    Settings(HostSettings),
    /// The deadline of `Host::poll_timeout` passed.
    Timeout,
    /// A batch is on the disk.
    Persisted(Durable),
}

/// One thing to do.
#[derive(Debug)]
pub enum HostOutput {
    /// Make this durable, then say `HostInput::Persisted`. Batches come in order.
    Persist(Batch),
    /// Send this frame (an encoded `wire::Link` with a `MailboxResponse`) on a link of the device, if
    /// one stands; else drop it.
    Respond {
        /// Who asked.
        peer: DeviceId,
        /// The answer.
        frame: Vec<u8>,
    },
    /// Ask a fellow node, then say `HostInput::Answered` or `HostInput::Unanswered`, one of them once.
    Ask(Ask),
    /// Tell the operator.
    Fact(HostFact),
}

/// Something that an operator may count. Names nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostFact {
    /// A queue was rented.
    Rented,
    /// A rental ended.
    Ended(Ending),
    /// A seal was taken into custody: its bytes.
    Deposited(u64),
    /// The same seal came again and got the same custody.
    Again,
    /// Envelopes were handed to an owner.
    Fetched(u32),
    /// Envelopes were taken by an owner.
    Taken(u32),
    /// Envelopes were deleted although nobody took them.
    Evicted(Eviction, u32),
    /// One-time prekeys were handed out.
    Prekeys,
    /// A request was refused.
    Refused(RefusalCode),
    /// A frame was no request and got no answer.
    Malformed,
    /// A request was refused because its limit was reached: `deposit`, `order` or `prekeys`.
    RateLimited(&'static str),
    /// A fellow node answers no longer, or again.
    Fellow {
        /// Whether it answers.
        answers: bool,
    },
    /// An envelope was copied to a fellow node.
    Copied,
    /// A bound was reached; names it.
    BoundReached(&'static str),
    /// The store failed; the request was refused as internal.
    StoreFailed,
    /// An impossible case happened; names it.
    Bug(&'static str),
}

/// Why a rental is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its owner said so.
    Owner,
    /// Its owner ordered nothing for [`super::LAPSE`].
    Lapse,
}

/// Why envelopes were deleted although nobody took them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eviction {
    /// The time of their custody was over.
    Expired,
    /// The rental was over.
    RentalOver,
}

/// What a host holds, for its operator. Counts since the start where nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostView {
    /// Queues rented now.
    pub rentals: u64,
    /// Envelopes held now.
    pub envelopes: u64,
    /// Their bytes.
    pub bytes: u64,
    /// When the oldest of them came, by the wall clock.
    pub oldest_ms: Option<u64>,
    /// Custody given for new seals.
    pub custody: u64,
    /// Custody given again for a seal that is known.
    pub again: u64,
    /// Envelopes handed to owners.
    pub fetched: u64,
    /// Envelopes taken by owners.
    pub taken: u64,
    /// Envelopes whose time was over.
    pub expired: u64,
    /// Envelopes of rentals that were over.
    pub rental_over: u64,
    /// Draws of one-time prekeys.
    pub prekeys: u64,
    /// Refusals by their code, in the order of the codes; codes without refusals are left out.
    pub refusals: Vec<(RefusalCode, u64)>,
    /// Frames that were no request.
    pub malformed: u64,
    /// Fetches that wait now.
    pub waiting: u64,
    /// Fellow nodes that are asked whether they live, and those of them that do not.
    pub fellows: (u64, u64),
    /// Envelopes copied to fellow nodes.
    pub copied: u64,
}
