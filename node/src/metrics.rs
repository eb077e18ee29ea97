//! What an operator can count.

pub mod label;

pub use label::WarningCode;

/// Everything that is counted. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {}
