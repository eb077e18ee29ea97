//! The way to a running node: commands in, events and status out.
//!
//! ```text
//!   Handle::ask ──Request──> driver ──> engine
//!          ^                               │
//!          └──────────── reply ────────────┤
//!   Handle::events <── broadcast ──────────┘      Handle::status <── watch ── driver
//! ```
//!
//! Whoever serves (the driver, or a stand-in in tests) owns the other ends; this module knows
//! neither engine nor store. Every queue is bounded: a full one answers [`NodeError::Busy`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bitchat_protocol::engine::{Command, CommandError, Event, Reply};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::resilience::breaker::Counts;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::limits::LimitStatus;
use super::serving::Serving;
use crate::error::NodeError;
use crate::metrics::label::Rung;
use crate::metrics::{Metrics, WarningCode};

/// The engine answers within one group commit; ten seconds mean that the disk hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What a caller may try again after when the queue to the engine is full.
const BUSY_FOR: Duration = Duration::from_millis(500);

/// One command on its way to the engine.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub command: Command,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Reply, CommandError>>,
    /// The log's span of whoever asks, with its correlation id.
    pub span: tracing::Span,
}

/// A running node, as the control API and the program see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    events: broadcast::Sender<Event>,
    status: watch::Receiver<NodeStatus>,
    metrics: Metrics,
}

/// What the driver knows about the node besides its engine.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Messages are taken and sent.
    pub ready: bool,
    /// Shutting down: nothing new is taken.
    pub draining: bool,
    /// Where peers can reach us.
    pub addresses: Vec<String>,
    /// What somebody should look at.
    pub warnings: Vec<Warning>,
    /// Standing links.
    pub peers: Vec<PeerStatus>,
    /// The outbox, as of the last change.
    pub outbox: OutboxStatus,
    /// One-time prekeys of ours, as of the last change.
    pub prekeys: PrekeyStatus,
    /// Mailboxes that this node keeps for others; `None`: it keeps none.
    pub serving: Option<Serving>,
    /// Circuit breakers by operation and state, as of the last change.
    pub breakers: Counts,
    /// Rate limits at work.
    pub limits: LimitStatus,
    /// Where metrics and health are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// The control socket.
    pub socket: PathBuf,
    /// When the node started.
    pub started: Instant,
    /// The disk refuses: nothing new is taken.
    pub storage_refuses: bool,
    /// What is known about address translation: `unknown`, `public` or `private`.
    pub nat: String,
}

/// Rows of the outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxStatus {
    /// Rows.
    pub rows: u64,
    /// When the oldest was queued, milliseconds since 1970.
    pub oldest_ms: Option<u64>,
}

/// One-time prekeys that can be handed out, and what their lack led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrekeyStatus {
    /// X25519 keys.
    pub x25519: usize,
    /// ML-KEM keys.
    pub ml_kem: usize,
    /// Sessions founded since the start without a one-time key, by either side.
    pub last_resort_sessions: u64,
}

impl PrekeyStatus {
    /// Whether a kind has run out.
    #[must_use]
    pub const fn is_exhausted(&self) -> bool {
        self.x25519 == 0 || self.ml_kem == 0
    }
}

/// A named warning with the way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Which.
    pub code: WarningCode,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

/// One standing link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// `PeerId` text.
    pub peer: String,
    /// Device behind it.
    pub device: DeviceId,
    /// `tcp`, `quic` or `relay`.
    pub path: String,
    /// Last measured round trip.
    pub rtt_ms: Option<u64>,
}

impl Handle {
    /// A handle over the driver's queues.
    #[must_use]
    pub const fn new(
        requests: mpsc::Sender<Request>,
        events: broadcast::Sender<Event>,
        status: watch::Receiver<NodeStatus>,
        metrics: Metrics,
    ) -> Self {
        Self { requests, events, status, metrics }
    }

    /// Asks the engine and waits for its answer.
    ///
    /// # Errors
    ///
    /// The engine's refusal; [`NodeError::Busy`] when its queue is full; [`NodeError::Unavailable`]
    /// when it is gone; [`NodeError::NoAnswer`] when it ended meanwhile or took longer than 10 s:
    /// then the command may have been carried out all the same.
    pub async fn ask(&self, command: Command) -> Result<Reply, NodeError> {
        self.ask_within(command, ANSWER_WITHIN).await
    }

    /// As [`Self::ask`], for what waits for others.
    ///
    /// # Errors
    ///
    /// As [`Self::ask`].
    pub async fn ask_within(&self, command: Command, time: Duration) -> Result<Reply, NodeError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { command, reply, span: tracing::Span::current() };
        self.requests.try_send(request).map_err(|error| match error {
            TrySendError::Full(_) => NodeError::Busy { retry_after: BUSY_FOR },
            TrySendError::Closed(_) => NodeError::Unavailable,
        })?;
        match timeout(time, answer).await {
            Ok(Ok(reply)) => reply.map_err(NodeError::from),
            Ok(Err(_)) | Err(_) => Err(NodeError::NoAnswer),
        }
    }

    /// Events from now on. A reader that lags loses the oldest and is told so.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The present status.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.status.borrow().clone()
    }

    /// The status as it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<NodeStatus> {
        self.status.clone()
    }

    /// What is counted.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl NodeStatus {
    /// A node that has just begun to start.
    #[must_use]
    pub fn starting(socket: PathBuf, started: Instant) -> Self {
        Self {
            ready: false,
            draining: false,
            addresses: Vec::new(),
            warnings: Vec::new(),
            peers: Vec::new(),
            outbox: OutboxStatus::default(),
            prekeys: PrekeyStatus::default(),
            serving: None,
            breakers: Counts::default(),
            limits: LimitStatus::default(),
            metrics: None,
            socket,
            started,
            storage_refuses: false,
            nat: "unknown".to_owned(),
        }
    }

    /// What does not work while the rest goes on.
    #[must_use]
    pub fn degraded(&self) -> Vec<Rung> {
        let warned = |code| self.warnings.iter().any(|warning| warning.code == code);
        let stands = |rung: &Rung| match rung {
            Rung::Storage => self.storage_refuses,
            Rung::Route => self.outbox.rows > 0 && self.peers.is_empty(),
            Rung::Control => warned(WarningCode::ControlDown),
            Rung::Metrics => warned(WarningCode::MetricsDown),
            Rung::Clock => warned(WarningCode::ClockSkew),
        };
        Rung::ALL.iter().copied().filter(stands).collect()
    }

    /// Makes a warning stand, or ends it with `None`.
    pub fn warn(&mut self, code: WarningCode, warning: Option<Warning>) {
        self.warnings.retain(|standing| standing.code != code);
        self.warnings.extend(warning);
    }

    /// As [`NodeStatus::warn`]; says whether that changed anything.
    pub fn warn_anew(&mut self, code: WarningCode, warning: Option<Warning>) -> bool {
        let stands = self.warnings.iter().find(|standing| standing.code == code);
        let is_news = stands != warning.as_ref();
        if is_news {
            self.warn(code, warning);
        }
        is_news
    }
}

#[cfg(test)]
impl Handle {
    /// Whether the queue to the engine takes one more.
    pub(super) fn has_room(&self) -> bool {
        self.requests.capacity() > 0
    }
}
