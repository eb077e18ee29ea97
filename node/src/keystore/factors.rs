//! What opens a key store: a passphrase, and a key file as a second factor.
//!
//! A key file is any file of 32 bytes to 64 KiB that only its owner may use and that does not lie in
//! the home: a thief of the home must not get it along. Whether it is the right one nobody can tell
//! apart from a wrong passphrase, so there is nothing to try files on without the passphrase.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bitchat_protocol::crypto::Secret;
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::kdf::{self, SALT_BYTES};
use super::{KdfParameters, KeystoreError, Passphrase};
use crate::home::disk;

/// Bytes of a key file that we make, and the least that one may have.
const BYTES_MIN: usize = 32;

/// Bytes of the longest key file; more is a film by mistake.
const BYTES_MAX: u64 = 64 * 1024;

/// A new key file with fewer different bytes is no random one. Of 32 random bytes, fewer than 16
/// differ once in 10^10 files.
const DIFFERENT_MIN: usize = 16;

/// What opens a key store.
#[derive(Debug, Default)]
pub struct Factors {
    /// The passphrase.
    pub passphrase: Option<Passphrase>,
    /// Where the key file is, the second factor. Not looked at by a key store that needs none.
    pub key_file: Option<PathBuf>,
}

impl Factors {
    /// Refuses a key file in `home`, for a key store that is not there yet.
    ///
    /// # Errors
    ///
    /// [`KeystoreError::SecondFactor`].
    pub(crate) fn stay_outside(&self, home: &Path) -> Result<(), KeystoreError> {
        let Some(path) = &self.key_file else { return Ok(()) };
        let place = if path.exists() { path.clone() } else { disk::parent(path) };
        outside(&place, home).map_err(|problem| wrong(path, problem))
    }
}

/// Why a file is not taken as key file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileProblem {
    /// There is none.
    #[error("does not exist")]
    Missing,
    /// The system does not let us read or make it.
    #[error("cannot be used: {0}")]
    Unusable(String),
    /// A directory, pipe or device.
    #[error("is not a regular file")]
    NoFile,
    /// Others may read or write it, or somebody else owns it.
    #[error("is open to other users (mode {mode:03o}, owner {owner})")]
    Loose {
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        owner: u32,
    },
    /// It lies in the home, so whoever takes the home has it.
    #[error("lies in the profile that it guards")]
    InsideHome,
    /// Shorter or longer than key files are.
    #[error("is no key file: those have {BYTES_MIN} bytes to {} KiB", BYTES_MAX / 1024)]
    Length,
    /// Its bytes repeat.
    #[error("is not random: its bytes repeat")]
    Guessable,
}

/// The content of the key file at `path`.
pub(super) fn read(path: &Path, home: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    read_checked(path, home).map_err(|problem| wrong(path, problem))
}

/// The content of a key file that is to guard from now on; made if there is none.
pub(super) fn read_new(
    path: &Path,
    home: &Path,
    rng: &mut impl CryptoRng,
) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        outside(&disk::parent(path), home).map_err(|problem| wrong(path, problem))?;
        let key = Secret::<BYTES_MIN>::random(rng);
        disk::create_private(path, key.expose()).map_err(|error| wrong(path, of_io(&error)))?;
    }
    let content = read(path, home)?;
    if content.iter().collect::<BTreeSet<_>>().len() < DIFFERENT_MIN {
        return Err(wrong(path, KeyFileProblem::Guessable));
    }
    Ok(content)
}

/// The KEK of a passphrase, and of the content of a key file if there is one.
pub(super) fn kek(
    passphrase: &Passphrase,
    key_file: Option<&[u8]>,
    salt: &[u8; SALT_BYTES],
    parameters: KdfParameters,
) -> Result<Secret<32>, KeystoreError> {
    let stretched = kdf::argon2id(passphrase, salt, parameters)?;
    Ok(match key_file {
        Some(content) => kdf::of_both(&stretched, &kdf::second_factor(content, salt), salt),
        None => stretched,
    })
}

fn wrong(path: &Path, problem: KeyFileProblem) -> KeystoreError {
    KeystoreError::SecondFactor { path: path.to_owned(), problem }
}

fn of_io(error: &io::Error) -> KeyFileProblem {
    if error.kind() == ErrorKind::NotFound {
        KeyFileProblem::Missing
    } else {
        KeyFileProblem::Unusable(error.to_string())
    }
}

