//! Everything that touches the world: libp2p, sled, clock, files, HTTP.
//!
//! Ranks: 0 `error home config` · 1 `keystore telemetry metrics` · 2 `store network control http` ·
//! 3 `driver` · 4 this file. `store`, `network` and `control` never name each other.

pub mod config;
pub mod control;
pub mod driver;
pub mod error;
pub mod home;
pub mod http;
pub mod keystore;
pub mod metrics;
pub mod network;
pub mod store;
pub mod telemetry;
