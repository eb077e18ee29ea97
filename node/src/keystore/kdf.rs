//! From a passphrase or a key file to the key that wraps the DEK.

use std::fmt::{self, Display, Formatter};

use argon2::{Algorithm, Argon2, Params, Version};
use bitchat_protocol::crypto::{Secret, expand};

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
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut key)
        .map_err(|_| BUG)?;
    Ok(Secret::take(&mut key))
}

/// A random key needs no stretching.
pub(super) fn from_key_file(key: &Secret<32>, salt: &[u8]) -> Secret<32> {
    expand(salt, key.expose(), b"bitchat/1 keystore key file")
}

#[cfg(test)]
mod tests {
    use super::*;

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
