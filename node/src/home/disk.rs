//! Files that are private whatever the umask, and durable when the call returns.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// Makes `path` a directory of mode 0700. Missing parents get the default mode.
pub(crate) fn create_private_dir(path: &Path) -> io::Result<()> {
    let parent = parent(path);
    fs::create_dir_all(&parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let directory = File::open(path)?;
    if !directory.metadata()?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    // A umask can take bits from the mode above, and an existing directory has its own.
    directory.set_permissions(Permissions::from_mode(0o700))?;
    sync_dir(&parent)
}

/// Writes a file of mode 0600 in one step: after a crash the old or the new content is there.
pub(crate) fn replace_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = write_beside(path, bytes)?;
    fs::rename(&new, path)?;
    sync_dir(&parent(path))
}

/// As [`replace_private`], but fails with [`ErrorKind::AlreadyExists`] instead of replacing.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let new = write_beside(path, bytes)?;
    match renameat_with(CWD, &new, CWD, path, RenameFlags::NOREPLACE) {
        // Some file systems lack the flag; the check above and the home's lock must do there.
        Err(Errno::INVAL | Errno::NOSYS) => fs::rename(&new, path)?,
        other => other?,
    }
    sync_dir(&parent(path))
}

/// Removes a directory and what is in it, if it is there.
pub(crate) fn remove_dir(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes renames and new names in `path` durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The directory that holds `path`.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// `path` with `.new` behind its name.
pub(crate) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let new = beside(path);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creating_never_replaces_and_replacing_leaves_no_second_file() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("file");

        create_private(&path, b"one").expect("creates");
        let again = create_private(&path, b"two").map_err(|error| error.kind());
        let kept = fs::read(&path).expect("reads");
        replace_private(&path, b"three").expect("replaces");

        assert_eq!(again, Err(ErrorKind::AlreadyExists));
        assert_eq!(kept, b"one");
        assert_eq!(fs::read(&path).expect("reads"), b"three");
        assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 1);
        assert_eq!(path.metadata().expect("exists").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_leftover_of_a_crash_is_replaced() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("file");
        fs::write(beside(&path), "half").expect("writes");

        create_private(&path, b"whole").expect("creates");

        assert_eq!(fs::read(&path).expect("reads"), b"whole");
        assert!(!beside(&path).exists());
    }
}
