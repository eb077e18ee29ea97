//! Everything that decides, without a socket, a clock or hidden randomness.
//!
//! Ranks (a module imports only from lower ones; `tests/architecture.rs` checks it):
//! 0 `id time error` · 1 `store crypto resilience` · 2 `identity prekey ratchet` ·
//! 3 `handshake invitation` · 4 `session contact` · 5 `envelope` · 6 `inbox outbox` · 7 `engine`.

pub mod contact;
pub mod crypto;
pub mod engine;
pub mod envelope;
pub mod error;
pub mod handshake;
pub mod id;
pub mod identity;
pub mod inbox;
pub mod invitation;
pub mod outbox;
pub mod prekey;
pub mod ratchet;
pub mod resilience;
pub mod session;
pub mod store;
pub mod time;
