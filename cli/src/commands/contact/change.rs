//! `bitchat contact verify`, `rename` and `remove`.
//!
//! Exit codes: 1 unusable name · 8 no such contact, or several.

use serde_json::json;

use super::person;
use crate::client::Client;
use crate::error::Stop;
use crate::output::Output;
use crate::sanitise;

/// Mark a contact as verified, after comparing the safety number with that person
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Name, account or the start of an account
    who: String,
    /// Take the mark away
    #[arg(long)]
    undo: bool,
}

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

impl Verify {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let contact = client.change(&self.who, None, Some(!self.undo)).await?;
        out.confirm(&contact, |paint| {
            let person = person(&contact, paint);
            if self.undo {
                return format!("{person} is not verified any more");
            }
            let number = sanitise::line(&contact.safety_number);
            format!("{person} is verified; the safety number is\n  {number}")
        })
    }
}

impl Rename {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let contact = client.change(&self.who, Some(&self.new), None).await?;
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
