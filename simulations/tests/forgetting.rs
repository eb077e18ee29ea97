//! A contact is removed with its history: nothing of the conversation is left, and what goes on is
//! not disturbed.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::time::Duration;

use bitchat_protocol::engine::{Command, CommandError, Extent, Input, Reply, Who};
use bitchat_protocol::id::AccountId;
use bitchat_protocol::store::Table;
use bitchat_simulations::{Faults, NodeId, World};

use bench::exchange;

#[path = "support/bench.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod bench;

const CALM: Faults = Faults {
    latency: Duration::from_millis(40),
    flush: Duration::from_millis(10),
    breaks_per_mille: 0,
    crashes_per_mille: 0,
};

fn who(name: &str) -> Who {
    Who(name.to_owned())
}

fn remove(name: &str, extent: Extent) -> Command {
    Command::Remove { who: who(name), extent }
}

#[test]
fn no_row_of_a_conversation_is_left_but_its_counters_and_the_last_cursor() {
    let (mut alice, mut bob) = bench::pair();
    for _ in 0..3 {
        alice.send("bob").expect("queued");
        bob.send("alice").expect("queued");
        exchange(&mut alice, &mut bob);
    }
    alice.feed(Input::Disconnected { peer: bob.device });
    alice.send("bob").expect("queued"); // It waits.
    let rows = |bench: &bench::Bench| {
        [Table::Message, Table::Delivery, Table::Inbox, Table::Outbox, Table::Session]
            .map(|table| bench.disk.count(table))
    };
    assert_eq!(rows(&alice), [7, 4, 3, 1, 1]);
    let seen = alice.disk.count(Table::Seen);

    alice.ask(remove("bob", Extent::History)).expect("removed");

    assert_eq!(rows(&alice), [0, 0, 1, 0, 0]);
    assert_eq!(alice.disk.count(Table::Seen), seen - 3, "what hello left goes with its time");
    assert_eq!(alice.disk.count(Table::Contact), 0);
}

#[test]
fn a_reader_misses_nothing_that_comes_after_an_erased_conversation() {
    let mut world = World::new(1, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    meet(&mut world, alice, bob);
    send(&mut world, bob, "alice", "old");
    world.run_for(Duration::from_secs(5));
    let old = world.inbox(alice);
    let cursor = old.last().expect("a message").cursor;
    let acknowledge = Command::Acknowledge { reader: "default".to_owned(), cursor, only: None };
    world.ask(alice, acknowledge).expect("answered").expect("done");
    world.ask(alice, remove("bob", Extent::History)).expect("answered").expect("removed");
    world.crash(alice, Duration::from_secs(1));
    world.run_for(Duration::from_secs(5));

    meet(&mut world, alice, bob);
    send(&mut world, bob, "alice", "new");
    world.run_for(Duration::from_secs(60));

    let command = Command::Inbox { reader: "default".to_owned(), since: None, max: 10 };
    let Some(Ok(Reply::Messages(unread))) = world.ask(alice, command) else { panic!("no inbox") };
    let texts: Vec<_> = unread.iter().map(|message| message.text.as_str()).collect();
    assert_eq!(texts, ["new"]);
    assert!(unread[0].cursor > cursor, "a cursor came twice");
    assert_eq!(world.inbox(alice).len(), 1, "the old one is gone from the whole inbox");
}

#[test]
fn the_history_of_somebody_who_was_removed_is_erased_by_the_account() {
    let mut world = World::new(2, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    meet(&mut world, alice, bob);
    send(&mut world, bob, "alice", "old");
    world.run_for(Duration::from_secs(5));
    let account = account(&mut world, bob).to_string();
    world.ask(alice, remove("bob", Extent::Contact)).expect("answered").expect("removed");
    assert_eq!(history(&mut world, alice, &account), 1);

    let again = world.ask(alice, remove(&account, Extent::Contact));
    let erased = world.ask(alice, remove(&account, Extent::History));
    let nobody = world.ask(alice, remove("carol", Extent::History));

    assert!(matches!(again, Some(Err(CommandError::UnknownContact(_)))), "{again:?}");
    assert!(matches!(erased, Some(Ok(Reply::Done))), "{erased:?}");
    assert!(matches!(nobody, Some(Err(CommandError::UnknownContact(_)))), "{nobody:?}");
    assert_eq!(history(&mut world, alice, &account), 0);
    assert!(world.inbox(alice).is_empty());
}

fn meet(world: &mut World, alice: NodeId, bob: NodeId) {
    world.run_for(Duration::from_secs(1));
    let invited = world.ask(alice, Command::Invite { once: true, expires: None });
    let Some(Ok(Reply::Invitation(invitation))) = invited else { panic!("{invited:?}") };
    let add = Command::AddContact { link: invitation.link, name: None };
    world.ask(bob, add).expect("answered").expect("added");
    world.run_for(Duration::from_secs(10));
}

fn send(world: &mut World, from: NodeId, to: &str, text: &str) {
    let command = Command::Send { to: who(to), text: text.to_owned(), expires: None };
    world.ask(from, command).expect("answered").expect("queued");
}

fn history(world: &mut World, node: NodeId, name: &str) -> usize {
    let command = Command::History { who: who(name), before: None, max: 10 };
    match world.ask(node, command) {
        Some(Ok(Reply::Messages(messages))) => messages.len(),
        other => panic!("{other:?}"),
    }
}

fn account(world: &mut World, node: NodeId) -> AccountId {
    match world.ask(node, Command::Identity) {
        Some(Ok(Reply::Identity(view))) => view.account,
        other => panic!("{other:?}"),
    }
}
