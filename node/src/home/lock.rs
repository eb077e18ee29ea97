//! One process a profile: a `flock` with the holder's pid as text.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::HomeError;

/// More than any pid has digits.
const PID_CHARS_MAX: u64 = 16;

/// The right to use a profile. The kernel takes it back when the process ends, however it ends.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct HomeLock {
    file: File,
}

impl HomeLock {
    pub(super) fn take(path: &Path) -> Result<Self, HomeError> {
        let unwritable = |source| HomeError::Unwritable { path: path.to_owned(), source };
        // Not truncated here: until the lock is ours, the pid inside is somebody else's.
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(unwritable)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(HomeError::LockHeld { pid: holder(&mut file) }),
            other => other.map_err(|errno| unwritable(errno.into()))?,
        }
        let named = file
            .set_permissions(Permissions::from_mode(0o600))
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        named.map_err(unwritable)?;
        Ok(Self { file })
    }
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        // The pid would mislead whoever reads the file later. The file stays: removing it would
        // let two processes lock two different files of one name.
        let emptied = self.file.set_len(0);
        if let Err(error) = emptied {
            tracing::debug!(%error, "lock file not emptied");
        }
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(PID_CHARS_MAX).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_held_lock_names_its_holder_and_a_dropped_one_is_free() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("lock");

        let lock = HomeLock::take(&path).expect("free");
        let Err(HomeError::LockHeld { pid }) = HomeLock::take(&path) else {
            panic!("two holders");
        };
        drop(lock);

        assert_eq!(pid, Some(std::process::id()));
        assert_eq!(fs::read(&path).expect("reads"), b"");
        // A test beside this one may be between fork and exec, with a copy of the descriptor.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while HomeLock::take(&path).is_err() {
            assert!(std::time::Instant::now() < end, "not free again");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_file_that_nobody_holds_is_no_lock() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("lock");
        fs::write(&path, "4194304999\n").expect("writes");
        fs::set_permissions(&path, Permissions::from_mode(0o666)).expect("chmod");

        let lock = HomeLock::take(&path).expect("nobody holds it");

        let text = fs::read_to_string(&path).expect("reads");
        assert_eq!(text, format!("{}\n", std::process::id()));
        assert_eq!(path.metadata().expect("exists").permissions().mode() & 0o777, 0o600);
        drop(lock);
    }
}
