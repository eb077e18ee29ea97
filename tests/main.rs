//! One integration binary: tests over real nodes, and the rules of the house.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code; clippy allows these by itself only inside `#[test]` functions"
)]

mod architecture;
mod crash;
mod errors;
mod harness;
mod messaging;
mod power_cut;
mod secrecy;
