//! kill -9 at random moments: what was acknowledged arrives once and in order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Daemon, PATIENCE, Profile, Stage, TCP};
use crate::mailbox::rented;

/// Sends numbered messages until at least `count` are acknowledged and the killing is over; a
/// refusal while the daemon is down is tried again under the same number, as a script would.
fn send_all(from: &Profile, to: &str, count: usize, killed: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let end = Instant::now() + PATIENCE * 10;
    let mut attempt = 0;
    while acknowledged.len() < count || !killed.load(Ordering::Relaxed) {
        assert!(Instant::now() < end, "only {} were acknowledged", acknowledged.len());
        attempt += 1;
        let text = format!("{} try {attempt}", acknowledged.len());
        if from.run(&["send", to, &text, "--wait", "queued", "--timeout", "5s"]).code == 0 {
            acknowledged.push(text);
        }
    }
    acknowledged
}

/// Kills one of the daemons, `times` times, at moments that a small generator chooses.
fn kill_at_random(profiles: &[&Profile], daemons: &mut [Daemon], times: u32) {
    let mut state = 0x9E37_79B9_u32;
    for _ in 0..times {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let side = (state >> 16) as usize % daemons.len();
        std::thread::sleep(Duration::from_millis(u64::from(state >> 20) % 150));
        let address = daemons[side].addresses[0].clone();
        daemons[side].kill();
        daemons[side] = profiles[side].daemon_soon(&address);
    }
}

/// Everything acknowledged, once and in order; what a kill left unacknowledged may be there too.
fn check(received: &[String], acknowledged: &[String]) {
    let mut numbers = Vec::new();
    for text in acknowledged {
        let count = received.iter().filter(|got| *got == text).count();
        assert_eq!(count, 1, "{text:?} was acknowledged and came {count} times");
        numbers.push(received.iter().position(|got| got == text).unwrap());
    }
    assert!(numbers.is_sorted(), "out of order: {received:?}");
    let mut once = received.to_vec();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), received.len(), "something came twice");
}

/// Alice and Bob write to each other, with mailboxes at so many nodes, while anybody is killed.
fn survive(messages: usize, kills: u32, keepers: usize) {
    let stage = Stage::new();
    let [(alice, at_alice), (bob, at_bob)] = stage.acquainted(TCP);
    let names = &["m1", "m2", "m3"][..keepers];
    let mut nodes = Vec::new();
    let mut daemons = vec![at_alice, at_bob];
    for (_, node, daemon) in rented(&stage, &[&alice, &bob], names) {
        nodes.push(node);
        daemons.push(daemon);
    }
    let profiles: Vec<_> = [&alice, &bob].into_iter().chain(&nodes).collect();
    let killed = AtomicBool::new(false);

    let (from_alice, from_bob) = std::thread::scope(|scope| {
        let alices = scope.spawn(|| send_all(&alice, "bob", messages, &killed));
        let bobs = scope.spawn(|| send_all(&bob, "alice", messages, &killed));
        kill_at_random(&profiles, &mut daemons, kills);
        killed.store(true, Ordering::Relaxed);
        (alices.join().unwrap(), bobs.join().unwrap())
    });
    for (profile, expected) in [(&alice, &from_bob), (&bob, &from_alice)] {
        let mut received = Vec::new();
        let end = Instant::now() + PATIENCE;
        while !expected.iter().all(|text| received.contains(text)) && Instant::now() < end {
            received.extend(profile.receive());
            std::thread::sleep(Duration::from_millis(50));
        }
        check(&received, expected);
    }
    eprintln!("{} and {} messages acknowledged, {kills} kills", from_alice.len(), from_bob.len());
}

#[test]
fn acknowledged_messages_arrive_once_and_in_order_though_daemons_are_killed() {
    survive(40, 8, 0);
}

/// The long form: `cargo test --release -p bitchat-tests -- --ignored killed_50_times`.
#[test]
#[ignore = "takes minutes"]
fn acknowledged_messages_arrive_once_and_in_order_though_daemons_are_killed_50_times() {
    survive(500, 50, 0);
}

#[test]
fn acknowledged_messages_arrive_once_and_in_order_though_mailbox_nodes_are_killed_as_well() {
    survive(30, 10, 2);
}

/// The long form: `cargo test --release -p bitchat-tests -- --ignored killed_200_times`.
#[test]
#[ignore = "takes minutes"]
fn acknowledged_messages_arrive_once_and_in_order_though_five_daemons_are_killed_200_times() {
    survive(1_000, 200, 3);
}
