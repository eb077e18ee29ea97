//! The passphrase-protected secrets of a profile.
//!
//! ```text
//!   passphrase --Argon2id--> KEK --opens--> DEK --opens--> phrase, device keys, nickname
//!   key file   --HKDF------> KEK             \---HKDF----> store keys
//! ```
//!
//! See docs/SPEC.md, section "Key store". Changing the passphrase rewrites the wrapped DEK alone.
//!
//! # Invariants
//!
//! - An existing key store is never replaced by [`Keystore::create`].
//! - The header (version, KDF and its parameters, salt) is associated data of the wrapped DEK:
//!   changed parameters do not open.
//! - Parameters below the floor are refused before any key is derived, absurd ones before any
//!   memory is taken.
//! - A key store without passphrase says so in its header; it is never the result of an omission.

mod file;
mod kdf;
mod passphrase;
mod secrets;

pub use kdf::KdfParameters;
pub use passphrase::Passphrase;
pub use secrets::{Secrets, StoreKeys};

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bitchat_protocol::crypto::{HEADER_NONCE_BYTES, Secret, expand, open_header, seal_header};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::home::disk;
use file::{File, Header, Kdf, Sealed};

/// Bytes of the random key in a key file.
const KEY_FILE_BYTES: usize = 32;

/// Creates and opens key stores.
#[derive(Debug)]
pub struct Keystore;

/// What an opened key store gives.
#[derive(Debug)]
pub struct Unlocked {
    /// The identity.
    pub secrets: Secrets,
    /// The keys of the store beside it.
    pub store_keys: StoreKeys,
    /// What guards the secrets on disk.
    pub protection: Protection,
}

/// What guards a key store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// A passphrase.
    Passphrase,
    /// A key file beside it: whoever reads the directory has the secrets. Deserves a standing
    /// warning.
    KeyFile,
}

