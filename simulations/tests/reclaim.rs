//! A device that is the earlier one by its certificate, and the one that is in use.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod bench;

use std::time::Duration;

use bitchat_protocol::contact::KeyPolicy;
use bitchat_protocol::crypto::Secret;
use bitchat_protocol::engine::{
    Command, Engine, Fact, Input, Setup, Who, later_generation, restored_key,
};
use bitchat_protocol::envelope::Frame;
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::resilience::Prefix;
use bitchat_protocol::store::Overlay;
use bitchat_protocol::time::UnixMillis;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use bench::{Bench, exchange, link, pair};

fn who() -> Who {
    Who("bob".to_owned())
}

/// Bob's account on his n-th device, which Alice's invitation brought back to her.
fn new_device(alice: &mut Bench, number: u32) -> Bench {
    let mut bob = Bench::on_device("bob", 2, number);
    let (from_alice, _) = alice.invitation(false);
    bob.ask(Command::AddContact { link: from_alice, name: None }).expect("added");
    bob
}

/// Bob's n-th device in another generation.
fn certified(bob: &Bench, number: u32, generation: u64) -> Identity {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let account = Account::from_phrase(&Phrase::generate(&mut rng).expect("phrase"));
    let mut rng = ChaCha20Rng::seed_from_u64(2 ^ u64::from(number).rotate_left(40));
    let device = Device::from_secrets(Secret::random(&mut rng), Secret::random(&mut rng));
    assert_eq!(device.id(), bob.device);
    let certificate = account.certify(&device, number, generation, UnixMillis(0));
    Identity::new(device, certificate).expect("identity")
}

fn wait(alice: &mut Bench, bob: &mut Bench, seconds: u64) {
    for _ in 0..seconds {
        alice.pass(Duration::from_secs(1));
        bob.pass(Duration::from_secs(1));
        exchange(alice, bob);
    }
}

fn is_superseded(bob: &Bench) -> bool {
    bob.facts.iter().any(|fact| matches!(fact, Fact::Copies(seen) if seen.superseded))
}

/// As the command does, and the next start.
fn reclaim(bob: &mut Bench, number: u32, generation: u64) {
    let mut overlay = Overlay::new(bob.disk.clone());
    overlay.put(restored_key(), vec![1]);
    let _ = bob.disk.commit(&overlay.seal().expect("a row"));
    let identity = certified(bob, number, generation);
    let setup = Setup { identity, nickname: "bob".to_owned(), greet: false, read_receipts: false };
    let rng = ChaCha20Rng::seed_from_u64(78);
    bob.facts.clear();
    let disk = bob.disk.clone();
    bob.engine = Engine::start(setup, disk, rng, bob.now).expect("start");
    bob.feed(Input::Timeout);
}

/// A device that was recovered under a clock that was behind has an earlier generation than the one
/// before it. Its user is told, and takes the account back; then the other one is told.
#[test]
fn a_device_recovered_under_a_slow_clock_is_told_and_takes_the_account_back() {
    let (mut alice, _) = pair();
    let mut before = new_device(&mut alice, 3);
    link(&mut alice, &mut before);
    let mut recovered = new_device(&mut alice, 2);
    recovered.send("alice").expect("queued");
    link(&mut alice, &mut recovered);
    assert!(is_superseded(&recovered) && !is_superseded(&before));
    assert_eq!(later_generation(&recovered.disk).ok(), Some(Some(3)));
    assert_eq!(alice.contact(Command::Contact(who())).device, before.device, "never back");
    alice.feed(Input::Disconnected { peer: recovered.device });

    reclaim(&mut recovered, 2, 2); // Killed before it had the certificate.
    link(&mut alice, &mut recovered);
    assert!(is_superseded(&recovered));
    alice.feed(Input::Disconnected { peer: recovered.device });
    reclaim(&mut recovered, 2, 4);
    link(&mut alice, &mut recovered);
    wait(&mut alice, &mut recovered, 10);

    assert!(!is_superseded(&recovered), "{:?}", recovered.facts);
    assert_eq!(alice.contact(Command::Contact(who())).device, recovered.device);
    assert_eq!((alice.shown(), recovered.queued()), (1, 0), "what waited arrives");
    alice.send("bob").expect("queued");
    exchange(&mut alice, &mut recovered);
    assert_eq!(recovered.shown(), 1);
    exchange(&mut alice, &mut before);
    assert!(is_superseded(&before), "the other one is told");
}

/// Two restores of one backup, made under a clock that was ahead: neither is later. A contact stays
/// with the one that came first, so the other one is told, and its user may decide.
#[test]
fn a_device_of_the_same_generation_as_another_is_told() {
    let (mut alice, _) = pair();
    let mut first = new_device(&mut alice, 3);
    link(&mut alice, &mut first);
    let mut twin = new_device(&mut alice, 2);
    reclaim(&mut twin, 2, 3);
    twin.send("alice").expect("queued");
    link(&mut alice, &mut twin);
    assert_eq!(alice.contact(Command::Contact(who())).device, first.device, "it came first");
    assert!(is_superseded(&twin) && !is_superseded(&first));
    alice.feed(Input::Disconnected { peer: twin.device });

    reclaim(&mut twin, 2, 4);
    link(&mut alice, &mut twin);
    wait(&mut alice, &mut twin, 10);

    assert!(!is_superseded(&twin), "{:?}", twin.facts);
    assert_eq!(alice.contact(Command::Contact(who())).device, twin.device);
}

/// The later one waits for Alice's trust and counts already.
#[test]
fn a_device_that_is_earlier_than_one_that_waits_is_told() {
    let (mut alice, _) = pair();
    alice.contact(Command::SetPolicy { who: who(), policy: KeyPolicy::Verified });
    let mut waiting = new_device(&mut alice, 3);
    link(&mut alice, &mut waiting);
    assert_eq!(alice.contact(Command::Contact(who())).waiting, Some(waiting.device));

    let mut earlier = new_device(&mut alice, 2);
    link(&mut alice, &mut earlier);

    assert!(is_superseded(&earlier));
}

/// However often it comes, and whoever else sends what it sent.
#[test]
fn an_earlier_device_is_told_once_a_link_and_a_stranger_never() {
    let (mut alice, _) = pair();
    let mut before = new_device(&mut alice, 3);
    link(&mut alice, &mut before);
    let mut earlier = new_device(&mut alice, 2);
    earlier.sends.clear();
    earlier.feed(Input::Connected { peer: alice.device, prefix: Prefix::Unknown });
    for _ in 0..60 {
        earlier.pass(Duration::from_secs(1)); // Nobody hands out prekeys: it goes on without.
    }
    let initial = earlier.sends.iter().find_map(|(_, _, frame)| match Frame::decode(frame) {
        Ok(Frame::Envelope(envelope)) if envelope.initial.is_some() => Some(frame.clone()),
        _ => None,
    });
    let initial = initial.expect("a greeting");
    let stranger = Bench::new("eve", 9).device;
    let told = |alice: &mut Bench, peer| {
        alice.sends.clear();
        for number in 1..20 {
            alice.feed(Input::Frame { peer, number, bytes: initial.clone() });
            alice.flush();
            alice.pass(Duration::from_secs(60));
        }
        alice.sends.iter().filter(|(to, ..)| *to == peer).count()
    };

    for peer in [earlier.device, stranger] {
        alice.feed(Input::Connected { peer, prefix: Prefix::Unknown });
    }
    assert_eq!(told(&mut alice, earlier.device), 1);
    assert_eq!(told(&mut alice, stranger), 0);
    assert_eq!(alice.contact(Command::Contact(who())).device, before.device);
}
