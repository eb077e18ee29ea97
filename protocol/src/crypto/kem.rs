//! ML-KEM (FIPS 203) in two sizes; the crate's functions take their randomness as an argument.
//!
//! See docs/SPEC.md, section "Primitives".

use std::fmt::{self, Debug, Formatter};

use libcrux_ml_kem::{mlkem768, mlkem1024};
use rand_core::CryptoRng;
use zeroize::ZeroizeOnDrop;

use super::Secret;
use crate::error::Malformed;

/// Somebody's encapsulation key for handshakes.
pub type KemPublic = EncapsulationKey<MlKem1024>;
/// A ciphertext of a handshake.
pub type KemCiphertext = Ciphertext<MlKem1024>;
/// Our key pair for handshakes.
pub type KemSecret = DecapsulationKey<MlKem1024>;

/// A parameter set of FIPS 203, section 8. Shared secrets have 32 bytes in each.
pub trait ParameterSet {
    /// An encapsulation key.
    type Public: ByteArray;
    /// A ciphertext.
    type Ciphertext: ByteArray;

    /// The encapsulation key of a seed (algorithm 16).
    fn public(seed: &[u8; 64]) -> Self::Public;
    /// Whether the coefficients are reduced (section 7.2).
    fn is_public(key: &Self::Public) -> bool;
    /// Ciphertext and shared secret (algorithm 17).
    fn encapsulate(key: &Self::Public, randomness: [u8; 32]) -> (Self::Ciphertext, [u8; 32]);
    /// Shared secret (algorithm 18).
    fn decapsulate(seed: &[u8; 64], ciphertext: &Self::Ciphertext) -> [u8; 32];
}

/// An array of bytes, of whatever length.
pub trait ByteArray: AsRef<[u8]> + for<'a> TryFrom<&'a [u8]> + Clone + Eq {}
impl<const N: usize> ByteArray for [u8; N] {}

/// For handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlKem1024 {}

/// For the ratchet, whose headers carry it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlKem768 {}

/// The crate has a module of one shape for each set. Private keys live in one function here.
macro_rules! parameter_set {
    ($set:ty: $module:ident, $public:literal, $ciphertext:literal, $secret:literal) => {
        impl ParameterSet for $set {
            type Public = [u8; $public];
            type Ciphertext = [u8; $ciphertext];

            fn public(seed: &[u8; 64]) -> Self::Public {
                let (mut private, public) = $module::generate_key_pair(*seed).into_parts();
                wipe::<_, $secret>(&mut private);
                *public.as_slice()
            }

            fn is_public(key: &Self::Public) -> bool {
                $module::validate_public_key(&key.into())
            }

            fn encapsulate(
                key: &Self::Public,
                randomness: [u8; 32],
            ) -> (Self::Ciphertext, [u8; 32]) {
                let (ciphertext, shared) = $module::encapsulate(&key.into(), randomness);
                (*ciphertext.as_slice(), shared)
            }

            fn decapsulate(seed: &[u8; 64], ciphertext: &Self::Ciphertext) -> [u8; 32] {
                let (mut private, _) = $module::generate_key_pair(*seed).into_parts();
                let shared = $module::decapsulate(&private, &ciphertext.into());
                wipe::<_, $secret>(&mut private);
                shared
            }
        }
    };
}

parameter_set!(MlKem1024: mlkem1024, 1568, 1568, 3168);
parameter_set!(MlKem768: mlkem768, 1184, 1088, 2400);

/// The crate does not zero its private keys; `black_box` keeps the store from being optimised away.
fn wipe<K: From<[u8; N]>, const N: usize>(private: &mut K) {
    *private = K::from([0; N]);
    std::hint::black_box(private);
}

/// Somebody's encapsulation key, validated (FIPS 203, section 7.2).
#[derive(Clone, PartialEq, Eq)]
pub struct EncapsulationKey<P: ParameterSet>(Box<P::Public>);

/// A ciphertext of the right length. Whether it is good only the shared secret will tell.
#[derive(Clone, PartialEq, Eq)]
pub struct Ciphertext<P: ParameterSet>(Box<P::Ciphertext>);

/// Our key pair, kept as its seed (d, z): 64 bytes instead of thousands.
pub struct DecapsulationKey<P: ParameterSet> {
    seed: Secret<64>,
    public: EncapsulationKey<P>,
}

