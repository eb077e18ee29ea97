//! Our age files against the crate `age`, an implementation that shares no code with ours: each opens
//! what the other sealed.

use std::io::{Read, Write};

use age::scrypt::{Identity, Recipient};
use age::secrecy::SecretString;
use age::{Decryptor, Encryptor};
use bitchat_protocol::crypto::{
    AgeError, AgeHeader, CHUNK_BYTES, CHUNK_TAG_BYTES, PAYLOAD_NONCE_BYTES,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const PASSPHRASE: &str = "correct horse battery staple";

/// Cheap: what it costs is not what is tested.
const WORK: u8 = 6;

/// Around the borders of a chunk.
const LENGTHS: [usize; 7] =
    [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 9];

fn text(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect()
}

/// `plaintext` in chunks, the last marked.
fn chunks(bytes: &[u8], size: usize) -> Vec<(&[u8], bool)> {
    if bytes.is_empty() {
        return vec![(bytes, true)];
    }
    let count = bytes.len().div_ceil(size);
    bytes.chunks(size).enumerate().map(|(at, chunk)| (chunk, at + 1 == count)).collect()
}

fn sealed_by_us(plaintext: &[u8]) -> Vec<u8> {
    let mut rng = ChaCha20Rng::from_seed([3; 32]);
    let (mut file, mut sealer) =
        AgeHeader::create(PASSPHRASE.as_bytes(), WORK, &mut rng).expect("a cheap header");
    for (chunk, last) in chunks(plaintext, CHUNK_BYTES) {
        file.extend(sealer.seal(chunk, last).expect("a whole chunk"));
    }
    file
}

fn opened_by_us(file: &[u8]) -> Result<Vec<u8>, AgeError> {
    // The header ends with the first line that begins with `---`.
    let mac = file.windows(5).position(|window| window == b"\n--- ").ok_or(AgeError::Foreign)?;
    let line = file[mac + 1..].iter().position(|byte| *byte == b'\n').ok_or(AgeError::Foreign)?;
    let (header, rest) = file.split_at(mac + 1 + line + 1);
    let (nonce, payload) = rest.split_at(PAYLOAD_NONCE_BYTES);
    let nonce = nonce.try_into().map_err(|_| AgeError::Damaged)?;
    let mut opener = AgeHeader::parse(header)?.open(PASSPHRASE.as_bytes(), nonce)?;
    let mut plaintext = Vec::new();
    for (chunk, last) in chunks(payload, CHUNK_BYTES + CHUNK_TAG_BYTES) {
        plaintext.extend_from_slice(&opener.open(chunk, last)?);
    }
    Ok(plaintext)
}

#[test]
fn another_implementation_opens_what_we_seal() {
    for length in LENGTHS {
        let file = sealed_by_us(&text(length));

        let identity = Identity::new(SecretString::from(PASSPHRASE.to_owned()));
        let decryptor = Decryptor::new(file.as_slice()).expect("an age file");
        let mut reader = decryptor
            .decrypt(std::iter::once(&identity as &dyn age::Identity))
            .expect("the passphrase opens it");
        let mut plaintext = Vec::new();
        reader.read_to_end(&mut plaintext).expect("every chunk opens");

        assert!(plaintext == text(length), "{length} bytes");
    }
}

#[test]
fn we_open_what_another_implementation_seals() {
    for length in LENGTHS {
        let mut recipient = Recipient::new(SecretString::from(PASSPHRASE.to_owned()));
        recipient.set_work_factor(WORK);
        let encryptor =
            Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
                .expect("a recipient");
        let mut file = Vec::new();
        let mut writer = encryptor.wrap_output(&mut file).expect("a header");
        writer.write_all(&text(length)).expect("memory");
        writer.finish().expect("memory");

        assert!(opened_by_us(&file).expect("ours opens it") == text(length), "{length} bytes");
    }
}

#[test]
fn a_file_for_a_public_key_is_foreign_to_us() {
    let recipient = age::x25519::Identity::generate().to_public();
    let encryptor = Encryptor::with_recipients(std::iter::once(&recipient as &dyn age::Recipient))
        .expect("a recipient");
    let mut file = Vec::new();
    let writer = encryptor.wrap_output(&mut file).expect("a header");
    writer.finish().expect("memory");

    assert_eq!(opened_by_us(&file), Err(AgeError::Foreign));
}
