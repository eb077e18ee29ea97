//! The local control API: JSON over HTTP/1.1 on a Unix socket.
//!
//! ```text
//!   socket (0600, peer uid) ─> frame (id, checks, headers) ─> routes ─> Handle ─> driver
//! ```
//!
//! The same [`router`] serves programs over the socket and the command line in process. Routes and
//! fields are in `docs/API.md`. What this module does *not* do: decide. Every route asks the
//! engine one question, and waits where the caller asked to wait.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};

mod frame;
pub mod handle;
pub(crate) mod headers;
mod limits;
pub mod peer_id;
mod problem;
mod renting;
mod request;
pub(crate) mod room;
mod routes;
mod serving;
pub mod socket;
mod view;

pub use handle::{Handle, NodeStatus, OutboxStatus, PeerStatus, PrekeyStatus, Request, Warning};
pub use limits::{LimitStatus, Rejections};
pub use request::BODY_BYTES_MAX;
pub use serving::{Serving, Terms};
pub use socket::{Stale, bind, serve};
pub use view::SCHEMA;

use crate::error::NodeError;
use problem::Problem;
use routes::{backup, contacts, envelopes, events, inbox, mailboxes, messages, node, queue};

/// The whole API over one node.
pub fn router(handle: Handle) -> Router {
    framed(
        Router::new()
            .route("/v1/identity", get(node::identity))
            .route("/v1/status", get(node::status))
            .route("/v1/alive", get(|| async { node::alive() }))
            .route("/v1/peers", get(node::peers))
            .route("/v1/invitations", post(contacts::invite))
            .route("/v1/contacts", get(contacts::list).post(contacts::add))
            .route(
                "/v1/contacts/{who}",
                get(contacts::show).patch(contacts::change).delete(contacts::remove),
            )
            .route("/v1/contacts/{who}/session", post(contacts::reset))
            .route("/v1/events", get(events::stream))
            .route("/v1/messages", post(messages::send))
            .route("/v1/messages/{id}", get(messages::delivery))
            .route("/v1/history/{who}", get(messages::history))
            .route("/v1/queue", get(queue::list))
            .route("/v1/queue/{id}", get(queue::show).delete(queue::cancel))
            .route("/v1/queue/{id}/retry", post(queue::retry))
            .route("/v1/backup", get(backup::page))
            .route("/v1/warnings/{code}", delete(backup::dismiss))
            .route("/v1/mailboxes", get(mailboxes::list).post(mailboxes::add))
            .route("/v1/mailboxes/{who}", delete(mailboxes::remove))
            .route("/v1/mailboxes/{who}/test", post(mailboxes::test))
            .route("/v1/serving", get(mailboxes::serving))
            .route("/v1/envelopes/export", post(envelopes::export))
            .route("/v1/envelopes/import", post(envelopes::import))
            .route("/v1/inbox", get(inbox::read))
            .route("/v1/inbox/ack", post(inbox::acknowledge))
            .route("/v1/inbox/stream", get(inbox::stream)),
        handle,
    )
}

/// Puts the frame around every route, known or not.
fn framed(routes: Router<Handle>, handle: Handle) -> Router {
    routes
        .fallback(|| async { Problem(NodeError::NoRoute) })
        .method_not_allowed_fallback(|| async { Problem(NodeError::NoMethod) })
        .layer(from_fn_with_state(handle.clone(), frame::enclose))
        .with_state(handle)
}

#[cfg(test)]
mod tests;
