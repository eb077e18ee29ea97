//! Invitations and contacts.

use std::time::Duration;

use axum::extract::State;
use bitchat_protocol::contact::KeyPolicy;
use bitchat_protocol::engine::{Command, Extent, Reply};
use serde::Deserialize;

use super::{Answer, answer, contact, contacts, done, mismatch};
use crate::control::Handle;
use crate::control::problem::Problem;
use crate::control::request::{Body, Named, Params, bad};
use crate::control::view::{Added, Contact, Contacts, Invitation, Nothing};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Invite {
    #[serde(default)]
    once: bool,
    expires_ms: Option<u64>,
}

pub(in crate::control) async fn invite(
    State(handle): State<Handle>,
    Body(wish): Body<Invite>,
) -> Answer<Invitation> {
    let expires = wish.expires_ms.map(Duration::from_millis);
    let reply = handle.ask(Command::Invite { once: wish.once, expires }).await?;
    if let Reply::Invitation(view) = reply { answer(view.into()) } else { Err(mismatch().into()) }
}

pub(in crate::control) async fn list(State(handle): State<Handle>) -> Answer<Contacts> {
    let views = contacts(handle.ask(Command::Contacts).await?)?;
    answer(Contacts { contacts: views.into_iter().map(Contact::from).collect() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Add {
    link: String,
    name: Option<String>,
}

pub(in crate::control) async fn add(
    State(handle): State<Handle>,
    Body(wish): Body<Add>,
) -> Answer<Added> {
    let command = Command::AddContact { link: wish.link, name: wish.name };
    let view = contact(handle.ask(command).await?)?;
    answer(Added { known: view.known, contact: view.into() })
}

pub(in crate::control) async fn show(
    State(handle): State<Handle>,
    Named(who): Named,
) -> Answer<Contact> {
    answer(contact(handle.ask(Command::Contact(who)).await?)?.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Change {
    name: Option<String>,
    verified: Option<bool>,
    scanned: Option<String>,
    policy: Option<String>,
    read_receipts: Option<String>,
    trusted: Option<bool>,
}

impl Change {
    /// How many things are to be changed.
    fn given(&self) -> usize {
        let given = [
            self.name.is_some(),
            self.verified.is_some(),
            self.scanned.is_some(),
            self.policy.is_some(),
            self.read_receipts.is_some(),
            self.trusted == Some(true),
        ];
        // Nothing is made untrusted by this.
        let wrong = usize::from(self.trusted == Some(false));
        given.into_iter().filter(|given| *given).count().saturating_add(2 * wrong)
    }
}

/// Changes one thing: two in one request could not be undone together when the second fails.
pub(in crate::control) async fn change(
    State(handle): State<Handle>,
    Named(who): Named,
    Body(wish): Body<Change>,
) -> Answer<Contact> {
    if wish.given() != 1 {
        let one = "give one of name, verified, scanned, policy, read_receipts, and trusted, which is true";
        return Err(bad(one.to_owned()));
    }
    let command = if let Some(name) = wish.name {
        Command::Rename { who, name }
    } else if let Some(verified) = wish.verified {
        Command::Verify { who, verified }
    } else if let Some(code) = wish.scanned {
        Command::VerifyScanned { who, code }
    } else if let Some(word) = wish.policy {
        let policy = KeyPolicy::from_word(&word)
            .ok_or_else(|| bad("policy is tofu or verified".to_owned()))?;
        Command::SetPolicy { who, policy }
    } else if let Some(word) = wish.read_receipts {
        let tells = match word.as_str() {
            "on" => Some(true),
            "off" => Some(false),
            "default" => None,
            _ => return Err(bad("read_receipts is on, off or default".to_owned())),
        };
        Command::SetReadReceipts { who, tells }
    } else {
        Command::Trust(who)
    };
    answer(contact(handle.ask(command).await?)?.into())
}

/// Starts a new session with the contact.
pub(in crate::control) async fn reset(
    State(handle): State<Handle>,
    Named(who): Named,
) -> Answer<Contact> {
    answer(contact(handle.ask(Command::ResetSession(who)).await?)?.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Removal {
    #[serde(default)]
    history: bool,
}

pub(in crate::control) async fn remove(
    State(handle): State<Handle>,
    Named(who): Named,
    Params(wish): Params<Removal>,
) -> Result<axum::Json<super::Versioned<Nothing>>, Problem> {
    let extent = if wish.history { Extent::History } else { Extent::Contact };
    done(&handle.ask(Command::Remove { who, extent }).await?)?;
    answer(Nothing {})
}
