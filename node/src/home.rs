//! The directory of one profile: paths, modes, version, lock.
//!
//! ```text
//!   <home>/            0700
//!     version          layout of this directory, `1`
//!     config.toml      written by people, any mode
//!     keystore.json    0600, see `keystore`
//!     keystore.key     0600, only for a key store without passphrase
//!     keystore.attempts, keystore.lock   0600, wrong passphrases, see `keystore::attempts`
//!     data/            0700, see `store`
//!     restore.new/     0700, a profile that is being made
//!     bitchat.sock     the control socket
//!     bitchat.lock     held (flock) and named (pid) by the running node
//! ```
//!
//! # Invariants
//!
//! - What we create is private whatever the umask; what we find loose is refused, not mended.
//! - One process at a time holds the lock. A file that nobody holds is no lock.

pub(crate) mod disk;
mod lock;
mod place;

pub use lock::HomeLock;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use bitchat_protocol::copies::PlaceHash;

/// Layout of the directory that this program writes.
pub const VERSION: u32 = 1;

/// Characters of a profile name; it becomes a directory name.
const PROFILE_CHARS_MAX: usize = 32;

/// What a home may hold before its profile: written by people, or left by an interrupted `create`.
const BEFORE_PROFILE: [&str; 6] =
    ["config.toml", "version", "version.new", "bitchat.lock", "keystore.json.new", "keystore.key"];

/// Where one profile lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Nothing was ever created here.
    #[error("no profile in {}", home.display())]
    NoProfile {
        /// The directory.
        home: PathBuf,
    },
    /// Neither `--home` nor `XDG_DATA_HOME` nor `HOME` says where to look.
    #[error("no home directory: neither XDG_DATA_HOME nor HOME is set")]
    NoBase,
    /// A profile name that is no safe directory name.
    #[error(
        "profile names are 1 to 32 letters, digits, '-' or '_', and begin with a letter or digit"
    )]
    ProfileName,
    /// The directory or a file in it cannot be made, read or written.
    #[error("cannot use {}: {source}", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others could read or write it, or somebody else owns it.
    #[error("{} is open to other users (mode {mode:03o}, owner {owner})", path.display())]
    LooseModes {
        /// The offending file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// Its owner.
        owner: u32,
    },
    /// Another process uses this profile.
    #[error("the profile is in use{}", pid.map(|pid| format!(" by process {pid}")).unwrap_or_default())]
    LockHeld {
        /// The holder, if it had already written its number.
        pid: Option<u32>,
    },
    /// Written by a newer program, or not by this one.
    #[error("the profile has layout {found}, this program knows {VERSION}")]
    Version {
        /// What the version file says, cut to a few characters.
        found: String,
    },
}

impl Home {
    /// The home in this very directory.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The home that the flags ask for: `home` itself, else the XDG data directory and `profile`.
    ///
    /// # Errors
    ///
    /// [`HomeError::ProfileName`], [`HomeError::NoBase`].
    pub fn resolve(home: Option<PathBuf>, profile: &str) -> Result<Self, HomeError> {
        match home {
            Some(root) => Ok(Self::at(root)),
            None => Self::of_profile(profile, |name| env::var_os(name)),
        }
    }

