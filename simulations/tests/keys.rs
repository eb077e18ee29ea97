//! Contacts whose keys change: never silent, never a dead end, nothing sent to keys that are not trusted.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod bench;

use std::time::Duration;

use bitchat_protocol::contact::KeyPolicy;
use bitchat_protocol::crypto::Secret;
use bitchat_protocol::engine::{
    Command, CommandError, Engine, Event, Export, Fact, Input, Reply, Setup, Who,
};
use bitchat_protocol::envelope::Frame;
use bitchat_protocol::error::Code;
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::invitation::{ContactRecord, Invitation};
use bitchat_protocol::prekey::Prekeys;
use bitchat_protocol::time::UnixMillis;
use bitchat_simulations::Disk;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use bench::{Bench, exchange, link, pair};

fn who() -> Who {
    Who("bob".to_owned())
}

fn set_policy(alice: &mut Bench, policy: KeyPolicy) {
    alice.contact(Command::SetPolicy { who: who(), policy });
}

/// Bob's account on his n-th device, which Alice's invitation brought back to her.
fn new_device(alice: &mut Bench, generation: u32) -> Bench {
    let mut bob = Bench::on_device("bob", 2, generation);
    let (from_alice, _) = alice.invitation(false);
    bob.ask(Command::AddContact { link: from_alice, name: None }).expect("added");
    bob
}

fn wait(alice: &mut Bench, bob: &mut Bench, seconds: u64) {
    for _ in 0..seconds {
        alice.pass(Duration::from_secs(1));
        bob.pass(Duration::from_secs(1));
        exchange(alice, bob);
    }
}

/// (blocked) of every change that Alice's programs were told of.
fn changes(alice: &Bench) -> Vec<bool> {
    let change = |event: &Event| match event {
        Event::KeyChange(view) => Some(view.blocked),
        Event::Received(_) | Event::Delivery(_) | Event::Contact(_) => None,
    };
    alice.events.iter().filter_map(change).collect()
}

fn unanswered(alice: &Bench) -> Option<&Fact> {
    alice.facts.iter().rev().find(|fact| matches!(fact, Fact::KeysUnanswered { .. }))
}

/// Pitfall "silent key replacement": with `tofu`, too, the user, programs and the operator are told.
#[test]
fn silent_key_replacement() {
    let (mut alice, old) = pair();
    alice.contact(Command::Verify { who: who(), verified: true });
    alice.feed(Input::Disconnected { peer: old.device });
    let mut bob = new_device(&mut alice, 2);
    alice.send("bob").expect("queued");

    link(&mut alice, &mut bob);
    wait(&mut alice, &mut bob, 2);

    let view = alice.contact(Command::Contact(who()));
    assert_eq!((view.device, view.waiting, view.verified), (bob.device, None, true));
    assert!(view.changed.is_some(), "contact show must say it");
    assert_eq!(changes(&alice), [false]);
    assert_eq!(unanswered(&alice), Some(&Fact::KeysUnanswered { changed: 1, blocked: 0 }));
    assert_eq!((alice.queued(), bob.shown()), (0, 1), "what waited went on");
    let view = alice.contact(Command::Trust(who()));
    assert!(view.changed.is_none(), "the user has answered");
    assert_eq!(unanswered(&alice), Some(&Fact::KeysUnanswered { changed: 0, blocked: 0 }));
}

