//! Mailboxes: whoever writes and whoever reads are never there at the same time.

#[path = "support/town.rs"]
mod town;

use std::time::Duration;

use bitchat_protocol::engine::{Command, DeliveryState, MailboxState, Reply, Who};
use bitchat_protocol::prekey::PrekeyUse;
use bitchat_protocol::store::Table;
use bitchat_simulations::{Faults, Keeping, World};
use town::{CALM, HOUR, MINUTE, SECOND, Town, mailboxes};

#[test]
fn what_was_written_to_somebody_who_is_away_is_stored_and_shown_when_the_writer_is_gone() {
    let mut town = Town::new(1, 3, &[Keeping::Honest; 5]);
    town.world.sleep(town.bob);
    town.alice_writes(20);
    town.world.run_for(MINUTE);
    assert!(town.all_are(DeliveryState::Stored), "{:?}", town.states());
    let held: Vec<_> = town.bobs.iter().map(|id| town.world.mailbox_holds(*id).0).collect();
    assert_eq!(held, [20; 5], "every node has every message once");

    town.world.sleep(town.alice);
    town.world.wake(town.bob);
    town.world.run_for(MINUTE);
    assert_eq!(town.shown_in_order(), 20);
    for id in &town.bobs {
        assert_eq!(town.world.mailbox_holds(*id).0, 0, "what is durable here is deleted there");
    }

    // His receipts wait in her mailboxes.
    town.world.sleep(town.bob);
    town.world.wake(town.alice);
    town.world.run_for(MINUTE);
    assert!(town.all_are(DeliveryState::Delivered), "{:?}", town.states());
    assert_eq!(town.world.reused_nonces(), 0);
}

#[test]
fn nodes_that_crash_or_lie_lose_nothing() {
    let keeping =
        [Keeping::Drops, Keeping::Honest, Keeping::Honest, Keeping::Honest, Keeping::Honest];
    let mut town = Town::new(2, 3, &keeping);
    town.world.sleep(town.bob);
    town.alice_writes(20);
    town.world.run_for(MINUTE);
    assert!(town.all_are(DeliveryState::Stored));
    town.world.set_mailbox_up(town.bobs[1], false);
    town.world.set_mailbox_up(town.bobs[4], false);

    town.world.sleep(town.alice);
    town.world.wake(town.bob);
    town.world.run_for(MINUTE);

    assert_eq!(town.shown_in_order(), 20);
    let views = mailboxes(&mut town.world, town.bob);
    let states: Vec<_> = views.iter().map(|view| view.state).collect();
    let (up, down) = (MailboxState::Active, MailboxState::Unreachable);
    assert_eq!(states, [up, down, up, up, down]);
}

#[test]
fn a_full_node_and_one_that_forges_are_passed_over_for_the_next() {
    let mut keeping = vec![Keeping::Full, Keeping::Forges];
    keeping.extend([Keeping::Honest; 5]);
    let mut town = Town::new(3, 1, &keeping);
    town.world.sleep(town.bob);
    town.alice_writes(10);
    town.world.run_for(MINUTE);

    assert!(town.all_are(DeliveryState::Stored), "{:?}", town.states());
    let held: Vec<_> = town.bobs.iter().map(|id| town.world.mailbox_holds(*id).0).collect();
    assert_eq!(held, [0, 0, 10, 10, 10, 10, 10]);
}

#[test]
fn a_message_is_not_stored_while_fewer_nodes_than_needed_give_their_word() {
    let keeping = [Keeping::Full, Keeping::Honest, Keeping::Honest, Keeping::Forges];
    let mut town = Town::new(4, 1, &keeping);
    town.world.sleep(town.bob);
    town.alice_writes(3);
    town.world.run_for(MINUTE);
    assert!(town.all_are(DeliveryState::Queued), "{:?}", town.states());

    town.world.set_keeping(town.bobs[0], Keeping::Honest);
    town.world.run_for(HOUR);
    assert!(town.all_are(DeliveryState::Stored), "{:?}", town.states());
}

/// Many questions fail at once when nodes are away for a moment: that is one failure, not one for each.
#[test]
fn nodes_that_are_away_for_a_moment_are_asked_again_soon_however_much_waits() {
    for seed in 20..25 {
        let mut town = Town::new(seed, 1, &[Keeping::Honest; 3]);
        town.world.sleep(town.bob);
        for id in town.bobs.clone() {
            town.world.set_mailbox_up(id, false);
        }
        town.alice_writes(60);
        town.world.run_for(8 * SECOND);
        for id in town.bobs.clone() {
            town.world.set_mailbox_up(id, true);
        }
        town.world.run_for(MINUTE);
        assert!(town.all_are(DeliveryState::Stored), "seed {seed}: {:?}", town.states());
    }
}

