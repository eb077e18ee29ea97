//! HMAC-SHA-256 (RFC 2104) of messages that fit into one block, on the compression function itself.
//!
//! Chain steps and key derivations are all the hashing of a message, and all of it is this short. The
//! crates `hmac` and `hkdf` spend more on buffers than on hashing at that size (ADR 18); they are
//! the measure of the tests, and take what is longer. Two hashes that do not depend on one another
//! stand side by side, so that the processor runs them at once.
//!
//! See docs/SPEC.md, section "Primitives".

use sha2::block_api::compress256;
use zeroize::ZeroizeOnDrop;

use super::secret::{Secret, wipe, wipe_words};

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// Longest message: block, less the mark behind it and its length.
pub(super) const MESSAGE_MAX: usize = BLOCK - 1 - 8;

/// Initial hash value (FIPS 180-4, section 5.3.3).
const START: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];

/// Last block of the inner hash for the messages `01` and `02`.
const ONE: [u8; BLOCK] = of_byte(0x01);
const TWO: [u8; BLOCK] = of_byte(0x02);

/// Last block of the outer hash, before its digest is written into it.
const DIGEST: [u8; BLOCK] = of_digest();

/// A key, absorbed: the states of both hashes behind their padded key. Wiped on drop.
pub(super) struct Keyed {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl Keyed {
    /// Absorbs a key; `None` if it is longer than a block, and would be hashed first.
    pub(super) fn new(key: &[u8]) -> Option<Self> {
        let mut padded = [0; BLOCK];
        padded.get_mut(..key.len())?.copy_from_slice(key);
        let mut keyed = Self { inner: START, outer: START };
        keyed.absorb(&mut padded);
        Some(keyed)
    }

    /// Absorbs a chain key in place of the key before.
    fn rekey(&mut self, key: &[u8; 32]) {
        let mut padded = [0; BLOCK];
        padded[..32].copy_from_slice(key);
        *self = Self { inner: START, outer: START };
        self.absorb(&mut padded);
    }

    fn absorb(&mut self, key: &mut [u8; BLOCK]) {
        let mut outer = key.map(|byte| byte ^ 0x5C);
        for byte in key.iter_mut() {
            *byte ^= 0x36;
        }
        compress256(&mut self.inner, std::slice::from_ref(key));
        compress256(&mut self.outer, std::slice::from_ref(&outer));
        wipe(key);
        wipe(&mut outer);
    }

    /// The MAC of a message in parts; `None` if it is longer than [`MESSAGE_MAX`].
    pub(super) fn mac(&self, parts: &[&[u8]]) -> Option<[u8; 32]> {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        if length > MESSAGE_MAX {
            return None;
        }
        let mut block = [0; BLOCK];
        let mut rest = block.as_mut_slice();
        for part in parts {
            let (here, behind) = rest.split_at_mut_checked(part.len())?;
            here.copy_from_slice(part);
            rest = behind;
        }
        *rest.first_mut()? = 0x80;
        let bits = u64::try_from((BLOCK + length) * 8).ok()?;
        rest.last_chunk_mut::<8>()?.copy_from_slice(&bits.to_be_bytes());
        let (mut state, mut output) = (self.inner, [0; 32]);
        compress256(&mut state, std::slice::from_ref(&block));
        wipe(&mut block);
        self.finish(&mut state, &mut output);
        Some(output)
    }

    /// The outer hash over the result of the inner one, which is wiped.
    fn finish(&self, inner: &mut [u32; 8], output: &mut [u8; 32]) {
        let mut block = DIGEST;
        write(inner, &mut block);
        *inner = self.outer;
        compress256(inner, std::slice::from_ref(&block));
        write(inner, output);
        wipe(&mut block);
        wipe_words(inner);
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        wipe_words(&mut self.inner);
        wipe_words(&mut self.outer);
    }
}

impl ZeroizeOnDrop for Keyed {}

/// Walks along a chain, link after link in one place.
pub(super) struct Walk {
    keyed: Keyed,
    link: [u8; 32],
}

impl Walk {
    /// Stands at `link`.
    pub(super) fn new(link: &[u8; 32]) -> Self {
        let keyed = Keyed { inner: START, outer: START };
        Self { keyed, link: *link }
    }

