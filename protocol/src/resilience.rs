//! Keeping going and staying polite: back-off, rate limits, circuit breakers.
//!
//! ```text
//!   Quota ── how many at once, one more after how long
//!   Gcra  ── one limit: 8 bytes of state, no timer
//!   Keyed ── a Gcra for each key, in bounded memory
//!   RetryBudget ── how much may be sent again
//!   Breakers ── for each peer and operation, whether to try at all
//!   Limiter ── limits of peer, prefix, tier and everybody for each class, all or none
//! ```

mod backoff;
pub mod breaker;
mod budget;
mod gcra;
mod keyed;
mod limiter;
mod places;
mod policy;
mod prefix;
mod record;

pub use backoff::Backoff;
pub use budget::{RetryBudget, SAVED_MAX};
pub use gcra::{Gcra, Quota, Refused};
pub use keyed::Keyed;
pub use limiter::{KEYS_MAX, Key, Limited, Limiter};
pub use policy::{Class, Policy, Rules, Scope, Tier, Who};
pub use prefix::Prefix;
pub use record::{SavedLimit, Side};