/// He lost his sessions, and they are never there together: her later attempts reach him all the same.
#[test]
fn a_session_that_is_lost_is_healed_by_way_of_mailboxes() {
    let mut town = Town::new(31, 3, &[Keeping::Honest; 3]);
    town.world.sleep(town.alice);
    town.world.meddle(town.bob, SECOND, |disk| disk.lose(Table::Session));
    town.world.run_for(2 * SECOND);
    town.world.sleep(town.bob);
    town.world.wake(town.alice);
    town.alice_writes(2);
    for _ in 0..12 {
        town.world.run_for(MINUTE);
        town.world.sleep(town.alice);
        town.world.wake(town.bob);
        town.world.run_for(6 * HOUR);
        town.world.sleep(town.bob);
        town.world.wake(town.alice);
    }
    town.world.run_for(MINUTE);
    assert!(town.all_are(DeliveryState::Delivered), "{:?}", town.states());
    town.world.wake(town.bob);
    assert_eq!(town.shown_in_order(), 2);
    assert_eq!(town.world.reused_nonces(), 0);
}

/// He tells what he read, and they are never there together.
#[test]
fn that_a_message_was_read_is_told_by_way_of_mailboxes() {
    let mut town = Town::new(32, 3, &[Keeping::Honest; 3]);
    town.world.sleep(town.bob);
    town.alice_writes(2);
    town.world.run_for(MINUTE);
    town.world.sleep(town.alice);
    town.world.wake(town.bob);
    let tells = Command::SetReadReceipts { who: Who("alice".to_owned()), tells: Some(true) };
    assert!(matches!(town.world.ask(town.bob, tells), Some(Ok(_))));
    town.world.run_for(MINUTE);
    assert_eq!(town.shown_in_order(), 2);
    let reader = "default".to_owned();
    let cursor = town.world.inbox(town.bob).last().map_or(0, |message| message.cursor);
    let seen = Command::Acknowledge { reader, cursor, only: None };
    assert!(matches!(town.world.ask(town.bob, seen), Some(Ok(_))));
    town.world.run_for(MINUTE);
    town.world.sleep(town.bob);
    town.world.wake(town.alice);
    town.world.run_for(MINUTE);
    assert!(town.all_are(DeliveryState::Read), "{:?}", town.states());
}

