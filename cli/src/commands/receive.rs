//! `bitchat receive [--follow]`: what came in, each message once.
//!
//! A message is acknowledged after it was written, flushed and, from a pipe, taken: a crash in
//! between shows it again, never loses it. Exit codes: 0, also when there was nothing or the reader
//! went away.

use std::pin::pin;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind};
use tokio::time::{Instant, sleep};

use crate::args::Span;
use crate::client::{Client, Inbox, Message};
use crate::error::Stop;
use crate::output::{Output, Text};
use crate::signals;

mod handover;

use handover::Handover;

/// Messages asked for at a time: what one flush and one acknowledgement cover.
const PAGE: u64 = 100;

/// How long one question waits in `--follow` before it is asked anew.
const POLL: Duration = Duration::from_secs(25);

/// How often the reader of stdout is looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
        let text = if self.raw { Text::Raw } else { Text::Clean };
        let mover = self.since.is_none().then(|| self.reader.clone());
        let mut handover = Handover::new(client, out, text, mover);
        let mut seen = 0;
        let mut since = self.since;
        loop {
            let max = self.max.map_or(PAGE, |max| max.saturating_sub(seen).min(PAGE));
            if max == 0 {
                return handover.finish().await;
            }
            // Only the first message is waited for, unless there is no end.
            let patience =
                if seen == 0 { deadline.duration_since(Instant::now()) } else { Duration::ZERO };
            let wait = if self.follow { POLL } else { patience.min(POLL) };
            let wanted = Inbox { reader: self.reader.clone(), since, max, wait };
            let Some(messages) = next(client, &wanted, &mut interrupts, &mut handover).await?
            else {
                return handover.look().await;
            };
            let Some(last) = messages.last() else {
                if !self.follow && (seen > 0 || deadline <= Instant::now()) {
                    return handover.finish().await;
                }
                // A node that stops answers at once.
                sleep(PAUSE).await;
                continue;
            };
            handover.print(&messages).await?;
            // Printed is not acknowledged: the cursor of the reader may be behind.
            since = Some(last.cursor);
            seen = seen.saturating_add(u64::try_from(messages.len()).unwrap_or(u64::MAX));
        }
    }
}

/// The next messages; `None` if the user interrupted the wait.
async fn next(
    client: &Client,
    wanted: &Inbox,
    interrupts: &mut Signal,
    handover: &mut Handover<'_>,
) -> Result<Option<Vec<Message>>, Stop> {
    let mut question = pin!(client.inbox(wanted));
    loop {
        tokio::select! {
            messages = &mut question => return Ok(Some(messages?)),
            _ = interrupts.recv() => return Ok(None),
            () = sleep(LOOK_EVERY) => handover.look().await?,
        }
    }
}
