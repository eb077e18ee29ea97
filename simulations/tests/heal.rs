//! What does not open, engine by engine: who is answered, with what, and how often.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod bench;

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/liar.rs"]
mod liar;

use std::time::Duration;

use bitchat_protocol::engine::{
    Command, CommandError, DeliveryState, Event, Fact, Input, Reply, Who,
};
use bitchat_protocol::envelope::{Body, Frame};
use bitchat_protocol::error::Code;
use bitchat_protocol::resilience::Prefix;
use bitchat_protocol::store::Table;

use bench::{Bench, exchange, link, pair};
use liar::Liar;

const SECOND: Duration = Duration::from_secs(1);

/// A sender whose own chain was set back is not understood: the other side says so and it begins anew.
#[test]
fn a_sender_that_was_set_back_is_told_and_encrypts_again() {
    let (mut alice, mut bob) = pair();
    let copy = alice.disk.copy();
    for _ in 0..3 {
        alice.send("bob").expect("queued");
        exchange(&mut alice, &mut bob);
    }
    let shown = bob.shown();
    alice.disk.restore(&copy);
    alice.revive(1);
    bob.feed(Input::Disconnected { peer: alice.device });
    bob.facts.clear();

    alice.send("bob").expect("queued");
    link(&mut alice, &mut bob);
    alice.pass(SECOND);
    exchange(&mut alice, &mut bob);

    assert_eq!(bob.shown(), shown + 1, "shown once");
    assert_eq!(alice.queued(), 0);
    assert!(bob.facts.contains(&Fact::SessionHealed("decrypt")), "{:?}", bob.facts);
    assert!(alice.facts.contains(&Fact::Unreadable(1)), "{:?}", alice.facts);
}

fn founded(bench: &Bench) -> usize {
    let ours = |fact: &&Fact| matches!(fact, Fact::SessionFounded { initiator: true, .. });
    bench.facts.iter().filter(ours).count()
}

/// A contact that sends nothing but garbage for a day.
#[test]
fn garbage_of_a_contact_costs_a_bounded_number_of_handshakes() {
    let (mut alice, bob) = pair();
    let mut liar = Liar::invited(400, &mut alice);
    let (before, names) = (founded(&alice), alice.disk.count(Table::Contact));
    let mut refused = Vec::new();
    for second in 0..6 * 3_600 {
        if second % 5 == 0 {
            let frame = liar.garbage();
            liar.feed(&mut alice, 1, &frame);
            refused.extend(alice.take_refusals());
        }
        alice.pass(SECOND);
    }

    assert_eq!(founded(&alice) - before, 11, "once an hour in the end");
    assert!(refused.iter().all(|(_, code, _)| *code == Code::Rejected), "no oracle");
    assert!(alice.disk.count(Table::Session) <= 4 + 1);
    assert_eq!(alice.disk.count(Table::Contact), names);
    let bounds = alice.facts.iter().filter(|fact| matches!(fact, Fact::BoundReached(_))).count();
    assert!((1..=11).contains(&bounds), "{bounds}: once for each pause, the log is not flooded");
    assert!(!alice.sends.iter().any(|(peer, ..)| *peer == bob.device), "bob has no part in it");
}

/// The link stands, so nothing but the heal itself makes what waits go out again.
#[test]
fn what_waits_for_a_contact_goes_out_on_the_fresh_session_at_once() {
    let (mut alice, _bob) = pair();
    let mut liar = Liar::invited(401, &mut alice);
    let Ok(Reply::Delivery(sent)) = alice.send("x") else { panic!("not queued") };
    let (peer, token, old) = alice.sends.pop_front().expect("a frame");
    alice.feed(Input::Accepted { peer, token });
    alice.flush();

    let frame = liar.garbage();
    liar.feed(&mut alice, 1, &frame);
    alice.keep_deadlines();

    let envelopes: Vec<_> = [old]
        .into_iter()
        .chain(alice.sends.drain(..).map(|(_, _, frame)| frame))
        .filter_map(|frame| match Frame::decode(&frame) {
            Ok(Frame::Envelope(envelope)) => Some(envelope),
            Ok(Frame::RecordResponse(Some(_))) => None, // Its own newest record, once for a link.
            other => panic!("{other:?}"),
        })
        .collect();
    let [old, named, again] = envelopes.as_slice() else { panic!("{envelopes:?}") };
    assert_eq!((named.session, again.message), (again.session, sent.id));
    assert_ne!(again.session, old.session);
    assert!(named.initial.is_some() && again.initial.is_some());
}

