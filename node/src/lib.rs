//! Everything that touches the world: libp2p, sled, clock, files, HTTP.
//!
//! Ranks (a module imports only from lower ones; `tests/architecture.rs` reads them here):
//! 0 `error coredump` · 1 `home config` · 2 `keystore telemetry metrics` ·
//! 3 `store network control` · 4 `http convert veil` · 5 `profile` · 6 `backup driver` · 7 `mailbox` ·
//! 8 `node`; this file may name all. So `store`, `network` and `control` never name each other.

pub mod backup;
pub mod config;
pub mod control;
pub mod coredump;
pub mod driver;
pub mod error;
pub mod home;
pub mod http;
pub mod keystore;
pub mod mailbox;
pub mod metrics;
pub mod network;
pub mod node;
pub mod profile;
pub mod store;
pub mod telemetry;
pub mod veil;

mod convert;

/// The file in which sealed envelopes travel.
pub use bitchat_protocol::sealed::file as envelopes;
pub use node::{Mode, Node, NodeOptions};
pub use profile::{
    CreatedProfile, Credentials, FactorChange, NewProfile, Rotation, create_profile, reclaim,
    recovery_words, rotate_keys,
};
