//! The table of docs/PERFORMANCE.md: each operation beside Olm's, for each provider compiled in.
//!
//! Whatever stands in one row is measured in turn, a sample of each, many times over, so that a busy
//! moment of the machine meets all of them; the medians are compared. The clock is that of the thread:
//! time in which others had the processor does not count. Texts have 64 bytes, associated data 244
//! as in a session. Ours seals the header too and has full tags; Olm 1 cuts its tag to 8 bytes.

#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how it fails")]
#![allow(clippy::print_stdout, reason = "it prints a table")]

#[path = "figures/olm.rs"]
mod olm;
#[path = "figures/ours.rs"]
mod ours;
#[path = "../tests/support/sessions.rs"]
mod sessions;

use std::time::Duration;

use bitchat_protocol::crypto::Provider;
use rustix::time::{ClockId, clock_gettime};

/// The text of every message.
const TEXT: [u8; 64] = [7; 64];

/// Messages of one sample on a chain.
const CHAIN: u32 = 100;

/// Round trips of one sample: as many as lie between two KEM exchanges of ours, so that each has its
/// share of one.
const TURNS: u32 = 32;

/// Samples of each contestant in a row.
const ROUNDS: usize = 101;

/// Messages that the last one overtakes.
const SKIPPED: u32 = 1_999;

/// Prepares, then measures: a sample is the time of one operation.
type Contestant = Box<dyn FnMut() -> Duration>;

/// A row: Olm, and ours by provider.
struct Row {
    name: &'static str,
    olm: Contestant,
    ours: Vec<(Provider, Contestant)>,
    /// What issue and documentation ask for, by provider: named, accelerated.
    limit: [f64; 2],
}

fn main() {
    println!("| | Olm | provider | ours | ours / Olm | at most |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for row in rows() {
        print_row(row);
    }
    let (olm, ours) = (olm::stored_bytes(), ours::stored_bytes());
    println!("| bytes of a stored session without skipped keys | {olm} | any | {ours} | | 600 |");
}

fn rows() -> Vec<Row> {
    let row = |name, olm, ours: fn() -> Contestant, limit| Row {
        name,
        olm,
        ours: Provider::ALL.iter().map(|provider| (*provider, under(*provider, ours))).collect(),
        limit,
    };
    vec![
        row("encrypt on a chain, 64 B", olm::encrypt(), ours::encrypt, [0.35, 0.35]),
        row("decrypt in order, 64 B", olm::decrypt(), ours::decrypt, [2.5, 1.5]),
        row("ping-pong: 2 encrypt, 2 decrypt", olm::ping_pong(), ours::ping_pong, [1.1, 0.85]),
        row("outbound and inbound session", olm::session(), ours::session, [2.0, 2.0]),
        row("the same, with one-time keys", olm::session(), ours::session_once, [2.0, 2.0]),
        row("the same, keys checked too", olm::session(), ours::session_checked, [2.0, 2.0]),
        row("skip 1,999 messages", olm::skip(), ours::skip, [1.0, 1.0]),
    ]
}

/// A contestant that is made and measured under one provider.
fn under(provider: Provider, make: fn() -> Contestant) -> Contestant {
    let mut contestant = provider.run(make);
    Box::new(move || provider.run(&mut contestant))
}

fn print_row(mut row: Row) {
    let mut olm = Vec::new();
    let mut ours = vec![Vec::new(); row.ours.len()];
    for _ in 0..ROUNDS {
        olm.push((row.olm)());
        for ((_, contestant), samples) in row.ours.iter_mut().zip(&mut ours) {
            samples.push(contestant());
        }
    }
    let olm = median(olm);
    for ((provider, _), samples) in row.ours.iter().zip(ours) {
        let ours = median(samples);
        let ratio = ours.as_secs_f64() / olm.as_secs_f64();
        let [named, accelerated] = row.limit;
        let limit = if *provider == Provider::Named { named } else { accelerated };
        println!("| {} | {olm:.2?} | {provider:?} | {ours:.2?} | {ratio:.2} | {limit} |", row.name);
    }
}

fn median(mut samples: Vec<Duration>) -> Duration {
    samples.sort_unstable();
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

/// The time of one of `count` operations that `work` does.
fn time(count: u32, work: impl FnOnce()) -> Duration {
    let start = processor_time();
    work();
    processor_time().saturating_sub(start) / count
}

/// What this thread has had of the processor.
fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(now).expect("not negative")
}
