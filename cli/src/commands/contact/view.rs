//! `bitchat contact list` and `bitchat contact show WHO`.
//!
//! Exit codes: 8 no such contact, or several.

use super::{person, qr, warn_of_keys};
use crate::client::{self, Client};
use crate::error::Stop;
use crate::output::{Output, stamp, table};
use crate::sanitise;

/// List contacts with fingerprint and verified mark
#[derive(Debug, clap::Args)]
pub(crate) struct List {}

/// Show a contact and the safety number to compare
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Name, account or the start of an account
    who: String,
    /// Draw the safety code for the contact to scan, too
    #[arg(long)]
    qr: bool,
}

impl List {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let contacts = client.contacts().await?;
        if out.is_json() {
            return contacts.iter().try_for_each(|contact| out.object(contact));
        }
        if contacts.is_empty() {
            out.remark("no contacts yet: `bitchat contact invite`, or `bitchat contact add LINK`");
            return Ok(());
        }
        out.line(&table(&contacts.iter().map(row).collect::<Vec<_>>()))
    }
}

impl Show {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let contact = client.contact(&self.who).await?;
        out.answer(&contact, |paint| {
            let mut lines = vec![
                person(&contact, paint),
                format!("calls itself    {}", sanitise::name(&contact.nickname)),
                format!("account         {}", sanitise::line(&contact.account)),
                format!("device          {}", sanitise::line(&contact.device)),
                format!("connected       {}", yes_or_no(contact.connected)),
                format!("verified        {}", yes_or_no(contact.verified)),
                format!("safety number   {}", sanitise::line(&contact.safety_number)),
                format!("safety code     {}", sanitise::line(&contact.safety_code)),
                format!("new devices     {}", new_devices(&contact)),
                format!("read receipts   {}", yes_or_no(contact.read_receipts)),
            ];
            if let Some(prekeys) = contact.prekeys.as_deref() {
                lines.push(format!("session keys    {}", session_keys(prekeys)));
            }
            lines.extend(contact.key_change.iter().map(key_change));
            let addresses = contact.addresses.iter();
            lines.extend(
                addresses.map(|address| format!("address         {}", sanitise::line(address))),
            );
            lines.join("\n")
        })?;
        if self.qr && !out.is_json() {
            out.line(&qr(&contact.safety_code)?)?;
        }
        warn_of_keys(&contact, out);
        Ok(())
    }
}

fn new_devices(contact: &client::Contact) -> &'static str {
    if contact.policy == "verified" { "blocked until trusted" } else { "accepted with a warning" }
}

fn key_change(change: &client::KeyChange) -> String {
    let waits = if change.blocked { "blocked" } else { "in use" };
    let device = sanitise::line(&change.device);
    format!("new device      {device}, {waits}, since {}", stamp(change.at_ms))
}

fn row(contact: &client::Contact) -> Vec<String> {
    vec![
        sanitise::name(&contact.name),
        sanitise::line(&contact.fingerprint),
        if contact.verified { "✓ verified" } else { "unverified" }.to_owned(),
        match &contact.key_change {
            Some(change) if change.blocked => "new device, blocked",
            Some(_) => "new device",
            None => "",
        }
        .to_owned(),
        if contact.connected { "connected" } else { "" }.to_owned(),
    ]
}

/// What the keys of a session mean for somebody who is no cryptographer.
fn session_keys(prekeys: &str) -> String {
    match prekeys {
        "one_time" => "began on one-time keys".to_owned(),
        "partial" => "began on a one-time key of one kind".to_owned(),
        "last_resort" => "began on the last-resort keys: none of one-time use were left".to_owned(),
        other => sanitise::line(other),
    }
}

const fn yes_or_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}
