//! The file of the store's keys: two slots, overwritten in place.
//!
//! ```text
//!   slot 0, 4 KiB: magic | sequence | nonce | sealed ring | zeros | SHA-256
//!   slot 1, 4 KiB: the same
//! ```
//!
//! A change writes one slot, syncs, writes the other, syncs. A cut between leaves one slot whole,
//! also a cut in the middle of a slot: of two slots that differ, the one that opened is written
//! last. So there is always an older or newer set of keys; when the call returns both slots hold the new
//! one, so a key that was taken out is in neither. Nothing is renamed: a replaced file would stay
//! in free blocks of the disk.
//!
//! # Invariants
//!
//! - A new key is used only after both slots have it: losing either slot then loses nothing.
//! - What cannot be read is left as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bitchat_protocol::crypto::{HEADER_NONCE_BYTES, Secret, open_header, seal_header};
use sha2::{Digest, Sha256};

use super::keyring::{RING_BYTES, Ring, fill};
use crate::keystore::StoreKeys;

/// Bytes of a slot: one page, which disks write whole more often than not.
const SLOT_BYTES: usize = 4 * 1024;

/// Begins each slot.
const MAGIC: &[u8; 16] = b"bitchat keys 1\0\0";

/// Bytes of a sealed ring.
const SEALED_BYTES: usize = RING_BYTES + 16;

const DIGEST_BYTES: usize = 32;

/// An open key file.
pub(super) struct KeyFile {
    file: File,
    seal: Secret<32>,
    sequence: u64,
    /// The slot that is older than the other, damaged, or under another key.
    stale: Option<u64>,
}

/// Why a key file gives no keys.
#[derive(Debug)]
pub(super) enum Fault {
    /// There is none.
    Missing,
    /// It is no key file, or both slots are damaged.
    Damaged(&'static str),
    /// It is whole, and sealed under another key.
    WrongKey,
    /// The disk refused.
    Io(io::Error),
}

/// What one slot holds.
enum Slot {
    Whole(u64, Ring),
    Foreign,
    Damaged,
}

/// Where the key file of the store in `dir` is.
pub(super) fn path(dir: &Path) -> PathBuf {
    dir.join("keys")
}

impl KeyFile {
    /// Makes the key file of a new store in `dir`, which nobody knows of yet.
    pub(super) fn create(dir: &Path, keys: &StoreKeys, ring: &Ring) -> io::Result<()> {
        let slot = slot(&keys.file, 1, ring)?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path(dir))?;
        file.write_all(&[slot.clone(), slot].concat())?;
        file.sync_all()
    }

    /// Opens the key file of the store in `dir`; writes nothing.
    pub(super) fn open(dir: &Path, keys: &StoreKeys) -> Result<(Self, Ring), Fault> {
        let file = OpenOptions::new().read(true).write(true).open(path(dir));
        let file = file.map_err(|error| {
            if error.kind() == ErrorKind::NotFound { Fault::Missing } else { Fault::Io(error) }
        })?;
        if file.metadata().map_err(Fault::Io)?.len() != 2 * bytes_of(1) {
            return Err(Fault::Damaged("has a wrong length"));
        }
        let slots = [0, 1].map(|number| read_slot(&file, &keys.file, number));
        let [first, second] = slots;
        let (sequence, ring, stale) = match (first.map_err(Fault::Io)?, second.map_err(Fault::Io)?)
        {
            (Slot::Whole(one, ring), Slot::Whole(two, _)) if one >= two => {
                (one, ring, (one != two).then_some(1))
            }
            (Slot::Whole(..) | Slot::Foreign | Slot::Damaged, Slot::Whole(sequence, ring)) => {
                (sequence, ring, Some(0))
            }
            (Slot::Whole(sequence, ring), Slot::Foreign | Slot::Damaged) => {
                (sequence, ring, Some(1))
            }
            (Slot::Foreign, Slot::Foreign | Slot::Damaged) | (Slot::Damaged, Slot::Foreign) => {
                return Err(Fault::WrongKey);
            }
            (Slot::Damaged, Slot::Damaged) => return Err(Fault::Damaged("is damaged")),
        };
        Ok((Self { file, seal: keys.file.duplicate(), sequence, stale }, ring))
    }

