//! What an operator may change while the engine runs.

use crate::resilience::breaker::Policy;

/// Thresholds. The defaults are those of docs/SPEC.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of the circuit breakers.
    pub breaker: Policy,
}
