//! X25519 (RFC 7748) that refuses non-canonical and low-order points.
//!
//! See docs/SPEC.md, section "Primitives".

use std::fmt::{self, Debug, Formatter};
use std::sync::OnceLock;

use rand_core::CryptoRng;

use super::Secret;
use super::provider::{self, Prepared};
use crate::error::{Error, Malformed};

/// Somebody's X25519 public key: canonical, not known to be of low order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DhPublic([u8; 32]);

/// Our X25519 secret key.
pub struct DhSecret {
    secret: Secret<32>,
    /// Made when it is first needed: a session that only opens messages of a chain never does.
    prepared: OnceLock<Prepared>,
}

impl DhPublic {
    /// Parses a point.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is not 32 bytes, not below the prime 2^255 - 19, or zero.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("X25519 key");
        let point: [u8; 32] = bytes.try_into().map_err(|_| WRONG)?;
        let canonical = !is_at_least_the_prime(&point) && point != [0; 32];
        canonical.then_some(Self(point)).ok_or(WRONG)
    }

    /// The u-coordinate, little-endian.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Whether little-endian `point` is `2^255 - 19` or more: a second spelling of a smaller number.
fn is_at_least_the_prime(point: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = point;
    *high > 0x7F || (*high == 0x7F && middle.iter().all(|byte| *byte == 0xFF) && *low >= 0xED)
}

impl DhSecret {
    /// A fresh key pair.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_secret(Secret::random(rng))
    }

    /// The key pair of a stored secret.
    #[must_use]
    pub const fn from_secret(secret: Secret<32>) -> Self {
        Self { secret, prepared: OnceLock::new() }
    }

    fn prepared(&self) -> &Prepared {
        self.prepared.get_or_init(|| Prepared::new(self.secret.expose()))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> DhPublic {
        DhPublic(*self.prepared().public())
    }

    /// The secret half, for a sealed record.
    #[must_use]
    pub const fn secret(&self) -> &Secret<32> {
        &self.secret
    }

    /// The shared secret with `theirs`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthentic`] if the result is all zero: their point is of low order.
    pub fn agree(&self, theirs: &DhPublic) -> Result<Secret<32>, Error> {
        provider::agree(self.secret.expose(), || self.prepared(), &theirs.0)
            .ok_or(Error::NotAuthentic("low-order X25519 key"))
    }
}

// What a provider prepares is the public key, and what AWS-LC keeps and wipes itself.
crate::crypto::wiped!(DhSecret { secret } open { prepared });

impl Debug for DhPublic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "DhPublic({first:02x}{second:02x}..)")
    }
}

impl Debug for DhSecret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("DhSecret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> DhSecret {
        DhSecret::from_secret(Secret::take(&mut [byte; 32]))
    }

    #[test]
    fn both_sides_agree() {
        let (ours, theirs) = (secret(1), secret(2));

        let here = ours.agree(&theirs.public()).expect("a good point");
        let there = theirs.agree(&ours.public()).expect("a good point");

        assert_eq!(here, there);
    }

    #[test]
    fn zero_low_order_and_non_canonical_points_are_refused() {
        let mut prime = [0xFF; 32];
        prime[0] = 0xED;
        prime[31] = 0x7F;
        let mut one = [0; 32];
        one[0] = 1;

        assert!(DhPublic::parse(&[0; 32]).is_err());
        assert!(DhPublic::parse(&prime).is_err());
        assert!(DhPublic::parse(&[0xFF; 32]).is_err());
        assert!(DhPublic::parse(&[9; 31]).is_err());
        let low = DhPublic::parse(&one).expect("canonical, of order 4");
        assert!(matches!(secret(3).agree(&low), Err(Error::NotAuthentic(_))));
    }
}
