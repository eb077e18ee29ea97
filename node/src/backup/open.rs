//! Reading a backup: header, chunks, items; everything is checked before it is believed.

use std::io::{BufRead, BufReader, Read};

use bitchat_protocol::backup::{Head, Intake, Item, MAGIC};
use bitchat_protocol::crypto::{
    AgeError, AgeHeader, AgeOpener, CHUNK_BYTES, CHUNK_TAG_BYTES, HEADER_BYTES_MAX,
    PAYLOAD_NONCE_BYTES,
};

use super::{Contents, damaged, failed, normal};
use crate::error::NodeError;

/// What every version of the payload begins with, before its number.
const MAGIC_START: &[u8] = b"bitchat backup ";

/// A backup that is being read; its head has been.
pub(super) struct Opened<R> {
    input: BufReader<R>,
    opener: AgeOpener,
    intake: Intake,
    head: Head,
    ended: bool,
}

/// Reads all of a backup and says what is in it.
///
/// # Errors
///
/// [`NodeError::NotABackup`], [`NodeError::BackupVersion`], [`NodeError::BackupPassphrase`],
/// [`NodeError::BackupDamaged`], [`NodeError::BackupIo`].
pub fn verify(input: impl Read, passphrase: &str) -> Result<Contents, NodeError> {
    let mut backup = Opened::new(input, passphrase)?;
    while backup.item()?.is_some() {}
    backup.contents()
}

impl<R: Read> Opened<R> {
    /// Reads as far as the head.
    pub(super) fn new(input: R, passphrase: &str) -> Result<Self, NodeError> {
        let passphrase = normal(passphrase)?;
        let mut input = BufReader::new(input);
        let header = AgeHeader::parse(&read_header(&mut input)?).map_err(of_age)?;
        let mut nonce = [0; PAYLOAD_NONCE_BYTES];
        input.read_exact(&mut nonce).map_err(|error| unreadable(&error))?;
        let mut opener = header.open(passphrase.expose().as_bytes(), &nonce).map_err(of_age)?;
        let (first, mut ended) = next_chunk(&mut input, &mut opener)?;
        let mut intake = Intake::default();
        intake.push(first.strip_prefix(MAGIC).ok_or_else(|| other_payload(&first))?);
        let head = loop {
            match intake.item().map_err(|error| damaged(error.0))? {
                Some(Item::Head(head)) => break head,
                Some(_) => return Err(damaged("the identity")),
                None if ended => return Err(damaged("it ends too early")),
                None => {
                    let (chunk, last) = next_chunk(&mut input, &mut opener)?;
                    intake.push(&chunk);
                    ended = last;
                }
            }
        };
        Ok(Self { input, opener, intake, head, ended })
    }

    /// The next item; `None` after the last chunk.
    pub(super) fn item(&mut self) -> Result<Option<Item>, NodeError> {
        loop {
            if let Some(item) = self.intake.item().map_err(|error| damaged(error.0))? {
                return Ok(Some(item));
            }
            if self.ended {
                return Ok(None);
            }
            let (chunk, last) = next_chunk(&mut self.input, &mut self.opener)?;
            self.intake.push(&chunk);
            self.ended = last;
        }
    }

    pub(super) const fn head(&self) -> &Head {
        &self.head
    }

    /// What was in it, once all of it has been read.
    pub(super) fn contents(&self) -> Result<Contents, NodeError> {
        if !self.ended || !self.intake.is_complete() {
            return Err(damaged("it ends too early"));
        }
        Contents::new(&self.head, self.intake.counts())
    }
}

/// The lines up to the one with the MAC.
fn read_header(input: &mut impl BufRead) -> Result<Vec<u8>, NodeError> {
    let mut header = Vec::new();
    let limit = u64::try_from(HEADER_BYTES_MAX).unwrap_or(u64::MAX);
    let mut input = input.take(limit);
    loop {
        let start = header.len();
        let read = input.read_until(b'\n', &mut header).map_err(|error| unreadable(&error))?;
        let line = header.get(start..).unwrap_or_default();
        let first_is_age = start > 0 || line == b"age-encryption.org/v1\n";
        if read == 0 || !first_is_age || !line.ends_with(b"\n") {
            return Err(if start > 0 && first_is_age {
                damaged("the header is cut")
            } else {
                NodeError::NotABackup
            });
        }
        if line.starts_with(b"---") {
            return Ok(header);
        }
    }
}

/// The next chunk opened, and whether it was the last.
fn next_chunk(
    input: &mut impl BufRead,
    opener: &mut AgeOpener,
) -> Result<(zeroize::Zeroizing<Vec<u8>>, bool), NodeError> {
    let limit = CHUNK_BYTES + CHUNK_TAG_BYTES;
    let mut sealed = Vec::with_capacity(limit);
    let mut part = input.by_ref().take(u64::try_from(limit).unwrap_or(u64::MAX));
    part.read_to_end(&mut sealed).map_err(|error| unreadable(&error))?;
    let last = input.fill_buf().map_err(|error| unreadable(&error))?.is_empty();
    let opened = opener.open(&sealed, last).map_err(of_age)?;
    Ok((opened, last))
}

/// Something that age could open and that is no payload of this version.
fn other_payload(first: &[u8]) -> NodeError {
    let found = first.strip_prefix(MAGIC_START).and_then(|rest| {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        std::str::from_utf8(rest.get(..digits)?).ok()?.parse().ok()
    });
    found.map_or(NodeError::NotABackup, |found| NodeError::BackupVersion { found })
}

fn of_age(error: AgeError) -> NodeError {
    match error {
        AgeError::Foreign => NodeError::NotABackup,
        AgeError::Work => damaged("it asks for more memory than any backup of ours"),
        AgeError::Passphrase => NodeError::BackupPassphrase,
        AgeError::Damaged => damaged("a part of it does not open"),
    }
}

fn unreadable(error: &std::io::Error) -> NodeError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return damaged("it ends too early");
    }
    failed("cannot read the backup", error)
}