/// Pitfall: whoever gets hold of an account's phrase makes a device, and is sent what the true one has
/// not receipted. Nothing may go there before the user says so.
#[test]
fn forced_resending_to_a_changed_key() {
    let (mut alice, old) = pair();
    set_policy(&mut alice, KeyPolicy::Verified);
    alice.send("bob").expect("queued");
    alice.sends.clear(); // Not receipted by the old device.
    alice.feed(Input::Disconnected { peer: old.device });
    let mut bob = new_device(&mut alice, 2);
    bob.send("alice").expect("queued");

    link(&mut alice, &mut bob);
    wait(&mut alice, &mut bob, 60);

    assert_eq!((alice.shown(), bob.shown()), (0, 0));
    assert!(alice.sends.iter().all(|(peer, ..)| *peer != bob.device));
    let view = alice.contact(Command::Contact(who()));
    assert_eq!((view.device, view.waiting), (old.device, Some(bob.device)));
    assert_eq!(changes(&alice), [true]);
    assert!(matches!(alice.send("bob"), Err(CommandError::KeyChanged)));
    assert_eq!((alice.queued(), bob.queued()), (1, 1), "both keep what they have");
    let exported = alice.ask(Command::Export(Export::All { after: None }));
    assert!(
        matches!(&exported, Ok(Reply::Exported(view)) if view.seals.is_empty()),
        "nor does it leave in a file: {exported:?}"
    );

    alice.contact(Command::Trust(who()));
    exchange(&mut alice, &mut bob);
    wait(&mut alice, &mut bob, 3);

    assert_eq!((alice.shown(), bob.shown()), (1, 1), "once, and no pause to wait out");
    assert_eq!((alice.queued(), bob.queued()), (0, 0));
    alice.send("bob").expect("queued");
    exchange(&mut alice, &mut bob);
    assert_eq!((alice.queued(), bob.shown()), (0, 2));
}

/// It is refused as busy, so that its own outbox keeps what it says, and costs no handshake.
#[test]
fn a_device_that_waits_is_refused_so_that_it_tries_again() {
    let (mut alice, old) = pair();
    set_policy(&mut alice, KeyPolicy::Verified);
    let mut bob = new_device(&mut alice, 2);
    bob.send("alice").expect("queued");
    bob.feed(Input::Connected { peer: alice.device });
    bob.flush();
    bob.sends.clear();
    bob.pass(Duration::from_secs(2)); // One-time keys do not come: it starts without.
    let frames: Vec<_> = bob.sends.drain(..).map(|(_, _, bytes)| bytes).collect();

    let mut codes = Vec::new();
    for bytes in frames.iter().cycle().take(50) {
        alice.feed(Input::Frame { peer: bob.device, number: 1, bytes: bytes.clone() });
        alice.flush();
        codes.extend(alice.take_refusals().into_iter().map(|(_, code, _)| code));
    }

    assert_eq!(codes, [Code::Busy; 50]);
    assert_eq!(changes(&alice), [true], "told once");
    let founded = |fact: &Fact| matches!(fact, Fact::SessionFounded { initiator: false, .. });
    assert_eq!(alice.facts.iter().filter(|fact| founded(fact)).count(), 1, "the old device's");
    assert_eq!(alice.contact(Command::Contact(who())).device, old.device);
}

#[test]
fn the_policy_tofu_takes_over_what_waited_and_still_says_so() {
    let (mut alice, _old) = pair();
    set_policy(&mut alice, KeyPolicy::Verified);
    let mut bob = new_device(&mut alice, 2);
    bob.send("alice").expect("queued");
    link(&mut alice, &mut bob);

    set_policy(&mut alice, KeyPolicy::Tofu);
    exchange(&mut alice, &mut bob);
    wait(&mut alice, &mut bob, 2);

    let view = alice.contact(Command::Contact(who()));
    assert_eq!((view.device, view.waiting), (bob.device, None));
    assert!(view.changed.is_some());
    assert_eq!(alice.shown(), 1);
}

/// Whoever trusts the second device does not bring back the first by a third that is older.
#[test]
fn an_earlier_generation_is_refused_for_ever() {
    let (mut alice, mut first) = pair();
    set_policy(&mut alice, KeyPolicy::Verified);
    let mut third = new_device(&mut alice, 3);
    link(&mut alice, &mut third);
    let mut second = new_device(&mut alice, 2);
    link(&mut alice, &mut second);

    alice.contact(Command::Trust(who()));

    assert_eq!(alice.contact(Command::Contact(who())).device, third.device);
    assert_eq!(changes(&alice), [true], "the second came too late to be asked about");
    exchange(&mut alice, &mut third);
    first.send("alice").expect("queued");
    exchange(&mut alice, &mut first);
    assert_eq!(alice.shown(), 0);
}

