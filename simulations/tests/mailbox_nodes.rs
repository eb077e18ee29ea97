//! Rentals: what we order at mailbox nodes, week after week, and nodes that are no good.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/town.rs"]
mod town;

use std::collections::BTreeSet;
use std::time::Duration;

use bitchat_proto::prost::Message;
use bitchat_proto::rest;
use bitchat_protocol::engine::{Command, DeliveryState, Extent, MailboxState, Reply, Who};
use bitchat_protocol::mailbox::{Tag, Token};
use bitchat_protocol::store::{Key, Store, Table};
use bitchat_protocol::time::UnixMillis;
use bitchat_simulations::{Faults, Keeping, MailboxId};
use town::{CALM, DAY, HOUR, MINUTE, SECOND, Town, mailboxes};

#[test]
fn who_is_removed_is_let_in_no_longer() {
    let mut town = Town::new(7, 1, &[Keeping::Honest; 2]);
    let with = town.world.mailbox_holds(town.bobs[0]).1;
    let remove = Command::Remove { who: Who("alice".to_owned()), extent: Extent::Contact };
    town.world.set_mailbox_up(town.bobs[1], false);
    assert!(town.world.ask(town.bob, remove).is_some());
    town.world.run_for(MINUTE);
    assert_eq!(with - town.world.mailbox_holds(town.bobs[0]).1, 7, "a tag for each week");

    // A node that was down then, and a restart of ours in between.
    town.world.crash(town.bob, SECOND);
    town.world.run_for(MINUTE);
    town.world.set_mailbox_up(town.bobs[1], true);
    town.world.run_for(HOUR);
    assert_eq!(town.world.mailbox_holds(town.bobs[1]).1, with - 7);
}

/// How long the other nodes of its owners take what a node passes on; for each of them.
fn may_pass_on(town: &Town, id: MailboxId) -> Vec<Duration> {
    let now = UnixMillis(1_767_225_600_000).plus(town.world.elapsed());
    let mut tags = Vec::new();
    town.world.mailbox_disk(id).for_each(|key, value| {
        if key.table == Table::MailboxFellows {
            let row = rest::MailboxFellows::decode(value).expect("a row");
            let token = |fellow: &rest::MailboxFellow| {
                Token::new(fellow.token.as_slice().try_into().expect("32 bytes")).tag()
            };
            tags.extend(row.fellows.iter().map(token));
        }
    });
    let until = |tag: &Tag| {
        let row = town.bobs.iter().find_map(|other| {
            let disk = town.world.mailbox_disk(*other);
            disk.get(&Key::of(Table::MailboxTag, &tag.0)).expect("rows")
        });
        let row = row.map(|row| rest::MailboxTag::decode(row.as_slice()).expect("a row"));
        row.map_or(Duration::ZERO, |row| UnixMillis(row.until_ms).since(now))
    };
    tags.iter().map(until).collect()
}

/// Nodes repair one another's losses while he is away, as long as contacts are let in.
#[test]
fn nodes_let_one_another_in_as_long_as_contacts() {
    let mut town = Town::new(18, 1, &[Keeping::Honest; 3]);
    for _ in 0..2 {
        for id in &town.bobs {
            let times = may_pass_on(&town, *id);
            assert_eq!(times.len(), 2);
            assert!(times.iter().all(|time| *time >= 35 * DAY), "{times:?}");
        }
        town.world.sleep(town.alice);
        town.world.sleep(town.bob);
        town.world.run_for(8 * DAY);
        town.world.wake(town.bob);
        town.world.run_for(MINUTE);
    }
}

/// He is there for a minute each week; each of them knows the weeks ahead.
#[test]
fn tags_are_kept_ahead_week_after_week() {
    let mut town = Town::new(8, 1, &[Keeping::Honest; 3]);
    for _ in 0..10 {
        town.world.sleep(town.bob);
        town.world.sleep(town.alice);
        town.world.run_for(7 * DAY);
        town.world.wake(town.bob);
        town.world.run_for(MINUTE);
    }
    town.world.sleep(town.bob);
    town.world.run_for(35 * DAY);
    town.world.wake(town.alice);
    town.alice_writes(3);
    town.world.run_for(MINUTE);

    assert!(town.all_are(DeliveryState::Stored), "{:?}", town.states());
}

#[test]
fn a_week_that_ends_while_we_run_brings_new_tags() {
    let mut town = Town::new(14, 0, &[Keeping::Honest]);
    let tags = |town: &Town| {
        let mut tags = BTreeSet::new();
        town.world.mailbox_disk(town.bobs[0]).for_each(|key, _| {
            if key.table == Table::MailboxTag {
                tags.insert((key.scope.clone(), key.order.clone()));
            }
        });
        tags
    };
    let before = tags(&town);
    assert_eq!(before.len(), 8, "seven weeks, and one for strangers");
    town.world.sleep(town.alice);
    town.world.run_for(7 * DAY + 2 * HOUR);

    let after = tags(&town);
    assert_eq!(after.difference(&before).count(), 1, "a week more");
    assert_eq!(before.difference(&after).count(), 1, "and the week that is over less");
}

