//! How many commits the log must hold: a file beside it, so that a log that was cut is told from one
//! that ends there.
//!
//! ```text
//!   commit N: rows and the number N ──> log, fdatasync ──> mark := N, without a sync
//!   open:     mark > number in the log  ==>  commits that were acknowledged are missing
//! ```
//!
//! sled takes whatever precedes the first damage for all that there was: right after a crash, wrong
//! after a damage. The mark is written after the sync, so a power cut can only leave it behind, never
//! ahead of the log. A mark that is missing or damaged itself proves nothing and is made anew.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

/// The row with the number of the last commit. No table has number 0.
pub(super) const COMMITS: &[u8] = b"\0commits";

const NAME: &str = "mark";
const NUMBER_BYTES: usize = 8;
const CHECK_BYTES: usize = 8;
const LABEL: &[u8] = b"bitchat store mark 1";

/// The mark of an open store.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    last: AtomicU64,
}

impl Mark {
    /// Opens the mark in `dir`, whose log holds `commits`; makes it if it is missing.
    ///
    /// # Errors
    ///
    /// `Ok(Err(number))` if the log should hold that many.
    pub(super) fn open(dir: &Path, commits: u64) -> io::Result<Result<Self, u64>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(dir.join(NAME))?;
        match read(&file)? {
            Some(marked) if marked > commits => return Ok(Err(marked)),
            Some(_) => {}
            None if commits > 0 => tracing::warn!("the mark of the store is missing or damaged"),
            None => {}
        }
        let mark = Self { file, last: AtomicU64::new(commits) };
        mark.write(commits)?;
        Ok(Ok(mark))
    }

    /// The number of the commit that begins.
    pub(super) fn next(&self) -> u64 {
        self.last.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// The commit is on the disk.
    pub(super) fn synced(&self, number: u64) {
        if let Err(error) = self.write(number) {
            tracing::warn!(%error, "the mark of the store cannot be written");
        }
    }

    fn write(&self, number: u64) -> io::Result<()> {
        let number = number.to_be_bytes();
        self.file.write_all_at(&[&number[..], &check(&number)].concat(), 0)
    }
}

impl Drop for Mark {
    /// A store that was closed in order says exactly what it holds.
    fn drop(&mut self) {
        if let Err(error) = self.file.sync_data() {
            tracing::warn!(%error, "the mark of the store cannot be synced");
        }
    }
}

fn read(file: &File) -> io::Result<Option<u64>> {
    let mut bytes = [0; NUMBER_BYTES + CHECK_BYTES];
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let Some((number, found)) = bytes.split_first_chunk::<NUMBER_BYTES>() else { return Ok(None) };
    Ok((found == check(number)).then(|| u64::from_be_bytes(*number)))
}

fn check(number: &[u8; NUMBER_BYTES]) -> [u8; CHECK_BYTES] {
    let hash: [u8; 32] = Sha256::new().chain_update(LABEL).chain_update(number).finalize().into();
    hash.first_chunk().copied().unwrap_or_default()
}
