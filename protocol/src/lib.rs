//! Everything that decides, without a socket, a clock or hidden randomness.
//!
//! Ranks (a module imports only from lower ones; `tests/architecture.rs` reads them here):
//! 0 `time store` · 1 `error` · 2 `id` · 3 `crypto resilience` · 4 `identity ratchet` ·
//! 5 `prekey` · 6 `invitation` · 7 `handshake` · 8 `session contact copies` · 9 `sealed` · 10 `envelope` ·
//! 11 `inbox outbox mailbox` · 12 `backup` · 13 `engine`.

pub mod backup;
pub mod contact;
pub mod copies;
pub mod crypto;
pub mod engine;
pub mod envelope;
pub mod error;
pub mod handshake;
pub mod id;
pub mod identity;
pub mod inbox;
pub mod invitation;
pub mod mailbox;
pub mod outbox;
pub mod prekey;
pub mod ratchet;
pub mod resilience;
pub mod sealed;
pub mod session;
pub mod store;
pub mod time;
