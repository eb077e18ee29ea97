//! Circuit breakers in the engine: what a silent peer costs, and what it never costs.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod bench;

use std::time::Duration;

use bitchat_protocol::engine::{
    BreakerView, Command, Fact, Input, QueueView, Reply, Settings, WithheldView,
};
use bitchat_protocol::error::Code;
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::resilience::breaker::{Operation, Policy, State};

use bench::{Bench, exchange, link, pair};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

fn breakers(bench: &mut Bench) -> Vec<BreakerView> {
    match bench.ask(Command::Breakers) {
        Ok(Reply::Breakers(views)) => views,
        other => panic!("{other:?}"),
    }
}

fn state(bench: &mut Bench, operation: Operation) -> State {
    let views = breakers(bench);
    let found = views.iter().find(|view| view.operation == operation);
    found.map_or(State::Closed, |view| view.state)
}

fn queue(bench: &mut Bench) -> Vec<QueueView> {
    match bench.ask(Command::Queue) {
        Ok(Reply::Queue(rows)) => rows,
        other => panic!("{other:?}"),
    }
}

/// Whether a breaker keeps the newest message from being tried.
fn withheld(bench: &mut Bench) -> Option<WithheldView> {
    let rows = queue(bench);
    match bench.ask(Command::Withheld(rows.last()?.id)) {
        Ok(Reply::Withheld(view)) => view,
        other => panic!("{other:?}"),
    }
}

/// Time passes in steps, and every dial of `dead` fails a second after it began.
fn pass_dialling(bench: &mut Bench, dead: DeviceId, seconds: u64) {
    for _ in 0..seconds {
        let asked = bench.dials.len();
        bench.pass(SECOND);
        if bench.dials.iter().skip(asked).any(|peer| *peer == dead) {
            bench.feed(Input::Disconnected { peer: dead });
            bench.flush();
        }
    }
}

/// Alice has sent one message to Bob, who is gone; five dials have failed just now.
fn black_holed() -> (Bench, Bench) {
    let (mut alice, bob) = pair();
    alice.feed(Input::Disconnected { peer: bob.device });
    alice.send("bob").expect("queued");
    while state(&mut alice, Operation::Dial) != State::Open {
        pass_dialling(&mut alice, bob.device, 1);
        assert!(alice.dials.len() < 10, "{:?}", breakers(&mut alice));
    }
    (alice, bob)
}

/// Hardening test E2, in virtual time.
#[test]
fn a_black_holed_contact_gets_no_dial_while_its_breaker_is_open() {
    let (mut alice, bob) = black_holed();
    let before = alice.dials.len();

    for _ in 0..100 {
        alice.send("bob").expect("queued");
    }
    let seen = withheld(&mut alice).expect("withheld");
    assert_eq!(seen.operation, Operation::Dial);
    assert!(!seen.retry_after.is_zero() && seen.retry_after <= MINUTE, "{seen:?}");
    // Whatever else wants a link: the local network shows the contact, anybody can do that.
    alice.feed(Input::Discovered { peer: bob.device, addresses: Vec::new() });
    alice.pass(seen.retry_after - SECOND);

    assert_eq!(alice.dials.len(), before, "dialled while open");
    let rows = queue(&mut alice);
    assert_eq!(rows.len(), 101);
    assert!(rows.iter().all(|row| row.attempts == 0), "a breaker is no attempt");
    pass_dialling(&mut alice, bob.device, 2);
    assert_eq!(alice.dials.len(), before + 1, "one probe at the end of the minute");
    assert_eq!(state(&mut alice, Operation::Dial), State::Open);
}

#[test]
fn other_contacts_go_on_while_one_is_black_holed() {
    let (mut alice, bob) = black_holed();
    let mut carol = Bench::new("carol", 3);
    let (text, _) = alice.invitation(true);
    carol.ask(Command::AddContact { link: text, name: None }).expect("added");
    link(&mut alice, &mut carol);
    carol.pass(SECOND);
    exchange(&mut alice, &mut carol);

    alice.send("carol").expect("queued");
    exchange(&mut alice, &mut carol);

    assert_eq!(carol.shown(), 1);
    assert_eq!(alice.queued(), 1, "only what is for the one that is gone");
    assert_eq!(breakers(&mut alice).len(), 1);
    assert_eq!(breakers(&mut alice)[0].device, bob.device);
}

