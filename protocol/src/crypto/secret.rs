//! Secret bytes: boxed, zeroed on drop, compared in constant time, silent in `Debug`.
//!
//! See docs/SPEC.md, section "Primitives".

use std::fmt::{self, Debug, Formatter};

use rand_core::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::{ZeroizeOnDrop, optimization_barrier};

/// `N` secret bytes. Boxed, so that a move does not leave a copy on the stack.
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Takes `bytes` over; the caller's copy is zeroed.
    pub fn take(bytes: &mut [u8; N]) -> Self {
        let secret = Self(Box::new(*bytes));
        wipe(bytes);
        secret
    }

    /// Fresh random bytes.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Box::new([0; N]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// From a slice of exactly `N` bytes.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut boxed = Box::new([0; N]);
        (bytes.len() == N).then(|| {
            boxed.copy_from_slice(bytes);
            Self(boxed)
        })
    }

    /// The bytes, for a primitive or a sealed record. The name is meant to be seen in review.
    #[must_use]
    pub const fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// A second copy, where a protocol needs one (a ratchet step that may be rolled back).
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Zeroes bytes at once instead of one after another; the barrier keeps the store.
pub(super) fn wipe<const N: usize>(bytes: &mut [u8; N]) {
    *bytes = [0; N];
    optimization_barrier(bytes);
}

/// As [`wipe`], for the state of a hash.
pub(super) fn wipe_words(words: &mut [u32; 8]) {
    *words = [0; 8];
    optimization_barrier(words);
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_slice().ct_eq(other.0.as_slice()).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}

impl<const N: usize> Debug for Secret<N> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_byte() {
        assert_eq!(format!("{:?}", Secret::take(&mut [0x41; 32])), "Secret(..)");
    }

    #[test]
    fn taking_zeroes_the_source() {
        let mut bytes = [7; 32];

        let secret = Secret::take(&mut bytes);

        assert_eq!(bytes, [0; 32]);
        assert_eq!(secret.expose(), &[7; 32]);
    }
}
