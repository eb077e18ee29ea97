//! What happens besides new messages: contacts, their keys, deliveries.
//!
//! Events that nobody listened to are gone; what they say also stands in the contact or message.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::Sse;
use axum::response::sse::{Event as Sent, KeepAlive};
use bitchat_protocol::engine::Event;
use futures::Stream;
use futures::stream;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};

use super::Versioned;
use crate::control::handle::{Handle, NodeStatus};
use crate::control::view::{About, Delivery, KeysChanged, Nothing};

/// How often a silent stream says that it is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Server-sent events until the node stops.
pub(in crate::control) async fn stream(
    State(handle): State<Handle>,
) -> Sse<impl Stream<Item = Result<Sent, Infallible>>> {
    let listener = Listener { events: handle.events(), status: handle.watch() };
    let events = stream::unfold(listener, |mut listener| async {
        listener.next().await.map(|event| (Ok(event), listener))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

struct Listener {
    events: broadcast::Receiver<Event>,
    status: watch::Receiver<NodeStatus>,
}

impl Listener {
    async fn next(&mut self) -> Option<Sent> {
        loop {
            tokio::select! {
                event = self.events.recv() => match event {
                    Ok(Event::Received(_)) => {} // Those are followed in the inbox, by a cursor.
                    Ok(Event::Delivery(view)) => return Some(sent("delivery", Delivery::from(view))),
                    Ok(Event::KeyChange(view)) => {
                        return Some(sent("key_change", KeysChanged::from(view)));
                    }
                    Ok(Event::Contact(account)) => {
                        return Some(sent("contact", About { account: account.to_string() }));
                    }
                    Err(RecvError::Lagged(_)) => return Some(sent("lagged", Nothing {})),
                    Err(RecvError::Closed) => return None,
                },
                _ = self.status.wait_for(|status| status.draining) => return None,
            }
        }
    }
}

fn sent(kind: &str, value: impl Serialize) -> Sent {
    Sent::default().event(kind).json_data(Versioned::new(value)).unwrap_or_default()
}
