//! Rate limits as a peer meets them.

use std::time::Duration;

use bitchat_protocol::engine::{Command, Fact, Input, LimitSettings, Settings, Who};
use bitchat_protocol::envelope::Frame;
use bitchat_protocol::error::Code;
use bitchat_protocol::id::{DeviceId, InvitationToken};
use bitchat_protocol::resilience::{Class, Prefix, Scope};

use crate::bench::{Bench, exchange, pair};

fn asks(alice: &mut Bench, peer: DeviceId, number: u64) {
    let bytes = Frame::RecordRequest(InvitationToken([7; 16])).encode();
    alice.feed(Input::Frame { peer, number, bytes });
    alice.flush();
}

/// Told in milliseconds on the wire, exact in the engine.
#[test]
fn a_stranger_that_is_too_fast_is_told_a_wait_that_is_true() {
    let (mut alice, stranger) = (Bench::new("alice", 1), DeviceId([9; 32]));
    (0..5).for_each(|number| asks(&mut alice, stranger, number));
    assert_eq!(alice.refused, []);

    asks(&mut alice, stranger, 5);
    let wait = Duration::from_secs(2);
    assert_eq!(alice.refused, [(stranger, Code::Busy, wait)]);
    assert!(alice.facts.contains(&Fact::RateLimited { scope: Scope::Peer, class: Class::Record }));

    alice.pass(wait - Duration::from_millis(1));
    asks(&mut alice, stranger, 6);
    assert_eq!(alice.refused.last(), Some(&(stranger, Code::Busy, Duration::from_millis(1))));
    alice.pass(Duration::from_millis(1));
    asks(&mut alice, stranger, 7);
    assert_eq!(alice.refused.len(), 2);
}

#[test]
fn a_flood_of_devices_is_bounded_together() {
    let mut alice = Bench::new("alice", 1);
    let mut served = 0;
    for number in 0..3_000u64 {
        let mut device = [0; 32];
        device[..8].copy_from_slice(&number.to_be_bytes());
        let before = alice.refused.len();
        asks(&mut alice, DeviceId(device), number);
        served += usize::from(alice.refused.len() == before);
        alice.pass(Duration::from_millis(1));
    }

    assert_eq!(served, 20 + 29, "a burst, and ten a second for three seconds");
}

fn limited(bench: &Bench) -> usize {
    bench.facts.iter().filter(|fact| matches!(fact, Fact::RateLimited { .. })).count()
}

/// More than a contact may send at once: the sender waits by itself, so that nobody has to refuse.
/// `cargo test -p bitchat-simulations --test engine an_honest_pair -- --ignored`
#[test]
#[ignore = "takes a minute without optimisation"]
fn an_honest_pair_under_heavy_load_is_never_refused() {
    let (mut alice, mut bob) = pair();
    load(&mut alice, &mut bob, 1_100);
    assert!(alice.queued() > 100, "{} wait", alice.queued());
    drain(&mut alice, &mut bob);

    assert_eq!((alice.queued(), bob.shown()), (0, 1_100));
    assert_eq!((limited(&alice), limited(&bob)), (0, 0));
}

/// Before the first answer the other side may count it among the strangers.
#[test]
fn a_newcomer_with_much_to_say_waits_by_itself_and_is_never_refused() {
    let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
    let (invitation, _) = bob.invitation(true);
    alice.ask(Command::AddContact { link: invitation, name: None }).expect("added");
    load(&mut alice, &mut bob, 40);
    alice.feed(Input::Connected { peer: bob.device, prefix: Prefix::V4([192, 0, 2, 1]) });
    alice.pass(Duration::from_secs(1));
    let waiting: usize = alice.sends.iter().map(|(_, _, frame)| frame.len()).sum();
    assert!((60_000..460_000).contains(&waiting), "{waiting} bytes before an answer");

    bob.feed(Input::Connected { peer: alice.device, prefix: Prefix::V4([192, 0, 2, 2]) });
    drain(&mut alice, &mut bob);

    assert_eq!((alice.queued(), bob.shown()), (0, 40));
    assert_eq!((limited(&alice), limited(&bob)), (0, 0));
}

