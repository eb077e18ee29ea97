//! `bitchat history WHO`: a conversation, newest last.
//!
//! Exit codes: 8 no such contact, or several.

use crate::client::{Client, Message};
use crate::error::{Stop, UserError};
use crate::output::{self, Output, Text};

/// Messages asked for at a time; the node gives no more than 1,000.
const PAGE: u64 = 500;

/// Print a conversation
///
/// In the order that both sides see, whatever the clocks say. Marks of what you sent: · queued, → sent,
/// ✓ stored, ✓✓ delivered, ✓✓ read, ✗ failed.
#[derive(Debug, clap::Args)]
pub(crate) struct History {
    /// Name, account or the start of an account
    who: String,
    /// At most this many messages, the newest
    #[arg(long, value_name = "N", default_value = "50")]
    max: u64,
    /// Print texts as they came: control characters reach your terminal
    #[arg(long)]
    raw: bool,
}

impl History {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let text = if self.raw { Text::Raw } else { Text::Clean };
        for message in newest(client, &self.who, self.max).await? {
            out.answer(&message, |paint| output::conversation(&message, text, paint))?;
        }
        Ok(())
    }
}

/// The newest `max` messages, oldest first, page by page from the end.
async fn newest(client: &Client, who: &str, max: u64) -> Result<Vec<Message>, UserError> {
    let mut pages = Vec::new();
    let (mut left, mut before) = (max, None);
    while left > 0 {
        let page = client.history(who, left.min(PAGE), before).await?;
        let Some(first) = page.iter().map(|message| message.index).min() else {
            break;
        };
        before = Some(first);
        left = left.saturating_sub(u64::try_from(page.len()).unwrap_or(u64::MAX));
        pages.push(page);
    }
    let mut messages: Vec<_> = pages.into_iter().rev().flatten().collect();
    messages.sort_by_key(|message| (message.lamport, message.index));
    Ok(messages)
}
