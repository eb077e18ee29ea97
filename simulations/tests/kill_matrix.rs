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
fn run(kill: Option<Kill>) -> Vec<(Owner, u64)> {
    let mut town = Town::new(21, 1, &[Keeping::Honest; 3]);
    let nodes = [town.alice, town.bob].map(Owner::Node);
    let mailboxes = town.alices.iter().chain(&town.bobs).copied().map(Owner::Mailbox);
    let owners: Vec<_> = nodes.into_iter().chain(mailboxes).collect();
    let before: Vec<_> = owners.iter().map(|owner| town.world.flushes(*owner)).collect();
    if let Some(Kill { owner, flush, kept }) = kill {
        let base = town.world.flushes(owner);
        town.world.kill_at(owner, base + flush, kept);
    }

    town.world.sleep(town.bob);
    let acknowledged = town.alice_writes(MESSAGES);
    town.world.run_for(2 * MINUTE);
    let states = town.states();
    assert!(states.iter().all(|state| *state == DeliveryState::Stored), "{kill:?}: {states:?}");
    assert!(states.len() >= acknowledged.len(), "{kill:?}: {states:?}");

    town.world.sleep(town.alice);
    town.world.wake(town.bob);
    town.world.run_for(2 * MINUTE);
    let shown: Vec<_> = town.world.inbox(town.bob).into_iter().map(|view| view.text).collect();
    assert!(shown.is_sorted_by(|a, b| a < b), "{kill:?}: twice or out of order: {shown:?}");
    assert!(acknowledged.iter().all(|text| shown.contains(text)), "{kill:?}: lost: {shown:?}");
    assert_eq!(shown.len(), states.len(), "{kill:?}");

    town.world.sleep(town.bob);
    town.world.wake(town.alice);
    town.world.run_for(2 * MINUTE);
    let states = town.states();
    assert!(states.iter().all(|state| *state == DeliveryState::Delivered), "{kill:?}: {states:?}");
    for id in &town.bobs {
        assert_eq!(town.world.mailbox_holds(*id).0, 0, "{kill:?}: what he has is left nowhere");
    }
    assert_eq!(town.world.states_back(), 0, "{kill:?}");
    assert_eq!(town.world.reused_nonces(), 0, "{kill:?}");
    assert_eq!(town.world.host_faults(), 0, "{kill:?}");
    assert!(!town.world.is_kill_due(), "{kill:?} did not happen");
    let after = owners.iter().map(|owner| town.world.flushes(*owner));
    let count: Vec<_> = after.zip(before).map(|(after, before)| after - before).collect();
    owners.into_iter().zip(count).collect()
}

/// Every `stride`-th of all crashes, from `first`.
fn matrix(first: usize, stride: usize) {
    let all: Vec<_> = run(None)
        .into_iter()
        .flat_map(|(owner, flushes)| (1..=flushes).map(move |flush| (owner, flush)))
        .flat_map(|(owner, flush)| [true, false].map(|kept| Kill { owner, flush, kept }))
        .collect();
    assert!(all.len() > 80, "{} crashes", all.len());
    for kill in all.into_iter().skip(first).step_by(stride) {
        let _ = run(Some(kill));
    }
}

/// The stride is odd: of each owner, crashes before and after the disk has it.
#[test]
fn some_crashes_at_exact_flushes_lose_nothing() {
    matrix(0, 7);
}

#[test]
#[ignore = "all of them: a minute"]
fn a_crash_at_any_flush_loses_nothing() {
    matrix(0, 1);
}
