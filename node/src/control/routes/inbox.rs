//! The inbox: reading, waiting, acknowledging, following.
//!
//! A reader's cursor moves only by `POST /v1/inbox/ack`. A program that crashes before it
//! acknowledged reads the same messages again and loses none.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event as Sent, KeepAlive};
use bitchat_protocol::engine::{Command, Event, MessageView, Who};
use futures::Stream;
use futures::stream;
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};

use super::{Answer, answer, done, messages};
use crate::control::frame::Correlation;
use crate::control::handle::{Handle, NodeStatus};
use crate::control::problem::{self, Problem};
use crate::control::request::{Body, Params, at_most};
use crate::control::view::{Message, Messages, Nothing};
use crate::error::NodeError;

/// The reader of whoever names none.
const READER: &str = "default";

/// Messages in one reply if nobody says otherwise.
const PAGE: usize = 100;

/// How long one request may wait: ten minutes, then ask again.
const WAIT_MS_MAX: u64 = 10 * 60 * 1_000;

/// How often a silent stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Read {
    reader: Option<String>,
    since: Option<u64>,
    max: Option<usize>,
    wait_ms: Option<u64>,
}

/// Messages after a cursor; waits for the first if asked to.
pub(in crate::control) async fn read(
    State(handle): State<Handle>,
    Params(wish): Params<Read>,
) -> Answer<Messages<Message>> {
    let wait = at_most("wait_ms", wish.wait_ms.unwrap_or(0), WAIT_MS_MAX)?;
    let deadline = Instant::now() + Duration::from_millis(wait);
    let mut reader = Reader::new(handle, wish.reader, wish.since);
    let max = wish.max.unwrap_or(PAGE);
    let mut views = reader.after_cursor(max).await?;
    while views.is_empty() && max > 0 {
        tokio::select! {
            more = reader.news() => if !more { break },
            () = sleep_until(deadline) => break,
        }
        views = reader.after_cursor(max).await?;
    }
    answer(Messages { messages: views.into_iter().map(Message::from).collect() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Acknowledge {
    reader: Option<String>,
    cursor: u64,
    /// Only messages of this contact were shown to a person.
    contact: Option<String>,
}

pub(in crate::control) async fn acknowledge(
    State(handle): State<Handle>,
    Body(wish): Body<Acknowledge>,
) -> Answer<Nothing> {
    let reader = wish.reader.unwrap_or_else(|| READER.to_owned());
    let only = wish.contact.map(Who);
    done(&handle.ask(Command::Acknowledge { reader, cursor: wish.cursor, only }).await?)?;
    answer(Nothing {})
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::control) struct Follow {
    reader: Option<String>,
    since: Option<u64>,
}

/// Server-sent events, one for each message, until the node stops. A client that reconnects with
/// `Last-Event-ID` goes on behind that message.
pub(in crate::control) async fn stream(
    State(handle): State<Handle>,
    Extension(Correlation(correlation)): Extension<Correlation>,
    headers: HeaderMap,
    Params(wish): Params<Follow>,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, Problem> {
    let resumed = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse().ok());
    let mut reader = Reader::new(handle, wish.reader, resumed.or(wish.since));
    // The first look happens before the status line, so that a failure can still be one.
    let ready = reader.after_cursor(PAGE).await?;
    let follower = Follower { reader, ready: ready.into(), correlation, ended: false };
    let events = stream::unfold(follower, |mut follower| async {
        follower.next().await.map(|event| (Ok(event), follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// One named cursor over the inbox, and word of new messages.
struct Reader {
    handle: Handle,
    name: String,
    since: Option<u64>,
    events: broadcast::Receiver<Event>,
    status: watch::Receiver<NodeStatus>,
}

impl Reader {
    /// Listens from now on: before the first look, so that nothing falls in between.
    fn new(handle: Handle, name: Option<String>, since: Option<u64>) -> Self {
        let name = name.unwrap_or_else(|| READER.to_owned());
        let (events, status) = (handle.events(), handle.watch());
        Self { handle, name, since, events, status }
    }

    async fn after_cursor(&mut self, max: usize) -> Result<Vec<MessageView>, NodeError> {
        let command = Command::Inbox { reader: self.name.clone(), since: self.since, max };
        messages(self.handle.ask(command).await?)
    }

    /// Waits until there may be more messages; `false` when there will be none: the node stops.
    async fn news(&mut self) -> bool {
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(Event::Received(_)) | Err(RecvError::Lagged(_)) => return true,
                    Ok(Event::Delivery(_) | Event::Contact(_) | Event::KeyChange(_)) => {}
                    Err(RecvError::Closed) => return false,
                },
                _ = self.status.wait_for(|status| status.draining) => return false,
            }
        }
    }
}

/// A stream of messages.
struct Follower {
    reader: Reader,
    ready: VecDeque<MessageView>,
    correlation: String,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Sent> {
        while !self.ended {
            if let Some(view) = self.ready.pop_front() {
                self.reader.since = Some(view.cursor);
                return Some(event(view));
            }
            match self.reader.after_cursor(PAGE).await {
                Ok(views) if views.is_empty() => self.ended = !self.reader.news().await,
                Ok(views) => self.ready = views.into(),
                Err(error) => {
                    self.ended = true;
                    return Some(self.broke(&error));
                }
            }
        }
        None
    }

    /// The last event of a stream that cannot go on. The request was logged when it began.
    fn broke(&self, error: &NodeError) -> Sent {
        let (id, code) = (&self.correlation, error.code());
        tracing::warn!(%id, code, detail = error.detail(), "a stream broke");
        self.reader.handle.metrics().error(error);
        Sent::default().event("error").data(problem::body(error, id))
    }
}

fn event(view: MessageView) -> Sent {
    let id = view.cursor.to_string();
    let message = super::Versioned::new(Message::from(view));
    Sent::default().id(id).json_data(message).unwrap_or_default()
}