fn load(alice: &mut Bench, bob: &mut Bench, messages: u32) {
    let text = "x".repeat(60_000);
    for number in 0..messages {
        let to = Who("bob".to_owned());
        alice.ask(Command::Send { to, text: text.clone(), expires: None }).expect("queued");
        if number % 20 == 19 {
            exchange(alice, bob);
        }
    }
}

fn drain(alice: &mut Bench, bob: &mut Bench) {
    exchange(alice, bob);
    for _ in 0..40 {
        alice.pass(Duration::from_millis(200));
        bob.pass(Duration::from_millis(200));
        exchange(alice, bob);
    }
}

#[test]
fn who_is_limited_is_limited_after_a_stop_and_after_a_crash() {
    let stranger = DeviceId([9; 32]);
    let mut alice = Bench::new("alice", 1);
    (0..5).for_each(|number| asks(&mut alice, stranger, number));
    alice.feed(Input::Stop);
    alice.flush();
    alice.restart();
    asks(&mut alice, stranger, 6);
    assert_eq!(alice.refused, [(stranger, Code::Busy, Duration::from_secs(2))]);

    // Without a stop: what stood at the last write, less the time that has passed since.
    alice.pass(Duration::from_secs(4));
    alice.flush();
    alice.restart();
    let passed = (7..20).filter(|number| {
        let before = alice.refused.len();
        asks(&mut alice, stranger, *number);
        alice.refused.len() == before
    });
    assert_eq!(passed.count(), 2, "four seconds");

    // Set back by a day.
    alice.feed(Input::Stop);
    alice.flush();
    alice.now.wall.0 -= 24 * 3_600_000;
    alice.restart();
    asks(&mut alice, stranger, 20);
    assert_eq!(alice.refused.len(), 1);
}

/// They cost a look each; a hundred a second is what is left, and nothing else of the contact passes.
#[test]
fn a_contact_whose_frames_fail_has_to_wait_and_the_wait_is_true() {
    let (mut alice, mut bob) = pair();
    let garbage = |alice: &mut Bench, number| {
        alice.feed(Input::Frame { peer: bob.device, number, bytes: vec![0xFF; 40] });
        alice.refused.last().copied()
    };
    for number in 0..4_096 {
        assert!(matches!(garbage(&mut alice, number), Some((_, Code::Rejected, _))));
    }

    let wait = Duration::from_millis(10);
    assert_eq!(garbage(&mut alice, 5_000), Some((bob.device, Code::Busy, wait)));
    let fact = Fact::RateLimited { scope: Scope::Peer, class: Class::Fault };
    assert!(alice.facts.contains(&fact));
    alice.pass(wait);
    let before = alice.refused.len();
    bob.send("alice").expect("queued");
    exchange(&mut alice, &mut bob);
    assert_eq!((alice.refused.len(), alice.shown()), (before, 1));
}

/// Ten identities of one address have what one address may have; a contact there is not bound.
#[test]
fn strangers_of_one_prefix_share_its_limit() {
    let mut alice = Bench::new("alice", 1);
    let prefix = Prefix::V4([192, 0, 2, 1]);
    for number in 0..10u8 {
        let peer = DeviceId([100 + number; 32]);
        alice.feed(Input::Connected { peer, prefix });
        (0..2).for_each(|frame| asks(&mut alice, peer, frame));
    }

    assert_eq!(alice.refused.len(), 10);
    assert!(
        alice.facts.contains(&Fact::RateLimited { scope: Scope::Prefix, class: Class::Record })
    );
    alice.feed(Input::Connected { peer: DeviceId([7; 32]), prefix: Prefix::V4([192, 0, 2, 2]) });
    asks(&mut alice, DeviceId([7; 32]), 0);
    assert_eq!(alice.refused.len(), 10, "another address");
}

#[test]
fn an_operator_sets_limits_while_running() {
    let mut alice = Bench::new("alice", 1);
    let limits = LimitSettings { stranger_handshakes: 1, ..LimitSettings::default() };
    alice.feed(Input::Settings(Settings { limits, ..Settings::default() }));
    for number in 0..10u8 {
        asks(&mut alice, DeviceId([100 + number; 32]), 0);
    }

    assert_eq!(alice.refused.len(), 8, "two at once, then one a second");
    assert_eq!(alice.refused.last().map(|refusal| refusal.2), Some(Duration::from_secs(1)));
}
