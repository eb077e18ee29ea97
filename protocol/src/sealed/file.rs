//! Seals in a file, on a stick, through a pipe: one after the other, damage seen, memory bounded.
//!
//! ```text
//!   "bitchat envelopes 1\n" || record .. || 00000000 || be32(records)
//!   record = be32(length) || seal || first 4 bytes of SHA-256(seal)
//! ```
//!
//! A length is judged before anything is kept for it. A record that fails its check is told and left
//! out; an impossible length ends the reading, because nothing behind it can be found.
//!
//! See docs/SPEC.md, section "Files of envelopes".

use bitchat_proto::limits::SEAL_BYTES_MAX;

use crate::crypto::digest;

/// How a file begins; the digit is the version of this layout.
pub const MAGIC: &[u8; 20] = b"bitchat envelopes 1\n";

/// What all versions have in common.
const FAMILY: usize = 18;

const LENGTH_BYTES: usize = 4;
const CHECK_BYTES: usize = 4;

/// One record of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A seal as it was written. Whether it is for us only its keys will tell.
    Seal(Vec<u8>),
    /// Bytes that were changed on their way.
    Damaged,
}

/// Why a file cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It begins with something else.
    #[error("this is no file of envelopes")]
    Foreign,
    /// A later version wrote it.
    #[error("a newer version wrote this file of envelopes")]
    Newer,
    /// It makes no sense from here on.
    #[error("the file of envelopes is damaged")]
    Damaged,
    /// It ends in the middle.
    #[error("the file of envelopes ends too early")]
    Truncated,
}

/// Writes a file piece by piece.
#[derive(Debug, Default)]
pub struct Writer {
    records: u32,
}

impl Writer {
    /// One record. The first piece of a file is [`MAGIC`].
    #[must_use]
    pub fn record(&mut self, seal: &[u8]) -> Vec<u8> {
        self.records = self.records.saturating_add(1);
        let length = u32::try_from(seal.len()).unwrap_or(u32::MAX).to_be_bytes();
        [length.as_slice(), seal, &check(seal)].concat()
    }

    /// The last piece.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        [[0; LENGTH_BYTES], self.records.to_be_bytes()].concat()
    }
}

/// Reads a file in pieces of any length: [`Reader::feed`] one, then [`Reader::read`] until there
/// is nothing more, and so on; [`Reader::finish`] at the end of the file.
#[derive(Default)]
pub struct Reader {
    /// What was fed and not read: at most one record and one piece.
    buffer: Vec<u8>,
    at: usize,
    begun: bool,
    records: u32,
    ended: bool,
}

