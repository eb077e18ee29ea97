//! Queues that grow while nobody listens, and contacts that come and go.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use bitchat_protocol::engine::{
    Command, DeliveryState, DeliveryView, Extent, InvitationView, MessageView, Reply, Who,
};
use bitchat_simulations::{Faults, NodeId, World};

const CALM: Faults = Faults {
    latency: Duration::from_millis(40),
    flush: Duration::from_millis(10),
    breaks_per_mille: 0,
    crashes_per_mille: 0,
};

const SECOND: Duration = Duration::from_secs(1);

/// More than a session's window and more than the network holds.
#[test]
fn five_thousand_messages_for_one_that_was_down_for_hours_arrive_once_and_in_order() {
    let (mut world, alice, bob) = pair(1);
    world.crash(bob, 3 * 3_600 * SECOND);
    for number in 0..5_000 {
        send(&mut world, alice, "bob", &number.to_string());
    }

    world.run_for(4 * 3_600 * SECOND);

    assert_eq!(numbers(&world.inbox(bob)), (0..5_000).collect::<Vec<_>>());
    assert_eq!(queued(&mut world, alice), 0);
    assert_eq!(world.fact("Duplicate"), 0);
}

#[test]
fn a_queue_drains_in_order_over_a_link_that_is_cut_again_and_again() {
    let (mut world, alice, bob) = pair(2);
    world.crash(bob, 60 * SECOND);
    for number in 0..2_200 {
        send(&mut world, alice, "bob", &number.to_string());
    }
    for _ in 0..400 {
        world.run_for(Duration::from_millis(500));
        world.cut(alice, bob);
    }

    world.run_for(600 * SECOND);

    assert_eq!(numbers(&world.inbox(bob)), (0..2_200).collect::<Vec<_>>());
    assert_eq!(queued(&mut world, alice), 0);
}

#[test]
fn what_expired_is_said_to_be_and_its_successor_shows_the_gap() {
    let (mut world, alice, bob) = pair(3);
    world.crash(bob, 600 * SECOND);
    let (to, text) = (Who("bob".to_owned()), "0".to_owned());
    let expires = Some(60 * SECOND);
    let sent = world.ask(alice, Command::Send { to, text, expires });
    let Some(Ok(Reply::Delivery(DeliveryView { id, .. }))) = sent else { panic!("{sent:?}") };
    world.run_for(61 * SECOND);
    let state = world.ask(alice, Command::Delivery(id));
    send(&mut world, alice, "bob", "1");

    world.run_for(1_300 * SECOND);

    assert!(
        matches!(&state, Some(Ok(Reply::Delivery(view))) if view.state == DeliveryState::Expired),
        "{state:?}"
    );
    let inbox = world.inbox(bob);
    assert_eq!(numbers(&inbox), [1]);
    assert_eq!(inbox[0].gap, 1);
}

