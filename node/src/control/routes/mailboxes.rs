//! Mailboxes: those that we rent, and those that we keep for others.

use axum::extract::State;
use bitchat_protocol::engine::Command;

use super::{Answer, answer, identity};
use crate::control::Handle;
use crate::control::serving::ServingView;

pub(in crate::control) async fn serving(State(handle): State<Handle>) -> Answer<ServingView> {
    let us = identity(handle.ask(Command::Identity).await?)?;
    answer(ServingView::new(handle.status().serving, &us))
}
