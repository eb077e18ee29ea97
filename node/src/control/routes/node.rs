//! The node itself: identity, links, status.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use bitchat_protocol::engine::{Command, Reply};
use tokio::time::timeout;

use super::{Answer, answer, contacts, identity as identity_of, mismatch};
use crate::control::Handle;
use crate::control::view::{Alive, Identity, Peers, Status};

/// Status is for the moments when things hang: it does not wait for an engine that hangs.
const STATUS_WITHIN: Duration = Duration::from_secs(2);

pub(in crate::control) async fn identity(State(handle): State<Handle>) -> Answer<Identity> {
    answer(identity_of(handle.ask(Command::Identity).await?)?.into())
}

pub(in crate::control) async fn peers(State(handle): State<Handle>) -> Answer<Peers> {
    let known = contacts(handle.ask(Command::Contacts).await?)?;
    let names: BTreeMap<_, _> = known.into_iter().map(|view| (view.device, view.name)).collect();
    let Reply::Breakers(breakers) = handle.ask(Command::Breakers).await? else {
        return Err(mismatch().into());
    };
    answer(Peers::new(handle.status().peers, breakers, &names))
}

/// Asks nobody: who gets no answer here knows that the whole process hangs.
pub(in crate::control) fn alive() -> Answer<Alive> {
    answer(Alive { pid: std::process::id() })
}

pub(in crate::control) async fn status(State(handle): State<Handle>) -> Answer<Status> {
    let questions = async {
        let identity = identity_of(handle.ask(Command::Identity).await?)?;
        let known = contacts(handle.ask(Command::Contacts).await?)?.len();
        Ok::<_, crate::error::NodeError>((identity, known))
    };
    let (identity, known) = match timeout(STATUS_WITHIN, questions).await {
        Ok(Ok((identity, known))) => (Some(identity), Some(known)),
        Ok(Err(_)) | Err(_) => (None, None),
    };
    answer(Status::new(handle.status(), identity, known))
}
