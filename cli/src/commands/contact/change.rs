//! `bitchat contact rename` and `remove`.
//!
//! Exit codes: 1 unusable name · 8 no such contact, or several.

use serde_json::json;

use super::person;
use crate::client::{Change, Client};
use crate::error::Stop;
use crate::output::Output;
use crate::sanitise;

/// Give a contact another name
///
/// Two contacts may have the same name; then both answer to their account or fingerprint only.
#[derive(Debug, clap::Args)]
pub(crate) struct Rename {
    /// Name, account or the start of an account
    who: String,
    /// The new name; only you see it
    new: String,
}

/// Forget a contact, its session and what waits for it; the history stays unless asked
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    /// Name, account or the start of an account
    who: String,
    /// Erase every message as well; give the whole account if the contact was removed before
    #[arg(long)]
    history: bool,
    /// Really
    #[arg(long, required = true)]
    yes: bool,
}

impl Rename {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let contact = client.change(&self.who, Change::Name(&self.new)).await?;
        out.confirm(&contact, |paint| {
            format!("{} is now {}", sanitise::name(&self.who), person(&contact, paint))
        })?;
        // Allowed, because names are the user's; said, because neither contact answers to it now.
        if let Err(error) = client.contact(&self.new).await
            && error.code == "ambiguous_contact"
        {
            out.warn("ambiguous_name", &error.message, &error.hint);
        }
        Ok(())
    }
}

impl Remove {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        client.remove(&self.who, self.history.then_some(true)).await?;
        out.confirm(&json!({ "removed": self.who, "history": self.history }), |_| {
            let messages = if self.history { " and every message" } else { "" };
            format!("removed {}{messages}", sanitise::name(&self.who))
        })
    }
}
