//! Rungs of the delivery ladder that a script can wait for.

use std::fmt::{self, Display, Formatter};

use clap::ValueEnum;

/// How far a message must have come. A later state satisfies an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum State {
    /// It is safe on this disk
    Queued,
    /// The recipient's node, or another peer, accepted the bytes
    Sent,
    /// Mailboxes took custody of it
    Stored,
    /// The recipient's device has it and said so end to end
    Delivered,
    /// The recipient chose to say that it was read
    Read,
}

impl State {
    /// The word on the command line and in JSON.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Stored => "stored",
            Self::Delivered => "delivered",
            Self::Read => "read",
        }
    }
}

impl Display for State {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
