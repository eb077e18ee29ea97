//! Every flush of whoever takes part in the way of a message by mailbox ends in a crash once: before the disk
//! has it, and after.

#![allow(clippy::panic, reason = "a test fails by panicking")]

#[path = "support/town.rs"]
mod town;

use bitchat_protocol::engine::DeliveryState;
use bitchat_simulations::{Keeping, Owner};
use town::{MINUTE, Town};

const MESSAGES: u32 = 4;

#[derive(Clone, Copy, Debug)]
struct Kill {
    owner: Owner,
    /// Counted from when she begins to write.
    flush: u64,
    kept: bool,
}

/// He is away while she writes, she while he reads, he while she learns of it. Returns who flushed how often.
fn run(seed: u64, kills: &[Kill]) -> Vec<(Owner, u64)> {
    let mut town = Town::new(seed, 1, &[Keeping::Honest; 3]);
    let nodes = [town.alice, town.bob].map(Owner::Node);
    let mailboxes = town.alices.iter().chain(&town.bobs).copied().map(Owner::Mailbox);
    let owners: Vec<_> = nodes.into_iter().chain(mailboxes).collect();
    let before: Vec<_> = owners.iter().map(|owner| town.world.flushes(*owner)).collect();
    for Kill { owner, flush, kept } in kills {
        let base = town.world.flushes(*owner);
        town.world.kill_at(*owner, base + flush, *kept);
    }
    way_of_a_batch(&mut town, &format!("seed {seed}, {kills:?}"));
    // After the first crash a run may be another: fewer flushes than without it.
    assert!(kills.len() > 1 || town.world.kills_due() == 0, "{kills:?} did not happen");
    let after = owners.iter().map(|owner| town.world.flushes(*owner));
    let count: Vec<_> = after.zip(before).map(|(after, before)| after - before).collect();
    owners.into_iter().zip(count).collect()
}

fn way_of_a_batch(town: &mut Town, run: &str) {
    town.world.sleep(town.bob);
    let acknowledged = town.alice_writes(MESSAGES);
    town.world.run_for(2 * MINUTE);
    let states = town.states();
    assert!(states.iter().all(|state| *state == DeliveryState::Stored), "{run}: {states:?}");

    town.world.sleep(town.alice);
    town.world.wake(town.bob);
    town.world.run_for(2 * MINUTE);
    let shown: Vec<_> = town.world.inbox(town.bob).into_iter().map(|view| view.text).collect();
    assert!(shown.is_sorted_by(|a, b| a < b), "{run}: twice or out of order: {shown:?}");
    assert!(acknowledged.iter().all(|text| shown.contains(text)), "{run}: lost: {shown:?}");
    assert_eq!(shown.len(), states.len(), "{run}: {shown:?}");

    town.world.sleep(town.bob);
    town.world.wake(town.alice);
    town.world.run_for(2 * MINUTE);
    let states = town.states();
    assert!(states.iter().all(|state| *state == DeliveryState::Delivered), "{run}: {states:?}");
    for id in town.bobs.iter().chain(&town.alices) {
        assert_eq!(town.world.mailbox_holds(*id).0, 0, "{run}: what they have is left nowhere");
    }
    let wrong = [town.world.states_back(), town.world.reused_nonces()];
    assert_eq!((wrong, town.world.host_faults()), ([0; 2], 0), "{run}");
}

fn every_crash(seed: u64) -> Vec<Kill> {
    let flushes = run(seed, &[]).into_iter();
    let all: Vec<_> = flushes
        .flat_map(|(owner, flushes)| (1..=flushes).map(move |flush| (owner, flush)))
        .flat_map(|(owner, flush)| [true, false].map(|kept| Kill { owner, flush, kept }))
        .collect();
    assert!(all.len() > 80, "{} crashes", all.len());
    all
}

fn matrix(kept: bool) {
    for kill in every_crash(21).into_iter().filter(|kill| kill.kept == kept) {
        let _ = run(21, &[kill]);
    }
}

#[test]
fn a_crash_at_any_flush_before_the_disk_has_it_loses_nothing() {
    matrix(false);
}

#[test]
fn a_crash_at_any_flush_after_the_disk_has_it_loses_nothing() {
    matrix(true);
}

/// Every crash in other runs, and some of all pairs.
#[test]
#[ignore = "minutes"]
fn any_two_crashes_lose_nothing() {
    for seed in 30..40 {
        let all = every_crash(seed);
        for kill in &all {
            let _ = run(seed, &[*kill]);
        }
        let pairs = all
            .iter()
            .enumerate()
            .flat_map(|(at, first)| all.iter().skip(at + 1).map(move |second| [*first, *second]));
        let from = usize::try_from(seed).unwrap_or(0);
        for pair in pairs.skip(from % 23).step_by(23) {
            let _ = run(seed, &pair);
        }
    }
}
