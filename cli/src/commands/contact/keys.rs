//! `bitchat contact verify`, `policy` and `trust`: whose keys are these?
//!
//! Exit codes: 1 not a safety code · 8 no such contact, or several · 12 the safety code does not match.

use std::io::{self, Read};

use clap::ValueEnum;

use super::person;
use crate::client::{Change, Client};
use crate::error::{Stop, UserError};
use crate::output::Output;
use crate::sanitise;

/// Longest safety code that is read from stdin.
const CODE_BYTES_MAX: u64 = 1_024;

/// Mark a contact as verified, after comparing the safety number with that person
#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// Name, account or the start of an account
    who: String,
    /// Take the mark away
    #[arg(long, conflicts_with = "scanned")]
    undo: bool,
    /// Compare this safety code, scanned from the contact's screen; `-`: from stdin
    #[arg(long, value_name = "CODE", allow_hyphen_values = true)]
    scanned: Option<String>,
}

/// Say what happens when a contact comes with a new device
#[derive(Debug, clap::Args)]
pub(crate) struct Policy {
    /// Name, account or the start of an account
    who: String,
    /// What happens
    policy: KeyPolicy,
}

/// What happens when a contact comes with a new device.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KeyPolicy {
    /// It is accepted, with a warning
    Tofu,
    /// Nothing goes to it or comes from it until `contact trust`
    Verified,
}

/// Trust the device that a contact has now, also one that is blocked
#[derive(Debug, clap::Args)]
pub(crate) struct Trust {
    /// Name, account or the start of an account
    who: String,
}

impl Verify {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let code = match self.scanned.as_deref() {
            Some("-") => Some(from_stdin()?),
            given => given.map(ToOwned::to_owned),
        };
        let change = code.as_deref().map_or(Change::Verified(!self.undo), Change::Scanned);
        let contact = client.change(&self.who, change).await?;
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

impl Policy {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let word = match self.policy {
            KeyPolicy::Tofu => "tofu",
            KeyPolicy::Verified => "verified",
        };
        let contact = client.change(&self.who, Change::Policy(word)).await?;
        out.confirm(&contact, |paint| {
            let person = person(&contact, paint);
            match self.policy {
                KeyPolicy::Tofu => format!("a new device of {person} is accepted, with a warning"),
                KeyPolicy::Verified => {
                    format!("a new device of {person} is blocked until `bitchat contact trust`")
                }
            }
        })
    }
}

impl Trust {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        let contact = client.change(&self.who, Change::Trusted).await?;
        out.confirm(&contact, |paint| {
            let device = sanitise::line(&contact.device);
            format!("{} is trusted with the device {device}", person(&contact, paint))
        })
    }
}

fn from_stdin() -> Result<String, UserError> {
    let mut code = String::new();
    let read = io::stdin().lock().take(CODE_BYTES_MAX).read_to_string(&mut code);
    read.map_err(|error| UserError::io("cannot read the code from stdin", &error))?;
    Ok(code.trim().to_owned())
}
