//! Everything that decides, without a socket, a clock or hidden randomness.
//!
//! Ranks (a module imports only from lower ones; `tests/architecture.rs` checks it):
//! 0 `id time error` · 1 `store crypto resilience` · 2 `identity prekey ratchet` ·
//! 3 `handshake invitation` · 4 `session contact` · 5 `envelope` · 6 `inbox outbox` · 7 `engine`.

pub mod crypto;
pub mod engine;
pub mod error;
pub mod handshake;
pub mod id;
pub mod identity;
pub mod invitation;
pub mod prekey;
pub mod ratchet;
pub mod store;
pub mod time;
