//! One integration binary: tests over real nodes, and the rules of the house.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_in_result,
    reason = "test code; clippy allows these by itself only inside `#[test]` functions"
)]

mod architecture;
mod backup;
mod breakers;
mod carried;
mod cli;
mod crash;
mod degradation;
mod errors;
mod flood;
mod harness;
mod healing;
mod keys;
mod ladder;
mod mailbox;
mod messaging;
mod monitoring;
mod power_cut;
mod secrecy;
mod small_disk;
mod trust;
