//! `simulate`: runs scenarios of the shipping engine in virtual time.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use bitchat_simulations::{Faults, two};
use clap::Parser;

/// Runs two contacts that write to one another while links break and nodes crash.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Arguments {
    /// First seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds to run, one after another.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Messages each way.
    #[arg(long, default_value_t = 200)]
    messages: u32,
    /// Of a thousand frames, how many break their link.
    #[arg(long, default_value_t = 5)]
    breaks: u32,
    /// Of a thousand flushes, how many end in a crash.
    #[arg(long, default_value_t = 5)]
    crashes: u32,
}

#[expect(clippy::print_stdout, reason = "the report of a command-line tool")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let faults = Faults {
        latency: Duration::from_millis(40),
        flush: Duration::from_millis(10),
        breaks_per_mille: arguments.breaks,
        crashes_per_mille: arguments.crashes,
    };
    let mut failed = 0_u64;
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        let start = Instant::now();
        let outcome = two(seed, arguments.messages, faults);
        let hash: String = outcome.hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        println!(
            "seed {seed}: {} acknowledged, {} retries, {} duplicates, {:?} virtual in {:.2?}, hash {hash}",
            outcome.acknowledged,
            outcome.retries,
            outcome.duplicates,
            outcome.elapsed,
            start.elapsed(),
        );
        for violation in &outcome.violations {
            println!("  VIOLATION {violation}");
        }
        failed += u64::from(!outcome.violations.is_empty());
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
