//! A device that is the earlier one by its certificate, and the one that is in use.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod bench;

use std::time::Duration;

use bitchat_protocol::crypto::Secret;
use bitchat_protocol::engine::{
    Command, Engine, Fact, Input, Setup, Who, later_generation, restored_key,
};
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
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

    let mut overlay = Overlay::new(recovered.disk.clone());
    overlay.put(restored_key(), vec![1]);
    let _ = recovered.disk.commit(&overlay.seal().expect("a row"));
    let identity = certified(&recovered, 2, 4);
    let setup = Setup { identity, nickname: "bob".to_owned(), greet: false, read_receipts: false };
    let rng = ChaCha20Rng::seed_from_u64(78);
    recovered.facts.clear();
    let disk = recovered.disk.clone();
    recovered.engine = Engine::start(setup, disk, rng, recovered.now).expect("start");
    recovered.feed(Input::Timeout);
    link(&mut alice, &mut recovered);
    wait(&mut alice, &mut recovered, 2);

    assert!(!is_superseded(&recovered), "{:?}", recovered.facts);
    assert_eq!(alice.contact(Command::Contact(who())).device, recovered.device);
    assert_eq!((alice.shown(), recovered.queued()), (1, 0), "what waited arrives");
    alice.send("bob").expect("queued");
    exchange(&mut alice, &mut recovered);
    assert_eq!(recovered.shown(), 1);
    exchange(&mut alice, &mut before);
    assert!(is_superseded(&before), "the other one is told");
}
