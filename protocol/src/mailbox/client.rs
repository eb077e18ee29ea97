//! The client's side at rest: where we rent, whom we let in there, and where our own envelopes lie.
//!
//! See docs/SPEC.md, section "The client".

mod record;

use std::collections::BTreeMap;

use rand_core::CryptoRng;

use super::{ContactSecret, Epoch, QueueKey, Tag};
use crate::crypto::{Secret, SigningSecret, digest, expand, wiped};
use crate::id::{AccountId, DeviceId};
use crate::time::UnixMillis;

/// Weeks ahead that a contact is let in for.
pub const WEEKS_AHEAD: u64 = 5;

/// Nodes that a message is left with.
pub const ACTIVE_MAX: usize = 5;

/// Addresses of a node in a record.
pub const NODE_ADDRESSES_MAX: usize = 4;

/// A node that we rent at.
pub struct Rental {
    /// Whose mailboxes.
    pub node: DeviceId,
    /// Where it is.
    pub addresses: Vec<String>,
    /// The operator's word.
    pub access: String,
    queue: Secret<32>,
    /// For strangers.
    pub request_tag: Tag,
    /// Its place; 0 is the best.
    pub rank: u32,
    /// Whether the node keeps a queue for us.
    pub rented: bool,
    /// End of the rental.
    pub until: UnixMillis,
    /// When the node said so last.
    pub renewed: UnixMillis,
    /// What lies behind it is not fetched, or not deleted there yet.
    pub cursor: u64,
    /// Since when the user rents there no more.
    pub removed: Option<UnixMillis>,
}

wiped!(Rental { queue } open {
    node, addresses, access, request_tag, rank, rented, until, renewed, cursor, removed
});

impl Rental {
    /// One that the node does not know of yet.
    pub fn new(node: DeviceId, rank: u32, rng: &mut impl CryptoRng) -> Self {
        let mut tag = [0; 32];
        rng.fill_bytes(&mut tag);
        Self {
            node,
            addresses: Vec::new(),
            access: String::new(),
            queue: Secret::random(rng),
            request_tag: Tag(tag),
            rank,
            rented: false,
            until: UnixMillis(0),
            renewed: UnixMillis(0),
            cursor: 0,
            removed: None,
        }
    }

    /// The key that signs our orders there.
    #[must_use]
    pub fn key(&self) -> SigningSecret {
        SigningSecret::from_seed(self.queue.duplicate())
    }

    /// What lets another node of ours in here, to leave what it keeps for us.
    #[must_use]
    pub fn fellow_secret(&self, fellow: DeviceId) -> ContactSecret {
        let label = [b"bitchat/1 mailbox fellow".as_slice(), &fellow.0].concat();
        ContactSecret::from_bytes(expand(&[0; 32], self.queue.expose(), &label))
    }

    /// The queue's name.
    #[must_use]
    pub fn queue(&self) -> QueueKey {
        QueueKey(self.key().public())
    }
}

/// What lets a contact in at a node: the tags of some weeks.
pub struct Admitted {
    /// Whom it lets in.
    pub account: AccountId,
    /// Of us and the contact.
    pub secret: ContactSecret,
    /// The first week whose tag the node may have.
    pub first: Epoch,
    /// The last one.
    pub last: Epoch,
    /// Whether the node said that it has them.
    pub confirmed: bool,
}

wiped!(Admitted { secret } open { account, first, last, confirmed });

impl Admitted {
    /// The weeks that a contact is to be let in for.
    #[must_use]
    pub fn weeks(now: UnixMillis) -> (Epoch, Epoch) {
        let week = Epoch::at(now);
        (Epoch(week.0.saturating_sub(1)), week.plus(WEEKS_AHEAD))
    }

    /// Every tag that the node may have.
    pub fn tags(&self, node: DeviceId) -> impl Iterator<Item = (Tag, UnixMillis)> + '_ {
        (self.first.0..=self.last.0).map(Epoch).map(move |week| {
            // A week longer than it is used: clocks differ.
            (self.secret.token(node, week).tag(), week.plus(2).start())
        })
    }
}

/// Where the seals of a row of the outbox are, and what they are made from.
pub struct Deposited {
    secret: Secret<32>,
    /// Counts seals: a node hands out each once.
    pub attempt: u32,
    /// When this attempt began.
    pub begun: UnixMillis,
    /// Hash of the letter that is sealed.
    pub letter: [u8; 32],
    /// Nodes that gave custody in this attempt, until when.
    pub keepers: BTreeMap<DeviceId, UnixMillis>,
}

wiped!(Deposited { secret } open { attempt, begun, letter, keepers });

impl Deposited {
    /// Nothing is deposited yet.
    pub fn new(now: UnixMillis, letter: [u8; 32], rng: &mut impl CryptoRng) -> Self {
        let secret = Secret::random(rng);
        Self { secret, attempt: 0, begun: now, letter, keepers: BTreeMap::new() }
    }

