//! `bitchat queue list|show|cancel|retry`: what is not delivered yet, and what can be done about it.
//!
//! Exit codes: 1 accepted already, not to be cancelled · 8 no such message, or it does not wait.

use clap::Subcommand;

use crate::args::brief;
use crate::client::{Client, QueueRow, Track, Waits};
use crate::error::Stop;
use crate::output::{self, Colour, Output, Paint, mark, stamp, table};
use crate::sanitise;

/// Look at messages that are not delivered yet, take them back, try them now
#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    List(List),
    Show(Show),
    Cancel(Cancel),
    Retry(Retry),
}

/// List messages that wait for a receipt, oldest first
#[derive(Debug, clap::Args)]
pub(crate) struct List {}

/// Show everything that is known of a message: each state that it reached, with its evidence
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The id that `send` printed; also of a message that was delivered or has ended
    id: String,
}

/// Take a message back that nobody has accepted yet
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    /// The id that `queue list` prints
    id: String,
}

/// Try a message now instead of at its next attempt
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    /// The id that `queue list` prints
    id: String,
}

impl Queue {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        match self {
            Self::List(List {}) => list(client, out).await,
            Self::Show(Show { id }) => {
                let known = client.track(&id).await?;
                out.answer(&known, |paint| track(&known, paint))
            }
            Self::Cancel(Cancel { id }) => {
                let ended = client.cancel(&id).await?;
                out.confirm(&ended, |paint| output::delivery(&ended, paint))
            }
            Self::Retry(Retry { id }) => {
                let known = client.retry(&id).await?;
                out.confirm(&known, |paint| track(&known, paint))
            }
        }
    }
}

async fn list(client: &Client, out: &mut Output) -> Result<(), Stop> {
    let rows = client.queue().await?;
    if out.is_json() {
        return rows.iter().try_for_each(|row| out.object(row));
    }
    if rows.is_empty() {
        out.remark("nothing waits");
        return Ok(());
    }
    let paint = out.paint().plain();
    out.line(&table(&rows.iter().map(|row| cells(row, paint)).collect::<Vec<_>>()))
}

fn cells(row: &QueueRow, paint: Paint) -> Vec<String> {
    vec![
        mark(&row.state, paint),
        sanitise::line(&row.id),
        format!("to {}", sanitise::name(&row.to)),
        stamp(row.created_ms),
        format!("{} bytes", row.bytes),
        format!("{} attempts", row.attempts),
        format!("given up after {}", brief(row.expires_ms.saturating_sub(row.created_ms))),
    ]
}

/// Every step of a message, and what comes next.
fn track(known: &Track, paint: Paint) -> String {
    let delivery = &known.delivery;
    let id = sanitise::line(&delivery.id);
    let mut lines = vec![format!("{id}  to {}", sanitise::name(&delivery.to))];
    for step in &known.steps {
        let time = paint.on(Colour::Dim, &stamp(step.at_ms));
        let (state, evidence) = (sanitise::line(&step.state), sanitise::line(&step.evidence));
        lines.push(format!("  {time}  {} {state}: {evidence}", sign(&step.state, paint)));
    }
    for receipt in &known.custody {
        let (mailbox, until) = (sanitise::line(&receipt.mailbox), stamp(receipt.until_ms));
        lines.push(format!("  custody        {mailbox} until {until}"));
    }
    if let Some(at) = known.late_receipt_ms {
        let what = "the recipient's device has it all the same, its receipt came too late";
        lines.push(format!("  late receipt   {}: {what}", stamp(at)));
    }
    lines.extend(known.waits.iter().flat_map(waits));
    lines.join("\n")
}

/// The mark alone, where the word follows.
fn sign(state: &str, paint: Paint) -> String {
    match state {
        "expired" | "undeliverable" | "rejected" => paint.on(Colour::Red, paint.either("✗", "x")),
        "read" => mark("delivered", paint),
        other => mark(other, paint),
    }
}

fn waits(waits: &Waits) -> Vec<String> {
    let next = match waits.next_attempt_ms {
        _ if waits.blocked => "when you trust the contact's new device".to_owned(),
        Some(at) => stamp(at),
        None => "when the contact is reached, or its receipt comes".to_owned(),
    };
    let mut lines = vec![
        format!("  attempts       {} since the node started", waits.attempts),
        format!("  next attempt   {next}"),
    ];
    if let (Some(what), Some(at)) = (&waits.last_error, waits.last_error_ms) {
        lines.push(format!("  last trouble   {}: {}", stamp(at), sanitise::line(what)));
    }
    lines.push(format!("  given up       {}", stamp(waits.expires_ms)));
    lines
}
