//! Whom the node is connected to or leaves alone, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use bitchat_protocol::engine::{BreakerView, WithheldView};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::resilience::breaker::{Counts, State};
use serde::Serialize;

use crate::control::handle::PeerStatus;
use crate::control::peer_id;

/// Every standing link, and every peer that a breaker holds.
#[derive(Debug, Serialize)]
pub(in crate::control) struct Peers {
    peers: Vec<Peer>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct Peer {
    peer: String,
    connected: bool,
    path: Option<String>,
    rtt_ms: Option<u64>,
    breakers: Vec<Breaker>,
    contact: Option<String>,
}

/// A circuit breaker that has counted a failure lately.
#[derive(Debug, Serialize)]
struct Breaker {
    operation: &'static str,
    state: &'static str,
    failures: u32,
    cause: &'static str,
    until_ms: Option<u64>,
    retry_after_ms: Option<u64>,
}

impl From<BreakerView> for Breaker {
    fn from(view: BreakerView) -> Self {
        Self {
            operation: view.operation.as_str(),
            state: view.state.as_str(),
            failures: view.failures,
            cause: view.cause,
            until_ms: view.until.map(|until| until.0),
            retry_after_ms: view.retry_after.map(millis),
        }
    }
}

impl Peers {
    /// Those that are connected first, then the others by device.
    pub(in crate::control) fn new(
        links: Vec<PeerStatus>,
        breakers: Vec<BreakerView>,
        names: &BTreeMap<DeviceId, String>,
    ) -> Self {
        let mut by_device = BTreeMap::<DeviceId, Vec<BreakerView>>::new();
        for view in breakers {
            by_device.entry(view.device).or_default().push(view);
        }
        let listed = |status: Option<PeerStatus>, device: DeviceId, seen: Vec<BreakerView>| {
            let connected = status.is_some();
            let (path, rtt_ms) = status.map_or((None, None), |s| (Some(s.path), s.rtt_ms));
            let breakers = seen.into_iter().map(Breaker::from).collect();
            let contact = names.get(&device).cloned();
            Peer { peer: peer_id::text(&device), connected, path, rtt_ms, breakers, contact }
        };
        let mut peers = Vec::new();
        for status in links {
            let device = status.device;
            let seen = by_device.remove(&device).unwrap_or_default();
            peers.push(listed(Some(status), device, seen));
        }
        let is_held = |view: &BreakerView| view.state != State::Closed;
        for (device, seen) in by_device {
            if seen.iter().any(is_held) {
                peers.push(listed(None, device, seen));
            }
        }
        Self { peers }
    }
}

/// Why a message was not even tried.
#[derive(Debug, Serialize)]
pub(in crate::control) struct Withheld {
    operation: &'static str,
    retry_after_ms: u64,
}

impl Withheld {
    /// What to say when a wait of this length ended without success: a breaker alone is the reason
    /// only if nothing at all was tried meanwhile.
    pub(in crate::control) fn during(waited: Duration, view: WithheldView) -> Option<Self> {
        let untried = view.untried_for.is_none_or(|untried| untried >= waited);
        let retry_after_ms = millis(view.retry_after).max(1);
        untried.then(|| Self { operation: view.operation.as_str(), retry_after_ms })
    }
}

/// Breakers in each state, of every operation.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Breakers {
    closed: u32,
    half_open: u32,
    open: u32,
}

impl From<Counts> for Breakers {
    fn from(counts: Counts) -> Self {
        let sum = |state: State| {
            let column = counts.iter().filter_map(|row| row.get(state as usize));
            column.fold(0u32, |sum, count| sum.saturating_add(*count))
        };
        Self { closed: sum(State::Closed), half_open: sum(State::HalfOpen), open: sum(State::Open) }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
