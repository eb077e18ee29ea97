//! The directory of one profile: paths, modes, version, lock.
//!
//! ```text
//!   <home>/            0700
//!     version          layout of this directory, `1`
//!     config.toml      written by people, any mode
//!     keystore.json    0600, see `keystore`
//!     keystore.key     0600, only for a key store without passphrase
//!     data/            0700, see `store`
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

pub use lock::HomeLock;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Layout of the directory that this program writes.
pub const VERSION: u32 = 1;

/// Characters of a profile name; it becomes a directory name.
const PROFILE_CHARS_MAX: usize = 32;

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
    /// The directory cannot be made or written.
    #[error("cannot write to {}: {source}", path.display())]
    Unwritable {
        /// What could not be written.
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

    /// The key store.
    #[must_use]
    pub fn keystore(&self) -> PathBuf {
        self.root.join("keystore.json")
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

    /// Makes the directory (0700) and its version file. An existing directory without a profile is
    /// made private; one with a profile must be private already.
    ///
    /// # Errors
    ///
    /// [`HomeError::Unwritable`], [`HomeError::LooseModes`], [`HomeError::Version`].
    pub fn create(&self) -> Result<(), HomeError> {
        if self.has_profile() {
            return self.check();
        }
        let unwritable = |source| HomeError::Unwritable { path: self.root.clone(), source };
        disk::create_private_dir(&self.root).map_err(unwritable)?;
        private(&self.root, true)?;
        match self.version() {
            Err(HomeError::NoProfile { .. }) => {
                let text = format!("{VERSION}\n");
                disk::replace_private(&self.version_file(), text.as_bytes()).map_err(unwritable)
            }
            found => found.map(drop),
        }
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
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let home = Home::at(dir.path().join("a/home"));
        (dir, home)
    }

    fn mode(path: &Path) -> u32 {
        path.metadata().expect("exists").permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
    }

    #[test]
    fn a_profile_lives_under_the_xdg_data_directory() {
        let both = |name: &str| match name {
            "XDG_DATA_HOME" => Some("/data".into()),
            _ => Some("/home/a".into()),
        };
        let relative = |name: &str| match name {
            "XDG_DATA_HOME" => Some("data".into()),
            _ => Some("/home/a".into()),
        };

        let xdg = Home::of_profile("work", both).expect("resolves");
        let fallback = Home::of_profile("work", relative).expect("resolves");

        assert_eq!(xdg.root(), Path::new("/data/bitchat/work"));
        assert_eq!(fallback.root(), Path::new("/home/a/.local/share/bitchat/work"));
        assert!(matches!(Home::of_profile("a", |_| None), Err(HomeError::NoBase)));
    }

    #[test]
    fn a_profile_name_cannot_leave_its_directory() {
        for name in ["", "..", ".", "a/b", "-a", "a b", "a\0", "ä", &"a".repeat(33)] {
            let resolved = Home::resolve(None, name);
            assert!(matches!(resolved, Err(HomeError::ProfileName)), "{name:?}");
        }
    }

    #[test]
    fn a_new_home_is_private() {
        let (_dir, home) = home();

        home.create().expect("creates");

        assert_eq!(mode(home.root()), 0o700);
        assert_eq!(mode(&home.version_file()), 0o600);
        assert_eq!(home.version().expect("reads"), 1);
        home.check().expect("private");
    }

    #[test]
    fn a_loose_directory_is_made_private_before_it_has_a_profile_and_refused_after() {
        let (_dir, home) = home();
        fs::create_dir_all(home.root()).expect("mkdir");
        set_mode(home.root(), 0o755);

        home.create().expect("nothing secret is there yet");
        assert_eq!(mode(home.root()), 0o700);
        disk::replace_private(&home.keystore(), b"{}").expect("writes");
        set_mode(home.root(), 0o750);

        assert!(matches!(home.create(), Err(HomeError::LooseModes { mode: 0o750, .. })));
        assert!(matches!(home.check(), Err(HomeError::LooseModes { .. })));
        assert_eq!(mode(home.root()), 0o750);
    }

    #[test]
    fn a_loose_key_store_is_refused_and_named() {
        let (_dir, home) = home();
        home.create().expect("creates");
        fs::write(home.keystore(), "{}").expect("writes");
        set_mode(&home.keystore(), 0o640);

        let Err(HomeError::LooseModes { path, mode: 0o640, .. }) = home.check_modes() else {
            panic!("accepted");
        };
        assert_eq!(path, home.keystore());
    }

    #[test]
    fn a_newer_layout_is_refused() {
        let (_dir, home) = home();
        home.create().expect("creates");

        for text in ["2\n", "0\n", "one", "", "1\n2\n"] {
            fs::write(home.version_file(), text).expect("writes");
            assert!(matches!(home.version(), Err(HomeError::Version { .. })), "{text:?}");
        }
    }

    #[test]
    fn a_home_below_a_file_cannot_be_written() {
        let dir = tempfile::tempdir().expect("temporary directory");
        fs::write(dir.path().join("file"), "").expect("writes");

        let created = Home::at(dir.path().join("file/home")).create();
        let over_file = Home::at(dir.path().join("file")).create();

        assert!(matches!(created, Err(HomeError::Unwritable { .. })), "{created:?}");
        assert!(matches!(over_file, Err(HomeError::Unwritable { .. })), "{over_file:?}");
    }

    #[test]
    fn an_absent_home_has_no_profile() {
        let (_dir, home) = home();

        assert!(matches!(home.check(), Err(HomeError::NoProfile { .. })));
        assert!(matches!(home.lock(), Err(HomeError::NoProfile { .. })));
        assert!(!home.has_profile());
    }
}
