//! Cost of one admission decision; budget: 1 microsecond at 10,000 peers, below 1 % of the handshake
//! that it guards (see `handshake`, [`accept`]: hundreds of microseconds). Measured: 3 ns
//! for one limit, 0.3 microseconds at 10,000 peers.
//!
//! [`accept`]: bitchat_protocol::handshake::accept

use std::num::NonZeroU32;
use std::time::Duration;

use bitchat_protocol::resilience::{Gcra, Keyed, Quota};
use bitchat_protocol::time::Moment;
use divan::{Bencher, black_box};

/// As many as an engine tells apart among strangers.
const PLACES: usize = 1_024;

fn main() {
    divan::main();
}

fn quota() -> Quota {
    Quota::new(NonZeroU32::MIN.saturating_add(19), Duration::from_millis(100))
}

/// A device's id is a key: 32 bytes that differ anywhere.
fn key(number: u32) -> [u8; 32] {
    let mut key = [7; 32];
    key[..4].copy_from_slice(&number.wrapping_mul(0x9E37_79B9).to_le_bytes());
    key
}

fn moment(tick: u32) -> Moment {
    Moment::START + Duration::from_micros(tick.into())
}

#[divan::bench]
fn one_limit(bencher: Bencher<'_, '_>) {
    let (quota, mut limit, mut tick) = (quota(), Gcra::new(), 0u32);
    bencher.bench_local(move || {
        tick = tick.wrapping_add(1);
        black_box(limit.admit(&quota, moment(tick), 1))
    });
}

/// Every peer is known, the shape of a busy node: each decision moves its peer in both maps.
#[divan::bench(args = [1, 100, 10_000])]
fn known_peers(bencher: Bencher<'_, '_>, peers: u32) {
    let mut limits = Keyed::new(quota(), peers as usize);
    for peer in 0..peers {
        let _ = limits.admit(key(peer), Moment::START, 1);
    }
    let mut tick = 0u32;
    bencher.bench_local(move || {
        tick = tick.wrapping_add(1);
        black_box(limits.admit(key(tick % peers), moment(tick), 1))
    });
}

/// A flood: each request comes from a device that was never seen, and no place is idle.
#[divan::bench]
fn new_peers_without_a_place(bencher: Bencher<'_, '_>) {
    let mut limits = Keyed::new(quota(), PLACES);
    let mut tick = 0u32;
    bencher.bench_local(move || {
        tick = tick.wrapping_add(1);
        black_box(limits.admit(key(tick), Moment::START, 1))
    });
}