/// A link is a way, too; with `verified` it waits as everything else does.
#[test]
fn a_second_invitation_of_a_new_device_waits_for_trust() {
    let (mut alice, mut old) = pair();
    set_policy(&mut alice, KeyPolicy::Verified);
    let mut bob = Bench::on_device("bob", 2, 2);
    let (link_text, short) = bob.invitation(false);

    let added = alice.ask(Command::AddContact { link: link_text, name: None });

    assert!(matches!(added, Err(CommandError::KeyChanged)), "{added:?}");
    let added = alice.ask(Command::AddContact { link: short, name: None });
    assert!(matches!(added, Err(CommandError::KeyUnproven)), "{added:?}");
    old.send("alice").expect("queued");
    exchange(&mut alice, &mut old);
    assert_eq!(alice.shown(), 1, "the device that is trusted is still heard");
    let view = alice.contact(Command::Trust(who()));
    assert_eq!((view.device, view.waiting), (bob.device, None));
}

/// The mark and the policy are the user's; a restart keeps both, and what waits.
#[test]
fn what_waits_survives_a_restart() {
    let (mut alice, _old) = pair();
    set_policy(&mut alice, KeyPolicy::Verified);
    let mut bob = new_device(&mut alice, 2);
    link(&mut alice, &mut bob);

    alice.revive(1);

    let view = alice.contact(Command::Contact(who()));
    assert_eq!((view.policy, view.waiting), (KeyPolicy::Verified, Some(bob.device)));
    assert_eq!(unanswered(&alice), Some(&Fact::KeysUnanswered { changed: 1, blocked: 1 }));
    let view = alice.contact(Command::Trust(who()));
    assert_eq!(view.device, bob.device);
}

