//! A file that appears whole or not at all.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rand::rngs::SysRng;
use rand_core::{Rng, UnwrapErr};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::failed;
use crate::error::NodeError;
use crate::home::disk;

/// A file of mode 0600 under a passing name; removed unless it is kept.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    passing: Option<PathBuf>,
    path: PathBuf,
    replace: bool,
}

impl NewFile {
    /// Begins a file that will be called `path`; with `replace` also where one is there already.
    ///
    /// # Errors
    ///
    /// [`NodeError::FileExists`], [`NodeError::BackupIo`].
    pub fn create(path: &Path, replace: bool) -> Result<Self, NodeError> {
        if !replace && path.symlink_metadata().is_ok() {
            return Err(NodeError::FileExists { path: path.to_owned() });
        }
        let unwritable = |error| failed(&format!("cannot write {}", path.display()), &error);
        let passing = passing(path).ok_or_else(|| unwritable(ErrorKind::InvalidInput.into()))?;
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&passing);
        let file = file.map_err(unwritable)?;
        let new = Self { file, passing: Some(passing), path: path.to_owned(), replace };
        new.file.set_permissions(Permissions::from_mode(0o600)).map_err(unwritable)?;
        Ok(new)
    }

    /// Gives the file its name, durably.
    ///
    /// # Errors
    ///
    /// [`NodeError::FileExists`] if another one has it by now, [`NodeError::BackupIo`].
    pub fn keep(mut self) -> Result<(), NodeError> {
        let what = format!("cannot write {}", self.path.display());
        let Some(passing) = &self.passing else { return Ok(()) };
        let kept = self.file.sync_all().and_then(|()| rename(passing, &self.path, self.replace));
        match kept {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(NodeError::FileExists { path: self.path.clone() });
            }
            other => other.map_err(|error| failed(&what, &error))?,
        }
        self.passing = None;
        disk::sync_dir(&disk::parent(&self.path)).map_err(|error| failed(&what, &error))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(passing) = self.passing.take() {
            drop(std::fs::remove_file(passing)); // Half a file under a name of ours harms nobody.
        }
    }
}

/// `dir/.name.RANDOM.new`: beside the file, and no name that anybody uses. Not the number of the
/// process: in a container it is the same each time, and a killed one leaves its file.
fn passing(path: &Path) -> Option<PathBuf> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name()?);
    name.push(format!(".{:08x}.new", UnwrapErr(SysRng).next_u32()));
    Some(path.with_file_name(name))
}

fn rename(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
    if replace {
        return std::fs::rename(from, to);
    }
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems lack the flag; a link is made once, too.
        Err(Errno::INVAL | Errno::NOSYS) => {
            std::fs::hard_link(from, to).and_then(|()| std::fs::remove_file(from))
        }
        other => Ok(other?),
    }
}
