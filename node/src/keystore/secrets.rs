//! What a key store holds, and the keys that follow from its DEK.

use std::fmt::{self, Debug, Formatter};

use bitchat_proto::limits::NAME_BYTES_MAX;
use bitchat_protocol::crypto::wiped;
use bitchat_protocol::crypto::{Secret, expand};
use bitchat_protocol::time::UnixMillis;
use zeroize::Zeroizing;

/// phrase 32 | device seed 32 | device DH 32 | number 4 | generation 8 | created 8, then the nickname.
const FIXED_BYTES: usize = 32 * 3 + 4 + 8 + 8;

/// The identity of a profile.
#[derive(PartialEq, Eq)]
pub struct Secrets {
    /// Entropy of the 24 words, from which the account follows.
    pub phrase_entropy: Secret<32>,
    /// Seed of the device's signing key.
    pub device_seed: Secret<32>,
    /// The device's X25519 key.
    pub device_dh: Secret<32>,
    /// Number of the device within its account.
    pub number: u32,
    /// Generation of the device; a restore makes a higher one.
    pub generation: u64,
    /// When the device was made.
    pub created: UnixMillis,
    /// What others see first.
    pub nickname: String,
}

impl Secrets {
    /// The plaintext that is sealed: the fixed fields, big-endian, then the nickname.
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(FIXED_BYTES + self.nickname.len()));
        bytes.extend_from_slice(self.phrase_entropy.expose());
        bytes.extend_from_slice(self.device_seed.expose());
        bytes.extend_from_slice(self.device_dh.expose());
        bytes.extend_from_slice(&self.number.to_be_bytes());
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&self.created.0.to_be_bytes());
        bytes.extend_from_slice(self.nickname.as_bytes());
        bytes
    }

    /// What [`Secrets::encode`] made; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (phrase, rest) = bytes.split_first_chunk::<32>()?;
        let (seed, rest) = rest.split_first_chunk::<32>()?;
        let (dh, rest) = rest.split_first_chunk::<32>()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (generation, rest) = rest.split_first_chunk()?;
        let (created, nickname) = rest.split_first_chunk()?;
        if nickname.len() > NAME_BYTES_MAX {
            return None;
        }
        Some(Self {
            phrase_entropy: Secret::from_slice(phrase)?,
            device_seed: Secret::from_slice(seed)?,
            device_dh: Secret::from_slice(dh)?,
            number: u32::from_be_bytes(*number),
            generation: u64::from_be_bytes(*generation),
            created: UnixMillis(u64::from_be_bytes(*created)),
            nickname: String::from_utf8(nickname.to_vec()).ok()?,
        })
    }

    pub(super) fn duplicate(&self) -> Self {
        Self {
            phrase_entropy: self.phrase_entropy.duplicate(),
            device_seed: self.device_seed.duplicate(),
            device_dh: self.device_dh.duplicate(),
            nickname: self.nickname.clone(),
            ..*self
        }
    }
}

wiped!(Secrets {
    phrase_entropy, device_seed, device_dh
} open {
    number, generation, created, nickname
});

wiped!(StoreKeys { file } open {});

impl Debug for Secrets {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets(device {}, generation {}, ..)", self.number, self.generation)
    }
}

/// What the store beside a key store needs of its DEK.
#[derive(Debug, PartialEq, Eq)]
pub struct StoreKeys {
    /// Seals the file of the store's own keys, and nothing else: a new DEK rewrites that file alone.
    pub file: Secret<32>,
}

impl StoreKeys {
    /// The store keys of a DEK.
    #[must_use]
    pub fn derive(dek: &Secret<32>) -> Self {
        Self { file: expand(b"", dek.expose(), b"bitchat/1 store keys") }
    }

    /// Those of the store of mailboxes that are kept for others.
    #[must_use]
    pub fn of_mailboxes(&self) -> Self {
        Self { file: expand(b"", self.file.expose(), b"bitchat/1 mailbox store keys") }
    }

    /// A second copy, for a store that may have to be opened again.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self { file: self.file.duplicate() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_survive_encoding_and_a_cut_one_is_none() {
        let secrets = Secrets {
            phrase_entropy: Secret::take(&mut [1; 32]),
            device_seed: Secret::take(&mut [2; 32]),
            device_dh: Secret::take(&mut [3; 32]),
            number: 4,
            generation: 1 << 40,
            created: UnixMillis(6),
            nickname: "Zoë".to_owned(),
        };

        let bytes = secrets.encode();

        assert_eq!(bytes.capacity(), bytes.len(), "a vector that grows leaves copies behind");
        assert_eq!(Secrets::decode(&bytes).as_ref(), Some(&secrets));
        for end in 0..FIXED_BYTES {
            assert_eq!(Secrets::decode(&bytes[..end]), None);
        }
        assert_eq!(Secrets::decode(&bytes[..bytes.len() - 1]), None, "half a character");
        let long = [&bytes[..], &[b'a'; NAME_BYTES_MAX]].concat();
        assert_eq!(Secrets::decode(&long), None);
    }

    #[test]
    fn the_store_keys_are_not_the_dek_and_say_nothing() {
        let dek = Secret::take(&mut [9; 32]);

        let keys = StoreKeys::derive(&dek);

        assert_ne!(keys.file, dek);
        assert_eq!(keys.duplicate(), keys);
        assert_ne!(keys.of_mailboxes(), keys);
        assert_eq!(format!("{keys:?}"), "StoreKeys { file: Secret(..) }");
    }
}