#[test]
fn a_contact_that_connects_by_itself_is_written_to_at_once() {
    let (mut alice, mut bob) = black_holed();
    assert!(withheld(&mut alice).is_some());

    // Before anything is accepted over the link.
    alice.feed(Input::Connected { peer: bob.device });
    assert_eq!(state(&mut alice, Operation::Dial), State::Closed);
    bob.feed(Input::Connected { peer: alice.device });
    exchange(&mut alice, &mut bob);

    assert_eq!((alice.queued(), bob.shown()), (0, 1));
    assert_eq!(state(&mut alice, Operation::Dial), State::Closed);
    let moved = |state| {
        let is = |fact: &&Fact| matches!(fact, Fact::BreakerMoved(moved) if moved.to == state);
        alice.facts.iter().filter(is).count()
    };
    assert_eq!((moved(State::Open), moved(State::Closed)), (1, 1));
    let counts = alice
        .facts
        .iter()
        .rev()
        .find_map(|fact| if let Fact::Breakers(counts) = fact { Some(counts) } else { None });
    assert_eq!(counts.expect("told")[0], [1, 0, 0]);
}

#[test]
fn other_addresses_of_our_own_end_the_wait_for_everybody() {
    let (mut alice, bob) = black_holed();
    let before = alice.dials.len();

    alice.feed(Input::Addresses(vec!["/ip4/10.9.8.7/tcp/1".to_owned()]));
    alice.pass(MINUTE / 2);

    assert!(alice.dials.len() > before);
    assert!(alice.dials[before..].iter().all(|peer| *peer == bob.device));
}

/// A dial that the network never ends is given up, and does not hold the way for ever.
#[test]
fn a_dial_without_an_end_counts_as_failed_after_a_minute_and_is_made_again() {
    let (mut alice, bob) = pair();
    alice.feed(Input::Disconnected { peer: bob.device });
    alice.send("bob").expect("queued");

    for _ in 0..59 {
        alice.pass(SECOND);
    }
    assert_eq!(alice.dials.len(), 1, "one dial at a time");
    alice.pass(3 * SECOND);

    assert_eq!(alice.dials.len(), 2);
    assert_eq!(breakers(&mut alice)[0].failures, 1);
}

/// Alice's messages are handed over and nobody accepts them, on a link that stands.
fn silent() -> (Bench, Bench) {
    let (mut alice, bob) = pair();
    for _ in 0..600 {
        alice.send("bob").expect("queued");
    }
    (alice, bob)
}

#[test]
fn a_link_that_accepts_nothing_opens_the_breaker_after_five_periods() {
    let (mut alice, bob) = silent();
    let handed = alice.sends.len();
    assert!(handed >= 512);

    for _ in 0..149 {
        alice.pass(SECOND);
    }
    assert_eq!(state(&mut alice, Operation::Message), State::Closed);
    alice.pass(2 * SECOND);
    assert_eq!(state(&mut alice, Operation::Message), State::Open);
    assert_eq!(breakers(&mut alice)[0].cause, "a standing link accepted nothing");

    // The network gives up what it had: it is not handed over again before the minute is over.
    while let Some((peer, token, _)) = alice.sends.pop_front() {
        alice.feed(Input::SendFailed { peer, token });
    }
    for _ in 0..55 {
        alice.pass(SECOND);
    }
    assert_eq!((alice.sends.len(), alice.queued()), (0, 600));
    alice.pass(5 * SECOND);

    assert_eq!(alice.sends.len(), 3, "probes");
    // One is accepted: it is replaced by none. All three: the rest follows.
    for left in [2, 1, 0] {
        assert_eq!(alice.sends.len(), left + 1);
        let (peer, token, _) = alice.sends.pop_front().expect("a probe");
        alice.feed(Input::Accepted { peer, token });
        alice.flush();
        assert_eq!(peer, bob.device);
        if left > 0 {
            assert_eq!(state(&mut alice, Operation::Message), State::HalfOpen);
        }
    }
    assert_eq!(state(&mut alice, Operation::Message), State::Closed);
    assert!(alice.sends.len() >= 500, "{}", alice.sends.len());
}

#[test]
fn probes_that_nobody_accepts_open_it_again_for_twice_as_long() {
    let (mut alice, _bob) = silent();
    (0..151).for_each(|_| alice.pass(SECOND));
    while let Some((peer, token, _)) = alice.sends.pop_front() {
        alice.feed(Input::SendFailed { peer, token });
    }
    while let Some(until) = breakers(&mut alice)[0].retry_after.filter(|left| !left.is_zero()) {
        alice.pass(until);
    }
    assert_eq!(state(&mut alice, Operation::Message), State::HalfOpen);
    assert_eq!(alice.sends.len(), 3);

    alice.pass(31 * SECOND);

    let seen = breakers(&mut alice);
    assert_eq!(seen[0].state, State::Open);
    let left = seen[0].retry_after.expect("a time").as_secs();
    assert!((110..=144).contains(&left), "{left}");
}

