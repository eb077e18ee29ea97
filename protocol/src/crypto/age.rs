//! The age file format, version 1 (C2SP `age.md`), for one passphrase: what backups are sealed with.
//!
//! ```text
//!   header   "age-encryption.org/v1", one scrypt stanza (wraps the file key), a MAC over all of it
//!   payload  nonce 16 || chunks of 64 KiB, each sealed under a counter and a mark on the last
//! ```
//!
//! The `age` tool opens what this seals; `protocol/vectors` checks both directions against another
//! implementation. Why it is ours: docs/decisions/0017-own-age-format.md. What it does *not* do:
//! public-key recipients, armour, files. A reader learns nothing about a chunk before its tag holds.
//!
//! See docs/SPEC.md, section "Backup".

use ::hmac::{Hmac, KeyInit, Mac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rand_core::CryptoRng;
use scrypt::Params;
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use super::Secret;
use super::kdf::expand;
use super::provider::{self, NONCE_BYTES, TAG_BYTES};
use crate::error::Error;

/// Plaintext of a chunk; every chunk but the last is full.
pub const CHUNK_BYTES: usize = 64 * 1024;

/// What a sealed chunk is longer.
pub const CHUNK_TAG_BYTES: usize = TAG_BYTES;

/// Bytes of the nonce between header and chunks.
pub const PAYLOAD_NONCE_BYTES: usize = 16;

/// The longest header that is read. One scrypt stanza makes about 150 bytes.
pub const HEADER_BYTES_MAX: usize = 2 * 1024;

/// log2 of scrypt's N for new files: 256 MiB and about a second, as the `age` tool has it.
pub const WORK: u8 = 18;

/// The most that is read: 1 GiB. Whoever hands us a file must not choose how much memory we take.
pub const WORK_MAX: u8 = 20;

const VERSION: &str = "age-encryption.org/v1";
const SALT_LABEL: &[u8] = b"age-encryption.org/v1/scrypt";
const SALT_BYTES: usize = 16;
const FILE_KEY_BYTES: usize = 16;
/// `--- `, 32 bytes in base64, a newline.
const MAC_LINE_BYTES: usize = 4 + 43 + 1;
const WRAPPED_BYTES: usize = FILE_KEY_BYTES + CHUNK_TAG_BYTES;

/// Why a file does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// It is not an age file, or not one for a passphrase.
    #[error("not an age file for a passphrase")]
    Foreign,
    /// Its key derivation asks for more than [`WORK_MAX`].
    #[error("its passphrase costs too much memory")]
    Work,
    /// The passphrase is wrong, or the header was altered: nobody can tell these apart.
    #[error("the passphrase does not open it")]
    Passphrase,
    /// The header or a chunk was altered, cut or moved.
    #[error("damaged")]
    Damaged,
}

/// A parsed header.
#[derive(Debug)]
pub struct AgeHeader {
    salt: [u8; SALT_BYTES],
    work: u8,
    wrapped: [u8; WRAPPED_BYTES],
    /// The header up to and including `---`, which the MAC covers.
    covered: Vec<u8>,
    mac: [u8; 32],
}

/// The chunks of one file, sealed or opened in their order.
struct Stream {
    key: Secret<32>,
    counter: u64,
    ended: bool,
}

/// Seals the chunks of one file.
pub struct AgeSealer(Stream);

/// Opens the chunks of one file.
pub struct AgeOpener(Stream);

