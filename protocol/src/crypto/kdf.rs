//! HKDF-SHA-256 (RFC 5869), the HMAC chain step, SHA-256 and a transcript hash.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use super::Secret;

/// HKDF-SHA-256: `N` bytes (at most 8,160) from `input`, bound to `salt` and `label`.
#[must_use]
pub fn expand<const N: usize>(salt: &[u8], input: &[u8], label: &[u8]) -> Secret<N> {
    let mut output = [0; N];
    // `expand` fails only above 255 blocks, and N is known when this compiles.
    const { assert!(N <= 255 * 32, "HKDF-SHA-256 gives at most 8,160 bytes") };
    let done = Hkdf::<Sha256>::new(Some(salt), input).expand(label, &mut output);
    debug_assert!(done.is_ok(), "bounded above");
    Secret::take(&mut output)
}

/// One step of a symmetric chain (Double Ratchet, section 2.2): (next chain key, message key)
/// = (HMAC(ck, 0x02), HMAC(ck, 0x01)).
#[must_use]
pub fn chain_step(chain: &Secret<32>) -> (Secret<32>, Secret<32>) {
    let mac = keyed(chain);
    (finish(mac.clone(), 0x02), finish(mac, 0x01))
}

/// The next chain key alone: [`chain_step`] for a message whose key would be thrown away.
#[must_use]
pub fn chain_skip(chain: &Secret<32>) -> Secret<32> {
    finish(keyed(chain), 0x02)
}

/// HMAC with its key absorbed; a clone saves the second output two of four compressions.
fn keyed(key: &Secret<32>) -> Hmac<Sha256> {
    // `new` takes a full block; RFC 2104 pads a shorter key with zeros.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key.expose());
    let mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    block.zeroize();
    mac
}

fn finish(mut mac: Hmac<Sha256>, byte: u8) -> Secret<32> {
    mac.update(&[byte]);
    let mut output: [u8; 32] = mac.finalize().into_bytes().into();
    Secret::take(&mut output)
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
    use super::*;

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
        assert_eq!(next, chain_skip(&chain));
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
