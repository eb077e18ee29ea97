//! `bitchat session reset WHO`: new keys for a conversation.
//!
//! Exit codes: 4 the contact's new device is not trusted · 8 no such contact, or several.

use clap::Subcommand;

use crate::client::Client;
use crate::commands::contact::person;
use crate::error::Stop;
use crate::output::Output;

/// The encrypted session with a contact
#[derive(Debug, Subcommand)]
pub(crate) enum Session {
    Reset(Reset),
}

/// Start a new session; what waits is encrypted anew and nothing is lost
#[derive(Debug, clap::Args)]
pub(crate) struct Reset {
    /// Name, account or the start of an account
    who: String,
}

impl Session {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let Self::Reset(Reset { who }) = self;
        let contact = client.reset_session(&who).await?;
        out.confirm(&contact, |paint| {
            format!("a new session with {} begins with the next message", person(&contact, paint))
        })
    }
}
