//! `bitchat receive [--follow]`: what came in, each message once.
//!
//! A message is acknowledged after it was written and flushed: a crash between the two shows it
//! again, never loses it. Exit codes: 0, also when there was nothing or the reader went away.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind};
use tokio::time::{Instant, sleep};

use crate::args::Span;
use crate::client::{Client, Inbox, Message};
use crate::error::{Stop, UserError};
use crate::output::{self, Output, Text};
use crate::signals;

/// Messages asked for at a time: what one flush and one acknowledgement cover.
const PAGE: u64 = 100;

/// How long one question waits in `--follow` before it is asked anew.
const POLL: Duration = Duration::from_secs(25);

/// Pause after an empty answer.
const PAUSE: Duration = Duration::from_millis(50);

/// Print messages that were not read yet, and acknowledge them
#[derive(Debug, clap::Args)]
pub(crate) struct Receive {
    /// Go on until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Read again what came after this cursor, without acknowledging
    #[arg(long, value_name = "CURSOR")]
    since: Option<u64>,
    /// End after this many messages
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// Name of the cursor: each reader sees every message once
    #[arg(long, value_name = "NAME", default_value = "default")]
    reader: String,
    /// Wait this long for the first message
    #[arg(long, value_name = "SPAN", default_value = "0s")]
    timeout: Span,
    /// Print texts as they came: control characters reach your terminal
    #[arg(long)]
    raw: bool,
}

impl Receive {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let deadline = Instant::now() + self.timeout.duration();
        let mut interrupts = signals::take(SignalKind::interrupt())?;
        let mut seen = 0;
        let mut since = self.since;
        loop {
            let max = self.max.map_or(PAGE, |max| max.saturating_sub(seen).min(PAGE));
            if max == 0 {
                return Ok(());
            }
            // Only the first message is waited for, unless there is no end.
            let patience =
                if seen == 0 { deadline.duration_since(Instant::now()) } else { Duration::ZERO };
            let wait = if self.follow { POLL } else { patience.min(POLL) };
            let wanted = Inbox { reader: self.reader.clone(), since, max, wait };
            let Some(messages) = next(client, &wanted, &mut interrupts).await? else {
                return Ok(());
            };
            let Some(last) = messages.last() else {
                if !self.follow && (seen > 0 || deadline <= Instant::now()) {
                    return Ok(());
                }
                // A node that stops answers at once.
                sleep(PAUSE).await;
                continue;
            };
            self.print(&messages, out)?;
            if since.is_some() {
                since = Some(last.cursor);
            } else {
                client.acknowledge(&self.reader, last.cursor).await?;
            }
            seen = seen.saturating_add(u64::try_from(messages.len()).unwrap_or(u64::MAX));
        }
    }

    /// Prints and flushes; afterwards the messages may be acknowledged.
    fn print(&self, messages: &[Message], out: &mut Output) -> Result<(), Stop> {
        let text = if self.raw { Text::Raw } else { Text::Clean };
        for message in messages {
            out.answer(message, |paint| output::received(message, text, paint))?;
        }
        out.flush()
    }
}

/// The next messages; `None` if the user interrupted the wait.
async fn next(
    client: &Client,
    wanted: &Inbox,
    interrupts: &mut Signal,
) -> Result<Option<Vec<Message>>, UserError> {
    tokio::select! {
        messages = client.inbox(wanted) => messages.map(Some),
        _ = interrupts.recv() => Ok(None),
    }
}