    /// Completes a change that was interrupted: both slots hold `ring` then.
    pub(super) fn settle(&mut self, ring: &Ring) -> io::Result<()> {
        if self.stale.is_some() { self.write(ring) } else { Ok(()) }
    }

    /// Replaces the keys, durable in both slots when this returns. After an error either set may be
    /// in either slot; a later write is whole again.
    pub(super) fn write(&mut self, ring: &Ring) -> io::Result<()> {
        let order = self.order();
        self.sequence = self.sequence.saturating_add(1);
        for number in order {
            self.stale = Some(number);
            self.write_slot(number, &self.seal, ring)?;
        }
        self.stale = None;
        Ok(())
    }

    /// Which slot the next write begins with. The one that is of no use: a cut in the middle of the
    /// other would leave none. Else alternately, so that one on a bad sector is not always first.
    fn order(&self) -> [u64; 2] {
        let first = self.stale.unwrap_or_else(|| self.sequence.saturating_add(1) % 2);
        [first, 1 - first]
    }

    /// Puts `next` into one slot under the key of `keys`, `ring` stays in the other under ours:
    /// either key opens the file until its next settling.
    pub(super) fn lend(&mut self, keys: &StoreKeys, ring: &Ring, next: &Ring) -> io::Result<()> {
        self.settle(ring)?;
        self.stale = Some(0);
        self.write_slot(0, &keys.file, next)
    }

    /// Another handle instead of the present one.
    #[cfg(test)]
    pub(super) fn exchange(&mut self, file: File) -> File {
        std::mem::replace(&mut self.file, file)
    }

    fn write_slot(&self, number: u64, seal: &Secret<32>, ring: &Ring) -> io::Result<()> {
        self.file.write_all_at(&slot(seal, self.sequence, ring)?, bytes_of(number))?;
        self.file.sync_data()
    }
}

/// Bytes of so many slots.
const fn bytes_of(slots: u64) -> u64 {
    slots * SLOT_BYTES as u64
}

fn read_slot(file: &File, seal: &Secret<32>, number: u64) -> io::Result<Slot> {
    let mut bytes = vec![0; SLOT_BYTES];
    file.read_exact_at(&mut bytes, bytes_of(number))?;
    Ok(parse(&bytes, seal).unwrap_or(Slot::Damaged))
}

/// `None` if the slot is damaged.
fn parse(bytes: &[u8], seal: &Secret<32>) -> Option<Slot> {
    let (text, digest) = bytes.split_last_chunk::<DIGEST_BYTES>()?;
    if digest.as_slice() != Sha256::digest(text).as_slice() {
        return None;
    }
    let (head, rest) = text.split_first_chunk::<{ MAGIC.len() + 8 }>()?;
    let sequence = u64::from_be_bytes(*head.strip_prefix(MAGIC)?.first_chunk()?);
    let (nonce, rest) = rest.split_first_chunk::<HEADER_NONCE_BYTES>()?;
    let sealed = rest.first_chunk::<SEALED_BYTES>()?;
    let Ok(opened) = open_header(seal, nonce, head, sealed).map(zeroize::Zeroizing::new) else {
        return Some(Slot::Foreign);
    };
    Ring::decode(&opened).map(|ring| Slot::Whole(sequence, ring))
}