#[test]
fn a_short_invitation_leads_to_a_contact_though_its_issuer_was_down_at_first() {
    let mut world = World::new(4, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    let invitation = invite(&mut world, alice);
    world.crash(alice, 90 * SECOND);
    add(&mut world, bob, invitation.short);
    send(&mut world, bob, "alice", "0");

    world.run_for(300 * SECOND);

    assert_eq!(numbers(&world.inbox(alice)), [0]);
    send(&mut world, alice, "bob", "1");
    world.run_for(60 * SECOND);
    assert_eq!(numbers(&world.inbox(bob)), [1]);
    assert_eq!((queued(&mut world, alice), queued(&mut world, bob)), (0, 0));
}

#[test]
fn two_that_follow_short_invitations_of_one_another_at_once_find_one_session() {
    for seed in 0..10 {
        let mut world = World::new(seed, CALM);
        let (alice, bob) = (world.add("alice"), world.add("bob"));
        let (from_alice, from_bob) = (invite(&mut world, alice), invite(&mut world, bob));
        world.command(alice, Command::AddContact { link: from_bob.short, name: None });
        world.command(bob, Command::AddContact { link: from_alice.short, name: None });
        send(&mut world, alice, "bob", "0");
        send(&mut world, bob, "alice", "0");

        world.run_for(30 * SECOND);

        assert_eq!(numbers(&world.inbox(alice)), [0], "seed {seed}");
        assert_eq!(numbers(&world.inbox(bob)), [0], "seed {seed}");
        assert_eq!((queued(&mut world, alice), queued(&mut world, bob)), (0, 0), "seed {seed}");
    }
}

#[test]
fn a_removed_contact_can_be_added_again_from_either_side() {
    for seed in 0..8 {
        let (mut world, alice, bob) = pair(seed);
        send(&mut world, alice, "bob", "0");
        send(&mut world, bob, "alice", "0");
        world.run_for(30 * SECOND);
        let (remover, other, name) =
            if seed % 2 == 0 { (alice, bob, "bob") } else { (bob, alice, "alice") };
        let removed = world
            .ask(remover, Command::Remove { who: Who(name.to_owned()), extent: Extent::Contact });
        assert!(matches!(removed, Some(Ok(Reply::Done))), "{removed:?}");
        let (inviter, follower) = if seed % 4 < 2 { (remover, other) } else { (other, remover) };
        let invitation = invite(&mut world, inviter);
        add(&mut world, follower, if seed < 4 { invitation.link } else { invitation.short });
        world.run_for(30 * SECOND);
        send(&mut world, alice, "bob", "1");
        send(&mut world, bob, "alice", "1");

        world.run_for(120 * SECOND);

        assert_eq!(numbers(&world.inbox(alice)), [0, 1], "seed {seed}");
        assert_eq!(numbers(&world.inbox(bob)), [0, 1], "seed {seed}");
        assert_eq!((queued(&mut world, alice), queued(&mut world, bob)), (0, 0), "seed {seed}");
    }
}

#[test]
fn three_that_all_write_to_one_another_get_every_message_once_though_nodes_crash() {
    for seed in 0..4 {
        let mut world = World::new(seed, CALM);
        let names = ["alice", "bob", "carol"];
        let nodes = names.map(|name| world.add(name));
        for (inviter, follower) in [(0, 1), (0, 2), (1, 2)] {
            let link = invite(&mut world, nodes[inviter]).link;
            add(&mut world, nodes[follower], link);
        }
        world.run_for(10 * SECOND);
        world.set_faults(Faults { breaks_per_mille: 10, crashes_per_mille: 5, ..CALM });
        let mut sent = [0; 3];
        for round in 0..60_usize {
            for (from, node) in nodes.into_iter().enumerate() {
                let to = (from + 1 + round % 2) % 3;
                let (who, text) = (Who(names[to].to_owned()), round.to_string());
                let asked = world.ask(node, Command::Send { to: who, text, expires: None });
                sent[to] += usize::from(matches!(asked, Some(Ok(_))));
            }
        }
        world.set_faults(CALM);
        world.run_for(300 * SECOND);

        for (place, node) in nodes.into_iter().enumerate() {
            let inbox = world.inbox(node);
            let mut ids: Vec<_> = inbox.iter().map(|message| message.id).collect();
            ids.sort();
            ids.dedup();
            assert_eq!(ids.len(), inbox.len(), "seed {seed}: shown twice");
            assert!(inbox.len() >= sent[place], "seed {seed}: lost at {}", names[place]);
            assert!(inbox.iter().all(|message| message.gap == 0 && !message.late));
            assert_eq!(queued(&mut world, node), 0, "seed {seed}");
        }
    }
}

/// Whatever two do to their contact short of removing it, both find a session in the end.
#[test]
fn two_that_add_one_another_again_and_again_lose_nothing() {
    for seed in 0..12 {
        let mut world = World::new(seed, CALM);
        let (alice, bob) = (world.add("alice"), world.add("bob"));
        let links = [alice, bob].map(|node| invite(&mut world, node));
        add(&mut world, alice, links[1].link.clone());
        add(&mut world, bob, links[0].link.clone());
        world.set_faults(Faults { breaks_per_mille: 50, crashes_per_mille: 20, ..CALM });
        let (mut sent, mut dice) = ([0, 0], seed);
        for number in 0..60_u32 {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (from, name, other) =
                [(alice, "bob", 1), (bob, "alice", 0)][(dice >> 33) as usize % 2];
            match (dice >> 40) % 8 {
                0 => {
                    let link = links[other].link.clone();
                    world.command(from, Command::AddContact { link, name: None });
                }
                1 => {
                    let link = links[other].short.clone();
                    world.command(from, Command::AddContact { link, name: None });
                }
                2 => world.cut(alice, bob),
                _ => {
                    let (to, text) = (Who(name.to_owned()), number.to_string());
                    let asked = world.ask(from, Command::Send { to, text, expires: None });
                    sent[other] += usize::from(matches!(asked, Some(Ok(_))));
                }
            }
            world.run_for(Duration::from_millis((dice >> 50) % 200));
        }
        world.set_faults(CALM);
        world.run_for(900 * SECOND);

        for (node, sent) in [(alice, sent[0]), (bob, sent[1])] {
            assert_eq!(queued(&mut world, node), 0, "seed {seed}");
            let inbox = world.inbox(node);
            assert!(inbox.len() >= sent, "seed {seed}: {} of {sent}", inbox.len());
            assert!(numbers(&inbox).is_sorted_by(|a, b| a < b), "seed {seed}: order, or twice");
        }
    }
}

fn pair(seed: u64) -> (World, NodeId, NodeId) {
    let mut world = World::new(seed, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    world.run_for(SECOND);
    let link = invite(&mut world, alice).link;
    add(&mut world, bob, link);
    world.run_for(10 * SECOND);
    (world, alice, bob)
}

fn invite(world: &mut World, node: NodeId) -> InvitationView {
    match world.ask(node, Command::Invite { once: true, expires: None }) {
        Some(Ok(Reply::Invitation(view))) => view,
        other => panic!("{other:?}"),
    }
}

fn add(world: &mut World, node: NodeId, link: String) {
    let added = world.ask(node, Command::AddContact { link, name: None });
    assert!(matches!(added, Some(Ok(Reply::Contact(_)))), "{added:?}");
}

fn send(world: &mut World, from: NodeId, to: &str, text: &str) {
    let (to, text) = (Who(to.to_owned()), text.to_owned());
    world.command(from, Command::Send { to, text, expires: None });
}

fn queued(world: &mut World, node: NodeId) -> usize {
    match world.ask(node, Command::Queue) {
        Some(Ok(Reply::Queue(rows))) => rows.len(),
        other => panic!("{other:?}"),
    }
}

fn numbers(messages: &[MessageView]) -> Vec<u32> {
    messages.iter().map(|message| message.text.parse().expect("a number")).collect()
}
