//! Writing a backup, chunk by chunk.

use std::io::Write;

use bitchat_protocol::backup::{Head, Intake, Item, MAGIC};
use bitchat_protocol::crypto::{AgeHeader, AgeSealer, CHUNK_BYTES, WORK};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use zeroize::{Zeroize, Zeroizing};

use super::{Contents, damaged, failed, normal};
use crate::error::NodeError;
use crate::keystore::Secrets;
use crate::profile::wall_clock;

/// A backup that is being written.
pub struct Creator<W> {
    sink: W,
    sealer: AgeSealer,
    /// Plaintext of the chunk under way.
    chunk: Zeroizing<Vec<u8>>,
    /// Holds what comes in to the order of a backup, and counts it.
    intake: Intake,
    head: Head,
}

impl<W: Write> Creator<W> {
    /// Begins a backup of this identity under a passphrase; takes a second (scrypt).
    ///
    /// # Errors
    ///
    /// [`NodeError::WeakPassphrase`], [`NodeError::BackupIo`].
    pub fn begin(
        sink: W,
        passphrase: &str,
        secrets: &Secrets,
        history: bool,
    ) -> Result<Self, NodeError> {
        let passphrase = normal(passphrase)?;
        passphrase.check_strength(&secrets.nickname)?;
        let head = Head {
            phrase_entropy: secrets.phrase_entropy.duplicate(),
            nickname: secrets.nickname.clone(),
            number: secrets.number,
            generation: secrets.generation,
            created: wall_clock(),
            history,
        };
        Self::with(sink, passphrase.expose().as_bytes(), WORK, head)
    }

    /// As [`Creator::begin`], for a head and a cost that are given.
    pub(super) fn with(
        mut sink: W,
        passphrase: &[u8],
        work: u8,
        head: Head,
    ) -> Result<Self, NodeError> {
        let created = AgeHeader::create(passphrase, work, &mut UnwrapErr(SysRng));
        let (header, sealer) = created.map_err(|_| NodeError::bug("age header"))?;
        sink.write_all(&header).map_err(|error| failed("cannot write the backup", &error))?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        let first = Item::Head(head.duplicate()).frame();
        let mut creator = Self { sink, sealer, chunk, intake: Intake::default(), head };
        creator.put(MAGIC)?;
        creator.take(&first)?;
        Ok(creator)
    }

    /// Takes whole or cut items as the node hands them out.
    ///
    /// # Errors
    ///
    /// [`NodeError::BackupDamaged`] if they are none, [`NodeError::BackupIo`].
    pub fn take(&mut self, items: &[u8]) -> Result<(), NodeError> {
        self.intake.push(items);
        while self.intake.item().map_err(|error| damaged(error.0))?.is_some() {}
        self.put(items)
    }

    /// Writes the end.
    ///
    /// # Errors
    ///
    /// As [`Creator::take`].
    pub fn finish(mut self) -> Result<(W, Contents), NodeError> {
        let counts = self.intake.counts();
        self.take(&Item::End(counts).frame())?;
        if !self.intake.is_complete() {
            return Err(damaged("an item is cut"));
        }
        self.seal(true)?;
        self.sink.flush().map_err(|error| failed("cannot write the backup", &error))?;
        let contents = Contents::new(&self.head, counts)?;
        Ok((self.sink, contents))
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), NodeError> {
        while !bytes.is_empty() {
            if self.chunk.len() == CHUNK_BYTES {
                self.seal(false)?;
            }
            let room = CHUNK_BYTES - self.chunk.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn seal(&mut self, last: bool) -> Result<(), NodeError> {
        let sealed = self.sealer.seal(&self.chunk, last);
        let sealed = sealed.map_err(|_| NodeError::bug("age chunk"))?;
        self.chunk.zeroize(); // Empties it and keeps its room.
        let written = self.sink.write_all(&sealed);
        written.map_err(|error| failed("cannot write the backup", &error))
    }
}

impl<W> std::fmt::Debug for Creator<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Creator({:?})", self.intake)
    }
}
