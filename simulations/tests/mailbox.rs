//! Mailboxes: whoever writes and whoever reads are never there at the same time.

use std::time::Duration;

use bitchat_protocol::engine::Extent;
use bitchat_protocol::engine::{Command, DeliveryState, MailboxState, MailboxView, Reply, Who};
use bitchat_protocol::prekey::PrekeyUse;
use bitchat_protocol::store::Table;
use bitchat_simulations::{Faults, Keeping, MailboxId, NodeId, World};

const CALM: Faults = Faults {
    latency: Duration::from_millis(40),
    flush: Duration::from_millis(10),
    breaks_per_mille: 0,
    crashes_per_mille: 0,
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Two contacts, and the mailboxes of each.
struct Town {
    world: World,
    alice: NodeId,
    bob: NodeId,
    alices: Vec<MailboxId>,
    bobs: Vec<MailboxId>,
    sent: u32,
}

impl Town {
    /// They have met, and each knows where the other rents.
    fn new(seed: u64, alices: usize, bobs: &[Keeping]) -> Self {
        let mut world = World::new(seed, CALM);
        let (alice, bob) = (world.add("alice"), world.add("bob"));
        let alices: Vec<_> = (0..alices).map(|_| world.add_mailbox(Keeping::Honest)).collect();
        let bobs: Vec<_> = bobs.iter().map(|keeping| world.add_mailbox(*keeping)).collect();
        world.rent(alice, &alices);
        world.rent(bob, &bobs);
        world.run_for(2 * SECOND);
        befriend(&mut world, alice, bob);
        world.run_for(MINUTE);
        Self { world, alice, bob, alices, bobs, sent: 0 }
    }

    /// The first writes while the second is away; then the first goes.
    fn alice_writes(&mut self, count: u32) {
        for _ in 0..count {
            let text = self.sent.to_string();
            self.sent += 1;
            let send = Command::Send { to: Who("bob".to_owned()), text, expires: None };
            let _ = self.world.ask(self.alice, send);
        }
    }

    /// What she has written, by its state.
    fn states(&mut self) -> Vec<DeliveryState> {
        let history = Command::History { who: Who("bob".to_owned()), before: None, max: 1_000 };
        match self.world.ask(self.alice, history) {
            Some(Ok(Reply::Messages(messages))) => {
                messages.iter().filter_map(|message| message.state).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn all_are(&mut self, state: DeliveryState) -> bool {
        let states = self.states();
        states.len() == self.sent as usize && states.iter().all(|one| *one == state)
    }

    /// What he was shown: each once, in order, nothing missing or late.
    fn shown_in_order(&mut self) -> usize {
        let shown = self.world.inbox(self.bob);
        for (place, message) in shown.iter().enumerate() {
            assert_eq!(message.text, place.to_string());
            assert!(!message.late && message.gap == 0, "{message:?}");
        }
        shown.len()
    }
}

fn befriend(world: &mut World, alice: NodeId, bob: NodeId) {
    let invite = Command::Invite { once: true, expires: None };
    let Some(Ok(Reply::Invitation(invitation))) = world.ask(alice, invite) else {
        panic!("no invitation")
    };
    let add = Command::AddContact { link: invitation.link, name: Some("alice".to_owned()) };
    assert!(matches!(world.ask(bob, add), Some(Ok(_))));
    world.run_for(10 * SECOND);
}

fn mailboxes(world: &mut World, node: NodeId) -> Vec<MailboxView> {
    match world.ask(node, Command::MailboxList) {
        Some(Ok(Reply::Mailboxes(views))) => views,
        other => panic!("{other:?}"),
    }
}

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
    assert_eq!(town.world.mailbox_holds(town.bobs[0]).1, 7);
    town.world.sleep(town.alice);
    town.world.run_for(7 * DAY + 2 * HOUR);

    assert_eq!(
        town.world.mailbox_holds(town.bobs[0]).1,
        8,
        "the keeper of this world forgets none"
    );
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
    assert_eq!(town.world.mailbox_holds(town.bobs[0]).1, 0, "the rental is over");
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

/// Nodes crash at their flushes, answers are lost: what was acknowledged is shown once and in order.
#[test]
fn nothing_is_lost_or_shown_twice_though_answers_are_lost_and_nodes_crash() {
    for seed in 0..60 {
        let keeping = [Keeping::Honest, Keeping::Drops, Keeping::Honest, Keeping::Honest];
        let mut town = Town::new(1_000 + seed, 2, &keeping);
        let faults = Faults { breaks_per_mille: 100, crashes_per_mille: 10, ..CALM };
        town.world.sleep(town.bob);
        town.world.set_faults(faults);
        town.alice_writes(10);
        town.world.run_for(2 * MINUTE);
        town.world.sleep(town.alice);
        town.world.wake(town.bob);
        town.world.run_for(5 * MINUTE);
        town.world.set_faults(CALM);
        town.world.wake(town.alice);
        town.world.run_for(10 * MINUTE);

        let shown = town.world.inbox(town.bob);
        let texts: Vec<_> = shown.iter().map(|message| message.text.clone()).collect();
        let mut once = texts.clone();
        once.dedup();
        assert_eq!(once, texts, "seed {seed}");
        let states = town.states();
        assert_eq!(states.len(), texts.len(), "seed {seed}: {texts:?}");
        assert!(states.iter().all(|state| *state == DeliveryState::Delivered), "seed {seed}");
        assert_eq!(town.world.reused_nonces(), 0);
    }
}
