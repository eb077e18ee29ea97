//! What an operator may change while the engine runs.

use super::limits::LimitSettings;
use crate::resilience::breaker::Policy;

/// Thresholds. The defaults are those of docs/SPEC.md.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Of the circuit breakers.
    pub breaker: Policy,
    /// What others may ask.
    pub limits: LimitSettings,
}