fn read_checked(path: &Path, home: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileProblem> {
    // Asked before it is opened: opening a pipe waits for its other end.
    if !path.metadata().map_err(|error| of_io(&error))?.is_file() {
        return Err(KeyFileProblem::NoFile);
    }
    let file = File::open(path).map_err(|error| of_io(&error))?;
    let metadata = file.metadata().map_err(|error| of_io(&error))?;
    let (mode, owner) = (metadata.permissions().mode() & 0o777, metadata.uid());
    // The superuser may hand a key file to a service; it can read everything anyway.
    let trusted = owner == rustix::process::geteuid().as_raw() || owner == 0;
    if mode & 0o077 != 0 || !trusted {
        return Err(KeyFileProblem::Loose { mode, owner });
    }
    outside(path, home)?;
    let length = usize::try_from(metadata.len()).unwrap_or(usize::MAX);
    if length < BYTES_MIN || metadata.len() > BYTES_MAX {
        return Err(KeyFileProblem::Length);
    }
    // Reserved once: a vector that grows leaves copies behind.
    let mut content = Zeroizing::new(Vec::with_capacity(length));
    let read = file.take(metadata.len()).read_to_end(&mut content);
    read.map_err(|error| of_io(&error))?;
    if content.len() == length { Ok(content) } else { Err(KeyFileProblem::Length) }
}

/// Refuses what lies in the home, whatever links lead there.
fn outside(path: &Path, home: &Path) -> Result<(), KeyFileProblem> {
    let real = |path: &Path| path.canonicalize().map_err(|error| of_io(&error));
    if real(path)?.starts_with(real(home)?) { Err(KeyFileProblem::InsideHome) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use rand::rngs::SysRng;
    use rand_core::UnwrapErr;

    use super::*;

    /// A home, a place beside it, and what the key file there is refused for.
    fn refused(prepare: impl FnOnce(&Path)) -> Option<KeyFileProblem> {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (home, path) = (dir.path().join("home"), dir.path().join("key"));
        fs::create_dir(&home).expect("a home");
        prepare(&path);
        match read_new(&path, &home, &mut UnwrapErr(SysRng)) {
            Err(KeystoreError::SecondFactor { problem, .. }) => Some(problem),
            Err(other) => panic!("{other}"),
            Ok(_) => None,
        }
    }

    fn write(path: &Path, bytes: &[u8], mode: u32) {
        fs::write(path, bytes).expect("writes");
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
    }

    fn varied(bytes: usize) -> Vec<u8> {
        (0..=u8::MAX).cycle().take(bytes).collect()
    }

    #[test]
    fn a_missing_key_file_is_made_private_and_read_again_the_same() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (home, path) = (dir.path().join("home"), dir.path().join("key"));
        fs::create_dir(&home).expect("a home");

        let made = read_new(&path, &home, &mut UnwrapErr(SysRng)).expect("makes it");
        let again = read_new(&path, &home, &mut UnwrapErr(SysRng)).expect("takes it");

        assert_eq!(made, again);
        assert_eq!(made.len(), BYTES_MIN);
        assert_eq!(path.metadata().expect("exists").permissions().mode() & 0o777, 0o600);
        let missing = read(&dir.path().join("other"), &home);
        assert!(matches!(
            missing,
            Err(KeystoreError::SecondFactor { problem: KeyFileProblem::Missing, .. })
        ));
    }

    #[test]
    fn loose_short_long_and_uniform_files_are_refused() {
        let written = |bytes: Vec<u8>, mode| refused(move |path| write(path, &bytes, mode));

        assert_eq!(written(varied(32), 0o400), None);
        assert_eq!(written(varied(64 * 1024), 0o600), None);
        assert!(matches!(
            written(varied(32), 0o640),
            Some(KeyFileProblem::Loose { mode: 0o640, .. })
        ));
        assert!(matches!(written(varied(32), 0o602), Some(KeyFileProblem::Loose { .. })));
        assert_eq!(written(varied(31), 0o600), Some(KeyFileProblem::Length));
        assert_eq!(written(varied(64 * 1024 + 1), 0o600), Some(KeyFileProblem::Length));
        assert_eq!(written(vec![0; 64], 0o600), Some(KeyFileProblem::Guessable));
        assert_eq!(
            refused(|path| fs::create_dir(path).expect("mkdir")),
            Some(KeyFileProblem::NoFile)
        );
    }

    #[test]
    fn a_key_file_in_the_home_is_refused_also_behind_a_link_and_is_not_made_there() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (home, link) = (dir.path().join("home"), dir.path().join("link"));
        fs::create_dir(&home).expect("a home");
        let inside = home.join("key");

        let made = read_new(&inside, &home, &mut UnwrapErr(SysRng));
        assert!(!inside.exists());
        write(&inside, &varied(32), 0o600);
        std::os::unix::fs::symlink(&inside, &link).expect("a link");

        for refused in [made, read(&inside, &home), read(&link, &home)] {
            let Err(KeystoreError::SecondFactor { problem, .. }) = refused else {
                panic!("accepted");
            };
            assert_eq!(problem, KeyFileProblem::InsideHome);
        }
    }
}
