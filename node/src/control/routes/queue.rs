//! What waits: looking at it, taking it back, trying it now.

use axum::extract::State;
use bitchat_protocol::engine::{Command, Reply, TrackView};

use super::{Answer, answer, delivery, mismatch};
use crate::control::Handle;
use crate::control::request::{Body, Numbered};
use crate::control::view::{Delivery, Messages, Queued, Track};
use crate::error::NodeError;

/// No wishes.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Empty {}

pub(in crate::control) async fn list(State(handle): State<Handle>) -> Answer<Messages<Queued>> {
    let Reply::Queue(rows) = handle.ask(Command::Queue).await? else {
        return Err(mismatch().into());
    };
    answer(Messages { messages: rows.into_iter().map(Queued::from).collect() })
}

pub(in crate::control) async fn show(
    State(handle): State<Handle>,
    Numbered(id): Numbered,
) -> Answer<Track> {
    answer(track(handle.ask(Command::Track(id)).await?)?.into())
}

pub(in crate::control) async fn cancel(
    State(handle): State<Handle>,
    Numbered(id): Numbered,
) -> Answer<Delivery> {
    answer(delivery(handle.ask(Command::Cancel(id)).await?)?.into())
}

pub(in crate::control) async fn retry(
    State(handle): State<Handle>,
    Numbered(id): Numbered,
    Body(Empty {}): Body<Empty>,
) -> Answer<Track> {
    answer(track(handle.ask(Command::RetryNow(id)).await?)?.into())
}

fn track(reply: Reply) -> Result<TrackView, NodeError> {
    if let Reply::Track(view) = reply { Ok(view) } else { Err(mismatch()) }
}
