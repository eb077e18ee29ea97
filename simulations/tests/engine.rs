//! One engine by hand: what must hold between two inputs, and what a lying or strange peer may cause.

#[path = "support/bench.rs"]
mod bench;

use std::time::Duration;

use bitchat_protocol::engine::{Command, Input, Reply, Who};
use bitchat_protocol::time::Now;

use bench::{exchange, pair};

/// Frames that failed one after another: the first sets the deadline, the last the pause.
#[test]
fn sends_that_fail_one_after_another_on_a_standing_link_are_tried_again() {
    let (mut alice, mut bob) = pair();
    alice.send("bob").expect("queued");
    alice.send("bob").expect("queued");

    while let Some((peer, token, _)) = alice.sends.pop_front() {
        alice.feed(Input::SendFailed { peer, token });
        alice.pass(Duration::from_millis(3));
    }
    for _ in 0..200 {
        alice.pass(Duration::from_millis(1));
    }

    assert_eq!(alice.sends.len(), 2, "nothing is under way and no deadline will start it");
    exchange(&mut alice, &mut bob);
    assert_eq!(alice.queued(), 0);
}

/// A receipt that is owed counts as a write; the link that it was for may be gone when it is time.
#[test]
fn a_reply_is_not_kept_behind_a_batch_that_is_never_written() {
    let (mut alice, mut bob) = pair();
    bob.send("alice").expect("queued");
    let (_, _, frame) = bob.sends.pop_front().expect("a frame");
    alice.feed(Input::Frame { peer: bob.device, number: 1, bytes: frame.clone() });
    alice.feed(Input::Frame { peer: bob.device, number: 2, bytes: frame });
    alice.command(Command::Identity);
    alice.feed(Input::Disconnected { peer: bob.device });

    alice.flush();

    assert!(matches!(alice.reply(), Some(Ok(Reply::Identity(_)))));
    assert!(alice.engine.is_settled());
}

/// Clocks drift: the deadline is on the one, the expiry on the other.
#[test]
fn a_message_expires_although_its_deadline_came_before_its_time() {
    let (mut alice, bob) = pair();
    alice.feed(Input::Disconnected { peer: bob.device });
    let (to, text) = (Who("bob".to_owned()), "hello".to_owned());
    let expires = Some(Duration::from_secs(5));
    alice.ask(Command::Send { to, text, expires }).expect("queued");

    alice.now = Now { mono: alice.now.mono + Duration::from_secs(5), ..alice.now };
    alice.keep_deadlines();
    for _ in 0..100 {
        alice.pass(Duration::from_millis(100));
    }

    assert_eq!(alice.queued(), 0);
}