#[test]
fn a_node_that_forgot_us_is_rented_again() {
    let mut town = Town::new(9, 1, &[Keeping::Honest; 3]);
    town.world.lose_mailbox(town.bobs[0]);
    town.world.run_for(2 * MINUTE);
    town.world.sleep(town.bob);
    town.alice_writes(3);
    town.world.run_for(MINUTE);

    assert_eq!(town.world.mailbox_holds(town.bobs[0]).0, 3);
    assert!(town.all_are(DeliveryState::Stored));
}

/// Six nodes, the sixth a standby. One of the five dies, hosts crash while they copy, the others die then:
/// neither writer nor reader was there.
#[test]
fn hosts_copy_to_a_standby_what_a_dead_one_held() {
    let mut town = Town::new(20, 1, &[Keeping::Honest; 6]);
    town.world.sleep(town.bob);
    town.alice_writes(40);
    town.world.run_for(MINUTE);
    town.world.sleep(town.alice);
    let held: Vec<_> = town.bobs.iter().map(|id| town.world.mailbox_holds(*id).0).collect();
    assert_eq!(held, [40, 40, 40, 40, 40, 0]);
    town.world.set_mailbox_up(town.bobs[2], false);
    town.world.set_faults(Faults { breaks_per_mille: 20, crashes_per_mille: 100, ..CALM });
    town.world.run_for(12 * HOUR);
    town.world.set_faults(CALM);
    town.world.run_for(6 * HOUR);
    assert_eq!(town.world.mailbox_holds(town.bobs[5]).0, 40, "each once");

    for id in town.bobs.iter().take(5).copied().collect::<Vec<_>>() {
        town.world.set_mailbox_up(id, false);
    }
    town.world.wake(town.bob);
    town.world.run_for(MINUTE);
    assert_eq!(town.shown_in_order(), 40);
    assert_eq!(town.world.host_faults(), 0);
}

#[test]
fn a_node_that_babbles_is_asked_more_and_more_seldom() {
    let mut town = Town::new(10, 1, &[Keeping::Babbles, Keeping::Honest]);
    town.world.run_for(HOUR);
    let fetches = town.world.mailbox_holds(town.bobs[0]).2;
    assert!(fetches < 60, "{fetches} fetches");
    town.world.sleep(town.bob);
    town.alice_writes(3);
    town.world.run_for(MINUTE);
    town.world.sleep(town.alice);
    town.world.wake(town.bob);
    town.world.run_for(MINUTE);

    assert_eq!(town.shown_in_order(), 3, "the other node is not in its way");
}

#[test]
fn a_rental_that_ends_is_emptied_before() {
    let mut town = Town::new(11, 1, &[Keeping::Honest]);
    town.world.sleep(town.bob);
    town.alice_writes(120);
    town.world.run_for(MINUTE);
    town.world.sleep(town.alice);
    town.world.set_mailbox_up(town.bobs[0], false);
    town.world.wake(town.bob);
    let node = town.world.mailbox(town.bobs[0]);
    assert!(matches!(town.world.ask(town.bob, Command::MailboxRemove(node)), Some(Ok(_))));
    assert!(mailboxes(&mut town.world, town.bob).is_empty());
    town.world.set_mailbox_up(town.bobs[0], true);
    town.world.run_for(HOUR);

    assert_eq!(town.shown_in_order(), 120);
    let disk = town.world.mailbox_disk(town.bobs[0]);
    assert_eq!(disk.count(Table::MailboxRental), 0, "the rental is over");
    assert_eq!(disk.count(Table::MailboxEnvelope), 0);
    town.world.run_for(64 * DAY);
    assert_eq!(town.world.mailbox_holds(town.bobs[0]).1, 0, "its tags end with their weeks");
}

#[test]
fn a_test_of_a_node_says_how_it_is() {
    let mut town = Town::new(12, 1, &[Keeping::Honest]);
    let node = town.world.mailbox(town.bobs[0]);
    let test = |town: &mut Town| match town.world.ask(town.bob, Command::MailboxTest(node)) {
        Some(Ok(Reply::Mailbox(view))) => view,
        other => panic!("{other:?}"),
    };
    let view = test(&mut town);
    assert_eq!(view.state, MailboxState::Active);
    assert!(view.round_trip.is_some_and(|trip| trip < SECOND), "{view:?}");
    assert!(view.fetched.is_some());

    town.world.set_mailbox_up(town.bobs[0], false);
    let view = test(&mut town);
    assert_eq!((view.state, view.error), (MailboxState::Unreachable, Some("not reached")));
    let stranger = town.world.mailbox(town.alices[0]);
    assert!(matches!(town.world.ask(town.bob, Command::MailboxTest(stranger)), Some(Err(_))));
}
