//! Talks to the node: over the socket of a daemon, or to a node in this process.
//!
//! Both ways speak the same control API (docs/API.md), so a command cannot tell them apart
//! but by [`Client::is_daemon`], which decides what it waits for and what it advises.

use std::time::Duration;

use axum::Router;
use bitchat_node::Node;
use bitchat_node::error::Category;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::UserError;

mod alive;
mod api;
mod local;
mod mailbox;
mod model;
mod request;
mod socket;

pub(crate) use api::{Change, Inbox, Wait};
pub(crate) use mailbox::{Mailbox, Serving};
pub(crate) use model::{
    Breaker, Contact, Delivery, Exported, Imported, KeyChange, Message, Peer, QueueRow, Status,
    Track, Waits,
};
pub(crate) use request::Request;
pub(crate) use socket::Socket;

/// How much longer than the node may think we wait for its answer, before it counts as gone.
pub(crate) const PATIENCE: Duration = Duration::from_secs(12);

/// A way to the node. Cheap to clone; several requests may be under way at once.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    /// A daemon's socket.
    Daemon(Socket),
    /// A node in this process.
    InProcess(Router),
}

/// A node that runs for one command, to be stopped when the command is over.
#[derive(Default)]
pub(crate) struct Guest(Option<Node>);

impl Client {
    /// Whether a daemon answers, which goes on when the command is over.
    pub(crate) const fn is_daemon(&self) -> bool {
        matches!(self, Self::Daemon(_))
    }

    /// Sends one request and reads its answer.
    pub(crate) async fn call<T: DeserializeOwned>(&self, request: Request) -> Result<T, UserError> {
        if request.is_nameless() {
            return Err(nameless());
        }
        let deadline = request.takes() + PATIENCE;
        let answer = async {
            match self {
                Self::Daemon(socket) => tokio::select! {
                    answer = socket.send(request) => answer,
                    error = alive::hangs(socket) => Err(error),
                },
                Self::InProcess(router) => local::send(router, request).await,
            }
        };
        let (status, body) =
            tokio::time::timeout(deadline, answer).await.map_err(|_| silent())??;
        if !(200..300).contains(&status) {
            return Err(refused(status, &body));
        }
        serde_json::from_slice(&body).map_err(|_| strange(status))
    }
}

impl Guest {
    /// Takes the node in.
    pub(crate) const fn new(node: Node) -> Self {
        Self(Some(node))
    }

    /// Stops the node, if there is one: its last writes are on the disk afterwards.
    pub(crate) async fn stop(self) -> Result<(), UserError> {
        match self.0 {
            Some(node) => node.shutdown().await.map_err(UserError::from),
            None => Ok(()),
        }
    }
}

/// The error that the node answered with.
fn refused(status: u16, body: &[u8]) -> UserError {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str);
    let (Some(code), Some(message)) = (word("code"), word("message")) else {
        return strange(status);
    };
    let category = word("category").and_then(Category::from_word).unwrap_or(Category::Internal);
    let hint = word("hint").unwrap_or("see the log of the daemon");
    let wait = body.pointer("/error/retry_after_ms").and_then(Value::as_u64);
    UserError {
        retry_after: wait.map(Duration::from_millis),
        ..UserError::new(category, code.to_owned(), message, hint)
    }
}

/// The words of the node, which is not asked: it would see another route.
fn nameless() -> UserError {
    let hint = "see `bitchat contact list`; add one with `bitchat contact add LINK`";
    UserError::new(Category::NotFound, "unknown_contact", "no contact is called \"\"", hint)
}

fn strange(status: u16) -> UserError {
    let message = format!("the node gave an answer that makes no sense (HTTP {status})");
    let hint = "daemon and command may be of different versions: restart the daemon";
    UserError::new(Category::Internal, "strange_answer", message, hint)
}

fn silent() -> UserError {
    let hint = "see its log, or stop it and start it again with `bitchat daemon`";
    UserError::new(Category::Network, "daemon_silent", "the daemon does not answer", hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_the_node_keeps_its_code_category_and_hint() {
        let body = br#"{"schema":1,"error":{"code":"busy","category":"rate_limited",
            "message":"m","hint":"h","retryable":true,"retry_after_ms":1500,"correlation_id":"x"}}"#;

        let error = refused(503, body);

        assert_eq!((error.code.as_ref(), error.exit()), ("busy", 5));
        assert_eq!(error.retry_after, Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn an_answer_that_is_no_error_object_is_an_internal_error() {
        assert_eq!(refused(500, b"<html>").exit(), 2);
        assert_eq!(refused(500, br#"{"error":{"code":7}}"#).exit(), 2);
    }
}
