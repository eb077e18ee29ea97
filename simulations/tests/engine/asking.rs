//! Whoever founds a session asks for one-time prekeys first, and is never kept from writing by the answer.

use std::time::Duration;

use bitchat_protocol::engine::{Command, Export, Fact, Input};
use bitchat_protocol::envelope::Frame;
use bitchat_protocol::error::Code;
use bitchat_protocol::prekey::{Algorithm, ONE_TIME_VALIDITY, Offer, PrekeyUse, SignedPrekey};
use bitchat_protocol::resilience::Prefix;

use crate::bench::{Bench, START, exchange, identity, link, pair};
use crate::prekeys::{device, founded, refill};

/// Bob has a link to Alice and asked her; the question.
fn asking() -> (Bench, Bench, bitchat_protocol::id::SendToken) {
    let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
    let (invitation, _) = alice.invitation(true);
    bob.ask(Command::AddContact { link: invitation, name: None }).expect("added");
    bob.feed(Input::Connected { peer: alice.device, prefix: Prefix::Unknown });
    bob.flush();
    let (_, token, question) = bob.sends.pop_front().expect("a question");
    assert!(matches!(Frame::decode(&question), Ok(Frame::PrekeyRequest(Some(_)))));
    (alice, bob, token)
}

/// The frame waits for one second at most, by the engine's clock.
#[test]
fn an_owner_that_does_not_answer_is_not_waited_for_longer_than_a_second() {
    let (mut alice, mut bob, _) = asking();

    bob.pass(Duration::from_millis(999));
    assert!(bob.sends.is_empty());
    bob.pass(Duration::from_millis(1));

    assert_eq!(founded(&bob), [(true, PrekeyUse::LastResort)]);
    alice.feed(Input::Connected { peer: bob.device, prefix: Prefix::Unknown });
    exchange(&mut alice, &mut bob);
    assert_eq!(founded(&alice), [(false, PrekeyUse::LastResort)]);
}

#[test]
fn a_refusal_or_a_lost_question_is_not_waited_for() {
    for refused in [true, false] {
        let (alice, mut bob, token) = asking();
        let peer = alice.device;

        bob.feed(if refused {
            let (code, retry_after) = (Code::Busy, Duration::from_secs(3_600));
            Input::Refused { peer, token, code, retry_after }
        } else {
            Input::SendFailed { peer, token }
        });
        bob.flush();

        assert_eq!(founded(&bob), [(true, PrekeyUse::LastResort)]);
        assert_eq!(bob.sends.len(), 1);
    }
}

/// The owner, or a mailbox in its place, puts other keys in: the initiator uses none of them.
#[test]
fn substituted_expired_and_foreign_keys_are_refused_and_the_session_starts_without() {
    let (own, other) = (identity(1), identity(7));
    let good = START.wall.plus(ONE_TIME_VALIDITY);
    let issue = |identity: &bitchat_protocol::identity::Identity, expires| {
        let device = identity.device();
        Some(SignedPrekey::issue(device, Algorithm::X25519, 3, &[9; 32], expires))
    };
    let mut point = [0; 32];
    point[0] = 1;
    let device = own.device();
    let low_order = Some(SignedPrekey::issue(device, Algorithm::X25519, 3, &point, good));
    let mut substituted = issue(&own, good);
    substituted.as_mut().expect("there").key = vec![8; 32];
    let cases = [
        (issue(&own, good), PrekeyUse::Partial, None),
        (substituted, PrekeyUse::LastResort, Some("not_authentic")),
        (issue(&own, START.wall), PrekeyUse::LastResort, Some("stale")),
        (issue(&other, good), PrekeyUse::LastResort, Some("not_authentic")),
        (low_order, PrekeyUse::LastResort, None),
    ];
    for (x25519, expected, refused) in cases {
        let (alice, mut bob, _) = asking();

        let bytes = Frame::PrekeyResponse(Offer { x25519, ml_kem: None }).encode();
        bob.feed(Input::Frame { peer: alice.device, number: 1, bytes });
        bob.flush();

        assert_eq!(founded(&bob), [(true, expected)], "{refused:?}");
        let told = bob.facts.iter().any(
            |fact| matches!((fact, refused), (Fact::Refused(label), Some(why)) if *label == why),
        );
        assert_eq!(told, refused.is_some(), "{refused:?}");
    }
}