/// A message whose receipt was lost is sent to the new device, too; a backup has brought it there.
#[test]
fn a_message_that_a_backup_brought_to_a_new_device_is_shown_once() {
    let (mut alice, mut old) = pair();
    alice.send("bob").expect("queued");
    let frames: Vec<_> = alice.sends.drain(..).collect();
    for (_, token, bytes) in frames {
        old.feed(Input::Frame { peer: alice.device, number: token.0, bytes });
        old.flush();
    }
    assert_eq!((old.shown(), alice.queued()), (1, 1), "its receipt was lost");

    let mut bob = old.restored(2);
    alice.feed(Input::Disconnected { peer: old.device });
    link(&mut alice, &mut bob);
    wait(&mut alice, &mut bob, 3);

    assert_eq!(alice.queued(), 0, "the new device has receipted it");
    let history = Command::History { who: Who("alice".to_owned()), before: None, max: 10 };
    match bob.ask(history) {
        Ok(Reply::Messages(messages)) => assert_eq!(messages.len(), 1, "{messages:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(bob.shown(), 0, "no news");
}

/// A message that waits for its predecessor is receipted already: a backup must not leave it out.
#[test]
fn a_message_that_is_held_while_a_backup_is_made_is_in_it() {
    let (mut alice, mut old) = pair();
    alice.send("bob").expect("queued");
    alice.flush();
    let first = alice.sends.pop_front().expect("a frame");
    alice.send("bob").expect("queued");
    exchange(&mut alice, &mut old);
    assert_eq!((old.shown(), alice.queued()), (0, 1), "the second is held, and receipted");

    let mut bob = old.restored(2);
    drop(first);

    let history = Command::History { who: Who("alice".to_owned()), before: None, max: 10 };
    let messages = bob.ask(history);
    assert!(matches!(&messages, Ok(Reply::Messages(shown)) if shown.len() == 1), "{messages:?}");
}

/// The same device and generation with another identity key: nobody certifies that, but who has both
/// secrets of a contact. No session is founded with it.
#[test]
fn another_identity_key_of_the_same_generation_is_refused() {
    let (mut alice, bob) = pair();
    set_policy(&mut alice, KeyPolicy::Verified);
    alice.feed(Input::Disconnected { peer: bob.device });
    let mut twin = Bench::new("bob", 2);
    twin.disk = Disk::default();
    let identity = recertified(&bob, 1, Some([7; 32]));
    let setup = Setup { identity, nickname: "bob".to_owned(), greet: false, read_receipts: false };
    let rng = ChaCha20Rng::seed_from_u64(77);
    twin.engine = Engine::start(setup, twin.disk.clone(), rng, twin.now).expect("start");
    let (from_alice, _) = alice.invitation(false);
    twin.ask(Command::AddContact { link: from_alice, name: None }).expect("added");
    twin.send("alice").expect("queued");
    alice.facts.clear();

    link(&mut alice, &mut twin);
    wait(&mut alice, &mut twin, 2);

    let founded = |fact: &Fact| matches!(fact, Fact::SessionFounded { initiator: false, .. });
    assert!(!alice.facts.iter().any(founded), "{:?}", alice.facts);
    assert_eq!((alice.shown(), twin.queued()), (0, 1));
}

/// Bob's first device with another certificate, and with another identity key if one is given.
fn recertified(bob: &Bench, generation: u64, identity_key: Option<[u8; 32]>) -> Identity {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let account = Account::from_phrase(&Phrase::generate(&mut rng).expect("phrase"));
    let mut rng = ChaCha20Rng::seed_from_u64(2 ^ 1_u64.rotate_left(40));
    let (signing, ours) = (Secret::random(&mut rng), Secret::random(&mut rng));
    let identity_key = identity_key.map_or(ours, |mut bytes| Secret::take(&mut bytes));
    let device = Device::from_secrets(signing, identity_key);
    assert_eq!(device.id(), bob.device);
    let certificate = account.certify(&device, 1, generation, UnixMillis(0));
    Identity::new(device, certificate).expect("identity")
}

/// All that it could do with our record is find us.
#[test]
fn a_device_that_waits_gets_no_record() {
    let (mut alice, _old) = pair();
    set_policy(&mut alice, KeyPolicy::Verified);
    let mut bob = new_device(&mut alice, 2);
    link(&mut alice, &mut bob);
    let (_, short) = alice.invitation(false);
    let token = Invitation::parse_link(&short).expect("own link").token;
    alice.sends.clear();
    alice.refused.clear();

    let bytes = Frame::RecordRequest(token).encode();
    alice.feed(Input::Frame { peer: bob.device, number: 9, bytes: bytes.clone() });
    alice.flush();

    assert!(alice.sends.is_empty(), "{:?}", alice.sends);
    assert!(matches!(alice.refused.as_slice(), [(_, Code::Busy, _)]), "{:?}", alice.refused);
    alice.contact(Command::Trust(who()));
    alice.sends.clear();
    alice.feed(Input::Frame { peer: bob.device, number: 10, bytes });
    alice.flush();
    let answered = alice.sends.iter().any(|(peer, _, frame)| {
        *peer == bob.device && matches!(Frame::decode(frame), Ok(Frame::RecordResponse(Some(_))))
    });
    assert!(answered, "trusted, it has what a contact has");
}

/// The account has certified its first device once more, after the one that waits.
#[test]
fn a_device_that_waits_is_forgotten_when_a_later_certificate_comes() {
    let (mut alice, old) = pair();
    set_policy(&mut alice, KeyPolicy::Verified);
    let mut bob = new_device(&mut alice, 2);
    link(&mut alice, &mut bob);

    let now = alice.now.wall;
    let mut prekeys = Prekeys::generate(&mut ChaCha20Rng::seed_from_u64(5), now);
    let identity = recertified(&old, 3, None);
    let record = ContactRecord::issue(&identity, &mut prekeys, &[], now).expect("issued");
    let bytes = Frame::RecordResponse(Some(record)).encode();
    alice.feed(Input::Frame { peer: old.device, number: 1, bytes });
    alice.flush();

    let view = alice.contact(Command::Trust(who()));
    assert_eq!((view.device, view.waiting), (old.device, None), "generations never go back");
    alice.send("bob").expect("not blocked");
}

/// An invitation of the device that we know changes nothing about the one that waits.
#[test]
fn nothing_is_queued_for_a_blocked_contact_that_is_added_again() {
    let (mut alice, mut old) = pair();
    set_policy(&mut alice, KeyPolicy::Verified);
    let mut bob = new_device(&mut alice, 2);
    link(&mut alice, &mut bob);
    let (link, _) = old.invitation(false);
    alice.sends.clear();

    let added = alice.ask(Command::AddContact { link, name: None });

    assert!(matches!(added, Err(CommandError::KeyChanged)), "{added:?}");
    assert!(alice.sends.is_empty());
}