/// Only a contact's own device is answered.
#[test]
fn what_a_stranger_sends_and_nobody_can_open_stays_without_an_answer() {
    let (mut alice, _bob) = pair();
    let record = liar::record_behind(&alice.invitation(false).0).0;
    let mut stranger = Liar::new(410, &record, None);
    alice.sends.clear();
    let (before, sends) = (founded(&alice), alice.sends.len());

    for _ in 0..20 {
        let frame = stranger.garbage();
        stranger.feed(&mut alice, 1, &frame);
    }

    assert_eq!((founded(&alice), alice.sends.len()), (before, sends));
}

/// Whoever could make a sender encrypt again by a word in an old session would need no fresh keys.
#[test]
fn unreadable_messages_are_named_in_a_fresh_session_only() {
    let (mut alice, mut bob) = pair();
    let Ok(Reply::Delivery(sent)) = alice.send("bob") else { panic!("not queued") };
    alice.sends.clear();
    let mut liar = Liar::invited(420, &mut alice);
    liar.say(&mut alice, 2, Body::Unreadable(vec![sent.id]));
    assert_eq!(alice.refused.len(), 0, "its session is fresh, though what it names is not its own");
    liar.confirm();
    liar.say(&mut alice, 3, Body::Unreadable(vec![sent.id]));

    assert_eq!(alice.refused.len(), 1);
    assert!(!alice.facts.iter().any(|fact| matches!(fact, Fact::Unreadable(_))), "not its message");
    exchange(&mut alice, &mut bob);
}

/// A contact cannot make us do a handshake for each frame, however well they are made.
#[test]
fn a_contact_that_founds_session_after_session_is_slowed_down() {
    let (mut alice, _bob) = pair();
    let (record, token) = liar::record_behind(&alice.invitation(false).0);
    for time in 0..100 {
        Liar::again(430, &record, Some(token), time).say(&mut alice, 1, Body::Hello);
    }

    let refused = alice.take_refusals();
    let busy = (Code::Busy, Duration::from_secs(10));
    assert!((80..=90).contains(&refused.len()), "{} of 100 refused", refused.len());
    assert!(refused.iter().all(|(_, code, retry_after)| (*code, *retry_after) == busy));
    alice.pass(Duration::from_secs(10));
    Liar::again(430, &record, Some(token), 100).say(&mut alice, 1, Body::Hello);
    assert!(alice.take_refusals().is_empty(), "the same request passes at its time");
}

fn resets(alice: &mut Bench, bob: &mut Bench) {
    alice.contact(Command::ResetSession(Who("bob".to_owned())));
    for _ in 0..3 {
        exchange(alice, bob);
        alice.pass(SECOND);
        bob.pass(SECOND);
    }
}

/// What both have under way on the old session is delivered: it can still be read.
#[test]
fn a_session_that_is_reset_loses_nothing_that_waits_or_is_under_way() {
    let (mut alice, mut bob) = pair();
    alice.send("bob").expect("queued");
    alice.sends.clear(); // Lost on the way.
    bob.send("alice").expect("queued"); // Under way on the old session.
    let (before, bobs) = (founded(&alice), founded(&bob));

    resets(&mut alice, &mut bob);

    assert_eq!(founded(&alice), before + 1);
    assert_eq!((alice.shown(), bob.shown()), (1, 1));
    assert_eq!((alice.queued(), bob.queued()), (0, 0));
    assert_eq!(founded(&bob), bobs, "bob starts none of his own for it");
}

