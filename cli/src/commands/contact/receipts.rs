//! `bitchat contact receipts WHO on|off|default`: is the contact told what was read?
//!
//! Exit codes: 8 no such contact, or several.

use clap::ValueEnum;

use super::person;
use crate::client::{Change, Client};
use crate::error::Stop;
use crate::output::Output;

/// Say whether a contact is told that you have read its messages
#[derive(Debug, clap::Args)]
pub(crate) struct Receipts {
    /// Name, account or the start of an account
    who: String,
    /// Whether it is told
    wish: Wish,
}

/// Whether a contact is told.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wish {
    /// It is
    On,
    /// It is not
    Off,
    /// As `[privacy] read_receipts` says
    Default,
}

impl Receipts {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let word = match self.wish {
            Wish::On => "on",
            Wish::Off => "off",
            Wish::Default => "default",
        };
        let contact = client.change(&self.who, Change::ReadReceipts(word)).await?;
        out.confirm(&contact, |paint| {
            let told = if contact.read_receipts { "is told" } else { "is not told" };
            format!("{} {told} what you have read", person(&contact, paint))
        })
    }
}
