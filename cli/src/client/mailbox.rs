//! Mailboxes in the control API.

use serde::{Deserialize, Serialize};

use super::{Client, Request};
use crate::error::UserError;

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
    /// What this node keeps for others.
    pub(crate) async fn serving(&self) -> Result<Serving, UserError> {
        self.call(Request::get("/v1/serving")).await
    }
}
