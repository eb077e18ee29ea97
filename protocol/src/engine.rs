//! The engine: one profile's protocol as a state machine without sockets, clocks or threads.
//!
//! ```text
//!   Input --handle(input, now)--> Engine --poll_output()--> Output
//!                                   |
//!                                   +--poll_timeout()--> when to call with Input::Timeout
//! ```
//!
//! The contract is in `docs/decisions/0001-sans-io-engine.md`; its heart: no output that depends
//! on a write leaves before `Input::Persisted` names that write's batch.

pub mod command;
pub mod input;
pub mod output;

pub use command::{
    Command, CommandError, ContactView, DeliveryView, IdentityView, InvitationView, MessageView,
    QueueView, Reply, Who,
};
pub use crate::id::SendToken;
pub use input::{CommandId, Input};
pub use output::{DeliveryState, Event, Fact, Output};
