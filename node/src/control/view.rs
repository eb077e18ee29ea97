//! What the control API says: the engine's views as JSON.
//!
//! Field names are frozen: scripts rely on them. Text from peers is passed on as it is; whoever
//! prints it sanitises it.

use bitchat_protocol::engine::{
    ContactView, IdentityView, InvitationView, KeyChangeView, MessageView,
};
use bitchat_protocol::prekey::PrekeyUse;
use serde::Serialize;

use super::handle::NodeStatus;
use super::peer_id;
use crate::metrics::label::Rung;

mod delivery;
mod peers;

pub(super) use delivery::{Delivery, Queued, Sent, Track};
pub(super) use peers::{Peers, Withheld};

use peers::Breakers;

/// Version of every reply; grows when a field changes its meaning or goes.
pub const SCHEMA: u32 = 1;

/// A reply with its version.
#[derive(Debug, Serialize)]
pub(super) struct Versioned<T> {
    schema: u32,
    #[serde(flatten)]
    value: T,
}

impl<T> Versioned<T> {
    pub(super) const fn new(value: T) -> Self {
        Self { schema: SCHEMA, value }
    }
}

/// `{}`
#[derive(Debug, Serialize)]
pub(super) struct Nothing {}

/// This process.
#[derive(Debug, Serialize)]
pub(super) struct Alive {
    pub(super) pid: u32,
}

/// Ourselves.
#[derive(Debug, Serialize)]
pub(super) struct Identity {
    account: String,
    device: String,
    nickname: String,
    addresses: Vec<String>,
}

impl From<IdentityView> for Identity {
    fn from(view: IdentityView) -> Self {
        Self {
            account: view.account.to_string(),
            device: peer_id::text(&view.device),
            nickname: view.nickname,
            addresses: view.addresses,
        }
    }
}

/// An invitation.
#[derive(Debug, Serialize)]
pub(super) struct Invitation {
    link: String,
    short: String,
    expires_ms: Option<u64>,
}

impl From<InvitationView> for Invitation {
    fn from(view: InvitationView) -> Self {
        Self { link: view.link, short: view.short, expires_ms: view.expires.map(|time| time.0) }
    }
}

/// A contact.
#[derive(Debug, Serialize)]
pub(super) struct Contact {
    name: String,
    nickname: String,
    account: String,
    fingerprint: String,
    device: String,
    verified: bool,
    safety_number: String,
    safety_code: String,
    policy: &'static str,
    read_receipts: bool,
    key_change: Option<KeyChange>,
    addresses: Vec<String>,
    connected: bool,
    /// On which keys the session was founded.
    prekeys: Option<&'static str>,
}

/// A change of a contact's keys that the user has not answered.
#[derive(Debug, Serialize)]
pub(super) struct KeyChange {
    at_ms: u64,
    device: String,
    blocked: bool,
}

/// The same as it happens.
#[derive(Debug, Serialize)]
pub(super) struct KeysChanged {
    account: String,
    fingerprint: String,
    name: String,
    #[serde(flatten)]
    change: KeyChange,
}

impl From<KeyChangeView> for KeysChanged {
    fn from(view: KeyChangeView) -> Self {
        Self {
            account: view.account.to_string(),
            fingerprint: view.account.fingerprint(),
            name: view.name,
            change: KeyChange {
                at_ms: view.at.0,
                device: peer_id::text(&view.device),
                blocked: view.blocked,
            },
        }
    }
}

/// Whom an event is about.
#[derive(Debug, Serialize)]
pub(super) struct About {
    pub(super) account: String,
}

impl From<ContactView> for Contact {
    fn from(view: ContactView) -> Self {
        Self {
            fingerprint: view.account.fingerprint(),
            account: view.account.to_string(),
            device: peer_id::text(&view.device),
            name: view.name,
            nickname: view.nickname,
            verified: view.verified,
            safety_number: view.safety_number,
            safety_code: view.safety_code,
            policy: view.policy.as_str(),
            read_receipts: view.read_receipts,
            key_change: view.changed.map(|at| KeyChange {
                at_ms: at.0,
                device: peer_id::text(&view.waiting.unwrap_or(view.device)),
                blocked: view.waiting.is_some(),
            }),
            addresses: view.addresses,
            connected: view.connected,
            prekeys: view.prekeys.map(PrekeyUse::as_str),
        }
    }
}

