//! From a passphrase or a key file to the key that wraps the DEK.

use std::fmt::{self, Display, Formatter};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use bitchat_protocol::crypto::{Secret, expand};
use zeroize::Zeroizing;

use super::{KeystoreError, Passphrase};

/// Bytes of the salt.
pub(super) const SALT_BYTES: usize = 16;

/// Above 1 GiB a key store is a way to exhaust this machine, not to protect a passphrase.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Above 16 passes over that memory likewise.
const PASSES_MAX: u32 = 16;
/// Above 16 lanes likewise.
const LANES_MAX: u32 = 16;

/// Cost of Argon2id (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KdfParameters {
    /// Memory in KiB, `m`.
    pub memory_kib: u32,
    /// Passes over the memory, `t`.
    pub passes: u32,
    /// Lanes, `p`.
    pub lanes: u32,
}

impl KdfParameters {
    /// What new key stores use, and the least that is accepted: 64 MiB, 3 passes, 1 lane
    /// (RFC 9106, section 4, second recommended option, with one lane).
    pub const FLOOR: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 1 };

    /// `self`, raised to what new key stores use where it is below.
    pub(super) const fn raised(self) -> Self {
        const fn larger(one: u32, other: u32) -> u32 {
            if one > other { one } else { other }
        }
        Self {
            memory_kib: larger(self.memory_kib, Self::FLOOR.memory_kib),
            passes: larger(self.passes, Self::FLOOR.passes),
            lanes: larger(self.lanes, Self::FLOOR.lanes),
        }
    }

    /// `self` if it is neither too cheap nor too dear.
    pub(super) fn checked(self) -> Result<Self, KeystoreError> {
        let Self { memory_kib, passes, lanes } = self;
        let floor = Self::FLOOR;
        if memory_kib < floor.memory_kib || passes < floor.passes || lanes < floor.lanes {
            return Err(KeystoreError::Downgrade(self));
        }
        if memory_kib > MEMORY_KIB_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
            return Err(KeystoreError::Excessive(self));
        }
        Ok(self)
    }
}

impl Display for KdfParameters {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { memory_kib, passes, lanes } = self;
        write!(f, "{memory_kib} KiB, {passes} passes, {lanes} lanes")
    }
}

/// Argon2id, version 0x13.
pub(super) fn argon2id(
    passphrase: &Passphrase,
    salt: &[u8; SALT_BYTES],
    parameters: KdfParameters,
) -> Result<Secret<32>, KeystoreError> {
    const BUG: KeystoreError = KeystoreError::Bug("Argon2 refuses checked parameters");
    let KdfParameters { memory_kib, passes, lanes } = parameters;
    let params = Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| BUG)?;
    let mut key = [0; 32];
    // Memory of our own, because the crate does not wipe its. What stands there at the end gives the
    // key away, and what stood there at the beginning lets passphrases be tried without any memory.
    let mut memory = vec![Block::default(); params.block_count()];
    let hashed = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(
            passphrase.expose().as_bytes(),
            salt,
            &mut key,
            &mut memory,
        );
    memory.fill(Block::default());
    std::hint::black_box(&mut memory);
    hashed.map_err(|_| BUG)?;
    Ok(Secret::take(&mut key))
}

/// A random key needs no stretching.
pub(super) fn from_key_file(key: &Secret<32>, salt: &[u8]) -> Secret<32> {
    expand(salt, key.expose(), b"bitchat/1 keystore key file")
}

/// What a key file adds to a passphrase: its content, whatever it is.
pub(super) fn second_factor(content: &[u8], salt: &[u8]) -> Secret<32> {
    expand(salt, content, b"bitchat/1 keystore second factor")
}

/// The KEK of a passphrase and a key file: without either there is nothing to try the other on.
pub(super) fn of_both(stretched: &Secret<32>, second: &Secret<32>, salt: &[u8]) -> Secret<32> {
    let mut material = Zeroizing::new([0; 64]);
    let (first, rest) = material.split_at_mut(32);
    first.copy_from_slice(stretched.expose());
    rest.copy_from_slice(second.expose());
    expand(salt, material.as_slice(), b"bitchat/1 keystore two factors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_below_those_of_new_key_stores_are_raised_and_others_kept() {
        let with = |memory_kib, passes, lanes| KdfParameters { memory_kib, passes, lanes };

        assert_eq!(with(8, 1, 0).raised(), KdfParameters::FLOOR);
        assert_eq!(with(131_072, 1, 4).raised(), with(131_072, 3, 4));
    }

    /// Computed with the Argon2 reference library and an HKDF written down from RFC 5869.
    #[test]
    fn keks_of_one_and_two_factors_are_those_of_an_independent_implementation() {
        let salt = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let file: Vec<u8> = (0..40).collect();
        let passphrase = Passphrase::new("cobalt sundial otter quarry").expect("short");
        let hex = |key: &Secret<32>| -> String {
            key.expose().iter().map(|byte| format!("{byte:02x}")).collect()
        };

        let one = argon2id(&passphrase, &salt, KdfParameters::FLOOR).expect("derives");
        let two = of_both(&one, &second_factor(&file, &salt), &salt);

        assert_eq!(hex(&one), "a04c9198b8cced7cdf92b9f8d51f0d2e715fe7228e79699facc859954e47f2ee");
        assert_eq!(hex(&two), "b2d5cf1189cc7ea4961f92610d50066ed783ef436276f28afcdb5db784401bb6");
    }

    #[test]
    fn each_factor_changes_the_key() {
        let secret = |byte| Secret::take(&mut [byte; 32]);
        let both = |one, other, salt: u8| of_both(&secret(one), &secret(other), &[salt; 16]);

        for other in [both(2, 1, 0), both(1, 2, 0), both(1, 1, 1), both(2, 2, 0)] {
            assert_ne!(other, both(1, 1, 0));
        }
        assert_ne!(both(1, 2, 0), both(2, 1, 0));
    }

    #[test]
    fn parameters_outside_floor_and_ceiling_are_refused() {
        let with = |memory_kib, passes, lanes| KdfParameters { memory_kib, passes, lanes };

        for weak in [with(65_535, 3, 1), with(65_536, 2, 1), with(65_536, 3, 0), with(0, 0, 0)] {
            assert!(matches!(weak.checked(), Err(KeystoreError::Downgrade(_))), "{weak}");
        }
        for absurd in [with(1_048_577, 3, 1), with(65_536, 17, 1), with(65_536, 3, 17)] {
            assert!(matches!(absurd.checked(), Err(KeystoreError::Excessive(_))), "{absurd}");
        }
        assert!(with(1_048_576, 16, 16).checked().is_ok());
        assert!(KdfParameters::FLOOR.checked().is_ok());
    }
}
