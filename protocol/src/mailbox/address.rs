//! Where an envelope goes: queues, and the tags that let somebody in.
//!
//! ```text
//!   secret of owner and contact = HKDF(DH(identity keys), owner account)
//!   token = HKDF(secret, node device, epoch)         shown by the contact when it deposits
//!   tag   = H(token)                                 left with the node by the owner
//! ```
//!
//! The tags of a contact change with the node and every week, and say nothing to whoever lacks the
//! secret. See docs/SPEC.md, section "Mailboxes".

use std::time::Duration;

use crate::crypto::{Secret, digest, expand, wiped};
use crate::id::{AccountId, DeviceId};
use crate::time::UnixMillis;

/// How long a token is used.
pub const EPOCH: Duration = Duration::from_secs(7 * 24 * 3600);

/// A queue of a mailbox node: the Ed25519 key that signs its owner's orders, one for each node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey(pub [u8; 32]);

/// What the node knows of a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub [u8; 32]);

/// Lets its holder deposit.
#[derive(PartialEq, Eq)]
pub struct Token(pub(super) [u8; 32]);

/// Number of a week since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// What an owner and one contact share; the tokens follow from it.
#[derive(PartialEq, Eq)]
pub struct ContactSecret {
    secret: Secret<32>,
}

wiped!(ContactSecret { secret } open {});

impl Token {
    /// As it came.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to show.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the node compares with what the owner left.
    #[must_use]
    pub fn tag(&self) -> Tag {
        Tag(digest(&[b"bitchat/1 mailbox tag\0".as_slice(), &self.0].concat()))
    }
}

impl Epoch {
    /// The week of a moment.
    #[must_use]
    pub const fn at(now: UnixMillis) -> Self {
        Self(now.0 / (EPOCH.as_secs() * 1_000))
    }

    /// When it begins.
    #[must_use]
    pub const fn start(self) -> UnixMillis {
        UnixMillis(self.0.saturating_mul(EPOCH.as_secs() * 1_000))
    }

    /// The one `weeks` later.
    #[must_use]
    pub const fn plus(self, weeks: u64) -> Self {
        Self(self.0.saturating_add(weeks))
    }
}

impl ContactSecret {
    /// From the agreement of both identity keys; `owner` is whose mailboxes it is for.
    #[must_use]
    pub fn derive(agreement: &Secret<32>, owner: AccountId) -> Self {
        let label = [b"bitchat/1 mailbox contact".as_slice(), &owner.0].concat();
        Self { secret: expand(&[0; 32], agreement.expose(), &label) }
    }

    /// As it lies in the store.
    #[must_use]
    pub const fn from_bytes(secret: Secret<32>) -> Self {
        Self { secret }
    }

    /// For the store.
    #[must_use]
    pub const fn expose(&self) -> &Secret<32> {
        &self.secret
    }

    /// A second copy.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { secret: self.secret.duplicate() }
    }

    /// The token for a node in a week.
    #[must_use]
    pub fn token(&self, node: DeviceId, epoch: Epoch) -> Token {
        let label =
            [b"bitchat/1 mailbox token".as_slice(), &node.0, &epoch.0.to_be_bytes()].concat();
        let token: Secret<32> = expand(&[0; 32], self.secret.expose(), &label);
        Token(*token.expose())
    }
}

impl std::fmt::Debug for ContactSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContactSecret(..)")
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

impl std::fmt::Debug for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tag(..)")
    }
}

impl std::fmt::Debug for QueueKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "QueueKey({first:02x}{second:02x}..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(owner: u8) -> ContactSecret {
        ContactSecret::derive(&Secret::take(&mut [1; 32]), AccountId([owner; 32]))
    }

    #[test]
    fn tokens_differ_by_owner_node_and_week_and_only_by_them() {
        let token =
            |owner, node, week| secret(owner).token(DeviceId([node; 32]), Epoch(week)).tag();

        assert_eq!(token(1, 1, 1), token(1, 1, 1));
        assert_ne!(token(1, 1, 1), token(2, 1, 1));
        assert_ne!(token(1, 1, 1), token(1, 2, 1));
        assert_ne!(token(1, 1, 1), token(1, 1, 2));
    }

    #[test]
    fn a_week_lasts_seven_days() {
        let start = Epoch(2_900).start();
        assert_eq!(Epoch::at(start), Epoch(2_900));
        assert_eq!(Epoch::at(UnixMillis(start.0 - 1)), Epoch(2_899));
        assert_eq!(Epoch::at(start.plus(EPOCH)), Epoch(2_901));
    }
}
