//! The file of attempts: two slots of fixed length, written in place and in turn.
//!
//! ```text
//!   | text, a space, number, '\n', SHA-256 of what stands before the '\n' in hex, '\n', spaces | .. |
//! ```
//!
//! Rewriting needs no new block, so that counting works on a full disk. A slot that tore does not
//! hash; the other one then has what was there before. The higher number counts.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::home::disk;

/// Bytes of a slot: a block of the usual file systems, so that no write touches both.
pub(super) const SLOT_BYTES: usize = 4_096;

/// What the file holds, and where the next text goes.
#[derive(Debug)]
pub(super) struct Slots {
    path: PathBuf,
    /// Of the text that counts.
    number: u64,
    /// Whether the file is there in its full length.
    allocated: bool,
}

/// What is in the file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// There is no file.
    Missing,
    /// There is one without a whole slot.
    Damaged,
    /// The text that was written last.
    Text(String),
}

impl Slots {
    /// Reads the file.
    pub(super) fn read(path: &Path) -> io::Result<(Self, Content)> {
        let mut slots = Self { path: path.to_owned(), number: 0, allocated: false };
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok((slots, Content::Missing));
            }
            Err(error) => return Err(error),
        };
        slots.allocated = bytes.len() == 2 * SLOT_BYTES;
        let whole = bytes.chunks(SLOT_BYTES).take(2).filter_map(decode);
        let Some((number, text)) = whole.max_by_key(|(number, _)| *number) else {
            return Ok((slots, Content::Damaged));
        };
        slots.number = number;
        Ok((slots, Content::Text(text.to_owned())))
    }

    /// Writes a text of one line into the slot whose turn it is; durable when this returns.
    pub(super) fn write(&mut self, text: &str) -> io::Result<()> {
        let number = self.number.wrapping_add(1);
        let slot = encode(text, number).ok_or(ErrorKind::InvalidInput)?;
        if self.allocated {
            let file = OpenOptions::new().write(true).open(&self.path)?;
            let second = number.is_multiple_of(2); // The first number went into both.
            file.write_all_at(&slot, if second { SLOT_BYTES as u64 } else { 0 })?;
            file.sync_data()?;
        } else {
            // In both, so that what follows goes over one of them and leaves the other.
            disk::replace_private(&self.path, &[slot.as_slice(), &slot].concat())?;
            self.allocated = true;
        }
        self.number = number;
        Ok(())
    }
}

/// A slot; `None` if the text does not fit.
fn encode(text: &str, number: u64) -> Option<Vec<u8>> {
    let line = format!("{text} {number}");
    let mut slot = format!("{line}\n{}\n", hash(&line)).into_bytes();
    if slot.len() > SLOT_BYTES {
        return None;
    }
    slot.resize(SLOT_BYTES, b' ');
    Some(slot)
}

/// Number and text of a whole slot.
fn decode(slot: &[u8]) -> Option<(u64, &str)> {
    let mut lines = std::str::from_utf8(slot).ok()?.lines();
    let line = lines.next()?;
    if lines.next()? != hash(line) {
        return None;
    }
    let (text, number) = line.rsplit_once(' ')?;
    Some((number.parse().ok()?, text))
}

fn hash(line: &str) -> String {
    Sha256::digest(line).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn text(path: &Path) -> Content {
        Slots::read(path).expect("reads").1
    }

    #[test]
    fn what_is_written_is_read_and_takes_no_new_block() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("attempts");
        let (mut slots, content) = Slots::read(&path).expect("reads");
        assert_eq!(content, Content::Missing);
        slots.write("{0}").expect("writes");
        let before = path.metadata().expect("there");

        for number in 1..6 {
            let (mut slots, _) = Slots::read(&path).expect("reads");
            slots.write(&format!("{{{number}}}")).expect("writes");
            assert_eq!(text(&path), Content::Text(format!("{{{number}}}")));
        }

        let after = path.metadata().expect("there");
        let place = |data: &fs::Metadata| (data.ino(), data.len(), data.blocks());
        assert_eq!(place(&before), place(&after), "rewritten in place");
    }

    #[test]
    fn a_torn_write_leaves_what_was_there_before() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("attempts");
        let (mut slots, _) = Slots::read(&path).expect("reads");
        slots.write("one").expect("writes");
        for (last, now) in [("one", "two"), ("two", "three")] {
            let before = fs::read(&path).expect("reads");
            slots.write(now).expect("writes");
            let after = fs::read(&path).expect("reads");
            let changed: Vec<usize> =
                (0..after.len()).filter(|at| before[*at] != after[*at]).collect();
            for cut in &changed[1..] {
                let torn = [&after[..*cut], &before[*cut..]].concat();
                fs::write(&path, torn).expect("writes");
                assert_eq!(text(&path), Content::Text(last.to_owned()), "cut at {cut}");
            }
            fs::write(&path, after).expect("writes");
        }
    }

    #[test]
    fn a_file_without_a_whole_slot_is_damaged_and_written_anew() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("attempts");
        for nonsense in [&b""[..], b"x\ny\n", &[0; 2 * SLOT_BYTES], &[0xFF; 9_000]] {
            fs::write(&path, nonsense).expect("writes");
            let (mut slots, content) = Slots::read(&path).expect("reads");
            assert_eq!(content, Content::Damaged);

            slots.write("text").expect("writes");

            assert_eq!(text(&path), Content::Text("text".to_owned()));
        }
    }
}