/// What she takes back while the work for it is being done does not leave.
#[test]
fn what_is_taken_back_while_work_is_done_for_it_does_not_leave() {
    let mut world = World::new(13, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    let hosts: Vec<_> = (0..3).map(|_| world.add_mailbox(Keeping::Honest)).collect();
    for id in &hosts {
        world.set_mailbox_work(*id, 8);
    }
    world.rent(alice, &hosts);
    world.run_for(10 * SECOND);
    let invite = Command::Invite { once: true, expires: None };
    let Some(Ok(Reply::Invitation(invitation))) = world.ask(alice, invite) else { panic!() };
    world.sleep(alice);
    let add = Command::AddContact { link: invitation.link, name: Some("alice".to_owned()) };
    assert!(matches!(world.ask(bob, add), Some(Ok(_))));
    let (to, text) = (Who("alice".to_owned()), "0".to_owned());
    let sent = world.ask(bob, Command::Send { to, text, expires: None });
    let Some(Ok(Reply::Delivery(sent))) = sent else { panic!("{sent:?}") };
    world.run_for(Duration::from_millis(120));
    let cancelled = world.ask(bob, Command::Cancel(sent.id));
    assert!(matches!(cancelled, Some(Ok(_))), "{cancelled:?}");
    world.run_for(2 * MINUTE);
    let held: Vec<_> = hosts.iter().map(|id| world.mailbox_holds(*id).0).collect();
    assert_eq!(held, [1; 3], "the greeting alone");
}

/// Half of the questions and answers are lost at first; whoever restarts asks with the same bytes, and not
/// at all where it has custody.
#[test]
fn a_restart_of_the_writer_leaves_nothing_twice() {
    let mut town = Town::new(5, 1, &[Keeping::Honest; 3]);
    town.world.sleep(town.bob);
    town.world.set_faults(Faults { breaks_per_mille: 500, ..CALM });
    town.alice_writes(5);
    town.world.run_for(8 * SECOND);
    town.world.sleep(town.alice);
    town.world.set_faults(CALM);
    town.world.wake(town.alice);
    town.world.run_for(MINUTE);
    let held: Vec<_> = town.bobs.iter().map(|id| town.world.mailbox_holds(*id).0).collect();
    assert_eq!(held, [5; 3], "the same bytes");

    let asked =
        |town: &Town| town.bobs.iter().map(|id| town.world.mailbox_deposits(*id)).sum::<u64>();
    let before = asked(&town);
    town.world.sleep(town.alice);
    town.world.wake(town.alice);
    town.world.run_for(MINUTE);
    assert_eq!(asked(&town), before, "they have given their word");
    assert!(town.all_are(DeliveryState::Stored));
}

/// He is killed when the messages are on his disk and the nodes do not know yet.
#[test]
fn what_a_killed_reader_had_is_deleted_at_the_nodes_after_its_restart() {
    let mut town = Town::new(18, 1, &[Keeping::Honest; 3]);
    town.world.sleep(town.bob);
    town.alice_writes(5);
    town.world.run_for(MINUTE);
    town.world.sleep(town.alice);
    town.world.wake(town.bob);
    while town.world.snapshot(town.bob).count(Table::Inbox) == 0 {
        town.world.run_for(Duration::from_millis(1));
    }
    for id in town.bobs.clone() {
        town.world.set_mailbox_up(id, false);
    }
    town.world.crash(town.bob, SECOND);
    town.world.run_for(2 * SECOND);
    for id in town.bobs.clone() {
        assert_eq!(town.world.mailbox_holds(id).0, 5, "nobody told it");
        town.world.set_mailbox_up(id, true);
    }
    town.world.run_for(HOUR);

    assert_eq!(town.shown_in_order(), 5);
    let held: Vec<_> = town.bobs.iter().map(|id| town.world.mailbox_holds(*id).0).collect();
    assert_eq!(held, [0; 3]);
}

/// Her mailbox is down while he reads; he is killed before it is back.
#[test]
fn receipts_that_were_owed_before_a_restart_are_left_with_mailboxes_after_it() {
    let mut town = Town::new(19, 1, &[Keeping::Honest; 3]);
    town.world.sleep(town.bob);
    town.alice_writes(5);
    town.world.run_for(MINUTE);
    town.world.sleep(town.alice);
    town.world.set_mailbox_up(town.alices[0], false);
    town.world.wake(town.bob);
    town.world.run_for(MINUTE);
    assert_eq!(town.shown_in_order(), 5);
    town.world.crash(town.bob, SECOND);
    town.world.set_mailbox_up(town.alices[0], true);
    town.world.run_for(MINUTE);

    town.world.sleep(town.bob);
    town.world.wake(town.alice);
    town.world.run_for(MINUTE);
    assert!(town.all_are(DeliveryState::Delivered), "{:?}", town.states());
}

/// Places in a queue are used again once it is empty: what was left for one message says nothing of another.
#[test]
fn message_after_message_is_left_though_each_was_delivered_before_the_next() {
    let mut town = Town::new(16, 2, &[Keeping::Honest; 3]);
    for round in 1..=3 {
        town.world.sleep(town.bob);
        town.alice_writes(2);
        town.world.run_for(MINUTE);
        let states = town.states();
        assert!(states.ends_with(&[DeliveryState::Stored; 2]), "round {round}: {states:?}");
        town.world.wake(town.bob);
        town.world.run_for(MINUTE);
        assert_eq!(town.shown_in_order(), 2 * round);
        assert!(town.all_are(DeliveryState::Delivered));
    }
}

/// It rents and forgets at once, for ever: nobody is told of it again and again.
#[test]
fn a_node_that_forgets_us_again_and_again_is_rented_more_and_more_seldom() {
    let mut town = Town::new(17, 0, &[Keeping::Honest, Keeping::Honest]);
    for _ in 0..600 {
        town.world.lose_mailbox(town.bobs[0]);
        town.world.run_for(SECOND);
    }
    let (_, _, fetches) = town.world.mailbox_holds(town.bobs[0]);
    assert!(fetches < 60, "{fetches} fetches");
}

#[test]
fn when_receipts_stay_away_for_hours_other_seals_are_left() {
    let mut town = Town::new(6, 1, &[Keeping::Drops; 3]);
    town.world.sleep(town.bob);
    town.alice_writes(2);
    town.world.run_for(MINUTE);
    for id in town.bobs.clone() {
        town.world.set_keeping(id, Keeping::Honest);
    }
    town.world.run_for(5 * HOUR);
    assert_eq!(town.world.mailbox_holds(town.bobs[0]).0, 0);
    town.world.run_for(2 * HOUR);
    assert_eq!(town.world.mailbox_holds(town.bobs[0]).0, 2, "after six hours");

    town.world.sleep(town.alice);
    town.world.wake(town.bob);
    town.world.run_for(MINUTE);
    assert_eq!(town.shown_in_order(), 2);
}

/// Her session is gone, he is away: the next one is founded on keys that lie with his nodes.
#[test]
fn a_session_is_founded_on_one_time_keys_of_a_mailbox() {
    let mut town = Town::new(15, 1, &[Keeping::Honest; 3]);
    town.world.sleep(town.bob);
    town.world.meddle(town.alice, SECOND, |disk| disk.lose(Table::Session));
    town.world.run_for(2 * SECOND);
    town.alice_writes(1);
    town.world.run_for(MINUTE);
    let view = town.world.ask(town.alice, Command::Contact(Who("bob".to_owned())));
    let Some(Ok(Reply::Contact(view))) = view else { panic!("{view:?}") };
    assert_eq!(view.prekeys, Some(PrekeyUse::OneTime));
    assert!(town.all_are(DeliveryState::Stored));

    town.world.sleep(town.alice);
    town.world.wake(town.bob);
    town.world.run_for(MINUTE);
    assert_eq!(town.shown_in_order(), 1);
}

/// Neither token nor contact: the invitation alone, and work.
#[test]
fn a_stranger_with_an_invitation_gets_through_for_work_though_nobody_is_there() {
    let mut world = World::new(13, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    let hosts: Vec<_> = (0..3).map(|_| world.add_mailbox(Keeping::Honest)).collect();
    for id in &hosts {
        world.set_mailbox_work(*id, 8);
    }
    world.rent(alice, &hosts);
    world.run_for(10 * SECOND);
    let states = mailboxes(&mut world, alice).into_iter().map(|view| view.state);
    assert!(states.eq([MailboxState::Active; 3]), "work was done for the rentals");
    let invite = Command::Invite { once: true, expires: None };
    let Some(Ok(Reply::Invitation(invitation))) = world.ask(alice, invite) else { panic!() };
    world.sleep(alice);
    let add = Command::AddContact { link: invitation.link, name: Some("alice".to_owned()) };
    assert!(matches!(world.ask(bob, add), Some(Ok(_))));
    let (to, text) = (Who("alice".to_owned()), "0".to_owned());
    assert!(world.ask(bob, Command::Send { to, text, expires: None }).is_some());
    world.run_for(2 * MINUTE);
    let held: Vec<_> = hosts.iter().map(|id| world.mailbox_holds(*id).0).collect();
    assert_eq!(held, [2; 3], "a greeting and a text");

    world.sleep(bob);
    world.wake(alice);
    world.run_for(MINUTE);
    assert_eq!(world.inbox(alice).len(), 1);
}

/// Nodes and mailbox nodes crash at their flushes, questions and answers are lost, one of the mailbox nodes
/// lies: what was acknowledged is shown once and in order.
#[test]
fn nothing_is_lost_or_shown_twice_though_answers_are_lost_and_nodes_crash() {
    let lies = [Keeping::Drops, Keeping::Forges, Keeping::Babbles];
    for (seed, lie) in (0..60).zip(lies.into_iter().cycle()) {
        let mut keeping = [Keeping::Honest; 6];
        keeping[seed % 6] = lie;
        let mut town = Town::new(1_000 + seed as u64, 2, &keeping);
        let faults = Faults { breaks_per_mille: 100, crashes_per_mille: 20, ..CALM };
        town.world.sleep(town.bob);
        town.world.set_faults(faults);
        let sent = town.alice_writes(10);
        town.world.run_for(2 * MINUTE);
        town.world.sleep(town.alice);
        town.world.wake(town.bob);
        town.world.run_for(5 * MINUTE);
        town.world.set_faults(CALM);
        town.world.wake(town.alice);
        town.world.run_for(10 * MINUTE);

        let shown = town.world.inbox(town.bob);
        let texts: Vec<_> = shown.iter().map(|message| message.text.clone()).collect();
        assert!(texts.is_sorted_by(|a, b| a < b), "seed {seed}: {texts:?}");
        assert!(sent.iter().all(|text| texts.contains(text)), "seed {seed}: {texts:?} of {sent:?}");
        let states = town.states();
        assert_eq!(states.len(), texts.len(), "seed {seed}: {texts:?}");
        assert!(states.iter().all(|state| *state == DeliveryState::Delivered), "seed {seed}");
        let wrong = [town.world.reused_nonces(), town.world.states_back()];
        assert_eq!((wrong, town.world.host_faults()), ([0; 2], 0), "seed {seed}");
    }
}
