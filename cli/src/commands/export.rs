//! `bitchat export-envelope ID|--all > F`: what waits, sealed, for whoever carries the file.
//!
//! Exit codes: 0 written, also when nothing waited · 1 stdout is a terminal · 6 the message waits for
//! receipts of earlier ones · 8 no such message waits, or its recipient's keys are not known.

use bitchat_node::envelopes::{MAGIC, Writer};
use bitchat_node::error::Category;
use clap::ArgGroup;
use serde::Serialize;

use crate::client::{Client, Exported};
use crate::error::{Stop, UserError};
use crate::output::Output;

/// Write messages that wait into a file, sealed for their recipients
///
/// Whoever carries the file learns neither who wrote nor to whom. The recipient reads it with `bitchat
/// import-envelope`; everybody else finds nothing in it. Receipts for messages that came by file go
/// along with `--all`. A message stays queued until its receipt comes back, by file or by network.
#[derive(Debug, clap::Args)]
#[command(group(ArgGroup::new("what").required(true).args(["id", "all"])))]
pub(crate) struct ExportEnvelope {
    /// One message: its id, as `bitchat queue list` shows it
    id: Option<String>,
    /// Everything that waits, and the receipts that are owed
    #[arg(long)]
    all: bool,
}

/// What the file holds and what it lacks.
#[derive(Debug, Default, Serialize)]
struct Summary {
    messages: u64,
    receipts: u64,
    no_keys: u64,
    held_back: u64,
}

impl ExportEnvelope {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        if Output::is_terminal() {
            let hint = "send it to a file: `bitchat export-envelope --all > F`";
            return Err(
                UserError::usage("terminal", "envelopes are no text to look at", hint).into()
            );
        }
        if let Some(id) = self.id.as_deref() {
            check_id(id)?;
        }
        let mut page = client.export(self.id.as_deref(), None).await?;
        if self.id.is_some() {
            check(&page)?;
        }
        let (mut writer, mut summary) = (Writer::default(), Summary::default());
        out.bytes(MAGIC)?;
        loop {
            for seal in page.seals()? {
                out.bytes(&writer.record(&seal))?;
            }
            summary.add(&page);
            let Some(after) = page.next.take() else { break };
            page = client.export(None, Some(&after)).await?;
        }
        out.bytes(&writer.end())?;
        out.flush()?;
        summary.tell(out);
        Ok(())
    }
}

/// A name or half an id is a slip that deserves more than "bad request".
fn check_id(id: &str) -> Result<(), UserError> {
    let is_digit = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
    if id.len() == 32 && id.bytes().all(is_digit) {
        return Ok(());
    }
    let message = "a message id has 32 digits of 0-9 and a-f";
    let hint = "`bitchat queue list` shows the ids; `bitchat export-envelope --all` takes all";
    Err(UserError::usage("bad_request", message, hint))
}

/// Whether the one message that was asked for is there.
fn check(page: &Exported) -> Result<(), UserError> {
    if page.no_keys > 0 {
        let hint = "connect once, or add the contact by a full link of `bitchat contact invite`";
        let message = "the keys of the recipient are not known, or out of date";
        return Err(UserError::new(Category::NotFound, "no_keys", message, hint));
    }
    if page.held_back > 0 {
        let hint = "export the earlier ones first: `bitchat export-envelope --all`";
        let message = "the message waits for receipts of earlier ones";
        return Err(UserError::new(Category::TimedOut, "held_back", message, hint));
    }
    Ok(())
}

impl Summary {
    const fn add(&mut self, page: &Exported) {
        self.messages = self.messages.saturating_add(page.messages);
        self.receipts = self.receipts.saturating_add(page.receipts);
        self.no_keys = self.no_keys.saturating_add(page.no_keys);
        self.held_back = self.held_back.saturating_add(page.held_back);
    }

    /// On stderr: stdout is the file.
    fn tell(&self, out: &mut Output) {
        if out.is_json() {
            return out.log(self);
        }
        let Self { messages, receipts, no_keys, held_back } = self;
        out.remark(&format!("exported: {messages} messages, receipts for {receipts}"));
        if *no_keys > 0 {
            out.remark(&format!("left out: {no_keys} for contacts whose keys are not known"));
        }
        if *held_back > 0 {
            out.remark(&format!("left out: {held_back} that wait for receipts of earlier ones"));
        }
    }
}