/// Why a key store cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// There is none.
    #[error("no key store in this profile")]
    NotFound,
    /// There is one already; it is never replaced.
    #[error("a key store exists already")]
    Exists,
    /// It needs a passphrase and none was given.
    #[error("the key store needs a passphrase")]
    NoPassphrase,
    /// The passphrase is wrong, or the header was altered: nobody can tell these apart.
    #[error("wrong passphrase")]
    WrongPassphrase,
    /// The passphrase is easy to guess.
    #[error("the passphrase is too weak: {feedback}")]
    WeakPassphrase {
        /// What to do about it.
        feedback: String,
    },
    /// The passphrase is longer than [`Passphrase::BYTES_MAX`] bytes.
    #[error("the passphrase is longer than {} bytes", Passphrase::BYTES_MAX)]
    LongPassphrase,
    /// The parameters on disk are weaker than this program ever writes.
    #[error("the key store's key derivation is below the floor: {0}")]
    Downgrade(KdfParameters),
    /// The parameters on disk would take more memory or time than any honest ones.
    #[error("the key store's key derivation is absurdly expensive: {0}")]
    Excessive(KdfParameters),
    /// The file is no key store, or the sealed secrets are damaged.
    #[error("the key store is damaged ({0})")]
    Corrupt(&'static str),
    /// Written by a newer program.
    #[error("the key store has version {found}, this program knows {}", file::VERSION)]
    Version {
        /// Its version.
        found: u32,
    },
    /// The key file of a key store without passphrase is missing or no key file.
    #[error("the key file {} is missing or damaged", path.display())]
    KeyFile {
        /// Where it belongs.
        path: PathBuf,
    },
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Argon2 or an AEAD refused what was checked before.
    #[error("bug: {0}")]
    Bug(&'static str),
}

impl Keystore {
    /// Writes a new key store, durable when this returns. Without a passphrase the secrets are
    /// sealed under a random key file beside it; callers ask for that only on an explicit flag.
    ///
    /// # Errors
    ///
    /// [`KeystoreError::Exists`], [`KeystoreError::WeakPassphrase`], [`KeystoreError::Io`].
    pub fn create(
        path: &Path,
        passphrase: Option<&Passphrase>,
        secrets: &Secrets,
        rng: &mut impl CryptoRng,
    ) -> Result<Unlocked, KeystoreError> {
        // Checked here too, so that a refusal costs no Argon2 and makes no key file.
        if path.symlink_metadata().is_ok() {
            return Err(KeystoreError::Exists);
        }
        if let Some(passphrase) = passphrase {
            passphrase.check_strength(&secrets.nickname)?;
        }
        let mut salt = [0; kdf::SALT_BYTES];
        rng.fill_bytes(&mut salt);
        let (kdf, kek) = match passphrase {
            Some(passphrase) => {
                let parameters = KdfParameters::FLOOR;
                (Kdf::Argon2id(parameters), kdf::argon2id(passphrase, &salt, parameters)?)
            }
            None => (Kdf::KeyFile, new_key_file(path, &salt, rng)?),
        };
        let header = Header { kdf, salt };
        let dek: Secret<32> = Secret::random(rng);
        let file = File {
            dek: seal(rng, &kek, &header.associated(), dek.expose())?,
            secrets: seal(rng, &secrets_key(&dek), SECRETS_CONTEXT, &secrets.encode())?,
            header,
        };
        disk::create_private(path, &file.encode()?).map_err(|source| {
            if source.kind() == ErrorKind::AlreadyExists {
                KeystoreError::Exists
            } else {
                KeystoreError::Io { path: path.to_owned(), source }
            }
        })?;
        Ok(unlocked(&file.header, &dek, secrets.duplicate()))
    }

    /// Opens a key store. A passphrase that it does not need is not looked at.
    ///
    /// # Errors
    ///
    /// Any [`KeystoreError`] but `Exists` and the two about new passphrases.
    pub fn open(path: &Path, passphrase: Option<&Passphrase>) -> Result<Unlocked, KeystoreError> {
        let file = read(path)?;
        let salt = &file.header.salt;
        let kek = match (file.header.kdf, passphrase) {
            (Kdf::Argon2id(_), None) => return Err(KeystoreError::NoPassphrase),
            (Kdf::Argon2id(parameters), Some(passphrase)) => {
                kdf::argon2id(passphrase, salt, parameters.checked()?)?
            }
            (Kdf::KeyFile, _) => read_key_file(path, salt)?,
        };
        let dek = open(&kek, &file.header.associated(), &file.dek)
            .ok_or(KeystoreError::WrongPassphrase)?;
        let dek = Secret::from_slice(&dek).ok_or(KeystoreError::Corrupt("data key"))?;
        // The DEK is authentic from here on, so a failure is damage and not a wrong passphrase.
        let secrets = open(&secrets_key(&dek), SECRETS_CONTEXT, &file.secrets)
            .and_then(|bytes| Secrets::decode(&bytes))
            .ok_or(KeystoreError::Corrupt("secrets"))?;
        Ok(unlocked(&file.header, &dek, secrets))
    }

    /// What guards the key store at `path`, without opening it: whether to ask for a passphrase.
    ///
    /// # Errors
    ///
    /// [`KeystoreError::NotFound`], [`KeystoreError::Corrupt`], [`KeystoreError::Version`],
    /// [`KeystoreError::Io`].
    pub fn protection(path: &Path) -> Result<Protection, KeystoreError> {
        read(path).map(|file| file.header.protection())
    }
}

/// Associated data of the sealed secrets; what they belong to is bound by their key.
const SECRETS_CONTEXT: &[u8] = b"bitchat/1 keystore secrets";

fn secrets_key(dek: &Secret<32>) -> Secret<32> {
    expand(b"", dek.expose(), SECRETS_CONTEXT)
}

fn unlocked(header: &Header, dek: &Secret<32>, secrets: Secrets) -> Unlocked {
    Unlocked { secrets, store_keys: StoreKeys::derive(dek), protection: header.protection() }
}

fn read(path: &Path) -> Result<File, KeystoreError> {
    let bytes = read_bounded(path, file::BYTES_MAX)?.ok_or(KeystoreError::NotFound)?;
    File::decode(&bytes)
}

/// The file's bytes; `None` if there is none. One that is too long to be ours is not read.
fn read_bounded(path: &Path, limit: u64) -> Result<Option<Zeroizing<Vec<u8>>>, KeystoreError> {
    let failed = |source| KeystoreError::Io { path: path.to_owned(), source };
    match path.metadata() {
        Ok(metadata) if metadata.len() > limit => Err(KeystoreError::Corrupt("length")),
        Ok(_) => Ok(Some(Zeroizing::new(fs::read(path).map_err(failed)?))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(failed(source)),
    }
}

fn key_file(path: &Path) -> PathBuf {
    path.with_extension("key")
}

/// The KEK of a new key store without passphrase. A key file that is there already is used and
/// never replaced: it may belong to a key store that was moved away. The salt keeps the KEKs apart.
fn new_key_file(
    path: &Path,
    salt: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<Secret<32>, KeystoreError> {
    let key_path = key_file(path);
    let key = Secret::<KEY_FILE_BYTES>::random(rng);
    match disk::create_private(&key_path, key.expose()) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        other => other.map_err(|source| KeystoreError::Io { path: key_path, source })?,
    }
    read_key_file(path, salt)
}

fn read_key_file(path: &Path, salt: &[u8]) -> Result<Secret<32>, KeystoreError> {
    let path = key_file(path);
    let bytes = read_bounded(&path, file::BYTES_MAX)?;
    let key = bytes.and_then(|bytes| Secret::<KEY_FILE_BYTES>::from_slice(&bytes));
    key.map(|key| kdf::from_key_file(&key, salt)).ok_or(KeystoreError::KeyFile { path })
}

fn seal(
    rng: &mut impl CryptoRng,
    key: &Secret<32>,
    associated: &[u8],
    plaintext: &[u8],
) -> Result<Sealed, KeystoreError> {
    let mut nonce = [0; HEADER_NONCE_BYTES];
    rng.fill_bytes(&mut nonce);
    let sealed = seal_header(key, &nonce, associated, plaintext);
    let text = sealed.map_err(|_| KeystoreError::Bug("secrets too long to seal"))?;
    Ok(Sealed { nonce, text })
}

fn open(key: &Secret<32>, associated: &[u8], sealed: &Sealed) -> Option<Zeroizing<Vec<u8>>> {
    open_header(key, &sealed.nonce, associated, &sealed.text).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests;