    fn of_profile(
        profile: &str,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, HomeError> {
        if !is_profile_name(profile) {
            return Err(HomeError::ProfileName);
        }
        // The XDG specification: a relative path is invalid and must be ignored.
        let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let base = absolute("XDG_DATA_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
            .ok_or(HomeError::NoBase)?;
        Ok(Self::at(base.join("bitchat").join(profile)))
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `config.toml`.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// The directory of the store.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    /// The directory of the store of mailboxes that are kept for others; there only if there are any.
    #[must_use]
    pub fn mailboxes(&self) -> PathBuf {
        self.root.join("mailbox")
    }

    /// The key store.
    #[must_use]
    pub fn keystore(&self) -> PathBuf {
        self.root.join("keystore.json")
    }

    /// Removes the key file of a key store that needs none any more.
    ///
    /// # Errors
    ///
    /// [`HomeError::Unwritable`].
    pub fn remove_key_file(&self) -> Result<(), HomeError> {
        let path = self.keystore().with_extension("key");
        let removed = fs::remove_file(&path).and_then(|()| disk::sync_dir(&self.root));
        match removed {
            Err(error) if !is_missing(&error) => Err(HomeError::Unwritable { path, source: error }),
            _ => Ok(()),
        }
    }

    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("bitchat.sock")
    }

    /// The lock file.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.root.join("bitchat.lock")
    }

    /// The ports of the last run.
    #[must_use]
    pub fn ports_file(&self) -> PathBuf {
        self.root.join("ports")
    }

    /// Where the data lies now, as a hash; a copy of it has another one.
    #[must_use]
    pub fn place(&self) -> Option<PlaceHash> {
        place::of(&self.data())
    }

    /// Where a profile is put together, new or out of a backup.
    #[must_use]
    pub fn staging(&self) -> PathBuf {
        self.root.join("restore.new")
    }

    /// Clears what an interrupted making left: nobody was told that it exists. Only for whoever holds
    /// the lock of a home without profile.
    ///
    /// # Errors
    ///
    /// [`HomeError::Unwritable`], also if there is data that none left.
    pub(crate) fn clear_restore(&self) -> Result<(), HomeError> {
        let failed = |path: PathBuf| move |source| HomeError::Unwritable { path, source };
        if self.staging().symlink_metadata().is_ok() {
            // In this order: the staging directory is what says that the data is a leftover.
            for dir in [self.data(), self.staging()] {
                disk::remove_dir(&dir).map_err(failed(dir.clone()))?;
            }
        }
        if self.data().symlink_metadata().is_ok() {
            return Err(failed(self.data())(ErrorKind::AlreadyExists.into()));
        }
        Ok(())
    }

    /// The version file.
    #[must_use]
    pub fn version_file(&self) -> PathBuf {
        self.root.join("version")
    }

    /// Whether a profile was created here: its key store exists.
    #[must_use]
    pub fn has_profile(&self) -> bool {
        self.keystore().symlink_metadata().is_ok()
    }

    /// Makes the directory (0700) and its version file. An existing directory is made private if
    /// there is nothing in it but what may come before a profile, such as a `config.toml`;
    /// otherwise it must be private already.
    ///
    /// # Errors
    ///
    /// [`HomeError::Unwritable`], [`HomeError::LooseModes`], [`HomeError::Version`].
    pub fn create(&self) -> Result<(), HomeError> {
        if self.has_profile() {
            return self.check();
        }
        let unwritable = |source| HomeError::Unwritable { path: self.root.clone(), source };
        if self.is_fresh().map_err(unwritable)? {
            disk::create_private_dir(&self.root).map_err(unwritable)?;
        }
        private(&self.root, true)?;
        match self.version() {
            Err(HomeError::NoProfile { .. }) => {
                let text = format!("{VERSION}\n");
                disk::replace_private(&self.version_file(), text.as_bytes()).map_err(unwritable)
            }
            found => found.map(drop),
        }
    }

    /// Whether nobody can mind that the directory becomes ours alone. `--home /tmp` must not close
    /// `/tmp` to everybody else.
    fn is_fresh(&self) -> io::Result<bool> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            entries => entries?,
        };
        for entry in entries {
            let name = entry?.file_name();
            if !BEFORE_PROFILE.iter().any(|known| name == *known) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Checks version and modes of an existing profile.
    ///
    /// # Errors
    ///
    /// [`HomeError::NoProfile`], [`HomeError::LooseModes`], [`HomeError::Version`].
    pub fn check(&self) -> Result<(), HomeError> {
        self.check_modes()?;
        self.version().map(drop)
    }

    /// Refuses a directory or secret file that other users may enter, read or write.
    ///
    /// # Errors
    ///
    /// [`HomeError::NoProfile`] if the directory is missing, [`HomeError::LooseModes`].
    pub fn check_modes(&self) -> Result<(), HomeError> {
        if !private(&self.root, true)? {
            return Err(HomeError::NoProfile { home: self.root.clone() });
        }
        private(&self.data(), true)?;
        private(&self.mailboxes(), true)?;
        private(&self.keystore(), false)?;
        private(&self.keystore().with_extension("key"), false)?;
        Ok(())
    }

    /// The layout version on disk; never newer than ours.
    ///
    /// # Errors
    ///
    /// [`HomeError::NoProfile`] without a version file, [`HomeError::Version`].
    pub fn version(&self) -> Result<u32, HomeError> {
        let path = self.version_file();
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if is_missing(&error) => {
                return Err(HomeError::NoProfile { home: self.root.clone() });
            }
            Err(source) => return Err(HomeError::Unwritable { path, source }),
        };
        match text.trim_end().parse() {
            Ok(version @ 1..=VERSION) => Ok(version),
            _ => Err(HomeError::Version {
                found: text.chars().filter(char::is_ascii_graphic).take(12).collect(),
            }),
        }
    }

    /// Takes the lock; it is held until the value is dropped or the process ends.
    ///
    /// # Errors
    ///
    /// [`HomeError::LockHeld`], [`HomeError::NoProfile`], [`HomeError::Unwritable`].
    pub fn lock(&self) -> Result<HomeLock, HomeError> {
        if !self.root.is_dir() {
            return Err(HomeError::NoProfile { home: self.root.clone() });
        }
        HomeLock::take(&self.lock_file())
    }
}

fn is_profile_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    name.len() <= PROFILE_CHARS_MAX
        && name.starts_with(plain)
        && name.chars().all(|c| plain(c) || matches!(c, '-' | '_'))
}

/// A missing file, or a missing directory on the way to it.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether `path` exists; if it does, it must be ours alone.
fn private(path: &Path, directory: bool) -> Result<bool, HomeError> {
    let unwritable = |source| HomeError::Unwritable { path: path.to_owned(), source };
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if is_missing(&error) => return Ok(false),
        Err(source) => return Err(unwritable(source)),
    };
    if metadata.is_dir() != directory {
        return Err(unwritable(ErrorKind::NotADirectory.into()));
    }
    let (mode, owner) = (metadata.permissions().mode() & 0o777, metadata.uid());
    if mode & 0o077 != 0 || owner != rustix::process::geteuid().as_raw() {
        return Err(HomeError::LooseModes { path: path.to_owned(), mode, owner });
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
