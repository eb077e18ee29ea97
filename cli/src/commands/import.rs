//! `bitchat import-envelope < F`: messages and receipts out of a file, as if they had come by network.
//!
//! Exit codes: 0 read to its end · 1 no file of envelopes, or of a newer version · 3 damaged, or cut
//! short; what was whole has been taken.

use std::io::{self, IsTerminal, Read};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bitchat_node::control::BODY_BYTES_MAX;
use bitchat_node::envelopes::{FileError, Reader, Record};
use bitchat_node::error::Category;
use serde::Serialize;
use tokio::time::sleep;

use crate::client::{Client, Imported};
use crate::error::{Stop, UserError};
use crate::output::Output;

/// Bytes read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Envelopes and bytes of one request.
const BATCH_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = BODY_BYTES_MAX - 8 * 1024;

/// Strangers are admitted one by one; how often those that were too many are given again.
const AGAIN_MAX: u32 = 40;
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Read messages and receipts out of a file on stdin
///
/// Takes what is for this profile and leaves the rest. Reading a file twice does no harm.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportEnvelope {}

/// What became of the envelopes of a file.
#[derive(Debug, Default, Serialize)]
struct Summary {
    delivered: u64,
    receipts: u64,
    duplicates: u64,
    not_for_us: u64,
    refused: u64,
    damaged: u64,
}

/// Envelopes that were read and not given to the node.
#[derive(Default)]
struct Batch {
    envelopes: Vec<String>,
    bytes: usize,
}

impl ImportEnvelope {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let Self {} = self;
        if io::stdin().is_terminal() {
            let hint = "give it on stdin: `bitchat import-envelope < F`";
            return Err(UserError::usage("terminal", "a file of envelopes is missing", hint).into());
        }
        let mut summary = Summary::default();
        let ended = read_all(client, &mut summary).await?;
        if let Err(error @ (FileError::Foreign | FileError::Newer)) = ended {
            return Err(unreadable(error).into());
        }
        out.answer(&summary, |_| summary.line())?;
        out.flush()?;
        ended.map_err(unreadable)?;
        if summary.damaged > 0 { Err(unreadable(FileError::Damaged).into()) } else { Ok(()) }
    }
}

/// Reads stdin to its end, or to where it makes no sense any more.
async fn read_all(
    client: &Client,
    summary: &mut Summary,
) -> Result<Result<(), FileError>, UserError> {
    let (mut reader, mut batch) = (Reader::default(), Batch::default());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = io::stdin().lock().read(&mut piece);
        let read = read.map_err(|error| UserError::io("cannot read stdin", &error))?;
        if read == 0 {
            batch.give(client, summary).await?;
            return Ok(reader.finish());
        }
        reader.feed(piece.get(..read).unwrap_or_default());
        loop {
            match reader.read() {
                Ok(Some(Record::Seal(seal))) => batch.add(&seal, client, summary).await?,
                Ok(Some(Record::Damaged)) => summary.damaged = summary.damaged.saturating_add(1),
                Ok(None) => break,
                Err(error) => {
                    batch.give(client, summary).await?;
                    return Ok(Err(error));
                }
            }
        }
    }
}

impl Batch {
    async fn add(
        &mut self,
        seal: &[u8],
        client: &Client,
        summary: &mut Summary,
    ) -> Result<(), UserError> {
        let text = STANDARD.encode(seal);
        let bytes = text.len().saturating_add(3); // Quotes and comma.
        if self.envelopes.len() >= BATCH_MAX || self.bytes.saturating_add(bytes) > BATCH_BYTES_MAX {
            self.give(client, summary).await?;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.envelopes.push(text);
        Ok(())
    }

    /// Gives what was read to the node; what is too much at once, again and again.
    async fn give(&mut self, client: &Client, summary: &mut Summary) -> Result<(), UserError> {
        let mut envelopes = std::mem::take(&mut self.envelopes);
        self.bytes = 0;
        for _ in 0..AGAIN_MAX {
            if envelopes.is_empty() {
                return Ok(());
            }
            let answer = client.import(&envelopes).await?;
            summary.add(&answer);
            let busy = answer.busy.iter().filter_map(|place| envelopes.get(*place).cloned());
            envelopes = busy.collect();
            if !envelopes.is_empty() {
                sleep(AGAIN_AFTER).await;
            }
        }
        let left = u64::try_from(envelopes.len()).unwrap_or(u64::MAX);
        summary.refused = summary.refused.saturating_add(left);
        Ok(())
    }
}

impl Summary {
    const fn add(&mut self, answer: &Imported) {
        self.delivered = self.delivered.saturating_add(answer.delivered);
        self.receipts = self.receipts.saturating_add(answer.receipts);
        self.duplicates = self.duplicates.saturating_add(answer.duplicates);
        self.not_for_us = self.not_for_us.saturating_add(answer.not_for_us);
        self.refused = self.refused.saturating_add(answer.refused);
    }

    fn line(&self) -> String {
        let Self { delivered, receipts, duplicates, not_for_us, refused, damaged } = self;
        format!(
            "delivered {delivered}, receipts {receipts}, duplicates {duplicates}, \
             not for us {not_for_us}, refused {refused}, damaged {damaged}"
        )
    }
}

fn unreadable(error: FileError) -> UserError {
    const COPY: &str = "copy the file again; what was whole has been taken, and reading a file \
        twice does no harm";
    let (category, code, hint) = match error {
        FileError::Foreign => {
            (Category::Usage, "not_envelopes", "make one with `bitchat export-envelope --all > F`")
        }
        FileError::Newer => (Category::Usage, "envelopes_version", "use a newer `bitchat`"),
        FileError::Damaged => (Category::Network, "envelopes_damaged", COPY),
        FileError::Truncated => (Category::Network, "envelopes_truncated", COPY),
    };
    UserError::new(category, code, error.to_string(), hint)
}