/// Kinds of bodies that a later version adds: both users see what became of them.
#[test]
fn a_message_of_a_later_version_is_shown_as_such_and_rejected_at_its_sender() {
    let mut alice = Bench::new("alice", 1);
    let mut liar = Liar::invited(440, &mut alice);
    liar.sequence = 1;
    let frame = liar.frame(Body::Unknown);
    for number in [1, 2] {
        liar.feed(&mut alice, number, &frame);
    }
    liar.sequence = 2;
    liar.say(&mut alice, 3, Body::Text("x".to_owned()));

    let codes: Vec<_> = alice.take_refusals().iter().map(|(_, code, _)| *code).collect();
    assert_eq!(codes, [Code::Unsupported; 2], "the same answer when it comes again");
    let received = |event: &Event| match event {
        Event::Received(view) => Some((view.unreadable, view.text.clone(), view.gap)),
        Event::Delivery(_) | Event::Contact(_) | Event::KeyChange(_) => None,
    };
    let shown: Vec<_> = alice.events.iter().filter_map(received).collect();
    assert_eq!(shown, [(true, String::new(), 0), (false, "x".to_owned(), 0)]);
}

#[test]
fn a_message_that_the_other_side_cannot_read_ends_as_rejected() {
    let (mut alice, bob) = pair();
    let Ok(Reply::Delivery(sent)) = alice.send("bob") else { panic!("not queued") };
    let (peer, token, _) = alice.sends.pop_front().expect("a frame");
    alice.feed(Input::Accepted { peer, token });
    let (code, retry_after) = (Code::Unsupported, Duration::ZERO);
    alice.feed(Input::Refused { peer: bob.device, token, code, retry_after });
    alice.flush();

    let view = alice.ask(Command::Delivery(sent.id));
    assert!(
        matches!(&view, Ok(Reply::Delivery(view)) if view.state == DeliveryState::Rejected),
        "{view:?}"
    );
    assert_eq!(alice.queued(), 0);
}

/// An hour behind a short invitation whose issuer never answers, and what its "no" does.
#[test]
fn a_record_is_asked_for_ever_more_seldom_and_its_absence_ends_what_waits() {
    let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
    let (_, short) = alice.invitation(true);
    bob.ask(Command::AddContact { link: short, name: None }).expect("added");
    let Ok(Reply::Delivery(sent)) = bob.send("alice") else { panic!("not queued") };
    bob.feed(Input::Connected { peer: alice.device, prefix: Prefix::Unknown });
    for second in 0..3_600 {
        bob.pass(SECOND);
        if second % 100 == 0 {
            bob.send("alice").expect("queued"); // Each looks for a way, and asks no sooner.
        }
    }
    let asked = bob.sends.drain(..).filter(|(_, _, frame)| is_question(frame)).count();
    assert!((5..=12).contains(&asked), "{asked} questions in an hour");

    let no = Frame::RecordResponse(None).encode();
    bob.feed(Input::Frame { peer: alice.device, number: 1, bytes: no });
    bob.flush();

    let view = bob.ask(Command::Delivery(sent.id));
    assert!(
        matches!(&view, Ok(Reply::Delivery(view)) if view.state == DeliveryState::Undeliverable),
        "{view:?}"
    );
    assert_eq!(bob.queued(), 0);
}

fn is_question(frame: &[u8]) -> bool {
    matches!(Frame::decode(frame), Ok(Frame::RecordRequest(_)))
}

/// A contact whose record is too old to start a session with is asked for a newer one.
#[test]
fn a_lost_session_heals_although_the_record_of_the_contact_has_expired() {
    let day = Duration::from_secs(24 * 3600);
    let (mut alice, mut bob) = pair();
    for bench in [&mut alice, &mut bob] {
        bench.pass(Duration::ZERO);
    }
    alice.feed(Input::Disconnected { peer: bob.device });
    bob.feed(Input::Disconnected { peer: alice.device });
    for _ in 0..40 {
        alice.pass(day);
        bob.pass(day);
    }
    alice.disk.lose(Table::Session);
    alice.revive(1);
    bob.send("alice").expect("queued");

    link(&mut alice, &mut bob);
    for _ in 0..3 {
        alice.pass(SECOND);
        bob.pass(SECOND);
        exchange(&mut alice, &mut bob);
    }

    assert_eq!((alice.shown(), bob.queued()), (1, 0));
    assert!(alice.facts.contains(&Fact::SessionHealed("unknown_session")));
}