    /// Goes one link on and gives the key beside the link that it leaves.
    pub(super) fn step(&mut self) -> Secret<32> {
        self.keyed.rekey(&self.link);
        let (mut next, mut key) = (self.keyed.inner, self.keyed.inner);
        let mut output = [0; 32];
        compress256(&mut next, std::slice::from_ref(&TWO));
        compress256(&mut key, std::slice::from_ref(&ONE));
        self.keyed.finish(&mut next, &mut self.link);
        self.keyed.finish(&mut key, &mut output);
        Secret::take(&mut output)
    }

    /// Goes one link on.
    pub(super) fn skip(&mut self) {
        self.keyed.rekey(&self.link);
        let mut next = self.keyed.inner;
        compress256(&mut next, std::slice::from_ref(&TWO));
        self.keyed.finish(&mut next, &mut self.link);
    }

    /// The link that it stands at.
    pub(super) const fn link(&mut self) -> &mut [u8; 32] {
        &mut self.link
    }
}

impl Drop for Walk {
    fn drop(&mut self) {
        wipe(&mut self.link);
    }
}

impl ZeroizeOnDrop for Walk {}

fn write(state: &[u32; 8], bytes: &mut [u8]) {
    let (words, _) = bytes.as_chunks_mut::<4>();
    for (bytes, word) in words.iter_mut().zip(state) {
        *bytes = word.to_be_bytes();
    }
}

/// The last block of an inner hash over one byte: the byte, the mark, 65 bytes in bits.
const fn of_byte(byte: u8) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    [block[0], block[1]] = [byte, 0x80];
    [block[62], block[63]] = 520_u16.to_be_bytes();
    block
}

/// The last block of an outer hash without its digest: the mark, 96 bytes in bits.
const fn of_digest() -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[32] = 0x80;
    [block[62], block[63]] = 768_u16.to_be_bytes();
    block
}

#[cfg(test)]
mod tests {
    use hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;
    use sha2::Sha256;

    use super::*;

    /// By the crate.
    fn expected(key: &[u8], message: &[u8]) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("any length");
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn a_mac_is_that_of_the_crate_or_none(
            key in prop::collection::vec(any::<u8>(), 0..=70),
            message in prop::collection::vec(any::<u8>(), 0..=70),
            cut in any::<prop::sample::Index>(),
        ) {
            let (first, second) = message.split_at(cut.index(message.len() + 1));

            let mac = Keyed::new(&key).and_then(|keyed| keyed.mac(&[first, second]));

            let fits = key.len() <= BLOCK && message.len() <= MESSAGE_MAX;
            prop_assert_eq!(mac, fits.then(|| expected(&key, &message)));
        }

        #[test]
        fn a_walk_is_a_chain_of_macs(start in any::<[u8; 32]>(), keys in prop::collection::vec(any::<bool>(), 0..9)) {
            let (mut walk, mut link) = (Walk::new(&start), start);

            for with_key in keys {
                if with_key {
                    prop_assert_eq!(*walk.step().expose(), expected(&link, &[1]));
                } else {
                    walk.skip();
                }
                link = expected(&link, &[2]);
                prop_assert_eq!(*walk.link(), link);
            }
        }
    }

    #[test]
    fn every_length_at_the_border_of_a_block_is_right() {
        let bytes: Vec<u8> = (0..=u8::MAX).collect();
        for key in 0..=BLOCK {
            let keyed = Keyed::new(&bytes[..key]).expect("a block at most");
            for message in 0..=MESSAGE_MAX {
                let text = &bytes[..message];
                assert_eq!(keyed.mac(&[text]), Some(expected(&bytes[..key], text)));
            }
            assert_eq!(keyed.mac(&[&bytes[..=MESSAGE_MAX]]), None);
        }
        assert!(Keyed::new(&bytes[..=BLOCK]).is_none());
    }
}
