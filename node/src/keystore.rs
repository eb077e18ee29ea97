//! The passphrase-protected secrets of a profile.
//!
//! ```text
//!   passphrase ---Argon2id--\
//!   and second factor -------HKDF--> KEK --opens--> DEK --opens--> phrase, device keys, nickname
//!   or key file in the home --/                       \---HKDF----> store keys
//! ```
//!
//! See docs/SPEC.md, section "Key store", and docs/KEYS.md. Changing the passphrase rewrites the
//! wrapped DEK alone; a rotation replaces the DEK itself.
//!
//! # Invariants
//!
//! - An existing key store is never replaced by [`Keystore::create`].
//! - The header (version, KDF and its parameters, salt) is associated data of the wrapped DEK:
//!   changed parameters do not open.
//! - Parameters below the floor are refused before any key is derived, absurd ones before any
//!   memory is taken.
//! - A key store without passphrase says so in its header; it is never the result of an omission.
//! - A passphrase is counted on disk before it is tried, and not tried while a pause stands.

mod attempts;
mod factors;
mod file;
mod kdf;
mod opened;
mod passphrase;
mod secrets;

pub use factors::{Factors, KeyFileProblem};
pub use kdf::KdfParameters;
pub use opened::{Opened, Rotated};
pub use passphrase::Passphrase;
pub use secrets::{Secrets, StoreKeys};

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bitchat_protocol::crypto::{
    HEADER_NONCE_BYTES, Secret, expand, open_header, seal_header, wiped,
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::home::disk;
use attempts::Attempt;
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

wiped!(Unlocked { secrets, store_keys } open { protection });

/// What guards a key store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// A passphrase.
    Passphrase,
    /// A passphrase and a key file that lies elsewhere.
    TwoFactors,
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
    /// Passphrase and key file do not open it together; which of them is wrong nobody can tell.
    #[error("wrong passphrase or wrong key file")]
    WrongFactors,
    /// Too many wrong passphrases; this one was not looked at.
    #[error("too many wrong passphrases")]
    Paused {
        /// When one will be looked at.
        retry_after: Duration,
    },
    /// Another process is at it; this passphrase was not looked at.
    #[error("another process is checking a passphrase")]
    Contended,
    /// It needs a key file and none was named.
    #[error("the key store needs its key file")]
    NoKeyFile,
    /// The file that was named is not taken as key file.
    #[error("the key file {} {problem}", path.display())]
    SecondFactor {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: KeyFileProblem,
    },
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
    /// sealed under a random key file beside it; callers ask for that only on an explicit flag. A
    /// second factor that does not exist is made.
    ///
    /// # Errors
    ///
    /// [`KeystoreError::Exists`], [`KeystoreError::WeakPassphrase`],
    /// [`KeystoreError::SecondFactor`], [`KeystoreError::Io`].
    pub fn create(
        path: &Path,
        factors: &Factors,
        secrets: &Secrets,
        rng: &mut impl CryptoRng,
    ) -> Result<Unlocked, KeystoreError> {
        // Checked here too, so that a refusal costs no Argon2 and makes no key file.
        if path.symlink_metadata().is_ok() {
            return Err(KeystoreError::Exists);
        }
        if let Some(passphrase) = &factors.passphrase {
            passphrase.check_strength(&secrets.nickname)?;
        }
        let mut salt = [0; kdf::SALT_BYTES];
        rng.fill_bytes(&mut salt);
        let (kdf, kek) = new_kek(path, factors, &salt, rng)?;
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
        Ok(Unlocked {
            secrets: secrets.duplicate(),
            store_keys: StoreKeys::derive(&dek),
            protection: file.header.protection(),
        })
    }

    /// Takes the room on disk that counting wrong passphrases of the key store at `path` needs, so
    /// that a disk which is full later does not keep its owner out.
    ///
    /// # Errors
    ///
    /// [`KeystoreError::Io`], [`KeystoreError::Contended`].
    pub fn reserve_attempts(path: &Path) -> Result<(), KeystoreError> {
        Attempt::prepare(path)
    }

    /// Opens a key store. Factors that it does not need are not looked at. A wrong passphrase makes
    /// the next one wait.
    ///
    /// # Errors
    ///
    /// Any [`KeystoreError`] but `Exists` and the two about new passphrases.
    pub fn open(path: &Path, factors: &Factors) -> Result<Opened, KeystoreError> {
        let file = read(path)?;
        match file.header.kdf {
            Kdf::KeyFile => {
                let kek = read_key_file(path, &file.header.salt)?;
                Opened::unwrap(path, file, kek)
            }
            Kdf::Argon2id(parameters) => attempt(path, file, parameters, factors, None),
            Kdf::TwoFactors(parameters) => {
                let second = factors.key_file.as_deref().ok_or(KeystoreError::NoKeyFile)?;
                let content = factors::read(second, home_of(path))?;
                attempt(path, file, parameters, factors, Some(&content))
            }
        }
    }
}

/// Associated data of the sealed secrets; what they belong to is bound by their key.
const SECRETS_CONTEXT: &[u8] = b"bitchat/1 keystore secrets";

fn secrets_key(dek: &Secret<32>) -> Secret<32> {
    expand(b"", dek.expose(), SECRETS_CONTEXT)
}

/// The directory that a second factor must not lie in.
fn home_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

/// KDF and KEK of a new key store.
fn new_kek(
    path: &Path,
    factors: &Factors,
    salt: &[u8; kdf::SALT_BYTES],
    rng: &mut impl CryptoRng,
) -> Result<(Kdf, Secret<32>), KeystoreError> {
    let parameters = KdfParameters::FLOOR;
    Ok(match (&factors.passphrase, &factors.key_file) {
        (Some(passphrase), None) => {
            (Kdf::Argon2id(parameters), factors::kek(passphrase, None, salt, parameters)?)
        }
        (Some(passphrase), Some(second)) => {
            let content = factors::read_new(second, home_of(path), rng)?;
            let kek = factors::kek(passphrase, Some(&content), salt, parameters)?;
            (Kdf::TwoFactors(parameters), kek)
        }
        // A second factor without a first is for whoever asked to refuse.
        (None, _) => (Kdf::KeyFile, new_key_file(path, salt, rng)?),
    })
}

/// Tries a passphrase, if it is time for one.
fn attempt(
    path: &Path,
    file: File,
    parameters: KdfParameters,
    factors: &Factors,
    second: Option<&[u8]>,
) -> Result<Opened, KeystoreError> {
    let parameters = parameters.checked()?;
    // Before anybody is asked for a passphrase that would not be looked at.
    let mut attempt = Attempt::admit(path)?;
    let passphrase = factors.passphrase.as_ref().ok_or(KeystoreError::NoPassphrase)?;
    attempt.count()?;
    let kek = factors::kek(passphrase, second, &file.header.salt, parameters)?;
    match (Opened::unwrap(path, file, kek), second) {
        (Err(KeystoreError::WrongPassphrase), second) => {
            attempt.wrong();
            Err(match second {
                Some(_) => KeystoreError::WrongFactors,
                None => KeystoreError::WrongPassphrase,
            })
        }
        (opened, _) => {
            // Damage behind an authentic data key is no wrong passphrase either.
            attempt.right();
            opened
        }
    }
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
