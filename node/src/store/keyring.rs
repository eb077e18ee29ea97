//! The keys that values are sealed under, and which rows are under which.
//!
//! ```text
//!   key file --+-- scopes
//!              +-- hour chain: current (, retiring) --seals--> ratchets, queue, prekeys, contacts ..
//!              |                                     \-seals-> conversation keys --seal--> messages
//!              +-- long chain: current (, retiring) --seals--> ids seen, deliveries, inbox
//! ```
//!
//! A chain has two keys only while its rows are moved from the older to the newer one. See
//! docs/SPEC.md, section "Erasure".

use bitchat_protocol::crypto::Secret;
use bitchat_protocol::store::{StoreError, Table};
use bitchat_protocol::time::UnixMillis;
use rand::rngs::SysRng;
use rand_core::TryRng;
use zeroize::Zeroizing;

/// Number of the table of conversation keys; those of the protocol stay below.
pub(super) const CONVERSATION_KEYS: u8 = 0x7F;

/// Bytes of an encoded generation: number, key, since.
const GENERATION_BYTES: usize = 4 + 32 + 8;

/// Bytes of an encoded ring: the scopes key; for each chain the current generation, whether there
/// is a retiring one, and that one or zeros; the number of new conversation keys.
pub(super) const RING_BYTES: usize = 32 + 2 * (GENERATION_BYTES + 1 + GENERATION_BYTES) + 4;

/// What seals the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The newest key of a chain.
    Chain(Chain),
    /// The key of the conversation.
    Conversation,
}

/// Keys that follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// Turns every hour in which something was overwritten or deleted.
    Hour,
    /// Turns once a month, and when a conversation is erased: these tables have as many rows as
    /// there ever were messages.
    Long,
}

/// One key of a chain.
pub(super) struct Generation {
    pub(super) number: u32,
    pub(super) key: Secret<32>,
    /// When it was made.
    pub(super) since: UnixMillis,
}

/// The keys of a chain.
pub(super) struct Links {
    pub(super) current: Generation,
    pub(super) retiring: Option<Generation>,
}

/// All keys of a store.
pub(super) struct Ring {
    /// Hashes scopes, which hold contact ids, into row keys.
    pub(super) scopes: Secret<32>,
    hour: Links,
    long: Links,
    /// Number of the key that a conversation's messages are sealed under from now on. Higher after
    /// each change of the data key: who copied the store before has the keys of lower numbers.
    pub(super) conversations: u32,
}

impl Class {
    /// The class of a table, by its number on disk. A table that is not named here gets the class
    /// that erases soonest, so that a new one is never forgotten.
    pub(super) const fn of(table: u8) -> Self {
        const MESSAGE: u8 = Table::Message as u8;
        const HELD: u8 = Table::Held as u8;
        const DELIVERY: u8 = Table::Delivery as u8;
        const INBOX: u8 = Table::Inbox as u8;
        const SEEN: u8 = Table::Seen as u8;
        const READER: u8 = Table::Reader as u8;
        const REPLAY: u8 = Table::Replay as u8;
        const SEND_ID: u8 = Table::SendId as u8;
        // What a mailbox node keeps for others: much of it, sealed by its senders.
        const MAILBOX_FIRST: u8 = Table::MailboxRental as u8;
        const MAILBOX_LAST: u8 = Table::MailboxFellows as u8;
        match table {
            MESSAGE | HELD => Self::Conversation,
            DELIVERY | INBOX | SEEN | READER | REPLAY | SEND_ID => Self::Chain(Chain::Long),
            MAILBOX_FIRST..=MAILBOX_LAST => Self::Chain(Chain::Long),
            _ => Self::Chain(Chain::Hour),
        }
    }
}

impl Chain {
    pub(super) const ALL: [Self; 2] = [Self::Hour, Self::Long];
}

impl Ring {
    /// Fresh keys for a new store.
    pub(super) fn random(now: UnixMillis) -> Result<Self, StoreError> {
        let first = || {
            let current = Generation { number: 1, key: random()?, since: now };
            Ok(Links { current, retiring: None })
        };
        Ok(Self { scopes: random()?, hour: first()?, long: first()?, conversations: 0 })
    }

    pub(super) const fn chain(&self, chain: Chain) -> &Links {
        match chain {
            Chain::Hour => &self.hour,
            Chain::Long => &self.long,
        }
    }

    /// The key with this number, if it still exists.
    pub(super) fn key(&self, chain: Chain, number: u32) -> Option<&Secret<32>> {
        let links = self.chain(chain);
        let all = std::iter::once(&links.current).chain(&links.retiring);
        all.into_iter().find(|found| found.number == number).map(|found| &found.key)
    }

    /// With a new current key in `chain`; the present one retires.
    pub(super) fn with_new(&self, chain: Chain, now: UnixMillis) -> Result<Self, StoreError> {
        let old = &self.chain(chain).current;
        let number = old.number.checked_add(1);
        let number = number.ok_or_else(too_many)?;
        let current = Generation { number, key: random()?, since: now };
        Ok(self.with(chain, Links { current, retiring: Some(old.duplicate()) }))
    }

    /// Without the retiring key of `chain`.
    pub(super) fn without_retiring(&self, chain: Chain) -> Self {
        self.with(chain, Links { current: self.chain(chain).current.duplicate(), retiring: None })
    }

    fn with(&self, chain: Chain, links: Links) -> Self {
        let mut ring = self.duplicate();
        match chain {
            Chain::Hour => ring.hour = links,
            Chain::Long => ring.long = links,
        }
        ring
    }

