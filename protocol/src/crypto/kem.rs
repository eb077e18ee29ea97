//! ML-KEM-1024 (FIPS 203); the crate's functions take their randomness as an argument.

use std::fmt::{self, Debug, Formatter};

use libcrux_ml_kem::mlkem1024::{
    self, MlKem1024Ciphertext, MlKem1024PrivateKey, MlKem1024PublicKey,
};
use rand_core::CryptoRng;
use zeroize::ZeroizeOnDrop;

use super::Secret;
use crate::error::Malformed;

/// Bytes of an encapsulation key.
pub const KEM_PUBLIC_BYTES: usize = 1568;
/// Bytes of a ciphertext.
pub const KEM_CIPHERTEXT_BYTES: usize = 1568;
/// Bytes of an expanded decapsulation key; never stored.
const KEM_PRIVATE_BYTES: usize = 3168;

/// Somebody's encapsulation key, validated (FIPS 203, section 7.2).
#[derive(Clone, PartialEq, Eq)]
pub struct KemPublic(Box<[u8; KEM_PUBLIC_BYTES]>);

/// A ciphertext of the right length. Whether it is good only the shared secret will tell.
#[derive(Clone, PartialEq, Eq)]
pub struct KemCiphertext(Box<[u8; KEM_CIPHERTEXT_BYTES]>);

/// Our key pair, kept as its seed (d, z): 64 bytes instead of 3,168.
pub struct KemSecret {
    seed: Secret<64>,
    public: KemPublic,
}

impl KemPublic {
    /// Parses and validates.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the length is wrong or a coefficient is not reduced.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("ML-KEM key");
        let key: [u8; KEM_PUBLIC_BYTES] = bytes.try_into().map_err(|_| WRONG)?;
        let valid = mlkem1024::validate_public_key(&MlKem1024PublicKey::from(&key));
        valid.then(|| Self(Box::new(key))).ok_or(WRONG)
    }

    /// The encoded key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// A shared secret and the ciphertext that carries it.
    #[must_use]
    pub fn encapsulate(&self, rng: &mut impl CryptoRng) -> (KemCiphertext, Secret<32>) {
        let randomness: Secret<32> = Secret::random(rng);
        let key = MlKem1024PublicKey::from(&*self.0);
        let (ciphertext, mut shared) = mlkem1024::encapsulate(&key, *randomness.expose());
        (KemCiphertext(Box::new(*ciphertext.as_slice())), Secret::take(&mut shared))
    }
}

impl KemCiphertext {
    /// Parses.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the length is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let array = bytes.try_into().map_err(|_| Malformed("ML-KEM ciphertext"))?;
        Ok(Self(Box::new(array)))
    }

    /// The encoded ciphertext.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl KemSecret {
    /// A fresh key pair.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// The key pair of a stored seed (FIPS 203, algorithm 16).
    #[must_use]
    pub fn from_seed(seed: Secret<64>) -> Self {
        let (mut private, public) = mlkem1024::generate_key_pair(*seed.expose()).into_parts();
        wipe(&mut private);
        Self { seed, public: KemPublic(Box::new(*public.as_slice())) }
    }

    /// The seed, for a sealed record.
    #[must_use]
    pub const fn seed(&self) -> &Secret<64> {
        &self.seed
    }

    /// The encapsulation key.
    #[must_use]
    pub const fn public(&self) -> &KemPublic {
        &self.public
    }

    /// The shared secret of a ciphertext. A bad ciphertext gives an unrelated secret (implicit
    /// rejection, FIPS 203 section 6.3), so that the AEAD behind it fails.
    #[must_use]
    pub fn decapsulate(&self, ciphertext: &KemCiphertext) -> Secret<32> {
        let (mut private, _) = mlkem1024::generate_key_pair(*self.seed.expose()).into_parts();
        let mut shared =
            mlkem1024::decapsulate(&private, &MlKem1024Ciphertext::from(&*ciphertext.0));
        wipe(&mut private);
        Secret::take(&mut shared)
    }
}

/// libcrux does not zero its private keys; `black_box` keeps the store from being optimised away.
fn wipe(private: &mut MlKem1024PrivateKey) {
    *private = MlKem1024PrivateKey::from([0; KEM_PRIVATE_BYTES]);
    std::hint::black_box(private);
}

impl ZeroizeOnDrop for KemSecret {}

impl Debug for KemSecret {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("KemSecret(..)")
    }
}

impl Debug for KemPublic {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("KemPublic(..)")
    }
}

impl Debug for KemCiphertext {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("KemCiphertext(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn both_sides_share_a_secret_and_a_flipped_bit_destroys_it() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let secret = KemSecret::random(&mut rng);

        let (ciphertext, shared) = secret.public().encapsulate(&mut rng);
        let mut flipped = ciphertext.as_bytes().to_vec();
        flipped[100] ^= 1;

        assert_eq!(secret.decapsulate(&ciphertext), shared);
        assert_ne!(secret.decapsulate(&KemCiphertext::parse(&flipped).expect("length")), shared);
    }

    #[test]
    fn a_key_with_an_unreduced_coefficient_is_refused() {
        assert!(KemPublic::parse(&[0xFF; KEM_PUBLIC_BYTES]).is_err());
        assert!(KemPublic::parse(&[0; 10]).is_err());
    }
}
