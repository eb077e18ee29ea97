//! The requests that commands make, by name.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::model::{
    Contact, Contacts, Delivery, Exported, Identity, Imported, Invitation, Message, Messages, Peer,
    QueueRow, Status, Track,
};
use super::{Client, Request};
use crate::args::{Span, State};
use crate::error::UserError;

/// What to wait for when a message is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// How far the message must have come.
    pub(crate) state: State,
    /// How long at most.
    pub(crate) timeout: Span,
}

/// Which part of the inbox is wanted.
#[derive(Clone, Debug)]
pub(crate) struct Inbox {
    /// Named cursor.
    pub(crate) reader: String,
    /// Read again from here instead.
    pub(crate) since: Option<u64>,
    /// At most this many messages.
    pub(crate) max: u64,
    /// Wait this long for the first one.
    pub(crate) wait: Duration,
}

/// One part of what a backup holds.
pub(crate) struct BackupPage {
    /// Items as they stand in the backup.
    pub(crate) items: Vec<u8>,
    /// Where to go on.
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
struct EncodedPage {
    items: String,
    next: Option<String>,
}

/// One thing of a contact to change.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// Its name.
    Name(&'a str),
    /// Whether its safety number was compared.
    Verified(bool),
    /// Compare this code, and mark it as verified.
    Scanned(&'a str),
    /// What happens when its keys change.
    Policy(&'a str),
    /// Whether it is told that its messages were read.
    ReadReceipts(&'a str),
    /// The keys that it has now are its own.
    Trusted,
}

/// An answer without content.
#[derive(Deserialize)]
struct Done {}

#[derive(Deserialize)]
struct Queue {
    messages: Vec<QueueRow>,
}

#[derive(Deserialize)]
struct Peers {
    peers: Vec<Peer>,
}

impl Client {
    /// Who we are.
    pub(crate) async fn identity(&self) -> Result<Identity, UserError> {
        self.call(Request::get("/v1/identity")).await
    }

    /// A new invitation.
    pub(crate) async fn invite(
        &self,
        once: bool,
        expires: Option<Span>,
    ) -> Result<Invitation, UserError> {
        let body = json!({ "once": once, "expires_ms": expires.map(Span::millis) });
        self.call(Request::post("/v1/invitations", body)).await
    }

    /// Adds the account behind an invitation.
    pub(crate) async fn add(&self, link: &str, name: Option<&str>) -> Result<Contact, UserError> {
        self.call(Request::post("/v1/contacts", json!({ "link": link, "name": name }))).await
    }

    /// Every contact.
    pub(crate) async fn contacts(&self) -> Result<Vec<Contact>, UserError> {
        let answer: Contacts = self.call(Request::get("/v1/contacts")).await?;
        Ok(answer.contacts)
    }

    /// One contact.
    pub(crate) async fn contact(&self, who: &str) -> Result<Contact, UserError> {
        self.call(Request::get("/v1/contacts").at(who)).await
    }

    /// Changes one thing of a contact.
    pub(crate) async fn change(&self, who: &str, change: Change<'_>) -> Result<Contact, UserError> {
        let body = match change {
            Change::Name(name) => json!({ "name": name }),
            Change::Verified(verified) => json!({ "verified": verified }),
            Change::Scanned(code) => json!({ "scanned": code }),
            Change::Policy(policy) => json!({ "policy": policy }),
            Change::ReadReceipts(word) => json!({ "read_receipts": word }),
            Change::Trusted => json!({ "trusted": true }),
        };
        self.call(Request::patch("/v1/contacts", who, body)).await
    }

    /// Starts a new session with a contact.
    pub(crate) async fn reset_session(&self, who: &str) -> Result<Contact, UserError> {
        self.call(Request::post("/v1/contacts", json!({})).at(who).then("session")).await
    }

    /// Forgets a contact; `history` says whether every message goes too.
    pub(crate) async fn remove(&self, who: &str, history: Option<bool>) -> Result<(), UserError> {
        let request = Request::delete("/v1/contacts", who).with("history", history);
        let Done {} = self.call(request).await?;
        Ok(())
    }

    /// One part of what a backup holds; `cursor` is where the one before said to go on.
    pub(crate) async fn backup_page(
        &self,
        history: bool,
        cursor: Option<&str>,
    ) -> Result<BackupPage, UserError> {
        let request = Request::get("/v1/backup");
        let request = request.with("history", Some(history)).with("cursor", cursor);
        let page: EncodedPage = self.call(request).await?;
        let items = STANDARD.decode(page.items);
        let items = items.map_err(|_| UserError::internal("a part of a backup is no base64"))?;
        Ok(BackupPage { items, next: page.next })
    }

    /// Ends a warning.
    pub(crate) async fn dismiss(&self, code: &str) -> Result<(), UserError> {
        let Done {} = self.call(Request::delete("/v1/warnings", code)).await?;
        Ok(())
    }

    /// Queues a text, once for each `id`, and waits for a state, an end state or the end of the time.
    pub(crate) async fn send(
        &self,
        to: &str,
        text: &str,
        wait: Wait,
        expires: Option<Span>,
        id: Option<&str>,
    ) -> Result<Delivery, UserError> {
        let body = json!({
            "to": to,
            "text": text,
            "id": id,
            "wait": wait.state.as_str(),
            "timeout_ms": wait.timeout.millis(),
            "expires_ms": expires.map(Span::millis),
        });
        self.call(Request::post("/v1/messages", body).taking(wait.timeout.duration())).await
    }

    /// Where a message is.
    pub(crate) async fn delivery(&self, id: &str) -> Result<Delivery, UserError> {
        self.call(Request::get("/v1/messages").at(id)).await
    }

    /// Messages of the inbox, oldest first.
    pub(crate) async fn inbox(&self, wanted: &Inbox) -> Result<Vec<Message>, UserError> {
        let request = Request::get("/v1/inbox")
            .with("reader", Some(&wanted.reader))
            .with("since", wanted.since)
            .with("max", Some(wanted.max))
            .with("wait_ms", Some(wanted.wait.as_millis()))
            .taking(wanted.wait);
        let answer: Messages = self.call(request).await?;
        Ok(answer.messages)
    }

    /// Remembers that `reader` has seen everything up to `cursor`.
    /// Only those of `contact`, if one is given, were shown to a person.
    pub(crate) async fn acknowledge(
        &self,
        reader: &str,
        cursor: u64,
        contact: Option<&str>,
    ) -> Result<(), UserError> {
        let body = json!({ "reader": reader, "cursor": cursor, "contact": contact });
        let Done {} = self.call(Request::post("/v1/inbox/ack", body)).await?;
        Ok(())
    }

    /// A conversation, newest last.
    pub(crate) async fn history(
        &self,
        who: &str,
        max: u64,
        before: Option<u64>,
    ) -> Result<Vec<Message>, UserError> {
        let request = Request::get("/v1/history").at(who);
        let request = request.with("max", Some(max)).with("before", before);
        let answer: Messages = self.call(request).await?;
        Ok(answer.messages)
    }

    /// What is not delivered yet.
    pub(crate) async fn queue(&self) -> Result<Vec<QueueRow>, UserError> {
        let answer: Queue = self.call(Request::get("/v1/queue")).await?;
        Ok(answer.messages)
    }

    /// Everything that is known of a message of ours.
    pub(crate) async fn track(&self, id: &str) -> Result<Track, UserError> {
        self.call(Request::get("/v1/queue").at(id)).await
    }

    /// Takes a message back that nobody has accepted.
    pub(crate) async fn cancel(&self, id: &str) -> Result<Delivery, UserError> {
        self.call(Request::delete("/v1/queue", id)).await
    }

    /// Tries a message now.
    pub(crate) async fn retry(&self, id: &str) -> Result<Track, UserError> {
        self.call(Request::post("/v1/queue", json!({})).at(id).then("retry")).await
    }

    /// What waits, sealed: one message, or a page of everything.
    pub(crate) async fn export(
        &self,
        id: Option<&str>,
        after: Option<&str>,
    ) -> Result<Exported, UserError> {
        let body = json!({ "id": id, "after": after });
        self.call(Request::post("/v1/envelopes/export", body)).await
    }

    /// Takes sealed envelopes, each as base64.
    pub(crate) async fn import(&self, envelopes: &[String]) -> Result<Imported, UserError> {
        let body = json!({ "envelopes": envelopes });
        self.call(Request::post("/v1/envelopes/import", body)).await
    }

    /// The devices that we are connected to.
    pub(crate) async fn peers(&self) -> Result<Vec<Peer>, UserError> {
        let answer: Peers = self.call(Request::get("/v1/peers")).await?;
        Ok(answer.peers)
    }

    /// How the node is.
    pub(crate) async fn status(&self) -> Result<Status, UserError> {
        let mut status: Status = self.call(Request::get("/v1/status")).await?;
        // Printing adds its own.
        status.other.remove("schema");
        Ok(status)
    }
}
