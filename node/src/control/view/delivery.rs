//! Messages of ours as JSON: where each is, how it got there, what waits.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bitchat_protocol::engine::{DeliveryView, QueueView, TrackView, WaitView};
use bitchat_protocol::outbox::{CustodyReceipt, Step};
use serde::Serialize;

use super::Withheld;
use crate::control::peer_id;

/// Where a message is.
#[derive(Debug, Serialize)]
pub(in crate::control) struct Delivery {
    id: String,
    to: String,
    state: &'static str,
    evidence: String,
    at_ms: u64,
}

impl From<DeliveryView> for Delivery {
    fn from(view: DeliveryView) -> Self {
        Self {
            id: view.id.to_string(),
            to: view.to,
            state: view.state.as_str(),
            evidence: view.evidence,
            at_ms: view.at.0,
        }
    }
}

/// Where a sent message is, and whether that is what was waited for.
#[derive(Debug, Serialize)]
pub(in crate::control) struct Sent {
    #[serde(flatten)]
    pub(in crate::control) delivery: Delivery,
    pub(in crate::control) reached: bool,
    /// An open breaker alone kept it from being tried.
    pub(in crate::control) withheld: Option<Withheld>,
}

/// A row of the outbox.
#[derive(Debug, Serialize)]
pub(in crate::control) struct Queued {
    id: String,
    to: String,
    state: &'static str,
    created_ms: u64,
    expires_ms: u64,
    attempts: u32,
    bytes: usize,
}

impl From<QueueView> for Queued {
    fn from(view: QueueView) -> Self {
        Self {
            id: view.id.to_string(),
            to: view.to,
            state: view.state.as_str(),
            created_ms: view.created.0,
            expires_ms: view.expires.0,
            attempts: view.attempts,
            bytes: view.bytes,
        }
    }
}

/// Everything that is known of a message.
#[derive(Debug, Serialize)]
pub(in crate::control) struct Track {
    #[serde(flatten)]
    delivery: Delivery,
    steps: Vec<Rung>,
    custody: Vec<Custody>,
    /// When a receipt came although the message had ended.
    late_receipt_ms: Option<u64>,
    waits: Option<Waits>,
}

/// What a message reached.
#[derive(Debug, Serialize)]
struct Rung {
    state: &'static str,
    at_ms: u64,
    evidence: String,
}

/// What a mailbox signed.
#[derive(Debug, Serialize)]
struct Custody {
    mailbox: String,
    envelope: String,
    until_ms: u64,
    at_ms: u64,
    /// As it came, in base64.
    receipt: String,
}

/// What is done about a message that waits for its receipt.
#[derive(Debug, Serialize)]
struct Waits {
    created_ms: u64,
    expires_ms: u64,
    attempts: u32,
    bytes: usize,
    next_attempt_ms: Option<u64>,
    last_error: Option<&'static str>,
    last_error_ms: Option<u64>,
    blocked: bool,
}

impl From<TrackView> for Track {
    fn from(view: TrackView) -> Self {
        Self {
            delivery: view.delivery.into(),
            steps: view.steps.into_iter().map(Rung::from).collect(),
            custody: view.custody.iter().map(Custody::from).collect(),
            late_receipt_ms: view.late.map(|at| at.0),
            waits: view.waits.map(Waits::from),
        }
    }
}

impl From<Step> for Rung {
    fn from(step: Step) -> Self {
        Self { state: step.state.as_str(), at_ms: step.at.0, evidence: step.evidence }
    }
}

impl From<&CustodyReceipt> for Custody {
    fn from(receipt: &CustodyReceipt) -> Self {
        Self {
            mailbox: peer_id::text(&receipt.mailbox),
            envelope: receipt.envelope.iter().map(|byte| format!("{byte:02x}")).collect(),
            until_ms: receipt.until.0,
            at_ms: receipt.at.0,
            receipt: STANDARD.encode(&receipt.bytes),
        }
    }
}

impl From<WaitView> for Waits {
    fn from(view: WaitView) -> Self {
        Self {
            created_ms: view.created.0,
            expires_ms: view.expires.0,
            attempts: view.attempts,
            bytes: view.bytes,
            next_attempt_ms: view.next_attempt.map(|at| at.0),
            last_error: view.trouble.map(|(what, _)| what),
            last_error_ms: view.trouble.map(|(_, at)| at.0),
            blocked: view.blocked,
        }
    }
}
