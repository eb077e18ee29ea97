//! `bitchat contact ...`: whom do I talk to?
//!
//! Names are local petnames. One that fits several contacts is refused with the list (exit code 8).

use clap::Subcommand;
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::client::{self, Client};
use crate::error::{Stop, UserError};
use crate::output::{Colour, Output, Paint};
use crate::sanitise;

mod add;
mod change;
mod invite;
mod keys;
mod receipts;
mod view;

/// Invite, add, look at and change contacts
#[derive(Debug, Subcommand)]
pub(crate) enum Contact {
    Invite(invite::Invite),
    Add(add::Add),
    List(view::List),
    Show(view::Show),
    Verify(keys::Verify),
    Policy(keys::Policy),
    Receipts(receipts::Receipts),
    Trust(keys::Trust),
    Rename(change::Rename),
    Remove(change::Remove),
}

impl Contact {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        match self {
            Self::Invite(verb) => verb.run(client, out).await,
            Self::Add(verb) => verb.run(client, out).await,
            Self::List(verb) => verb.run(client, out).await,
            Self::Show(verb) => verb.run(client, out).await,
            Self::Verify(verb) => verb.run(client, out).await,
            Self::Policy(verb) => verb.run(client, out).await,
            Self::Receipts(verb) => verb.run(client, out).await,
            Self::Trust(verb) => verb.run(client, out).await,
            Self::Rename(verb) => verb.run(client, out).await,
            Self::Remove(verb) => verb.run(client, out).await,
        }
    }
}

/// `bob (9f3a-21bc ✓)`: whom a line is about.
pub(super) fn person(contact: &client::Contact, paint: Paint) -> String {
    let name = sanitise::name(&contact.name);
    let fingerprint = sanitise::line(&contact.fingerprint);
    if contact.verified {
        format!("{name} ({fingerprint} {})", paint.on(Colour::Green, paint.either("✓", "verified")))
    } else {
        format!("{name} ({fingerprint})")
    }
}

/// Says that a contact has other keys than before, until the user has answered.
fn warn_of_keys(contact: &client::Contact, out: &mut Output) {
    if contact.key_change.is_some() {
        let hint = "ask the contact by another way whether it is its own, then \
            `bitchat contact trust NAME`";
        out.warn("key_changed", "this contact has a new device", hint);
    }
}

/// A QR code of half-block characters: dark on light where the terminal is light on dark.
pub(super) fn qr(content: &str) -> Result<String, UserError> {
    let code = QrCode::new(content).map_err(|_| {
        let hint = "hand over the text instead";
        UserError::usage("too_long_for_qr", "this is too long for a QR code", hint)
    })?;
    Ok(code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build())
}