fn slot(seal: &Secret<32>, sequence: u64, ring: &Ring) -> io::Result<Vec<u8>> {
    let mut nonce = [0; HEADER_NONCE_BYTES];
    fill(&mut nonce).map_err(io::Error::other)?;
    let head = [MAGIC.as_slice(), &sequence.to_be_bytes()].concat();
    let sealed = seal_header(seal, &nonce, &head, &ring.encode());
    let sealed = sealed.map_err(|_| io::Error::other("the keys cannot be sealed"))?;
    let mut bytes = [&head, &nonce[..], &sealed].concat();
    bytes.resize(SLOT_BYTES - DIGEST_BYTES, 0);
    let digest = Sha256::digest(&bytes);
    bytes.extend_from_slice(&digest);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bitchat_protocol::time::UnixMillis;

    use super::super::keyring::Chain;
    use super::*;

    const SLOT: usize = SLOT_BYTES;

    fn keys(byte: u8) -> StoreKeys {
        StoreKeys::derive(&Secret::take(&mut [byte; 32]))
    }

    fn new() -> (tempfile::TempDir, Ring) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let ring = Ring::random(UnixMillis(1)).expect("randomness");
        KeyFile::create(dir.path(), &keys(1), &ring).expect("creates");
        (dir, ring)
    }

    fn open(dir: &Path) -> (KeyFile, Ring) {
        KeyFile::open(dir, &keys(1)).expect("opens")
    }

    /// What each slot holds, read by itself.
    fn slots(dir: &Path) -> [Option<Ring>; 2] {
        let bytes = fs::read(path(dir)).expect("reads");
        [&bytes[..SLOT], &bytes[SLOT..]].map(|slot| match parse(slot, &keys(1).file) {
            Some(Slot::Whole(_, ring)) => Some(ring),
            _ => None,
        })
    }

    #[test]
    fn a_key_that_was_taken_out_is_in_neither_slot() {
        let (dir, one) = new();
        let two = one.with_new(Chain::Hour, UnixMillis(2)).expect("randomness");
        let three = two.without_retiring(Chain::Hour);
        let (mut file, _) = open(dir.path());
        let inode = |dir: &Path| {
            std::os::unix::fs::MetadataExt::ino(&path(dir).metadata().expect("exists"))
        };
        let before = inode(dir.path());

        file.write(&two).expect("writes");
        let both = slots(dir.path()).map(|ring| ring.expect("whole").key(Chain::Hour, 1).is_some());
        file.write(&three).expect("writes");
        let none = slots(dir.path()).map(|ring| ring.expect("whole").key(Chain::Hour, 1).is_some());

        assert_eq!((both, none), ([true; 2], [false; 2]));
        assert_eq!(inode(dir.path()), before, "a new file would leave the old one's blocks");
    }

    #[test]
    fn a_write_that_stops_anywhere_leaves_the_old_or_the_new_keys_and_is_completed() {
        let (dir, one) = new();
        let old = fs::read(path(dir.path())).expect("reads");
        let two = one.with_new(Chain::Hour, UnixMillis(2)).expect("randomness");
        open(dir.path()).0.write(&two).expect("writes");
        let new = fs::read(path(dir.path())).expect("reads");
        // Sequence 2: slot 0 goes first. `done` bytes of the whole are written.
        for done in (0..=2 * SLOT).step_by(61).chain([SLOT, 2 * SLOT]) {
            fs::write(path(dir.path()), [&new[..done], &old[done..]].concat()).expect("writes");

            let (mut file, ring) = open(dir.path());
            file.settle(&ring).expect("settles");

            let expected = if done < SLOT { &one } else { &two };
            assert_eq!(ring.encode(), expected.encode(), "{done}");
            for slot in slots(dir.path()) {
                assert_eq!(slot.expect("whole").encode(), ring.encode(), "{done}");
            }
        }
    }

    /// The slot that does not open goes first, whatever the sequence says: a cut in the middle of
    /// the only one that opens would lose every key.
    #[test]
    fn a_settling_that_stops_anywhere_leaves_a_slot_that_opens() {
        // Which key opens the file, and the slot that is damaged; else one is under another key.
        for (byte, damage) in [(2, None), (1, None), (1, Some(0)), (1, Some(1))] {
            for writes in 0..2 {
                let (dir, ring) = new();
                for _ in 0..writes {
                    open(dir.path()).0.write(&ring).expect("writes");
                }
                let mut before = fs::read(path(dir.path())).expect("reads");
                if let Some(slot) = damage {
                    before[slot * SLOT + 99] ^= 1;
                    fs::write(path(dir.path()), &before).expect("writes");
                } else {
                    open(dir.path()).0.lend(&keys(2), &ring, &ring).expect("lends");
                    before = fs::read(path(dir.path())).expect("reads");
                }
                let (mut file, _) = KeyFile::open(dir.path(), &keys(byte)).expect("opens");
                let slot = usize::try_from(file.order()[0]).expect("0 or 1") * SLOT;
                file.settle(&ring).expect("settles");
                let after = fs::read(path(dir.path())).expect("reads");

                // The cut: the slot that goes first is half written, the other not yet.
                let mut cut = before;
                cut[slot..slot + SLOT / 2].copy_from_slice(&after[slot..slot + SLOT / 2]);
                fs::write(path(dir.path()), cut).expect("writes");

                let found = KeyFile::open(dir.path(), &keys(byte));
                let found =
                    found.unwrap_or_else(|fault| panic!("{byte} {damage:?} {writes}: {fault:?}"));
                assert_eq!(found.1.encode(), ring.encode());
            }
        }
    }

    #[test]
    fn either_slot_may_be_lost_and_two_lost_ones_are_told() {
        for lost in [0..SLOT, SLOT..2 * SLOT, 0..2 * SLOT] {
            let (dir, ring) = new();
            let mut bytes = fs::read(path(dir.path())).expect("reads");
            bytes[lost.clone()].fill(0xAA);
            fs::write(path(dir.path()), &bytes).expect("writes");

            let opened = KeyFile::open(dir.path(), &keys(1));

            match opened {
                Ok((_, found)) if lost.len() == SLOT => assert_eq!(found.encode(), ring.encode()),
                Err(Fault::Damaged("is damaged")) => assert_eq!(lost.len(), 2 * SLOT),
                other => panic!("{lost:?}: {:?}", other.err()),
            }
            assert_eq!(fs::read(path(dir.path())).expect("reads"), bytes, "opening writes nothing");
        }
    }

    #[test]
    fn another_key_and_no_file_and_a_cut_file_are_told_apart() {
        let (dir, _) = new();
        let fault = |dir: &Path, byte| KeyFile::open(dir, &keys(byte)).err().expect("a fault");

        assert!(matches!(fault(dir.path(), 2), Fault::WrongKey));
        let bytes = fs::read(path(dir.path())).expect("reads");
        fs::write(path(dir.path()), &bytes[..SLOT]).expect("writes");
        assert!(matches!(fault(dir.path(), 1), Fault::Damaged("has a wrong length")));
        fs::remove_file(path(dir.path())).expect("removes");
        assert!(matches!(fault(dir.path(), 1), Fault::Missing));
    }

    #[test]
    fn a_lent_file_opens_with_either_key_and_settles_to_the_one_that_opened_it() {
        for (kept, gone) in [(1, 2), (2, 1)] {
            let (dir, ring) = new();
            open(dir.path()).0.lend(&keys(2), &ring, &ring).expect("lends");

            for key in [gone, kept] {
                let (_, found) = KeyFile::open(dir.path(), &keys(key)).expect("opens");
                assert_eq!(found.encode(), ring.encode());
            }
            let (mut file, ring) = KeyFile::open(dir.path(), &keys(kept)).expect("opens");
            file.settle(&ring).expect("settles");

            let old = KeyFile::open(dir.path(), &keys(gone));
            assert!(matches!(old, Err(Fault::WrongKey)), "{gone} still opens it");
        }
    }
}
