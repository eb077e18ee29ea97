//! Circuit breakers, by operation and state; never by peer.

use bitchat_protocol::resilience::breaker::{Counts, Move, Operation, State};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Both from enums of the protocol: a closed set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    operation: &'static str,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMove {
    from: &'static str,
    to: &'static str,
}

/// Counts circuit breakers.
#[derive(Clone, Debug, Default)]
pub(super) struct BreakerMetrics {
    peers: Family<ByState, Gauge>,
    transitions: Family<ByMove, Counter>,
}

impl BreakerMetrics {
    /// Registers both families, every series at zero.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "breaker_peers",
            "Peers whose circuit breaker has counted a failure lately, by its state",
            self.peers.clone(),
        );
        registry.register(
            "breaker_transitions",
            "Circuit breakers that changed their state",
            self.transitions.clone(),
        );
        self.count(&Counts::default());
        for from in State::ALL {
            for to in State::ALL.into_iter().filter(|to| *to != from) {
                drop(self.transition(from, to));
            }
        }
    }

    /// How many there are in each state now.
    pub(super) fn count(&self, counts: &Counts) {
        for (operation, row) in Operation::ALL.into_iter().zip(counts) {
            for (state, count) in State::ALL.into_iter().zip(row) {
                let label = ByState { operation: operation.as_str(), state: state.as_str() };
                self.peers.get_or_create(&label).set(i64::from(*count));
            }
        }
    }

    /// One changed its state.
    pub(super) fn moved(&self, moved: Move) {
        self.transition(moved.from, moved.to).inc();
    }

    fn transition(&self, from: State, to: State) -> Counter {
        let label = ByMove { from: from.as_str(), to: to.as_str() };
        self.transitions.get_or_create(&label).clone()
    }
}
