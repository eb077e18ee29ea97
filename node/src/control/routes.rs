//! What each route asks the engine.

use axum::Json;
use bitchat_protocol::engine::{ContactView, DeliveryView, IdentityView, MessageView, Reply};

use super::problem::Problem;
use super::view::Versioned;
use crate::error::NodeError;

pub(super) mod backup;
pub(super) mod contacts;
pub(super) mod envelopes;
pub(super) mod events;
pub(super) mod inbox;
pub(super) mod mailboxes;
pub(super) mod messages;
pub(super) mod node;
pub(super) mod queue;

/// What a handler answers.
type Answer<T> = Result<Json<Versioned<T>>, Problem>;

fn answer<T>(value: T) -> Answer<T> {
    Ok(Json(Versioned::new(value)))
}

/// The engine answered another question: its contract is broken.
const fn mismatch() -> NodeError {
    NodeError::bug("a reply of the wrong kind")
}

fn identity(reply: Reply) -> Result<IdentityView, NodeError> {
    if let Reply::Identity(view) = reply { Ok(view) } else { Err(mismatch()) }
}

fn contact(reply: Reply) -> Result<ContactView, NodeError> {
    if let Reply::Contact(view) = reply { Ok(view) } else { Err(mismatch()) }
}

fn contacts(reply: Reply) -> Result<Vec<ContactView>, NodeError> {
    if let Reply::Contacts(views) = reply { Ok(views) } else { Err(mismatch()) }
}

fn delivery(reply: Reply) -> Result<DeliveryView, NodeError> {
    if let Reply::Delivery(view) = reply { Ok(view) } else { Err(mismatch()) }
}

fn messages(reply: Reply) -> Result<Vec<MessageView>, NodeError> {
    if let Reply::Messages(views) = reply { Ok(views) } else { Err(mismatch()) }
}

fn done(reply: &Reply) -> Result<(), NodeError> {
    if matches!(reply, Reply::Done) { Ok(()) } else { Err(mismatch()) }
}