    /// Seals anew, for every node.
    pub fn begin_again(&mut self, now: UnixMillis, letter: [u8; 32]) {
        self.attempt = self.attempt.saturating_add(1);
        self.begun = now;
        self.letter = letter;
        self.keepers.clear();
    }

    /// The randomness of the seal for a node: the same for the same attempt and letter, and for no other. A
    /// seal made again is the same bytes, so no key seals two texts.
    #[must_use]
    pub fn randomness(&self, node: DeviceId, certificate: &[u8]) -> Poured {
        let label = [
            b"bitchat/1 mailbox seal".as_slice(),
            &node.0,
            &self.attempt.to_be_bytes(),
            &self.letter,
            &digest(certificate),
        ]
        .concat();
        Poured { seed: expand(&[0; 32], self.secret.expose(), &label), block: 0, left: Vec::new() }
    }
}

/// Randomness that follows from a secret.
pub struct Poured {
    seed: Secret<32>,
    block: u64,
    left: Vec<u8>,
}

impl rand_core::TryRng for Poured {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, to: &mut [u8]) -> Result<(), Self::Error> {
        for byte in to {
            if self.left.is_empty() {
                let label =
                    [b"bitchat/1 mailbox pour".as_slice(), &self.block.to_be_bytes()].concat();
                let block: Secret<32> = expand(&[0; 32], self.seed.expose(), &label);
                self.left = block.expose().to_vec();
                self.block = self.block.saturating_add(1);
            }
            *byte = self.left.pop().unwrap_or_default();
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Poured {}

impl Drop for Poured {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.left);
    }
}

impl std::fmt::Debug for Rental {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rental({:?}, rank {}, rented {})", self.node, self.rank, self.rented)
    }
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Admitted({:?}, confirmed {})", self.account, self.confirmed)
    }
}

impl std::fmt::Debug for Deposited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Deposited(attempt {}, {} keepers)", self.attempt, self.keepers.len())
    }
}

impl std::fmt::Debug for Poured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Poured(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use rand_core::Rng;

    use super::*;

    fn poured(deposited: &Deposited, node: u8, certificate: &[u8]) -> [u8; 80] {
        let mut bytes = [0; 80];
        deposited.randomness(DeviceId([node; 32]), certificate).fill_bytes(&mut bytes);
        bytes
    }

    #[test]
    fn the_randomness_of_a_seal_comes_back_for_the_same_seal_and_for_no_other() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut row = Deposited::new(UnixMillis(1), [1; 32], &mut rng);
        let first = poured(&row, 1, b"cert");

        assert_eq!(poured(&row, 1, b"cert"), first);
        assert_ne!(poured(&row, 2, b"cert"), first, "another node");
        assert_ne!(poured(&row, 1, b"new"), first, "another recipient's key");
        row.letter = [2; 32];
        assert_ne!(poured(&row, 1, b"cert"), first, "another letter");
        row.letter = [1; 32];
        row.begin_again(UnixMillis(2), [1; 32]);
        assert_ne!(poured(&row, 1, b"cert"), first, "another attempt");
        assert_ne!(first[..32], first[32..64], "blocks differ");
    }

    #[test]
    fn rows_come_back_from_the_store() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut rental = Rental::new(DeviceId([1; 32]), 3, &mut rng);
        rental.addresses = vec!["/ip4/203.0.113.1/tcp/1".to_owned()];
        (rental.access, rental.rented) = ("word".to_owned(), true);
        (rental.until, rental.renewed, rental.cursor) = (UnixMillis(4), UnixMillis(5), 6);
        rental.removed = Some(UnixMillis(7));
        let again = Rental::decode(&rental.encode()).expect("own encoding");
        assert_eq!(again.encode(), rental.encode());
        assert_eq!(again.queue(), rental.queue());

        let secret = ContactSecret::derive(&Secret::take(&mut [1; 32]), AccountId([2; 32]));
        let account = AccountId([3; 32]);
        let (first, last) = Admitted::weeks(UnixMillis(1_767_225_600_000));
        let let_in = Admitted { account, secret, first, last, confirmed: true };
        let (node, again) = Admitted::decode(&let_in.encode(rental.node)).expect("own encoding");
        assert_eq!(node, rental.node);
        assert!(again.tags(node).eq(let_in.tags(node)));
        assert_eq!(again.tags(node).count(), 7, "the week before, this one and five more");

        let mut row = Deposited::new(UnixMillis(1), [1; 32], &mut rng);
        row.keepers.insert(DeviceId([5; 32]), UnixMillis(6));
        let again = Deposited::decode(&row.encode((account, 9))).expect("own encoding");
        assert_eq!(again.keepers, row.keepers);
        assert_eq!(poured(&again, 1, b"c"), poured(&row, 1, b"c"));
    }
}
