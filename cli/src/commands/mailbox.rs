//! `bitchat mailbox ..`: mailboxes of ours at other nodes, and those that this node keeps for others.
//!
//! Exit codes: 8 no such mailbox.

use clap::Subcommand;

use crate::client::Client;
use crate::error::Stop;
use crate::output::Output;

mod serve;

/// Mailboxes: they keep messages while the recipient is away
#[derive(Debug, Subcommand)]
pub(crate) enum Mailbox {
    ServeStatus(serve::ServeStatus),
}

impl Mailbox {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        match self {
            Self::ServeStatus(verb) => verb.run(client, out).await,
        }
    }
}
