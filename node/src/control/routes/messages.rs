//! Sending, and where messages are.

use std::time::Duration;

use axum::extract::State;
use bitchat_protocol::engine::{Command, DeliveryState, DeliveryView, Event, Reply, Who};
use bitchat_protocol::id::MessageId;
use serde::Deserialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use super::{Answer, answer, delivery as delivery_of, messages as messages_of};
use crate::control::Handle;
use crate::control::request::{Body, Named, Numbered, Params, at_most};
use crate::control::view::{Delivery, Line, Messages, Sent, Withheld};
use crate::error::NodeError;

/// How long a wait takes if nobody says otherwise, milliseconds.
const WAIT_MS: u64 = 30_000;

/// How long a wait may take: a day.
const WAIT_MS_MAX: u64 = 24 * 60 * 60 * 1_000;

/// Messages of a conversation in one reply if nobody says otherwise.
const PAGE: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Send {
    to: String,
    text: String,
    id: Option<String>,
    wait: Option<Wait>,
    timeout_ms: Option<u64>,
    expires_ms: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wait {
    Queued,
    Sent,
    Stored,
    Delivered,
    Read,
}

impl Wait {
    const fn state(self) -> DeliveryState {
        match self {
            Self::Queued => DeliveryState::Queued,
            Self::Sent => DeliveryState::Sent,
            Self::Stored => DeliveryState::Stored,
            Self::Delivered => DeliveryState::Delivered,
            Self::Read => DeliveryState::Read,
        }
    }
}

/// Queues a text and waits as far as asked. The text is durable before anything is answered.
pub(in crate::control) async fn send(
    State(handle): State<Handle>,
    Body(wish): Body<Send>,
) -> Answer<Sent> {
    let patience = at_most("timeout_ms", wish.timeout_ms.unwrap_or(WAIT_MS), WAIT_MS_MAX)?;
    let begun = Instant::now();
    let deadline = begun + Duration::from_millis(patience);
    let wanted = wish.wait.map_or(DeliveryState::Queued, Wait::state);
    // Before the command, so that no event can fall between the answer and the first look.
    let events = handle.events();
    let (to, text) = (Who(wish.to), wish.text);
    let expires = wish.expires_ms.map(Duration::from_millis);
    let command = match wish.id {
        Some(id) => Command::SendOnce { id, to, text, expires },
        None => Command::Send { to, text, expires },
    };
    let view = delivery_of(handle.ask(command).await?)?;
    let view = follow(&handle, events, view, wanted, deadline).await;
    let reached = view.state.reaches(wanted);
    let over = reached || view.state.is_failure();
    let withheld = if over { None } else { withheld(&handle, view.id, begun).await };
    answer(Sent { delivery: view.into(), reached, withheld })
}

/// Whether an open breaker alone kept a message from being tried since `begun`.
/// The message is queued, whatever becomes of this question: an engine that is gone is no error.
async fn withheld(handle: &Handle, id: MessageId, begun: Instant) -> Option<Withheld> {
    let Ok(Reply::Withheld(view)) = handle.ask(Command::Withheld(id)).await else { return None };
    Withheld::during(begun.elapsed(), view?)
}

/// The message's last known place: where it reached `wanted`, ended, or was when time was up.
async fn follow(
    handle: &Handle,
    mut events: broadcast::Receiver<Event>,
    mut view: DeliveryView,
    wanted: DeliveryState,
    deadline: Instant,
) -> DeliveryView {
    let mut status = handle.watch();
    while !view.state.reaches(wanted) && !view.state.is_failure() {
        let event = tokio::select! {
            event = timeout_at(deadline, events.recv()) => event,
            _ = status.wait_for(|status| status.draining) => break,
        };
        match event {
            Ok(Ok(Event::Delivery(news))) if news.id == view.id && news.state > view.state => {
                view = news;
            }
            Ok(Ok(_)) => {}
            // Events were lost: look instead of listening.
            Ok(Err(RecvError::Lagged(_))) => match look(handle, &view).await {
                Ok(news) => view = news,
                Err(_) => break,
            },
            Ok(Err(RecvError::Closed)) | Err(_) => break,
        }
    }
    view
}

async fn look(handle: &Handle, view: &DeliveryView) -> Result<DeliveryView, NodeError> {
    delivery_of(handle.ask(Command::Delivery(view.id)).await?)
}

pub(in crate::control) async fn delivery(
    State(handle): State<Handle>,
    Numbered(id): Numbered,
) -> Answer<Delivery> {
    answer(delivery_of(handle.ask(Command::Delivery(id)).await?)?.into())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Page {
    max: Option<usize>,
    before: Option<u64>,
}

pub(in crate::control) async fn history(
    State(handle): State<Handle>,
    Named(who): Named,
    Params(page): Params<Page>,
) -> Answer<Messages<Line>> {
    let command = Command::History { who, before: page.before, max: page.max.unwrap_or(PAGE) };
    let views = messages_of(handle.ask(command).await?)?;
    answer(Messages { messages: views.into_iter().map(Line::from).collect() })
}
