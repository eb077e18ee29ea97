//! What the driver joins: channels to the network, the users, the mailboxes and the clock.

use std::sync::Arc;

use bitchat_protocol::engine::{Event, Settings};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Clock, Mail};
use crate::control::{NodeStatus, Request};
use crate::http::Heartbeat;
use crate::metrics::Metrics;
use crate::network;

/// The other ends of everything that the driver joins.
pub struct Ends {
    /// Commands of users and programs.
    pub requests: mpsc::Receiver<Request>,
    /// Events for them.
    pub events: broadcast::Sender<Event>,
    /// What the node is doing.
    pub status: watch::Sender<NodeStatus>,
    /// To the network.
    pub network: mpsc::Sender<network::Command>,
    /// From the network.
    pub heard: mpsc::Receiver<network::Event>,
    /// Standing links.
    pub peers: watch::Receiver<Vec<network::PeerInfo>>,
    /// Mailboxes, both ways.
    pub mail: Mail,
    /// What the network counted.
    pub counters: Arc<network::NetworkCounters>,
    /// What is counted.
    pub metrics: Metrics,
    /// Beats with every turn.
    pub heartbeat: Heartbeat,
    /// What an operator may change while the node runs.
    pub settings: watch::Receiver<Settings>,
    /// Ends the loop.
    pub stop: CancellationToken,
    /// Addresses that others see although we cannot.
    pub external: Vec<String>,
    /// What time it is.
    pub clock: Clock,
    /// Whether our own addresses count (a single command listens nowhere).
    pub listens: bool,
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ends")
    }
}