impl AgeHeader {
    /// Begins a file under a passphrase: the bytes before its first chunk, and what seals the chunks.
    ///
    /// # Errors
    ///
    /// [`Error::Bug`] if `work` is above [`WORK_MAX`].
    pub fn create(
        passphrase: &[u8],
        work: u8,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, AgeSealer), Error> {
        const BUG: Error = Error::Bug("age header");
        let file_key: Secret<FILE_KEY_BYTES> = Secret::random(rng);
        let mut salt = [0; SALT_BYTES];
        rng.fill_bytes(&mut salt);
        let mut nonce = [0; PAYLOAD_NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let key = derive(passphrase, &salt, work).map_err(|_| BUG)?;
        // The key is used for this one box: its salt is fresh.
        let wrapped = provider::seal(key.expose(), &[0; NONCE_BYTES], b"", file_key.expose());
        let (salt, wrapped) = (encode(&salt), encode(&wrapped.ok_or(BUG)?));
        let covered = format!("{VERSION}\n-> scrypt {salt} {work}\n{wrapped}\n---");
        let mac: [u8; 32] = mac(&file_key, covered.as_bytes()).finalize().into_bytes().into();
        let mut bytes = format!("{covered} {}\n", encode(&mac)).into_bytes();
        bytes.extend_from_slice(&nonce);
        Ok((bytes, AgeSealer(Stream::new(&file_key, &nonce))))
    }

    /// Parses everything up to and including the newline after the MAC.
    ///
    /// # Errors
    ///
    /// [`AgeError::Foreign`] if it does not begin as a file for a passphrase does,
    /// [`AgeError::Work`], [`AgeError::Damaged`] if the rest is not as it must be.
    pub fn parse(bytes: &[u8]) -> Result<Self, AgeError> {
        const WRONG: AgeError = AgeError::Damaged;
        let mut lines = bytes.strip_suffix(b"\n").ok_or(WRONG)?.split(|byte| *byte == b'\n');
        if lines.next() != Some(VERSION.as_bytes()) {
            return Err(AgeError::Foreign);
        }
        let stanza = lines.next().and_then(|line| line.strip_prefix(b"-> scrypt "));
        let stanza = std::str::from_utf8(stanza.ok_or(AgeError::Foreign)?).map_err(|_| WRONG)?;
        let (salt, work) = stanza.split_once(' ').ok_or(WRONG)?;
        let wrapped = lines.next().and_then(decode).ok_or(WRONG)?;
        let mac = lines.next().and_then(|line| line.strip_prefix(b"--- ")).and_then(decode);
        let (mac, None) = (mac.ok_or(WRONG)?, lines.next()) else { return Err(WRONG) };
        let covered = bytes.get(..bytes.len() - MAC_LINE_BYTES + 3).ok_or(WRONG)?;
        let work = number(work).ok_or(WRONG)?;
        if work > WORK_MAX {
            return Err(AgeError::Work);
        }
        let salt = decode(salt.as_bytes()).ok_or(WRONG)?;
        Ok(Self { salt, work, wrapped, covered: covered.to_vec(), mac })
    }

    /// Takes the file key out of the header; `nonce` is the 16 bytes behind it.
    ///
    /// # Errors
    ///
    /// [`AgeError::Passphrase`], [`AgeError::Damaged`] if the MAC does not hold.
    pub fn open(
        &self,
        passphrase: &[u8],
        nonce: &[u8; PAYLOAD_NONCE_BYTES],
    ) -> Result<AgeOpener, AgeError> {
        let key = derive(passphrase, &self.salt, self.work)?;
        let file_key = provider::open(key.expose(), &[0; NONCE_BYTES], b"", &self.wrapped);
        let file_key = Zeroizing::new(file_key.ok_or(AgeError::Passphrase)?);
        let file_key = Secret::from_slice(&file_key).ok_or(AgeError::Damaged)?;
        // In constant time.
        mac(&file_key, &self.covered).verify_slice(&self.mac).map_err(|_| AgeError::Damaged)?;
        Ok(AgeOpener(Stream::new(&file_key, nonce)))
    }
}

impl AgeSealer {
    /// Seals the next chunk: [`CHUNK_BYTES`], or up to that many if it is the last. An empty one can
    /// only be the whole payload.
    ///
    /// # Errors
    ///
    /// [`Error::Bug`] if the chunk has another size or the last one was sealed before.
    pub fn seal(&mut self, chunk: &[u8], last: bool) -> Result<Vec<u8>, Error> {
        const BUG: Error = Error::Bug("age chunk");
        let nonce = self.0.nonce(chunk.len(), last).ok_or(BUG)?;
        provider::seal(self.0.key.expose(), &nonce, b"", chunk).ok_or(BUG)
    }
}

impl AgeOpener {
    /// Opens the next sealed chunk; `last` says that nothing follows it.
    ///
    /// # Errors
    ///
    /// [`AgeError::Damaged`] whatever is wrong.
    pub fn open(&mut self, sealed: &[u8], last: bool) -> Result<Zeroizing<Vec<u8>>, AgeError> {
        let length = sealed.len().checked_sub(CHUNK_TAG_BYTES).ok_or(AgeError::Damaged)?;
        let nonce = self.0.nonce(length, last).ok_or(AgeError::Damaged)?;
        let opened = provider::open(self.0.key.expose(), &nonce, b"", sealed);
        opened.map(Zeroizing::new).ok_or(AgeError::Damaged)
    }
}

impl Stream {
    fn new(file_key: &Secret<FILE_KEY_BYTES>, nonce: &[u8; PAYLOAD_NONCE_BYTES]) -> Self {
        let key = expand(nonce, file_key.expose(), b"payload");
        Self { key, counter: 0, ended: false }
    }

    /// The nonce of the next chunk, if a chunk of this length may come next.
    fn nonce(&mut self, length: usize, last: bool) -> Option<[u8; NONCE_BYTES]> {
        let fits = match (last, self.counter) {
            (false, _) => length == CHUNK_BYTES,
            (true, 0) => length <= CHUNK_BYTES,
            (true, _) => (1..=CHUNK_BYTES).contains(&length),
        };
        if self.ended || !fits {
            return None;
        }
        let mut nonce = [0; NONCE_BYTES];
        let [_, _, _, counter @ .., mark] = &mut nonce;
        *counter = self.counter.to_be_bytes();
        *mark = u8::from(last);
        self.counter = self.counter.checked_add(1)?;
        self.ended = last;
        Some(nonce)
    }
}

impl std::fmt::Debug for AgeSealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgeSealer({})", self.0.counter)
    }
}

