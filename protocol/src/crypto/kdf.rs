//! HKDF-SHA-256 (RFC 5869), the HMAC chain step, SHA-256 and a transcript hash.
//!
//! See docs/SPEC.md, section "Primitives".

use std::fmt::{self, Debug, Formatter};

use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::Secret;
use super::hmac::{Keyed, MESSAGE_MAX, Walk};

/// Bytes of a hash: one block of HKDF.
const BLOCK_BYTES: usize = 32;

/// HKDF-SHA-256: `N` bytes (at most 8,160) from `input`, bound to `salt` and `label`.
#[must_use]
pub fn expand<const N: usize>(salt: &[u8], input: &[u8], label: &[u8]) -> Secret<N> {
    let mut output = [0; N];
    // `expand` fails only above 255 blocks, and N is known when this compiles.
    const { assert!(N <= 255 * 32, "HKDF-SHA-256 gives at most 8,160 bytes") };
    if expand_short(salt, input, label, &mut output).is_none() {
        let done = Hkdf::<Sha256>::new(Some(salt), input).expand(label, &mut output);
        debug_assert!(done.is_ok(), "bounded above");
    }
    Secret::take(&mut output)
}

/// [`expand`] where each HMAC is of one block, as for every message; `None` where one is not.
fn expand_short(salt: &[u8], input: &[u8], label: &[u8], output: &mut [u8]) -> Option<()> {
    // The longest message: the block before, the label, the count.
    if BLOCK_BYTES + label.len() + 1 > MESSAGE_MAX {
        return None;
    }
    let extracted = Secret::<BLOCK_BYTES>::take(&mut Keyed::new(salt)?.mac(&[input])?);
    let keyed = Keyed::new(extracted.expose())?;
    let mut before = Zeroizing::new([0; BLOCK_BYTES]);
    for (count, part) in (1..=u8::MAX).zip(output.chunks_mut(BLOCK_BYTES)) {
        let chained: &[u8] = if count == 1 { &[] } else { before.as_slice() };
        *before = keyed.mac(&[chained, label, &[count]])?;
        part.iter_mut().zip(before.iter()).for_each(|(byte, derived)| *byte = *derived);
    }
    Some(())
}

/// One step of a symmetric chain (Double Ratchet, section 2.2): (next chain key, message key)
/// = (HMAC(ck, 0x02), HMAC(ck, 0x01)).
#[must_use]
pub fn chain_step(chain: &Secret<32>) -> (Secret<32>, Secret<32>) {
    let mut walk = ChainWalk::new(chain);
    let key = walk.step();
    (walk.end(), key)
}

/// Several steps of a chain: [`chain_step`] without a copy of the keys on the way.
pub struct ChainWalk(Walk);

impl ChainWalk {
    /// Begins at `chain`.
    #[must_use]
    pub fn new(chain: &Secret<32>) -> Self {
        Self(Walk::new(chain.expose()))
    }

    /// One step; gives the message key.
    pub fn step(&mut self) -> Secret<32> {
        self.0.step()
    }

    /// One step for a message whose key would be thrown away; it is not derived.
    pub fn skip(&mut self) {
        self.0.skip();
    }

    /// The chain key of the next message.
    #[must_use]
    pub fn end(mut self) -> Secret<32> {
        Secret::take(self.0.link())
    }
}

impl ZeroizeOnDrop for ChainWalk {}

impl Debug for ChainWalk {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("ChainWalk(..)")
    }
}

/// SHA-256.
#[must_use]
pub fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Hashes named fields without ambiguity: each is preceded by its label and both lengths.
#[derive(Debug)]
pub struct Transcript(Sha256);

impl Transcript {
    /// Starts a transcript for one purpose.
    #[must_use]
    pub fn new(purpose: &[u8]) -> Self {
        let mut transcript = Self(Sha256::new());
        transcript.add("purpose", purpose);
        transcript
    }

    /// Adds a field.
    pub fn add(&mut self, label: &str, value: &[u8]) {
        for part in [label.as_bytes(), value] {
            self.0.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            self.0.update(part);
        }
    }

    /// The hash of all fields.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assert_is_that_of_the_crate<const N: usize>(salt: &[u8], input: &[u8], label: &[u8]) {
        let mut expected = [0; N];
        Hkdf::<Sha256>::new(Some(salt), input).expand(label, &mut expected).expect("short");
        assert_eq!(expand::<N>(salt, input, label).expose(), &expected);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        /// Of one block or of several, the short way or that of the crate.
        #[test]
        fn an_expansion_is_that_of_the_crate(
            salt in prop::collection::vec(any::<u8>(), 0..=70),
            input in prop::collection::vec(any::<u8>(), 0..=70),
            label in prop::collection::vec(any::<u8>(), 0..=30),
        ) {
            assert_is_that_of_the_crate::<1>(&salt, &input, &label);
            assert_is_that_of_the_crate::<32>(&salt, &input, &label);
            assert_is_that_of_the_crate::<44>(&salt, &input, &label);
            assert_is_that_of_the_crate::<96>(&salt, &input, &label);
        }
    }

    #[test]
    fn the_longest_expansion_is_that_of_the_crate() {
        assert_is_that_of_the_crate::<8_160>(b"salt", b"input", b"label");
        assert_is_that_of_the_crate::<0>(b"salt", b"input", b"label");
    }

    /// The two ways must both be taken, or the property above is blind on one of them.
    #[test]
    fn every_message_takes_the_short_way() {
        let mut output = [0; 96];
        for label in [&b"bitchat/1 root"[..], b"bitchat/1 body"] {
            assert!(expand_short(&[1; 32], &[2; 32], label, &mut output).is_some());
        }
        assert!(expand_short(&[1; 32], &[2; 32], &[3; 23], &mut output).is_none());
    }

    /// RFC 5869, appendix A.1.
    #[test]
    fn hkdf_matches_rfc_5869() {
        let salt: Vec<u8> = (0..=0x0C).collect();
        let info: Vec<u8> = (0xF0..=0xF9).collect();

        let output: Secret<42> = expand(&salt, &[0x0B; 22], &info);

        assert_eq!(output.expose()[..8], [0x3C, 0xB2, 0x5F, 0x25, 0xFA, 0xAC, 0xD5, 0x7A]);
    }

    #[test]
    fn the_chain_step_is_hmac_with_one_byte() {
        let chain = Secret::take(&mut [0x0B; 32]);

        let (next, key) = chain_step(&chain);

        assert_eq!(next.expose()[..4], HMAC_0B_02);
        assert_ne!(next, key);
        let mut walk = ChainWalk::new(&chain);
        walk.skip();
        assert_eq!(next, walk.end());
    }

    /// `hmac.new(b"\x0b" * 32, b"\x02", "sha256")` of Python 3.
    const HMAC_0B_02: [u8; 4] = [0x5D, 0x0C, 0x45, 0x6F];

    #[test]
    fn moving_a_byte_between_fields_changes_the_transcript() {
        let mut left = Transcript::new(b"test");
        left.add("a", b"xy");
        left.add("b", b"z");
        let mut right = Transcript::new(b"test");
        right.add("a", b"x");
        right.add("b", b"yz");

        assert_ne!(left.finish(), right.finish());
    }
}
