//! Sessions that were lost or rolled back: both sides go on by themselves, and nothing comes twice.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use bitchat_protocol::engine::{Command, MessageView, Reply, Who};
use bitchat_protocol::store::Table;
use bitchat_simulations::{Faults, NodeId, World};

const CALM: Faults = Faults {
    latency: Duration::from_millis(40),
    flush: Duration::from_millis(10),
    breaks_per_mille: 0,
    crashes_per_mille: 0,
};

const SECOND: Duration = Duration::from_secs(1);

fn world(seed: u64) -> (World, NodeId, NodeId) {
    let mut world = World::new(seed, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    world.run_for(SECOND);
    let invited = world.ask(alice, Command::Invite { once: true, expires: None });
    let Some(Ok(Reply::Invitation(view))) = invited else { panic!("{invited:?}") };
    world.ask(bob, Command::AddContact { link: view.link, name: None });
    world.run_for(10 * SECOND);
    (world, alice, bob)
}

/// Both write, taking turns, so that the ratchet turns with every message.
fn talk(world: &mut World, order: (NodeId, NodeId), numbers: std::ops::Range<u32>) {
    for number in numbers {
        for from in [order.0, order.1] {
            let to = if from == NodeId(0) { "bob" } else { "alice" };
            let (to, text) = (Who(to.to_owned()), number.to_string());
            world.command(from, Command::Send { to, text, expires: None });
            world.run_for(SECOND / 2);
        }
    }
}

fn numbers(messages: &[MessageView]) -> Vec<u32> {
    messages.iter().map(|message| message.text.parse().expect("a number")).collect()
}

fn queued(world: &mut World, node: NodeId) -> usize {
    match world.ask(node, Command::Queue) {
        Some(Ok(Reply::Queue(rows))) => rows.len(),
        other => panic!("{other:?}"),
    }
}

/// A VM snapshot or a copied directory: what the other side has sent since cannot be opened, and what is
/// sent is not understood there.
#[test]
fn snapshot_rollback() {
    for seed in 0..12 {
        let (mut world, alice, bob) = world(seed);
        let first = if seed % 2 == 0 { (alice, bob) } else { (bob, alice) };
        talk(&mut world, (alice, bob), 0..5);
        let copy = world.snapshot(alice);
        talk(&mut world, (alice, bob), 5..10);

        world.meddle(alice, SECOND, |disk| disk.restore(&copy));
        world.run_for(30 * SECOND);
        talk(&mut world, first, 10..15);
        world.run_for(60 * SECOND);

        let at_bob = numbers(&world.inbox(bob));
        assert_eq!(at_bob, (0..15).collect::<Vec<_>>(), "seed {seed}: nothing twice");
        let at_alice = numbers(&world.inbox(alice));
        assert_eq!(at_alice, (0..5).chain(10..15).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!((queued(&mut world, alice), queued(&mut world, bob)), (0, 0), "seed {seed}");
        assert_eq!(world.reused_nonces(), 0, "seed {seed}");
        assert!((1..=2).contains(&world.heals()), "seed {seed}: {} heals", world.heals());
    }
}

/// Whatever both have under way meets nobody who can open it.
#[test]
fn both_sides_lose_their_sessions_at_once() {
    for seed in 0..12 {
        let (mut world, alice, bob) = world(seed);
        talk(&mut world, (alice, bob), 0..3);
        for (from, to) in [(alice, "bob"), (bob, "alice")] {
            let (to, text) = (Who(to.to_owned()), "3".to_owned());
            world.command(from, Command::Send { to, text, expires: None });
        }
        world.run_for(Duration::from_millis(5 * (seed + 1)));

        for node in [alice, bob] {
            world.meddle(node, SECOND, |disk| {
                disk.lose(Table::Session);
                disk.lose(Table::SkippedKey);
            });
        }
        world.run_for(60 * SECOND);
        talk(&mut world, (alice, bob), 4..8);
        world.run_for(120 * SECOND);

        for node in [alice, bob] {
            let seen = numbers(&world.inbox(node));
            let rest: Vec<_> = seen.iter().filter(|n| **n != 3).copied().collect();
            assert_eq!(rest, [0, 1, 2, 4, 5, 6, 7], "seed {seed}");
            // It was acknowledged or not when the node died; but never shown twice.
            assert!(seen.iter().filter(|n| **n == 3).count() <= 1, "seed {seed}");
            assert_eq!(queued(&mut world, node), 0, "seed {seed}");
        }
        assert!(world.heals() <= 4, "seed {seed}: {} heals", world.heals());
    }
}

/// The side that still has the session writes on it; the other answers nothing by itself.
#[test]
fn one_side_loses_its_sessions() {
    for seed in 0..6 {
        let (mut world, alice, bob) = world(seed);
        talk(&mut world, (alice, bob), 0..3);

        world.meddle(alice, SECOND, |disk| disk.lose(Table::Session));
        for number in 3..8 {
            let (to, text) = (Who("alice".to_owned()), number.to_string());
            world.command(bob, Command::Send { to, text, expires: None });
            world.run_for(SECOND);
        }
        world.run_for(20 * SECOND);

        assert_eq!(numbers(&world.inbox(alice)), (0..8).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(queued(&mut world, bob), 0, "seed {seed}");
        assert_eq!(world.heals(), 1, "seed {seed}");
        assert_eq!(world.fact("healed unknown_session"), 1, "seed {seed}");
    }
}

/// The receiver is set back while both write as fast as they can, over links that break.
#[test]
fn a_rollback_in_the_middle_of_a_conversation_loses_only_what_the_disk_lost() {
    for seed in 0..6 {
        let (mut world, alice, bob) = world(seed);
        world.set_faults(Faults { breaks_per_mille: 5, ..CALM });
        let (mut copy, mut copied) = (world.snapshot(bob), Vec::new());
        for number in 0..300 {
            for (from, to) in [(alice, "bob"), (bob, "alice")] {
                let (to, text) = (Who(to.to_owned()), number.to_string());
                world.command(from, Command::Send { to, text, expires: None });
            }
            world.run_for(Duration::from_millis(20));
            match number {
                100 => {
                    copied = numbers(&world.inbox(bob));
                    copy = world.snapshot(bob);
                }
                200 => world.meddle(bob, SECOND, |disk| disk.restore(&copy)),
                _ => {}
            }
        }

        world.set_faults(CALM);
        world.run_for(900 * SECOND);

        let seen = numbers(&world.inbox(bob));
        let mut sorted = seen.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), seen.len(), "seed {seed}: shown twice");
        let lost = copied.into_iter().chain(201..300).filter(|number| !seen.contains(number));
        assert_eq!(lost.collect::<Vec<_>>(), [0; 0], "seed {seed}: lost though nobody lost it");
        assert_eq!((queued(&mut world, alice), queued(&mut world, bob)), (0, 0), "seed {seed}");
        assert_eq!(world.reused_nonces(), 0, "seed {seed}");
        assert!((1..=4).contains(&world.heals()), "seed {seed}: {} heals", world.heals());
    }
}
