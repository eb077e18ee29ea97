//! The wall clock is set while engines run: nothing expires for it, and what was promised goes on.

use std::time::Duration;

use bitchat_protocol::engine::{Command, DeliveryState, Event, Fact, Input, Who};
use bitchat_protocol::time::UnixMillis;

use crate::bench::{Bench, exchange, link, pair};

const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// The wall clock alone moves; the engine learns it with its next input.
fn set_clock(bench: &mut Bench, change: impl FnOnce(UnixMillis) -> UnixMillis) {
    bench.now.wall = change(bench.now.wall);
    bench.feed(Input::Timeout);
    bench.flush();
}

fn ahead(by: Duration) -> impl Fn(UnixMillis) -> UnixMillis {
    move |wall| wall.plus(by)
}

fn behind(by: Duration) -> impl Fn(UnixMillis) -> UnixMillis {
    move |wall| UnixMillis(wall.0 - u64::try_from(by.as_millis()).expect("fits"))
}

/// Queues a message for half an hour.
fn send(bench: &mut Bench, to: &str) {
    send_for(bench, to, HOUR / 2);
}

fn send_for(bench: &mut Bench, to: &str, time: Duration) {
    let (to, text) = (Who(to.to_owned()), "soon over".to_owned());
    bench.ask(Command::Send { to, text, expires: Some(time) }).expect("queued");
}

fn expired(bench: &Bench) -> usize {
    let is_expired = |event: &&Event| matches!(event, Event::Delivery(view) if view.state == DeliveryState::Expired);
    bench.events.iter().filter(is_expired).count()
}

fn skew(bench: &Bench) -> Option<i64> {
    bench.facts.iter().rev().find_map(|fact| {
        if let Fact::ClockJumped { skew_ms } = fact { Some(*skew_ms) } else { None }
    })
}

#[test]
fn a_clock_that_jumps_ahead_expires_no_message_before_its_time() {
    let (mut alice, mut bob) = pair();
    alice.feed(Input::Disconnected { peer: bob.device });
    send_for(&mut alice, "bob", HOUR / 2);
    send_for(&mut alice, "bob", HOUR / 6);

    set_clock(&mut alice, ahead(HOUR));
    assert_eq!((skew(&alice), expired(&alice), alice.queued()), (Some(3_600_000), 0, 2));
    alice.pass(HOUR / 2 - MINUTE);

    assert_eq!((expired(&alice), alice.queued()), (1, 1), "only the one whose time has passed");
    alice.pass(2 * MINUTE);
    assert_eq!(expired(&alice), 2, "its time is over by any clock");

    send(&mut alice, "bob");
    set_clock(&mut alice, behind(HOUR));
    assert_eq!(skew(&alice), Some(0), "the clock is back");
    bob.feed(Input::Disconnected { peer: alice.device });
    link(&mut alice, &mut bob);
    exchange(&mut alice, &mut bob);
    assert_eq!((alice.queued(), expired(&alice)), (0, 2));
}

#[test]
fn a_clock_that_jumps_back_and_returns_expires_nothing_that_was_queued_meanwhile() {
    let (mut alice, bob) = pair();
    alice.feed(Input::Disconnected { peer: bob.device });

    set_clock(&mut alice, behind(HOUR));
    assert_eq!(skew(&alice), Some(-3_600_000));
    send(&mut alice, "bob");
    set_clock(&mut alice, ahead(HOUR));

    alice.pass(HOUR / 2 - MINUTE);
    assert_eq!((skew(&alice), expired(&alice), alice.queued()), (Some(0), 0, 1));
}

/// Ids of messages that came, and prekeys, are forgotten by age: a clock far ahead must not do it.
#[test]
fn a_clock_a_hundred_days_ahead_makes_no_message_appear_twice() {
    let (mut alice, mut bob) = pair();
    bob.send("alice").expect("queued");
    bob.flush();
    let again: Vec<_> = bob.sends.iter().cloned().collect();
    exchange(&mut alice, &mut bob);
    assert_eq!((alice.shown(), again.is_empty()), (1, false));

    set_clock(&mut alice, ahead(HOUR * 24 * 100));
    alice.pass(HOUR * 2);
    for (number, (_, _, bytes)) in again.into_iter().enumerate() {
        let number = 1_000 + u64::try_from(number).expect("fits");
        alice.feed(Input::Frame { peer: bob.device, number, bytes });
        alice.flush();
    }

    assert_eq!(alice.shown(), 1);
    assert!(alice.facts.contains(&Fact::Duplicate), "it was not recognised");
}