impl Reader {
    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// The next record; `None` until another piece is fed.
    ///
    /// # Errors
    ///
    /// [`FileError`] if nothing behind this can be read.
    pub fn read(&mut self) -> Result<Option<Record>, FileError> {
        if !self.begun && !self.begin()? {
            return Ok(None);
        }
        if self.ended {
            return if self.rest().is_empty() { Ok(None) } else { Err(FileError::Damaged) };
        }
        let Some((length, rest)) = self.rest().split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length == 0 {
            return self.end();
        }
        if length > SEAL_BYTES_MAX {
            return Err(FileError::Damaged);
        }
        let Some((seal, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        let Some(found) = rest.first_chunk::<CHECK_BYTES>() else { return Ok(None) };
        let record =
            if *found == check(seal) { Record::Seal(seal.to_vec()) } else { Record::Damaged };
        self.at = self.at.saturating_add(LENGTH_BYTES + CHECK_BYTES).saturating_add(length);
        self.records = self.records.saturating_add(1);
        Ok(Some(record))
    }

    /// The file is over.
    ///
    /// # Errors
    ///
    /// [`FileError::Truncated`] if it should go on, [`FileError::Foreign`] if it has not begun.
    pub fn finish(self) -> Result<(), FileError> {
        match (self.begun, self.ended) {
            (_, true) => Ok(()),
            (true, false) => Err(FileError::Truncated),
            // Nothing, or the beginning of a file that was cut within its first line.
            (false, false) if !self.buffer.is_empty() && MAGIC.starts_with(&self.buffer) => {
                Err(FileError::Truncated)
            }
            (false, false) => Err(FileError::Foreign),
        }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    /// Reads the first line; says whether it is there.
    fn begin(&mut self) -> Result<bool, FileError> {
        let head = self.buffer.get(..MAGIC.len()).unwrap_or(&self.buffer);
        if head == MAGIC {
            self.begun = true;
            self.at = MAGIC.len();
            return Ok(true);
        }
        if MAGIC.starts_with(head) {
            return Ok(false);
        }
        let family = MAGIC.get(..FAMILY).unwrap_or_default();
        Err(if head.starts_with(family) { FileError::Newer } else { FileError::Foreign })
    }

    /// Reads what follows a length of 0.
    fn end(&mut self) -> Result<Option<Record>, FileError> {
        let rest = self.rest().get(LENGTH_BYTES..).unwrap_or_default();
        let Some(count) = rest.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        if u32::from_be_bytes(*count) != self.records {
            return Err(FileError::Damaged);
        }
        self.ended = true;
        self.at = self.at.saturating_add(2 * LENGTH_BYTES);
        self.read()
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({} records)", self.records)
    }
}

fn check(seal: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = digest(seal);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(seals: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = Writer::default();
        let records: Vec<u8> = seals.iter().flat_map(|seal| writer.record(seal)).collect();
        [MAGIC.as_slice(), &records, &writer.end()].concat()
    }

    /// Everything in a file that comes in pieces of this length, and how it ends.
    fn read(bytes: &[u8], piece: usize) -> (Vec<Record>, Result<(), FileError>) {
        let (mut reader, mut records) = (Reader::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            reader.feed(piece);
            loop {
                match reader.read() {
                    Ok(Some(record)) => records.push(record),
                    Ok(None) => break,
                    Err(error) => return (records, Err(error)),
                }
            }
        }
        (records, reader.finish())
    }

    fn seals() -> Vec<Vec<u8>> {
        vec![vec![1; 30], vec![2; 7], vec![3; 100]]
    }

    #[test]
    fn a_file_without_envelopes_is_whole() {
        assert_eq!(read(&file(&[]), 5), (Vec::new(), Ok(())));
    }

    #[test]
    fn a_file_that_is_cut_anywhere_says_so_and_gives_what_was_whole() {
        let whole = file(&seals());

        for end in 1..whole.len() {
            let (records, ended) = read(&whole[..end], 8);
            assert_eq!(ended, Err(FileError::Truncated), "cut at {end}");
            assert!(records.iter().zip(seals()).all(|(got, seal)| *got == Record::Seal(seal)));
        }
        assert_eq!(read(&[], 1).1, Err(FileError::Foreign));
    }

    #[test]
    fn a_changed_byte_is_seen_wherever_it_is() {
        let whole = file(&seals());

        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            let (records, ended) = read(&changed, 64);
            assert!(ended.is_err() || records.contains(&Record::Damaged), "byte {at}");
        }
    }

    #[test]
    fn one_damaged_record_costs_no_other() {
        let mut changed = file(&seals());
        changed[MAGIC.len() + LENGTH_BYTES] ^= 1;

        let (records, ended) = read(&changed, 9);

        let [_, second, third] = seals().try_into().expect("three");
        assert_eq!(records, [Record::Damaged, Record::Seal(second), Record::Seal(third)]);
        assert_eq!(ended, Ok(()));
    }

    #[test]
    fn a_length_of_a_gigabyte_is_refused_before_a_byte_is_kept_for_it() {
        let mut reader = Reader::default();
        reader.feed(&[MAGIC.as_slice(), &(1u32 << 30).to_be_bytes()].concat());

        assert_eq!(reader.read(), Err(FileError::Damaged));
        assert!(reader.buffer.capacity() < 100);
    }

    #[test]
    fn what_is_no_file_of_envelopes_is_told_from_one_of_a_newer_version() {
        assert_eq!(read(b"#!/bin/sh\n", 64).1, Err(FileError::Foreign));
        assert_eq!(read(b"bitchat envelopes 2\nxyz", 64).1, Err(FileError::Newer));
        assert_eq!(read(b"bitchat envelopes 10\n", 64).1, Err(FileError::Newer));
    }

    #[test]
    fn bytes_behind_the_end_are_damage() {
        let more = [file(&seals()), vec![0]].concat();

        assert_eq!(read(&more, 1_000).1, Err(FileError::Damaged));
        assert_eq!(read(&more, 1).1, Err(FileError::Damaged));
    }

    proptest! {
        #[test]
        fn a_file_survives_whatever_pieces_it_comes_in(
            seals in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 0..10),
            piece in 1usize..400,
        ) {
            let (records, ended) = read(&file(&seals), piece);

            prop_assert_eq!(ended, Ok(()));
            prop_assert_eq!(records, seals.into_iter().map(Record::Seal).collect::<Vec<_>>());
        }
    }
}
