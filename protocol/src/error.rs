//! Why an input was refused: precise for us, one small code for the peer.

use std::time::Duration;

use bitchat_proto::stream;

use crate::store::StoreError;

/// Bytes or text that are not what they should be; names the part that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

impl From<stream::Malformed> for Malformed {
    fn from(stream::Malformed(what): stream::Malformed) -> Self {
        Self(what)
    }
}

/// Why an input was refused. For us: logged, counted, never sent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer sent bytes that are no valid frame.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A signature, certificate or record does not hold.
    #[error("not authentic: {0}")]
    NotAuthentic(&'static str),
    /// A record or certificate is expired, from the future, or older than one already seen.
    #[error("stale: {0}")]
    Stale(&'static str),
    /// Deriving that many skipped message keys would be a denial of service.
    #[error("message counter jumps by {jump}, limit {limit}")]
    CounterJump {
        /// Asked for.
        jump: u32,
        /// Granted at most.
        limit: u32,
    },
    /// Wrong key, bad tag, unknown session: one variant without detail, so that no oracle exists.
    #[error("decryption failed")]
    Decrypt,
    /// An initial message was used before or names a key that we no longer hold.
    #[error("initial message is spent")]
    Spent,
    /// The sender is no contact and holds no valid invitation.
    #[error("stranger without an invitation")]
    Stranger,
    /// A newer device of a contact whose user has not trusted it yet.
    #[error("new device of a contact, not trusted yet")]
    Untrusted,
    /// A bound was reached; the same input may pass later.
    #[error("busy: {what}")]
    Busy {
        /// Names the bound.
        what: &'static str,
        /// The peer is told.
        retry_after: Duration,
    },
    /// Our disk failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// Should be impossible.
    #[error("bug: {0}")]
    Bug(&'static str),
}

/// All that a peer may learn about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Code {
    /// It could not be taken as it is.
    Rejected = 1,
    /// Come back later.
    Busy = 2,
    /// The fault is here; later may help.
    Internal = 3,
    /// The sender is not (or no longer) a contact.
    Stranger = 4,
    /// It was opened, and is of a kind that the receiver does not know: it will never be taken.
    Unsupported = 5,
}

impl Code {
    /// From the wire; unknown numbers count as [`Code::Rejected`].
    #[must_use]
    pub const fn from_wire(number: u32) -> Self {
        match number {
            2 => Self::Busy,
            3 => Self::Internal,
            4 => Self::Stranger,
            5 => Self::Unsupported,
            _ => Self::Rejected,
        }
    }
}

impl Error {
    /// What the peer may be told. No wildcard arm: a new variant must decide before it compiles.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Malformed(_)
            | Self::NotAuthentic(_)
            | Self::Stale(_)
            | Self::CounterJump { .. }
            | Self::Decrypt
            | Self::Spent => Code::Rejected,
            Self::Stranger => Code::Stranger,
            // The sender keeps what it has: the user may trust its device later.
            Self::Untrusted | Self::Busy { .. } => Code::Busy,
            Self::Store(_) | Self::Bug(_) => Code::Internal,
        }
    }

    /// The label under which refusals are counted.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::NotAuthentic(_) => "not_authentic",
            Self::Stale(_) => "stale",
            Self::CounterJump { .. } => "counter_jump",
            Self::Decrypt => "decrypt",
            Self::Spent => "spent",
            Self::Stranger => "stranger",
            Self::Untrusted => "untrusted",
            Self::Busy { .. } => "busy",
            Self::Store(_) => "store",
            Self::Bug(_) => "bug",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers are on the wire, so they are frozen, and each comes back as what it was.
    #[test]
    fn every_code_has_its_number_and_an_unknown_one_is_a_rejection() {
        let codes = [Code::Rejected, Code::Busy, Code::Internal, Code::Stranger, Code::Unsupported];

        for (number, code) in (1u32..).zip(codes) {
            assert_eq!((code as u32, Code::from_wire(number)), (number, code));
        }
        for unknown in [0, 999, u32::MAX] {
            assert_eq!(Code::from_wire(unknown), Code::Rejected);
        }
    }

    /// One table for all: what we know is more than what the peer is told.
    #[test]
    fn a_peer_is_told_little_and_faults_of_ours_as_ours() {
        let wait = Duration::from_secs(1);
        for (error, code) in [
            (Error::Malformed(Malformed("x")), Code::Rejected),
            (Error::NotAuthentic("x"), Code::Rejected),
            (Error::Stale("x"), Code::Rejected),
            (Error::CounterJump { jump: 2, limit: 1 }, Code::Rejected),
            (Error::Decrypt, Code::Rejected),
            (Error::Spent, Code::Rejected),
            (Error::Stranger, Code::Stranger),
            (Error::Untrusted, Code::Busy),
            (Error::Busy { what: "x", retry_after: wait }, Code::Busy),
            (Error::Store(StoreError::Full), Code::Internal),
            (Error::Bug("x"), Code::Internal),
        ] {
            assert_eq!(error.code(), code, "{error}");
        }
    }
}
