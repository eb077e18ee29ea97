//! Who is told that what was read, and when.

use bitchat_protocol::engine::MessageView;
use bitchat_protocol::envelope::{Body, Receipts};

use super::liar::Liar;
use super::*;

/// Bob tells Alice what he has read.
fn telling() -> (Bench, Bench) {
    let (alice, mut bob) = pair();
    let (who, tells) = (Who("alice".to_owned()), Some(true));
    let view = bob.contact(Command::SetReadReceipts { who, tells });
    assert!(view.read_receipts);
    (alice, bob)
}

fn inbox(bench: &mut Bench, reader: &str) -> Vec<MessageView> {
    let command = Command::Inbox { reader: reader.to_owned(), since: None, max: 1_000 };
    match bench.ask(command) {
        Ok(Reply::Messages(messages)) => messages,
        other => panic!("{other:?}"),
    }
}

fn read_all(bench: &mut Bench, reader: &str, only: Option<Who>) {
    let cursor = inbox(bench, reader).last().expect("a message").cursor;
    let done = bench.ask(Command::Acknowledge { reader: reader.to_owned(), cursor, only });
    assert!(matches!(done, Ok(Reply::Done)), "{done:?}");
}

#[test]
fn nobody_is_told_what_was_read_unless_the_user_says_so() {
    let (mut alice, mut bob) = pair();
    let id = say(&mut alice, "bob", "hello");
    exchange(&mut alice, &mut bob);

    read_all(&mut bob, "default", None);
    exchange(&mut alice, &mut bob);

    assert_eq!(state(&mut alice, id), DeliveryState::Delivered);
}

#[test]
fn one_notice_tells_of_everything_that_was_read_and_no_row_waits_for_it() {
    let (mut alice, mut bob) = telling();
    let ids: Vec<_> = (0..40).map(|number| say(&mut alice, "bob", &number.to_string())).collect();
    exchange(&mut alice, &mut bob);
    assert!(ids.iter().all(|id| state(&mut alice, *id) == DeliveryState::Delivered));

    read_all(&mut bob, "default", None);
    let frames = bob.sends.len();
    let rows = bob.queued();
    exchange(&mut alice, &mut bob);
    read_all(&mut bob, "another", None);

    assert_eq!((frames, rows), (1, 0));
    assert_eq!(bob.sends.len(), 0, "another reader's acknowledgement tells nothing twice");
    for id in ids {
        let view = track(&mut alice, id);
        assert_eq!(view.delivery.state, DeliveryState::Read);
        assert_eq!(view.steps.len(), 4, "queued, sent, delivered, read");
    }
    let read = |fact: &&Fact| matches!(fact, Fact::Reached { state: DeliveryState::Read, .. });
    assert_eq!(alice.facts.iter().filter(read).count(), 40);
}

/// A chat passes over what others wrote: that was not read.
#[test]
fn a_chat_says_read_of_its_own_contact_alone() {
    let (mut alice, mut bob) = telling();
    let id = say(&mut alice, "bob", "hello");
    exchange(&mut alice, &mut bob);
    let mut carol = Bench::new("carol", 3);
    let link_text = carol.invitation(true).0;
    bob.ask(Command::AddContact { link: link_text, name: None }).expect("added");

    read_all(&mut bob, "chat-carol", Some(Who("carol".to_owned())));
    exchange(&mut alice, &mut bob);
    let passed_over = state(&mut alice, id);
    read_all(&mut bob, "chat-alice", Some(Who("alice".to_owned())));
    exchange(&mut alice, &mut bob);

    assert_eq!(passed_over, DeliveryState::Delivered);
    assert_eq!(state(&mut alice, id), DeliveryState::Read);
}

#[test]
fn what_was_read_while_the_sender_was_away_is_said_when_it_comes() {
    let (mut alice, mut bob) = telling();
    let id = say(&mut alice, "bob", "hello");
    exchange(&mut alice, &mut bob);
    alice.feed(Input::Disconnected { peer: bob.device });
    bob.feed(Input::Disconnected { peer: alice.device });

    read_all(&mut bob, "default", None);
    assert!(bob.sends.is_empty());
    link(&mut alice, &mut bob);

    assert_eq!(state(&mut alice, id), DeliveryState::Read);
}

/// The notice is lost with its frame: a mark is missing, and nothing else.
#[test]
fn a_lost_notice_costs_a_mark_and_nothing_more() {
    let (mut alice, mut bob) = telling();
    let id = say(&mut alice, "bob", "hello");
    exchange(&mut alice, &mut bob);
    read_all(&mut bob, "default", None);
    bob.sends.clear();

    let next = say(&mut alice, "bob", "and now?");
    exchange(&mut alice, &mut bob);
    read_all(&mut bob, "default", None);
    exchange(&mut alice, &mut bob);

    assert_eq!(state(&mut alice, id), DeliveryState::Delivered);
    assert_eq!(state(&mut alice, next), DeliveryState::Read);
    assert_eq!(alice.queued(), 0);
}

/// A message to Bob, delivered, and another that waits: a third party says of both that it has read them.
#[test]
fn a_contact_that_says_read_of_what_it_was_never_sent_moves_nothing() {
    let (mut alice, mut bob) = pair();
    let delivered = say(&mut alice, "bob", "hello");
    exchange(&mut alice, &mut bob);
    alice.feed(Input::Disconnected { peer: bob.device });
    let waiting = say(&mut alice, "bob", "and hello");
    let mut liar = Liar::invited(300, &mut alice);

    let read = vec![delivered, waiting, MessageId([9; 16])];
    let delivered_too = read.clone();
    liar.say(&mut alice, 1, Body::Receipts(Receipts { delivered: delivered_too, read }));

    assert_eq!(state(&mut alice, delivered), DeliveryState::Delivered);
    assert_eq!(state(&mut alice, waiting), DeliveryState::Queued);
    assert!(alice.refused.is_empty(), "it costs the liar nothing and us nothing");
}
