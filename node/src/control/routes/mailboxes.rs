//! Mailboxes: those that we rent, and those that we keep for others.

use std::time::Duration;

use axum::extract::State;
use bitchat_protocol::engine::{Command, MailboxView, Reply, Who};
use bitchat_protocol::id::DeviceId;
use serde::Deserialize;

use super::{Answer, answer, done, identity, mismatch};
use crate::control::Handle;
use crate::control::problem::Problem;
use crate::control::renting::{Mailbox, Mailboxes, find, parse};
use crate::control::request::{Body, Named};
use crate::control::serving::ServingView;
use crate::control::view::Nothing;

/// The engine waits 30 s for the node.
const TEST_WITHIN: Duration = Duration::from_secs(40);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Add {
    addresses: Vec<String>,
    #[serde(default)]
    access: String,
}

pub(in crate::control) async fn add(
    State(handle): State<Handle>,
    Body(wish): Body<Add>,
) -> Answer<Mailbox> {
    let (node, addresses) = parse(&wish.addresses)?;
    let command = Command::MailboxAdd { node, addresses, access: wish.access };
    mailbox(handle.ask(command).await?)
}

pub(in crate::control) async fn list(State(handle): State<Handle>) -> Answer<Mailboxes> {
    let mailboxes = known(&handle).await?.into_iter().map(Mailbox::from).collect();
    answer(Mailboxes { mailboxes })
}

pub(in crate::control) async fn test(
    State(handle): State<Handle>,
    Named(who): Named,
) -> Answer<Mailbox> {
    let node = named(&handle, &who).await?;
    mailbox(handle.ask_within(Command::MailboxTest(node), TEST_WITHIN).await?)
}

pub(in crate::control) async fn remove(
    State(handle): State<Handle>,
    Named(who): Named,
) -> Answer<Nothing> {
    let node = named(&handle, &who).await?;
    done(&handle.ask(Command::MailboxRemove(node)).await?)?;
    answer(Nothing {})
}

pub(in crate::control) async fn serving(State(handle): State<Handle>) -> Answer<ServingView> {
    let us = identity(handle.ask(Command::Identity).await?)?;
    answer(ServingView::new(handle.status().serving, &us))
}

async fn named(handle: &Handle, Who(who): &Who) -> Result<DeviceId, Problem> {
    find(who, &known(handle).await?)
}

async fn known(handle: &Handle) -> Result<Vec<MailboxView>, Problem> {
    let reply = handle.ask(Command::MailboxList).await?;
    if let Reply::Mailboxes(views) = reply { Ok(views) } else { Err(mismatch().into()) }
}

fn mailbox(reply: Reply) -> Answer<Mailbox> {
    if let Reply::Mailbox(view) = reply { answer(view.into()) } else { Err(mismatch().into()) }
}
