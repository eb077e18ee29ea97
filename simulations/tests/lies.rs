//! Peers and links that lie.

#![allow(clippy::panic, clippy::expect_used, reason = "test code")]

use std::time::Duration;

use bitchat_protocol::engine::{Command, CommandError, Extent, Reply, Who};
use bitchat_protocol::id::AccountId;
use bitchat_protocol::invitation::{Invitation, Target};
use bitchat_simulations::{Faults, NodeId, World};

const CALM: Faults = Faults {
    latency: Duration::from_millis(40),
    flush: Duration::from_millis(10),
    breaks_per_mille: 0,
    crashes_per_mille: 0,
};

fn invite(world: &mut World, node: NodeId) -> (String, String) {
    match world.ask(node, Command::Invite { once: false, expires: None }) {
        Some(Ok(Reply::Invitation(invitation))) => (invitation.link, invitation.short),
        other => panic!("{other:?}"),
    }
}

/// A short link names a device without proof; one that names a friend's device under another
/// account would make the friend's messages appear under that account.
#[test]
fn a_link_cannot_claim_the_device_of_a_contact() {
    let mut world = World::new(1, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    world.run_for(Duration::from_secs(1));
    let (link, short) = invite(&mut world, alice);
    assert!(matches!(world.ask(bob, Command::AddContact { link, name: None }), Some(Ok(_))));
    let mut forged = Invitation::parse_link(&short).expect("own link");
    if let Target::Short { account, .. } = &mut forged.target {
        *account = AccountId([7; 32]);
    }

    let added = world
        .ask(bob, Command::AddContact { link: forged.to_link(), name: Some("eve".to_owned()) });

    assert!(matches!(added, Some(Err(CommandError::BadLink(_)))), "{added:?}");
}

/// The record behind a short link must be the account's that the link names.
#[test]
fn a_short_link_with_another_account_founds_no_session() {
    let mut world = World::new(2, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    world.run_for(Duration::from_secs(1));
    let (_, short) = invite(&mut world, alice);
    let mut forged = Invitation::parse_link(&short).expect("own link");
    if let Target::Short { account, .. } = &mut forged.target {
        *account = AccountId([7; 32]);
    }
    let added = world
        .ask(bob, Command::AddContact { link: forged.to_link(), name: Some("eve".to_owned()) });
    assert!(matches!(added, Some(Ok(_))), "{added:?}");

    world.ask(
        bob,
        Command::Send { to: Who("eve".to_owned()), text: "secret".to_owned(), expires: None },
    );
    world.run_for(Duration::from_secs(60));

    assert!(world.inbox(alice).is_empty());
    assert!(world.fact("refused not_authentic") > 0);
    assert_eq!(world.fact("SessionFounded"), 0);
}

/// The same link, honest: the record is fetched when connected, and the message arrives.
#[test]
fn a_short_link_founds_a_session_when_the_record_was_fetched() {
    let mut world = World::new(3, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    world.run_for(Duration::from_secs(1));
    let (_, short) = invite(&mut world, alice);

    world.ask(bob, Command::AddContact { link: short, name: None });
    world.ask(
        bob,
        Command::Send { to: Who("alice".to_owned()), text: "hi".to_owned(), expires: None },
    );
    world.run_for(Duration::from_secs(60));

    assert_eq!(world.inbox(alice).len(), 1);
    assert!(
        matches!(world.ask(bob, Command::Queue), Some(Ok(Reply::Queue(rows))) if rows.is_empty())
    );
}

/// Whoever was removed is told so; a new invitation brings both together again.
#[test]
fn somebody_who_was_removed_comes_back_by_a_new_invitation() {
    let mut world = World::new(4, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    world.run_for(Duration::from_secs(1));
    let (link, _) = invite(&mut world, alice);
    world.ask(bob, Command::AddContact { link, name: None });
    world.run_for(Duration::from_secs(5));
    assert!(matches!(
        world.ask(alice, Command::Remove { who: Who("bob".to_owned()), extent: Extent::Contact }),
        Some(Ok(_))
    ));
    world.ask(
        bob,
        Command::Send { to: Who("alice".to_owned()), text: "lost".to_owned(), expires: None },
    );
    world.run_for(Duration::from_secs(60));
    assert!(world.inbox(alice).is_empty());

    let (link, _) = invite(&mut world, alice);
    world.ask(bob, Command::AddContact { link, name: None });
    world.ask(
        bob,
        Command::Send { to: Who("alice".to_owned()), text: "back".to_owned(), expires: None },
    );
    world.run_for(Duration::from_secs(60));

    let texts: Vec<_> = world.inbox(alice).into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["back"]);
    assert!(
        matches!(world.ask(bob, Command::Queue), Some(Ok(Reply::Queue(rows))) if rows.is_empty())
    );
}

/// What introduces us ages with our record; a message that outlives it introduces us anew.
#[test]
fn a_first_message_is_taken_although_it_waited_longer_than_the_record_it_was_written_with() {
    let day = Duration::from_secs(24 * 3600);
    let mut world = World::new(6, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    world.run_for(10 * day);
    let (link, _) = invite(&mut world, alice);
    world.set_faults(Faults { breaks_per_mille: 1_000, ..CALM });
    world.ask(bob, Command::AddContact { link, name: None });
    let (to, text, expires) = (Who("alice".to_owned()), "late".to_owned(), Some(29 * day));
    world.ask(bob, Command::Send { to, text, expires });
    world.run_for(Duration::from_secs(5)); // Encrypted, and lost on the way.
    world.crash(alice, 28 * day);
    world.set_faults(CALM);

    world.run_for(28 * day + day / 2);

    let texts: Vec<_> = world.inbox(alice).into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["late"]);
}

/// A message that nobody takes ends visibly, and the engine does not spin meanwhile.
#[test]
fn a_message_to_nobody_expires_after_few_attempts() {
    let mut world = World::new(5, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    world.run_for(Duration::from_secs(1));
    let (link, _) = invite(&mut world, alice);
    world.crash(alice, Duration::from_secs(100 * 24 * 3600));
    world.ask(bob, Command::AddContact { link, name: None });
    let day = Duration::from_secs(24 * 3600);
    let sent = world.ask(
        bob,
        Command::Send { to: Who("alice".to_owned()), text: "?".to_owned(), expires: Some(day) },
    );
    let Some(Ok(Reply::Delivery(queued))) = sent else { panic!("{sent:?}") };

    world.run_for(2 * day);

    let after = world.ask(bob, Command::Delivery(queued.id));
    assert!(matches!(after, Some(Ok(Reply::Delivery(view))) if view.state.as_str() == "expired"));
}

/// Both are up, neither has anything to say, and the one that moved cannot reach the other's old
/// address: the other finds it again by itself, so that a later message waits for nobody.
#[test]
fn contacts_find_one_another_again_without_a_message() {
    let mut world = World::new(7, CALM);
    let (alice, bob) = (world.add("alice"), world.add("bob"));
    world.run_for(Duration::from_secs(1));
    let (link, _) = invite(&mut world, alice);
    world.ask(bob, Command::AddContact { link, name: None });
    world.run_for(Duration::from_secs(10));
    world.cut(alice, bob);

    world.run_for(Duration::from_secs(1_300));

    let found = world.ask(bob, Command::Contact(Who("alice".to_owned())));
    assert!(matches!(found, Some(Ok(Reply::Contact(view))) if view.connected), "still apart");
}