    /// For another data key: messages are sealed under new keys of their conversations.
    pub(super) fn handed_over(&self) -> Result<Self, StoreError> {
        let number = self.conversations.checked_add(1);
        let conversations = number.ok_or_else(too_many)?;
        Ok(Self { conversations, ..self.duplicate() })
    }

    fn duplicate(&self) -> Self {
        Self {
            scopes: self.scopes.duplicate(),
            hour: self.hour.duplicate(),
            long: self.long.duplicate(),
            conversations: self.conversations,
        }
    }

    /// The plaintext of a slot, as long for one key in a chain as for two.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(RING_BYTES));
        bytes.extend_from_slice(self.scopes.expose());
        for links in [&self.hour, &self.long] {
            links.current.encode(&mut bytes);
            match &links.retiring {
                Some(retiring) => {
                    bytes.push(1);
                    retiring.encode(&mut bytes);
                }
                None => bytes.extend_from_slice(&[0; 1 + GENERATION_BYTES]),
            }
        }
        bytes.extend_from_slice(&self.conversations.to_be_bytes());
        bytes
    }

    /// What [`Ring::encode`] made; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (scopes, rest) = bytes.split_first_chunk::<32>()?;
        let (hour, rest) = Links::decode(rest)?;
        let (long, rest) = Links::decode(rest)?;
        let scopes = Secret::from_slice(scopes)?;
        let conversations = u32::from_be_bytes(rest.try_into().ok()?);
        Some(Self { scopes, hour, long, conversations })
    }
}

impl Links {
    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (current, rest) = Generation::decode(bytes)?;
        let (&[flag], rest) = rest.split_first_chunk()?;
        let (retiring, rest) = Generation::decode(rest)?;
        let retiring = match flag {
            0 => None,
            1 => Some(retiring),
            _ => return None,
        };
        Some((Self { current, retiring }, rest))
    }

    fn duplicate(&self) -> Self {
        let retiring = self.retiring.as_ref().map(Generation::duplicate);
        Self { current: self.current.duplicate(), retiring }
    }
}

impl Generation {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(self.key.expose());
        bytes.extend_from_slice(&self.since.0.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (number, rest) = bytes.split_first_chunk()?;
        let (key, rest) = rest.split_first_chunk::<32>()?;
        let (since, rest) = rest.split_first_chunk()?;
        let generation = Self {
            number: u32::from_be_bytes(*number),
            key: Secret::from_slice(key)?,
            since: UnixMillis(u64::from_be_bytes(*since)),
        };
        Some((generation, rest))
    }

    fn duplicate(&self) -> Self {
        Self { number: self.number, key: self.key.duplicate(), since: self.since }
    }
}

fn too_many() -> StoreError {
    StoreError::Unavailable("too many keys".to_owned())
}

/// 32 bytes from the system.
pub(super) fn random() -> Result<Secret<32>, StoreError> {
    let mut bytes = [0; 32];
    fill(&mut bytes)?;
    Ok(Secret::take(&mut bytes))
}

/// Random bytes from the system; an error instead of a panic if it has none.
pub(super) fn fill(bytes: &mut [u8]) -> Result<(), StoreError> {
    SysRng
        .try_fill_bytes(bytes)
        .map_err(|error| StoreError::Unavailable(format!("no randomness from the system: {error}")))
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ring(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_survives_encoding_and_has_one_length() {
        let one = Ring::random(UnixMillis(5)).expect("randomness");
        let two = one.with_new(Chain::Long, UnixMillis(9)).expect("randomness");

        for ring in [&one, &two, &two.handed_over().expect("a number")] {
            let bytes = ring.encode();
            assert_eq!((bytes.len(), bytes.capacity()), (RING_BYTES, RING_BYTES));
            assert_eq!(Ring::decode(&bytes).expect("decodes").encode(), bytes);
            assert!(Ring::decode(&bytes[..RING_BYTES - 1]).is_none());
        }
        assert_eq!(format!("{two:?}"), "Ring(..)");
    }

    #[test]
    fn a_retired_key_is_found_until_it_is_taken_out() {
        let one = Ring::random(UnixMillis(5)).expect("randomness");
        let two = one.with_new(Chain::Hour, UnixMillis(9)).expect("randomness");
        let three = two.without_retiring(Chain::Hour);

        assert_eq!(two.key(Chain::Hour, 1), one.key(Chain::Hour, 1));
        assert_ne!(two.key(Chain::Hour, 2), two.key(Chain::Hour, 1));
        assert_eq!(three.key(Chain::Hour, 2), two.key(Chain::Hour, 2));
        assert_eq!((three.key(Chain::Hour, 1), two.key(Chain::Long, 2)), (None, None));
    }

    #[test]
    fn what_must_be_forgotten_soon_is_in_the_hour_chain() {
        let hour = Class::Chain(Chain::Hour);
        for table in [
            Table::Meta,
            Table::Session,
            Table::SkippedKey,
            Table::Outbox,
            Table::Invitation,
            Table::OneTimePrekey,
        ] {
            assert_eq!(Class::of(table as u8), hour, "{table:?}");
        }
        assert_eq!(Class::of(CONVERSATION_KEYS), hour);
        assert_eq!(Class::of(0x40), hour, "a table of a later version");
        assert_eq!(Class::of(Table::Message as u8), Class::Conversation);
        for table in [Table::MailboxRental, Table::MailboxEnvelope, Table::MailboxFellows] {
            assert_eq!(Class::of(table as u8), Class::Chain(Chain::Long), "{table:?}");
        }
    }
}
