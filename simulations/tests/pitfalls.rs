//! Pitfalls of messengers that only a whole engine can fall into; docs/SECURITY.md lists them all.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod bench;

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/liar.rs"]
mod liar;

use std::collections::BTreeSet;
use std::time::Duration;

use bitchat_protocol::engine::{Command, Fact, Input, Reply, Who};
use bitchat_protocol::envelope::{Body, Frame};
use bitchat_protocol::error::Code;
use bitchat_protocol::id::{MessageId, SessionId};

use bench::{Bench, exchange, pair};
use liar::Liar;

fn say(bench: &mut Bench, text: String) {
    let (to, expires) = (Who("bob".to_owned()), None);
    bench.command(Command::Send { to, text, expires });
}

/// The key of a message is used up on the disk before its ciphertext leaves, and a message is on the
/// disk before its user or its sender hears of it.
#[test]
fn state_persisted_after_send() {
    let (mut alice, mut bob) = pair();

    say(&mut alice, "hello".to_owned());
    assert!(alice.sends.is_empty(), "a ciphertext left before its key was used up");
    assert!(alice.reply().is_none(), "`queued` was said of a row that is on no disk");
    alice.flush();
    assert!(matches!(alice.reply(), Some(Ok(Reply::Delivery(_)))));
    let (_, _, bytes) = alice.sends.pop_front().expect("a frame");

    let shown = bob.shown();
    bob.feed(Input::Frame { peer: alice.device, number: 1, bytes });
    assert_eq!((bob.shown(), bob.sends.len()), (shown, 0), "shown or receipted too early");
    bob.flush();
    assert_eq!(bob.shown(), shown + 1);
    assert_eq!(bob.sends.len(), 1, "the receipt");
}

/// Whatever is wrong with a frame, the wire says the same. (That content which did open is of an unknown
/// kind is told: its sender has sealed it and needs to know.)
#[test]
fn error_oracle() {
    let (mut alice, _bob) = pair();
    let mut liar = Liar::invited(500, &mut alice);
    let good = |liar: &mut Liar| match Frame::decode(&liar.frame(Body::Text("x".to_owned()))) {
        Ok(Frame::Envelope(envelope)) => envelope,
        other => panic!("{other:?}"),
    };
    let mut frames = vec![vec![0xFF; 10], Vec::new()];
    let mut change = |change: fn(&mut bitchat_protocol::envelope::Envelope)| {
        let mut envelope = good(&mut liar);
        change(&mut envelope);
        frames.push(Frame::Envelope(envelope).encode());
    };
    change(|envelope| envelope.session = SessionId([9; 8]));
    change(|envelope| envelope.message = MessageId([9; 16]));
    change(|envelope| envelope.sealed.header.iter_mut().take(1).for_each(|byte| *byte ^= 1));
    change(|envelope| envelope.sealed.header.iter_mut().skip(30).for_each(|byte| *byte ^= 1));
    change(|envelope| envelope.sealed.header.truncate(79));
    change(|envelope| envelope.sealed.body.iter_mut().take(1).for_each(|byte| *byte ^= 1));
    change(|envelope| envelope.sealed.body.truncate(15));
    alice.refused.clear();
    let (mut answers, count) = (BTreeSet::new(), frames.len());
    for (number, bytes) in (1..).zip(frames) {
        liar.feed(&mut alice, number, &bytes);
    }
    for (_, code, pause) in &alice.refused {
        answers.insert((format!("{code:?}"), *pause));
    }

    assert_eq!(alice.refused.len(), count, "each is refused");
    assert_eq!(answers, BTreeSet::from([(format!("{:?}", Code::Rejected), Duration::ZERO)]));
}

/// An initial message that founded a session founds no second one, although both its prekeys are there,
/// the session has gone since, and nothing of the message itself is remembered.
#[test]
fn replay_of_initial_messages() {
    let (mut alice, _bob) = pair();
    let (record, token) = liar::record_behind(&alice.invitation(false).0);
    let mut liar = Liar::new(501, &record, Some(token));
    let first = liar.frame(Body::Update); // No text: it is not known by its id.
    liar.feed(&mut alice, 1, &first);
    for time in 1..=4 {
        alice.pass(Duration::from_secs(20));
        Liar::again(501, &record, Some(token), time).say(&mut alice, 2, Body::Update);
    }
    let founded = |alice: &Bench| {
        let ours = |fact: &&Fact| matches!(fact, Fact::SessionFounded { initiator: false, .. });
        alice.facts.iter().filter(ours).count()
    };
    let before = founded(&alice);
    alice.pass(Duration::from_secs(20));

    liar.feed(&mut alice, 3, &first);

    assert_eq!((before, founded(&alice)), (1 + 5, 1 + 5), "bob's, and the liar's five");
    let answers: Vec<_> = alice.refused.iter().map(|(_, code, _)| *code).collect();
    assert_eq!(answers, [Code::Rejected]);
}

/// Equal lengths, however well one of them would compress.
#[test]
fn compression_before_encryption() {
    let (mut alice, mut bob) = pair();
    say(&mut alice, "hello".to_owned());
    exchange(&mut alice, &mut bob);
    let mut length = |text: String| {
        say(&mut alice, text);
        alice.flush();
        alice.sends.pop_front().map(|(_, _, frame)| frame.len()).expect("a frame")
    };
    let varied = (0..20_000u32).map(|n| char::from(b' ' + (n * n % 89).to_le_bytes()[0])).collect();

    assert_eq!(length("a".repeat(20_000)), length(varied));
}