#[test]
fn an_answer_that_nobody_asked_for_changes_nothing() {
    let (mut alice, mut bob) = pair();
    let before = founded(&bob);
    let bytes = Frame::PrekeyResponse(Offer::default()).encode();

    bob.feed(Input::Frame { peer: alice.device, number: 9, bytes: bytes.clone() });
    bob.feed(Input::Frame { peer: device(40), number: 9, bytes });
    bob.send("alice").expect("queued");
    exchange(&mut alice, &mut bob);

    assert_eq!(founded(&bob), before);
    assert_eq!(alice.shown(), 1);
}

/// Alice has lost everything and invites him anew: her new session must not wait for the old one's
/// fate, and is founded on one-time keys as well.
#[test]
fn a_session_that_is_renewed_is_founded_on_one_time_keys() {
    let (mut alice, mut bob) = pair();
    refill(&mut alice);
    let (invitation, _) = alice.invitation(false);
    bob.facts.clear();

    bob.ask(Command::AddContact { link: invitation, name: None }).expect("known");
    exchange(&mut alice, &mut bob);
    bob.send("alice").expect("queued");
    exchange(&mut alice, &mut bob);

    assert_eq!(founded(&bob), [(true, PrekeyUse::OneTime)]);
    assert_eq!((alice.shown(), bob.queued()), (1, 0));
}

#[test]
fn a_link_that_breaks_while_the_answer_is_awaited_loses_nothing() {
    let (mut alice, mut bob, _) = asking();
    refill(&mut alice);
    bob.feed(Input::Disconnected { peer: alice.device });
    bob.flush();
    assert_eq!(founded(&bob), []);

    link(&mut alice, &mut bob);
    bob.pass(Duration::from_secs(2));
    exchange(&mut alice, &mut bob);

    assert_eq!(founded(&bob), [(true, PrekeyUse::OneTime)]);
    assert_eq!(bob.queued(), 0);
}

/// Both know one another and have lost their sessions; both ask at the same moment.
#[test]
fn two_that_ask_one_another_at_once_talk_in_the_end() {
    let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
    let (to_alice, to_bob) = (alice.invitation(false).0, bob.invitation(false).0);
    bob.ask(Command::AddContact { link: to_alice, name: None }).expect("added");
    alice.ask(Command::AddContact { link: to_bob, name: None }).expect("added");

    link(&mut alice, &mut bob);
    for _ in 0..5 {
        alice.pass(Duration::from_secs(1));
        bob.pass(Duration::from_secs(1));
        exchange(&mut alice, &mut bob);
    }
    alice.send("bob").expect("queued");
    bob.send("alice").expect("queued");
    exchange(&mut alice, &mut bob);

    assert_eq!((alice.shown(), bob.shown()), (1, 1));
    assert_eq!((alice.queued(), bob.queued()), (0, 0));
    let sessions: Vec<_> = founded(&alice).into_iter().chain(founded(&bob)).collect();
    assert!(sessions.len() >= 2, "{sessions:?}");
    assert!(sessions.iter().all(|(_, kind)| *kind == PrekeyUse::OneTime), "{sessions:?}");
}

/// The keys of an answer that came too late are not used for the session after the next.
#[test]
fn a_late_answer_is_dropped() {
    let (mut alice, mut bob, _) = asking();
    alice.feed(Input::Connected { peer: bob.device, prefix: Prefix::Unknown });
    let question = Frame::PrekeyRequest(None).encode();
    bob.pass(Duration::from_secs(1));
    exchange(&mut alice, &mut bob);
    assert_eq!(founded(&bob), [(true, PrekeyUse::LastResort)]);

    alice.feed(Input::Frame { peer: bob.device, number: 5, bytes: question });
    exchange(&mut alice, &mut bob);
    bob.send("alice").expect("queued");
    exchange(&mut alice, &mut bob);

    assert_eq!(founded(&bob).len(), 1);
    assert_eq!(alice.shown(), 1);
}

/// An export does not wait for the answer and founds the session. What waited goes out on the link too.
#[test]
fn an_export_while_the_answer_is_awaited_does_not_hold_up_the_link() {
    let (alice, mut bob, _) = asking();
    bob.ask(Command::Export(Export::All { after: None })).expect("exported");
    assert_eq!(founded(&bob), [(true, PrekeyUse::LastResort)]);
    assert!(bob.sends.is_empty());

    bob.pass(Duration::from_secs(1));

    assert_eq!(bob.sends.len(), 1);
    assert!(bob.sends.iter().all(|(peer, ..)| *peer == alice.device));
}
