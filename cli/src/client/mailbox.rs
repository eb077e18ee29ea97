//! Mailboxes in the control API.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Client, Request};
use crate::error::UserError;

/// The node waits so long for a mailbox node.
const TEST_TAKES: Duration = Duration::from_secs(40);

/// A mailbox that we rent.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Mailbox {
    pub(crate) node: String,
    pub(crate) addresses: Vec<String>,
    pub(crate) rank: u32,
    pub(crate) state: String,
    pub(crate) refusal: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) bytes_max: u64,
    pub(crate) envelopes: u64,
    pub(crate) envelopes_max: u64,
    pub(crate) until_ms: Option<u64>,
    pub(crate) fetched_ms: Option<u64>,
    pub(crate) round_trip_ms: Option<u64>,
    pub(crate) error: Option<String>,
}

#[derive(Deserialize)]
struct Mailboxes {
    mailboxes: Vec<Mailbox>,
}

/// An answer without content.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Nothing {}

/// What this node keeps for others.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Serving {
    pub(crate) enabled: bool,
    pub(crate) addresses: Vec<String>,
    pub(crate) taking: bool,
    pub(crate) rentals: u64,
    pub(crate) rentals_max: u64,
    pub(crate) envelopes: u64,
    pub(crate) envelopes_max: u64,
    pub(crate) bytes: u64,
    pub(crate) bytes_max: u64,
    pub(crate) keep_ms: u64,
    pub(crate) work_bits: u32,
    pub(crate) needs_access: bool,
    pub(crate) custody: u64,
    pub(crate) refusals: u64,
    pub(crate) evictions: u64,
}

impl Client {
    /// Rents at a node, or changes where it is.
    pub(crate) async fn add_mailbox(
        &self,
        addresses: &[String],
        access: &str,
    ) -> Result<Mailbox, UserError> {
        let body = json!({ "addresses": addresses, "access": access });
        self.call(Request::post("/v1/mailboxes", body)).await
    }

    /// Every mailbox that we rent.
    pub(crate) async fn mailboxes(&self) -> Result<Vec<Mailbox>, UserError> {
        let answer: Mailboxes = self.call(Request::get("/v1/mailboxes")).await?;
        Ok(answer.mailboxes)
    }

    /// Asks a node how it is.
    pub(crate) async fn test_mailbox(&self, who: &str) -> Result<Mailbox, UserError> {
        let request = Request::post("/v1/mailboxes", json!({})).at(who).then("test");
        self.call(request.taking(TEST_TAKES)).await
    }

    /// Rents there no more.
    pub(crate) async fn remove_mailbox(&self, who: &str) -> Result<Nothing, UserError> {
        self.call(Request::delete("/v1/mailboxes", who)).await
    }

    /// What this node keeps for others.
    pub(crate) async fn serving(&self) -> Result<Serving, UserError> {
        self.call(Request::get("/v1/serving")).await
    }
}