/// A peer that is switched off with much under way failed once, not once for each frame.
#[test]
fn a_link_that_breaks_counts_once_however_much_was_under_way() {
    let (mut alice, mut bob) = silent();
    alice.sends.clear();
    for breaks in 1..=5 {
        alice.feed(Input::Disconnected { peer: bob.device });
        alice.flush();
        let expected = if breaks == 5 { State::Open } else { State::Closed };
        assert_eq!(state(&mut alice, Operation::Message), expected, "{breaks}");
        if breaks < 5 {
            alice.feed(Input::Connected { peer: bob.device });
            alice.flush();
            alice.sends.clear();
        }
    }
    let before = alice.dials.len();
    alice.pass(50 * SECOND);
    assert_eq!(
        alice.dials.len(),
        before,
        "a link on which nothing may be sent is not worth a dial"
    );
    assert_eq!(alice.queued(), 600);

    alice.pass(11 * SECOND);
    link(&mut alice, &mut bob);
    assert_eq!((alice.queued(), bob.shown()), (0, 600));
}

#[test]
fn a_peer_that_is_busy_or_refuses_is_well() {
    let (mut alice, _bob) = pair();
    let mut refused = 0;
    for _ in 0..20 {
        alice.send("bob").expect("queued");
        alice.pass(SECOND);
        while let Some((peer, token, _)) = alice.sends.pop_front() {
            let (code, retry_after) = (Code::Busy, SECOND);
            alice.feed(Input::Refused { peer, token, code, retry_after });
            refused += 1;
        }
        alice.pass(40 * SECOND);
    }
    assert!(refused >= 20);

    assert_eq!(state(&mut alice, Operation::Message), State::Closed);
    assert!(breakers(&mut alice).is_empty(), "{:?}", breakers(&mut alice));
}

/// The wall clock jumps by a day in either direction, and nothing opens or closes.
#[test]
fn the_wall_clock_has_no_say() {
    let (mut alice, bob) = black_holed();
    let before = alice.dials.len();
    let day = Duration::from_secs(24 * 3_600);

    alice.now.wall = alice.now.wall.plus(day);
    alice.keep_deadlines();
    alice.pass(50 * SECOND);
    alice.now.wall.0 -= 2 * 24 * 3_600 * 1_000;
    alice.keep_deadlines();
    assert_eq!((alice.dials.len(), state(&mut alice, Operation::Dial)), (before, State::Open));

    alice.pass(12 * SECOND);
    assert_eq!((alice.dials.last(), alice.dials.len()), (Some(&bob.device), before + 1));
}

#[test]
fn new_thresholds_hold_from_the_next_failure() {
    let (mut alice, bob) = pair();
    let breaker =
        Policy { failures: 1, open_for: 5 * SECOND, open_max: 5 * SECOND, ..Policy::default() };
    alice.feed(Input::Settings(Settings { breaker }));
    alice.feed(Input::Disconnected { peer: bob.device });
    alice.send("bob").expect("queued");
    pass_dialling(&mut alice, bob.device, 1);
    alice.pass(3 * SECOND);
    alice.feed(Input::Disconnected { peer: bob.device });

    let seen = breakers(&mut alice);
    assert_eq!(seen[0].state, State::Open);
    assert!(seen[0].retry_after.expect("a time") <= 5 * SECOND);
}

/// Whoever shows the counts must not go on showing those of an engine that is gone.
#[test]
fn a_restart_forgets_every_breaker_and_says_so() {
    let (mut alice, bob) = black_holed();

    alice.restart();

    assert!(alice.facts.contains(&Fact::Breakers([[0; 3]; 6])));
    alice.pass(SECOND);
    assert_eq!(alice.queued(), 1);
    assert_eq!(alice.dials, [bob.device]);
}

#[test]
fn a_contact_that_is_removed_leaves_no_breaker() {
    let (mut alice, _bob) = black_holed();
    let who = bitchat_protocol::engine::Who("bob".to_owned());
    let extent = bitchat_protocol::engine::Extent::Contact;

    alice.ask(Command::Remove { who, extent }).expect("removed");

    assert!(breakers(&mut alice).is_empty());
}
