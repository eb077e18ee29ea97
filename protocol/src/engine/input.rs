//! What the driver tells the engine.

use std::time::Duration;

use super::command::Command;
use super::settings::Settings;
use crate::copies::PlaceHash;
use crate::error::Code;
use crate::id::{DeviceId, SendToken};
use crate::mailbox::{RequestId, Unanswered};
use crate::store::Durable;

/// Pairs a [`Command`] with its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommandId(pub u64);

/// One thing that happened.
#[derive(Debug)]
pub enum Input {
    /// A user or program asks for something.
    Command {
        /// Comes back in the reply.
        id: CommandId,
        /// What is asked for.
        command: Command,
    },
    /// One frame (an encoded `wire::Link`) from an authenticated device.
    Frame {
        /// Proven by the link.
        peer: DeviceId,
        /// Names the frame for a refusal: its number on its stream.
        number: u64,
        /// At most `limits::FRAME_BYTES_MAX`.
        bytes: Vec<u8>,
    },
    /// A link to the device stands; frames may be sent.
    Connected {
        /// Proven by the link.
        peer: DeviceId,
    },
    /// The last link to the device is gone, or every attempt to dial it failed.
    Disconnected {
        /// Which device.
        peer: DeviceId,
    },
    /// The device was seen on the local network.
    Discovered {
        /// Unproven until connected.
        peer: DeviceId,
        /// Where.
        addresses: Vec<String>,
    },
    /// The peer's node read the frame of this send.
    Accepted {
        /// Whose send.
        peer: DeviceId,
        /// Which send.
        token: SendToken,
    },
    /// The frame of this send did not leave, or its link broke before the peer accepted it.
    SendFailed {
        /// Whose send.
        peer: DeviceId,
        /// Which send.
        token: SendToken,
    },
    /// The peer's engine refused the frame of this send.
    Refused {
        /// Whose send.
        peer: DeviceId,
        /// Which send.
        token: SendToken,
        /// Why.
        code: Code,
        /// Wait at least this long.
        retry_after: Duration,
    },
    /// The answer to a question ([`super::Output::Ask`]).
    Answered {
        /// Which one.
        request: RequestId,
        /// An encoded `wire::Link` with the answer.
        frame: Vec<u8>,
    },
    /// A question has no answer.
    Unanswered {
        /// Which one.
        request: RequestId,
        /// Why.
        why: Unanswered,
    },
    /// Our own listen addresses changed (multiaddresses without `/p2p`).
    Addresses(Vec<String>),
    /// Where the profile lives: a hash of machine and directory. Said once, after the start.
    Place(PlaceHash),
    /// Other thresholds hold from now on.
    Settings(Settings),
    /// The deadline of `Engine::poll_timeout` passed.
    Timeout,
    /// A batch is on the disk.
    Persisted(Durable),
}
