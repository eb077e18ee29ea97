//! `bitchat queue list`: what is not delivered yet.

use clap::Subcommand;

use crate::args::brief;
use crate::client::{Client, QueueRow};
use crate::error::Stop;
use crate::output::{Output, Paint, mark, stamp, table};
use crate::sanitise;

/// Look at messages that are not delivered yet
#[derive(Debug, Subcommand)]
pub(crate) enum Queue {
    List(List),
}

/// List messages that wait for a receipt, oldest first
#[derive(Debug, clap::Args)]
pub(crate) struct List {}

impl Queue {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let Self::List(List {}) = self;
        let rows = client.queue().await?;
        if out.is_json() {
            return rows.iter().try_for_each(|row| out.object(row));
        }
        if rows.is_empty() {
            out.remark("nothing waits");
            return Ok(());
        }
        out.line(&table(&rows.iter().map(cells).collect::<Vec<_>>()))
    }
}

fn cells(row: &QueueRow) -> Vec<String> {
    vec![
        mark(&row.state, Paint::default()),
        sanitise::line(&row.id),
        format!("to {}", sanitise::name(&row.to)),
        stamp(row.created_ms),
        format!("{} bytes", row.bytes),
        format!("{} attempts", row.attempts),
        format!("given up after {}", brief(row.expires_ms.saturating_sub(row.created_ms))),
    ]
}