impl<P: ParameterSet> EncapsulationKey<P> {
    /// Parses and validates.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the length is wrong or a coefficient is not reduced.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let key = P::Public::try_from(bytes).ok().filter(P::is_public);
        key.map(|key| Self(Box::new(key))).ok_or(Malformed("ML-KEM key"))
    }

    /// The encoded key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }

    /// A shared secret and the ciphertext that carries it.
    #[must_use]
    pub fn encapsulate(&self, rng: &mut impl CryptoRng) -> (Ciphertext<P>, Secret<32>) {
        let randomness: Secret<32> = Secret::random(rng);
        let (ciphertext, mut shared) = P::encapsulate(&self.0, *randomness.expose());
        (Ciphertext(Box::new(ciphertext)), Secret::take(&mut shared))
    }
}

impl<P: ParameterSet> Ciphertext<P> {
    /// Parses.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the length is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let array = P::Ciphertext::try_from(bytes).map_err(|_| Malformed("ML-KEM ciphertext"))?;
        Ok(Self(Box::new(array)))
    }

    /// The encoded ciphertext.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl<P: ParameterSet> DecapsulationKey<P> {
    /// A fresh key pair.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// The key pair of a stored seed (FIPS 203, algorithm 16).
    #[must_use]
    pub fn from_seed(seed: Secret<64>) -> Self {
        let public = EncapsulationKey(Box::new(P::public(seed.expose())));
        Self { seed, public }
    }

    /// The seed, for a sealed record.
    #[must_use]
    pub const fn seed(&self) -> &Secret<64> {
        &self.seed
    }

    /// The encapsulation key.
    #[must_use]
    pub const fn public(&self) -> &EncapsulationKey<P> {
        &self.public
    }

    /// The shared secret of a ciphertext. A bad ciphertext gives an unrelated secret (implicit
    /// rejection, FIPS 203 section 6.3), so that the AEAD behind it fails.
    #[must_use]
    pub fn decapsulate(&self, ciphertext: &Ciphertext<P>) -> Secret<32> {
        Secret::take(&mut P::decapsulate(self.seed.expose(), &ciphertext.0))
    }
}

impl<P: ParameterSet> ZeroizeOnDrop for DecapsulationKey<P> {}

impl<P: ParameterSet> Debug for DecapsulationKey<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("DecapsulationKey(..)")
    }
}

impl<P: ParameterSet> Debug for EncapsulationKey<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("EncapsulationKey(..)")
    }
}

impl<P: ParameterSet> Debug for Ciphertext<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Ciphertext(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    fn a_flipped_bit_destroys_the_shared_secret<P: ParameterSet>() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret = DecapsulationKey::<P>::random(&mut rng);

        let (ciphertext, shared) = secret.public().encapsulate(&mut rng);
        let mut flipped = ciphertext.as_bytes().to_vec();
        flipped[100] ^= 1;

        assert_eq!(secret.decapsulate(&ciphertext), shared);
        assert_ne!(secret.decapsulate(&Ciphertext::parse(&flipped).expect("length")), shared);
    }

    #[test]
    fn both_sides_share_a_secret_and_a_flipped_bit_destroys_it() {
        a_flipped_bit_destroys_the_shared_secret::<MlKem768>();
        a_flipped_bit_destroys_the_shared_secret::<MlKem1024>();
    }

    #[test]
    fn a_key_with_an_unreduced_coefficient_is_refused() {
        assert!(KemPublic::parse(&[0xFF; 1568]).is_err());
        assert!(EncapsulationKey::<MlKem768>::parse(&[0xFF; 1184]).is_err());
    }

    #[test]
    fn lengths_are_those_of_fips_203() {
        let key = DecapsulationKey::<MlKem768>::from_seed(Secret::take(&mut [1; 64]));
        let bytes = key.public().as_bytes();

        assert!(
            EncapsulationKey::<MlKem768>::parse(bytes).is_ok_and(|key| key.as_bytes() == bytes)
        );
        assert!(EncapsulationKey::<MlKem768>::parse(&bytes[1..]).is_err());
        assert!(KemPublic::parse(bytes).is_err());
        assert!(KemCiphertext::parse(&[0; 1088]).is_err());
        assert!(Ciphertext::<MlKem768>::parse(&[0; 1088]).is_ok());
    }
}
