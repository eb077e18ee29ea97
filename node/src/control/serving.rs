//! Mailboxes that this node keeps for others: what is known about them, and how it is shown.

use std::time::Duration;

use bitchat_protocol::engine::IdentityView;
use serde::Serialize;

use super::peer_id;

/// What this node keeps for others. Names nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Deposits are taken: its store is open and the disk has room.
    pub is_taking: bool,
    /// What each owner is offered.
    pub terms: Terms,
    /// Queues rented out.
    pub rentals: u64,
    /// Envelopes of all queues.
    pub envelopes: u64,
    /// Bytes of all queues.
    pub bytes: u64,
    /// Custody given since the start.
    pub custody: u64,
    /// Questions refused since the start.
    pub refusals: u64,
    /// Envelopes that ended without their owner since the start.
    pub evictions: u64,
}

/// What each owner is offered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Queues at most.
    pub rentals_max: u64,
    /// Bytes of a queue.
    pub bytes_max: u64,
    /// Envelopes of a queue.
    pub envelopes_max: u64,
    /// How long an envelope is kept.
    pub keep: Duration,
    /// Zero bits of a stranger's work.
    pub work_bits: u32,
    /// Whether a rental needs a word of the operator.
    pub needs_access: bool,
}

/// `GET /v1/serving`
#[derive(Debug, Serialize)]
pub(super) struct ServingView {
    enabled: bool,
    /// To hand out: each ends with our peer id.
    addresses: Vec<String>,
    taking: bool,
    rentals: u64,
    rentals_max: u64,
    envelopes: u64,
    envelopes_max: u64,
    bytes: u64,
    bytes_max: u64,
    keep_ms: u64,
    work_bits: u32,
    needs_access: bool,
    custody: u64,
    refusals: u64,
    evictions: u64,
}

impl ServingView {
    pub(super) fn new(serving: Option<Serving>, us: &IdentityView) -> Self {
        let enabled = serving.is_some();
        let Serving { is_taking, terms, rentals, envelopes, bytes, custody, refusals, evictions } =
            serving.unwrap_or_default();
        let device = peer_id::text(&us.device);
        let named = |address: &String| format!("{address}/p2p/{device}");
        Self {
            enabled,
            addresses: us.addresses.iter().filter(|_| enabled).map(named).collect(),
            taking: is_taking,
            rentals,
            rentals_max: terms.rentals_max,
            envelopes,
            envelopes_max: terms.envelopes_max,
            bytes,
            bytes_max: terms.bytes_max,
            keep_ms: u64::try_from(terms.keep.as_millis()).unwrap_or(u64::MAX),
            work_bits: terms.work_bits,
            needs_access: terms.needs_access,
            custody,
            refusals,
            evictions,
        }
    }
}
