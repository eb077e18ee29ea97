//! Keeping going and staying polite: back-off, rate limits, circuit breakers.
//!
//! ```text
//!   Quota ── how many at once, one more after how long
//!   Gcra  ── one limit: 8 bytes of state, no timer
//!   Keyed ── a Gcra for each key, in bounded memory
//!   RetryBudget ── how much may be sent again
//!   Breakers ── for each peer and operation, whether to try at all
//! ```
//!
//! Limits compose by asking [`Gcra::check`] or [`Keyed::check`] of each and taking from all only when
//! all agree; those that refuse are told by `admit`, which takes nothing. The longest of their waits is
//! then the true one: waiting longer never hurts.

mod backoff;
pub mod breaker;
mod budget;
mod gcra;
mod keyed;

pub use backoff::Backoff;
pub use budget::{RetryBudget, SAVED_MAX};
pub use gcra::{Gcra, Quota, Refused};
pub use keyed::Keyed;