/// There is no room for the greeting of whom we add.
#[test]
fn a_full_outbox_is_seen_before_a_contact_is_added() {
    let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
    let (from_alice, _) = alice.invitation(true);
    bob.fill_outbox();

    let added = bob.ask(Command::AddContact { link: from_alice, name: None });

    assert!(matches!(added, Err(CommandError::OutboxFull(_))), "{added:?}");
    assert_eq!(bob.disk.count(Table::Contact), 0);
}

/// A disk that was set back to before its prekeys were rotated: the contact holds a record whose keys
/// are gone, or are others under the same numbers.
#[test]
fn prekeys_that_were_lost_with_the_disk_are_disowned() {
    let (mut alice, mut bob) = pair();
    let copy = bob.disk.copy();
    for _ in 0..20 {
        for bench in [&mut alice, &mut bob] {
            bench.pass(Duration::from_secs(12 * 3_600));
        }
        exchange(&mut alice, &mut bob); // He tells her of his new record.
    }
    bob.disk.restore(&copy);
    bob.revive(2);
    alice.disk.lose(Table::Session);
    alice.revive(1);
    alice.send("bob").expect("queued");

    link(&mut alice, &mut bob);
    for _ in 0..3 {
        alice.pass(SECOND);
        bob.pass(SECOND);
        exchange(&mut alice, &mut bob);
    }
    assert_eq!((bob.shown(), alice.queued()), (1, 0));
    assert!(bob.facts.contains(&Fact::SessionHealed("spent")), "{:?}", bob.facts);
    alice.disk.lose(Table::Session);
    alice.revive(1);
    bob.facts.clear();
    alice.send("bob").expect("queued");
    link(&mut alice, &mut bob);
    exchange(&mut alice, &mut bob);

    assert_eq!((bob.shown(), alice.queued()), (2, 0), "his new record names keys that he has");
    assert!(!bob.facts.iter().any(|fact| matches!(fact, Fact::SessionHealed(_))));
}

/// Its contacts are healed; whoever it does not know yet founds another session by himself, seldom.
#[test]
fn a_newcomer_gets_through_although_the_keys_that_it_was_handed_are_lost() {
    let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
    let (link_text, _) = alice.invitation(true);
    bob.ask(Command::AddContact { link: link_text, name: None }).expect("added");
    bob.send("alice").expect("queued");
    alice.feed(Input::Connected { peer: bob.device, prefix: Prefix::Unknown });
    bob.feed(Input::Connected { peer: alice.device, prefix: Prefix::Unknown });
    bob.flush();
    let (peer, token, question) = bob.sends.pop_front().expect("a question");
    alice.feed(Input::Frame { peer: bob.device, number: token.0, bytes: question });
    bob.feed(Input::Accepted { peer, token });
    alice.flush();
    let (_, token, answer) = alice.sends.pop_front().expect("an answer");
    bob.feed(Input::Frame { peer: alice.device, number: token.0, bytes: answer });
    bob.flush();
    assert_eq!((founded(&bob), bob.sends.len()), (1, 2), "a greeting and a text");
    bob.sends.clear();
    bob.feed(Input::Disconnected { peer: alice.device });
    alice.disk.lose(Table::OneTimePrekey);
    alice.revive(1);

    link(&mut alice, &mut bob);
    for _ in 0..5 {
        alice.pass(SECOND);
        bob.pass(SECOND);
        exchange(&mut alice, &mut bob);
    }

    assert_eq!((alice.shown(), bob.queued()), (1, 0));
    assert_eq!(founded(&bob), 2);
}

/// One that refuses whatever founds a session costs a bounded number of handshakes.
#[test]
fn foundings_that_are_refused_are_repeated_ever_more_seldom() {
    let (alice, mut bob) = {
        let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
        let (link_text, _) = alice.invitation(true);
        bob.ask(Command::AddContact { link: link_text, name: None }).expect("added");
        (alice, bob)
    };
    bob.feed(Input::Connected { peer: alice.device, prefix: Prefix::Unknown });
    for _ in 0..6 * 3_600 {
        bob.pass(SECOND);
        bob.flush();
        while let Some((peer, token, _)) = bob.sends.pop_front() {
            let (code, retry_after) = (Code::Rejected, Duration::ZERO);
            bob.feed(Input::Refused { peer, token, code, retry_after });
            bob.flush();
        }
    }

    assert!((2..=13).contains(&founded(&bob)), "{}", founded(&bob));
}