impl std::fmt::Debug for AgeOpener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AgeOpener({})", self.0.counter)
    }
}

/// The key that wraps the file key.
fn derive(passphrase: &[u8], salt: &[u8; SALT_BYTES], work: u8) -> Result<Secret<32>, AgeError> {
    if work == 0 || work > WORK_MAX {
        return Err(AgeError::Work);
    }
    let parameters = Params::new(work, 8, 1).map_err(|_| AgeError::Work)?;
    let salt = [SALT_LABEL, salt].concat();
    let mut key = [0; 32];
    let done = scrypt::scrypt(passphrase, &salt, &parameters, &mut key);
    let key = Secret::take(&mut key);
    done.map(|()| key).map_err(|_| AgeError::Work)
}

/// The MAC of a header.
fn mac(file_key: &Secret<FILE_KEY_BYTES>, covered: &[u8]) -> Hmac<Sha256> {
    let key: Secret<32> = expand(b"", file_key.expose(), b"header");
    // `new` takes a full block; RFC 2104 pads a shorter key with zeros.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key.expose());
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&block.into());
    block.zeroize();
    mac.update(covered);
    mac
}

fn encode(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}

/// Exactly `N` bytes in their one spelling.
fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = STANDARD_NO_PAD.decode(text).ok()?;
    let array = bytes.as_slice().try_into().ok();
    bytes.zeroize();
    array
}

/// A decimal number without sign or leading zero.
fn number(text: &str) -> Option<u8> {
    let plain = text.bytes().all(|digit| digit.is_ascii_digit()) && !text.starts_with('0');
    // What is too large for a byte is too much work, not another format.
    plain.then(|| text.parse().unwrap_or(u8::MAX)).filter(|_| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn sealed() -> (Vec<u8>, AgeSealer) {
        let mut rng = ChaCha20Rng::from_seed([7; 32]);
        AgeHeader::create(b"correct horse", 4, &mut rng).expect("a cheap header")
    }

    fn opener(header: &[u8], passphrase: &[u8]) -> Result<AgeOpener, AgeError> {
        let (text, nonce) = header.split_at(header.len() - PAYLOAD_NONCE_BYTES);
        AgeHeader::parse(text)?.open(passphrase, nonce.try_into().map_err(|_| AgeError::Damaged)?)
    }

    #[test]
    fn chunks_open_in_their_order_and_in_no_other() {
        let (header, mut sealer) = sealed();
        let first = sealer.seal(&[1; CHUNK_BYTES], false).expect("full");
        let second = sealer.seal(b"end", true).expect("last");

        let mut good = opener(&header, b"correct horse").expect("opens");
        let mut swapped = opener(&header, b"correct horse").expect("opens");
        let mut cut = opener(&header, b"correct horse").expect("opens");

        assert_eq!(*good.open(&first, false).expect("first"), [1; CHUNK_BYTES]);
        assert_eq!(*good.open(&second, true).expect("second"), b"end");
        assert_eq!(good.open(&second, true), Err(AgeError::Damaged), "nothing follows the end");
        assert_eq!(swapped.open(&second, true), Err(AgeError::Damaged));
        assert_eq!(cut.open(&first, true), Err(AgeError::Damaged), "the end is missing");
    }

    #[test]
    fn a_sealed_file_takes_nothing_after_its_end() {
        let (_, mut sealer) = sealed();
        sealer.seal(b"end", true).expect("last");

        assert!(sealer.seal(b"more", true).is_err());
        assert!(sealed().1.seal(b"short", false).is_err(), "only the last may be short");
    }

    #[test]
    fn another_passphrase_opens_nothing() {
        let (header, _) = sealed();

        assert_eq!(opener(&header, b"wrong").err(), Some(AgeError::Passphrase));
    }

    #[test]
    fn every_flipped_bit_of_the_header_is_noticed() {
        let (header, _) = sealed();
        let text = header.len() - PAYLOAD_NONCE_BYTES;

        for at in 0..text {
            for bit in 0..8 {
                let mut flipped = header.clone();
                flipped[at] ^= 1 << bit;
                assert!(opener(&flipped, b"correct horse").is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_header_cannot_ask_for_more_memory_than_we_give() {
        let (header, _) = sealed();
        let text = String::from_utf8_lossy(&header[..header.len() - PAYLOAD_NONCE_BYTES]);
        for (work, expected) in [
            ("21", AgeError::Work),
            ("300", AgeError::Work),
            ("04", AgeError::Damaged),
            ("+4", AgeError::Damaged),
            ("", AgeError::Damaged),
            ("0", AgeError::Damaged),
        ] {
            let changed = text.replacen(" 4\n", &format!(" {work}\n"), 1);
            assert_eq!(AgeHeader::parse(changed.as_bytes()).err(), Some(expected), "{work:?}");
        }
    }
}
