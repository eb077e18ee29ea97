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
    trusted: Option<bool>,
}

/// Changes one thing: two in one request could not be undone together when the second fails.
pub(in crate::control) async fn change(
    State(handle): State<Handle>,
    Named(who): Named,
    Body(wish): Body<Change>,
) -> Answer<Contact> {
    let command = match wish {
        Change { name: Some(name), verified: None, scanned: None, policy: None, trusted: None } => {
            Command::Rename { who, name }
        }
        Change {
            name: None,
            verified: Some(verified),
            scanned: None,
            policy: None,
            trusted: None,
        } => Command::Verify { who, verified },
        Change { name: None, verified: None, scanned: Some(code), policy: None, trusted: None } => {
            Command::VerifyScanned { who, code }
        }
        Change { name: None, verified: None, scanned: None, policy: Some(word), trusted: None } => {
            let policy = KeyPolicy::from_word(&word)
                .ok_or_else(|| bad("policy is tofu or verified".to_owned()))?;
            Command::SetPolicy { who, policy }
        }
        Change { name: None, verified: None, scanned: None, policy: None, trusted: Some(true) } => {
            Command::Trust(who)
        }
        _ => {
            let one = "give one of name, verified, scanned, policy, and trusted, which is true";
            return Err(bad(one.to_owned()));
        }
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
