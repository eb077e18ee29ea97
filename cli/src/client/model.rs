//! Answers of the control API, as far as commands look into them.
//!
//! Printed JSON is made from the same types, so their fields are what scripts rely on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::UserError;

/// Our own account and device.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Identity {
    pub(crate) account: String,
    pub(crate) device: String,
    pub(crate) nickname: String,
    pub(crate) addresses: Vec<String>,
}

/// An invitation of ours.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Invitation {
    pub(crate) link: String,
    pub(crate) short: String,
    pub(crate) expires_ms: Option<u64>,
}

/// A contact.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Contact {
    pub(crate) name: String,
    pub(crate) nickname: String,
    pub(crate) account: String,
    pub(crate) fingerprint: String,
    pub(crate) device: String,
    pub(crate) verified: bool,
    pub(crate) safety_number: String,
    pub(crate) safety_code: String,
    pub(crate) policy: String,
    /// Whether it is told that its messages were read.
    pub(crate) read_receipts: bool,
    pub(crate) key_change: Option<KeyChange>,
    pub(crate) addresses: Vec<String>,
    pub(crate) connected: bool,
    /// On which keys the session was founded: `one_time`, `partial`, `last_resort`; null without one.
    pub(crate) prekeys: Option<String>,
    /// Only in the answer to an invitation: whether the contact was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) known: Option<bool>,
}

/// A change of a contact's keys that the user has not answered.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct KeyChange {
    pub(crate) at_ms: u64,
    pub(crate) device: String,
    pub(crate) blocked: bool,
}

/// All contacts.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Contacts {
    pub(crate) contacts: Vec<Contact>,
}

/// Where a message is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) state: String,
    pub(crate) evidence: Option<String>,
    pub(crate) at_ms: u64,
    /// Only where a wait was in vain: an open breaker alone is the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) withheld: Option<Withheld>,
}

/// A message was not even tried.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Withheld {
    pub(crate) operation: String,
    pub(crate) retry_after_ms: u64,
}

/// A message of the inbox or of a conversation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Message {
    pub(crate) cursor: u64,
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) account: String,
    pub(crate) fingerprint: String,
    pub(crate) verified: bool,
    pub(crate) text: String,
    pub(crate) sent_ms: u64,
    pub(crate) received_ms: Option<u64>,
    pub(crate) gap: u64,
    pub(crate) late: bool,
    pub(crate) unreadable: bool,
    pub(crate) index: u64,
    /// Place in the order that both sides see.
    pub(crate) lamport: u64,
    /// Only in a conversation: whom it is with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) contact: Option<String>,
    /// Only in a conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) direction: Option<String>,
    /// Only for messages of ours in a conversation; else null.
    pub(crate) state: Option<String>,
}

impl Message {
    /// Whether it is ours.
    pub(crate) fn is_outgoing(&self) -> bool {
        self.direction.as_deref() == Some("out")
    }
}

/// Some messages, oldest first.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Messages {
    pub(crate) messages: Vec<Message>,
}

/// A message that is not delivered yet.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct QueueRow {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) state: String,
    pub(crate) created_ms: u64,
    pub(crate) expires_ms: u64,
    pub(crate) attempts: u64,
    pub(crate) bytes: u64,
}

/// Everything that is known of a message of ours.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Track {
    #[serde(flatten)]
    pub(crate) delivery: Delivery,
    pub(crate) steps: Vec<Step>,
    pub(crate) custody: Vec<Custody>,
    /// When a receipt came although the message had ended.
    pub(crate) late_receipt_ms: Option<u64>,
    pub(crate) waits: Option<Waits>,
}

/// A state that a message reached.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Step {
    pub(crate) state: String,
    pub(crate) at_ms: u64,
    pub(crate) evidence: String,
}

/// What a mailbox signed.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Custody {
    pub(crate) mailbox: String,
    pub(crate) envelope: String,
    pub(crate) until_ms: u64,
    pub(crate) at_ms: u64,
    pub(crate) receipt: String,
}

/// What is done about a message that waits for its receipt.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Waits {
    pub(crate) created_ms: u64,
    pub(crate) expires_ms: u64,
    pub(crate) attempts: u64,
    pub(crate) bytes: u64,
    pub(crate) next_attempt_ms: Option<u64>,
    pub(crate) last_error: Option<String>,
    pub(crate) last_error_ms: Option<u64>,
    pub(crate) blocked: bool,
}

/// A page of sealed envelopes.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Exported {
    envelopes: Vec<String>,
    pub(crate) messages: u64,
    pub(crate) receipts: u64,
    pub(crate) no_keys: u64,
    pub(crate) held_back: u64,
    pub(crate) next: Option<String>,
}

impl Exported {
    /// The envelopes' bytes.
    pub(crate) fn seals(&self) -> Result<Vec<Vec<u8>>, UserError> {
        let decoded = self.envelopes.iter().map(|text| STANDARD.decode(text));
        let decoded = decoded.collect::<Result<_, _>>();
        decoded.map_err(|_| UserError::internal("an envelope that is not base64"))
    }
}

/// What became of imported envelopes.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Imported {
    pub(crate) delivered: u64,
    pub(crate) receipts: u64,
    pub(crate) duplicates: u64,
    pub(crate) not_for_us: u64,
    pub(crate) refused: u64,
    /// Places of those that may pass in a second.
    pub(crate) busy: Vec<usize>,
}

/// A device that we are connected to, or that a circuit breaker holds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Peer {
    pub(crate) peer: String,
    pub(crate) connected: bool,
    pub(crate) path: Option<String>,
    pub(crate) rtt_ms: Option<u64>,
    pub(crate) breakers: Vec<Breaker>,
    pub(crate) contact: Option<String>,
}

/// A circuit breaker that has counted a failure lately.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Breaker {
    pub(crate) operation: String,
    pub(crate) state: String,
    pub(crate) failures: u32,
    pub(crate) cause: String,
    pub(crate) until_ms: Option<u64>,
    pub(crate) retry_after_ms: Option<u64>,
}

/// How many circuit breakers are in each state.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Breakers {
    pub(crate) closed: u64,
    pub(crate) half_open: u64,
    pub(crate) open: u64,
}

/// How the node is.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Status {
    pub(crate) ready: bool,
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    #[serde(default)]
    pub(crate) warnings: Vec<Warning>,
    #[serde(default)]
    pub(crate) outbox: Outbox,
    #[serde(default)]
    pub(crate) prekeys: Prekeys,
    #[serde(default)]
    pub(crate) breakers: Breakers,
    /// Everything else that the node says, passed on as it is.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

/// Something that the operator should know.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Warning {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: String,
}

/// What waits to be delivered.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Outbox {
    pub(crate) rows: u64,
    pub(crate) oldest_ms: Option<u64>,
}

/// One-time prekeys that are left, and sessions that had to do without.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Prekeys {
    pub(crate) x25519: u64,
    pub(crate) ml_kem: u64,
    pub(crate) last_resort_sessions: u64,
}