/// A contact that was just added.
#[derive(Debug, Serialize)]
pub(super) struct Added {
    #[serde(flatten)]
    pub(super) contact: Contact,
    pub(super) known: bool,
}

/// Every contact.
#[derive(Debug, Serialize)]
pub(super) struct Contacts {
    pub(super) contacts: Vec<Contact>,
}

/// A message of the inbox.
#[derive(Debug, Serialize)]
pub(super) struct Message {
    cursor: u64,
    id: String,
    from: String,
    account: String,
    fingerprint: String,
    verified: bool,
    text: String,
    sent_ms: u64,
    received_ms: Option<u64>,
    gap: u64,
    late: bool,
    unreadable: bool,
    index: u64,
    lamport: u64,
}

impl From<MessageView> for Message {
    fn from(view: MessageView) -> Self {
        Self {
            cursor: view.cursor,
            id: view.id.to_string(),
            from: view.from,
            fingerprint: view.account.fingerprint(),
            account: view.account.to_string(),
            verified: view.verified,
            text: view.text,
            sent_ms: view.sent.0,
            received_ms: view.received.map(|time| time.0),
            gap: view.gap,
            late: view.late,
            unreadable: view.unreadable,
            index: view.index,
            lamport: view.lamport,
        }
    }
}

/// A message of a conversation.
#[derive(Debug, Serialize)]
pub(super) struct Line {
    #[serde(flatten)]
    message: Message,
    contact: String,
    direction: &'static str,
    state: Option<&'static str>,
}

impl From<MessageView> for Line {
    fn from(view: MessageView) -> Self {
        let direction = if view.outgoing { "out" } else { "in" };
        let state = view.state.map(|state| state.as_str());
        let contact = view.name.clone();
        Self { message: view.into(), contact, direction, state }
    }
}

/// Messages, of whatever shape.
#[derive(Debug, Serialize)]
pub(super) struct Messages<T> {
    pub(super) messages: Vec<T>,
}

/// The node as a whole.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    ready: bool,
    draining: bool,
    version: &'static str,
    account: Option<String>,
    device: Option<String>,
    uptime_ms: u64,
    addresses: Vec<String>,
    nat: String,
    warnings: Vec<Warned>,
    connections: usize,
    contacts: Option<usize>,
    outbox: Outbox,
    prekeys: Prekeys,
    breakers: Breakers,
    degradation: Vec<&'static str>,
    metrics: Option<String>,
    socket: String,
    pid: u32,
}

#[derive(Debug, Serialize)]
struct Warned {
    code: &'static str,
    message: String,
    hint: String,
}

#[derive(Debug, Serialize)]
struct Prekeys {
    x25519: usize,
    ml_kem: usize,
    last_resort_sessions: u64,
}

#[derive(Debug, Serialize)]
struct Outbox {
    rows: u64,
    oldest_ms: Option<u64>,
}

impl Status {
    /// `identity` and `contacts` are unknown while the engine does not answer.
    pub(super) fn new(
        status: NodeStatus,
        identity: Option<IdentityView>,
        contacts: Option<usize>,
    ) -> Self {
        let degradation = status.degraded().into_iter().map(Rung::as_str).collect();
        let warnings = status.warnings.into_iter().map(|warning| Warned {
            code: warning.code.as_str(),
            message: warning.message,
            hint: warning.hint,
        });
        Self {
            ready: status.ready,
            draining: status.draining,
            version: env!("CARGO_PKG_VERSION"),
            account: identity.as_ref().map(|view| view.account.to_string()),
            device: identity.as_ref().map(|view| peer_id::text(&view.device)),
            uptime_ms: u64::try_from(status.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            addresses: status.addresses,
            nat: status.nat,
            warnings: warnings.collect(),
            connections: status.peers.len(),
            contacts,
            outbox: Outbox { rows: status.outbox.rows, oldest_ms: status.outbox.oldest_ms },
            prekeys: Prekeys {
                x25519: status.prekeys.x25519,
                ml_kem: status.prekeys.ml_kem,
                last_resort_sessions: status.prekeys.last_resort_sessions,
            },
            breakers: status.breakers.into(),
            degradation,
            metrics: status.metrics.map(|address| address.to_string()),
            socket: status.socket.display().to_string(),
            pid: std::process::id(),
        }
    }
}
