//! The nodes' side: keeps envelopes for those who rent a queue, as a state machine.
//!
//! ```text
//!   HostInput --handle(input, now)--> Host --poll_output()--> HostOutput
//!                                      |
//!                                      +--poll_timeout()--> when to call with HostInput::Timeout
//! ```
//!
//! # Contract (as the engine's, docs/decisions/0001)
//!
//! - `Host::start(HostSetup, store, rng, now) -> Result<Host, Error>`; `handle(HostInput, Now)` never fails, blocks or
//!   panics on remote bytes; `poll_output() -> Option<HostOutput>` is drained to `None` after each `handle`;
//!   `poll_timeout() -> Option<(Moment, &'static str)>`; `view() -> HostView`.
//! - No answer that depends on a write leaves before `HostInput::Persisted` proves its batch durable.
//! - Everything is bounded; while `is_full()`, the driver feeds nothing but `Persisted`. `is_settled()`: nothing is
//!   written, withheld or on its way to the disk.
//! - Every `HostOutput::Ask` comes back as one `Answered` or one `Unanswered`.

mod port;
mod settings;

pub use port::{Ending, Eviction, HostFact, HostInput, HostOutput, HostView};
pub use settings::{HostSettings, HostSetup, LAPSE, REQUEST_BYTES_MAX, REQUEST_ENVELOPES_MAX};
