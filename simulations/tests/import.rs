//! What a file may hold that is not for us, forged, too much or from nobody we know.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/files.rs"]
mod files;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod support;

use std::time::Duration;

use bitchat_protocol::crypto::Secret;
use bitchat_protocol::engine::{Command, CommandError, ImportView};
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::sealed;
use bitchat_protocol::store::{Key, Table};
use bitchat_protocol::time::UnixMillis;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use files::{export, import, part, send, strangers};
use support::{Bench, identity, pair};

#[test]
fn what_is_for_somebody_else_or_damaged_or_noise_changes_nothing() {
    let (mut alice, mut bob) = strangers();
    send(&mut bob, "alice");
    let seals = export(&mut bob).seals;
    let mut carol = Bench::new("carol", 3);
    let mut damaged = seals.clone();
    damaged.iter_mut().for_each(|seal| seal[700] ^= 1);
    let noise = vec![vec![7; 2_048], Vec::new(), vec![1; 100], vec![0; 300_000]];

    assert_dropped(&mut carol, &seals);
    assert_dropped(&mut bob, &seals);
    assert_dropped(&mut alice, &damaged);
    assert_dropped(&mut alice, &noise);
    assert_eq!(alice.refusals, 0, "nobody is told");
}

#[test]
fn an_invitation_for_one_that_came_by_file_admits_one() {
    let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
    let mut eve = Bench::new("eve", 4);
    let (link, _) = alice.invitation(true);
    for who in [&mut bob, &mut eve] {
        who.ask(Command::AddContact { link: link.clone(), name: None }).expect("added");
    }
    let (first, second) = (export(&mut bob), export(&mut eve));

    let admitted = import(&mut alice, &first.seals);
    let refused = import(&mut alice, &second.seals);

    assert_eq!(admitted, ImportView { delivered: 1, ..ImportView::default() });
    assert_eq!(refused, ImportView { refused: 1, ..ImportView::default() });
    assert_eq!(alice.disk.count(Table::Contact), 1);
}

/// Strangers are admitted at a rate: what is too much may pass later.
#[test]
fn too_many_strangers_at_once_are_told_apart_from_the_refused() {
    let mut alice = Bench::new("alice", 1);
    let (link, _) = alice.invitation(false);
    let hello = |seed| {
        let mut guest = Bench::new("guest", seed);
        guest.ask(Command::AddContact { link: link.clone(), name: None }).expect("added");
        export(&mut guest).seals
    };
    let mut seals: Vec<_> = (100..130).flat_map(hello).collect();

    let (mut delivered, mut rounds) = (0, 0);
    while !seals.is_empty() && rounds < 40 {
        let taken = import(&mut alice, &seals);
        assert_eq!(taken.refused, 0);
        delivered += taken.delivered;
        seals = taken.busy.iter().map(|place| seals[*place].clone()).collect();
        rounds += 1;
        alice.pass(Duration::from_secs(1));
    }

    assert_eq!(delivered, 30);
    assert!(rounds > 1, "the limit did not bite");
}

/// Mallory's account certifies Alice's device with a key of Mallory's: its seals open, and are not
/// Alice's.
#[test]
fn an_account_that_certifies_a_device_of_another_is_refused() {
    let (mut alice, mut bob) = pair();
    part(&mut alice, &mut bob);
    send(&mut alice, "bob");
    let seals = export(&mut alice).seals;
    let letter = sealed::open(&identity(2), &seals[0]).expect("for bob").letter;
    let alices = identity(1);
    let seed = alices.device().signing().seed().duplicate();
    let mut rng = ChaCha20Rng::seed_from_u64(77);
    let device = Device::from_secrets(seed, Secret::random(&mut rng));
    let account = Account::from_phrase(&Phrase::generate(&mut rng).expect("phrase"));
    let certificate = account.certify(&device, 1, 9, UnixMillis(0));
    let mallory = Identity::new(device, certificate).expect("it holds");
    let bobs = identity(2);
    let forged = sealed::seal(&mallory, bobs.certificate(), &letter, &mut rng).expect("sealed");

    let before = import(&mut bob, std::slice::from_ref(&forged));
    let taken = import(&mut bob, &seals);
    let after = import(&mut bob, &[forged]);

    assert_eq!(before, ImportView { refused: 1, ..ImportView::default() });
    assert_eq!(taken.delivered, 1);
    assert_eq!(after, ImportView { refused: 1, ..ImportView::default() });
}

#[test]
fn more_than_256_envelopes_at_once_are_refused() {
    let mut alice = Bench::new("alice", 1);

    let refused = alice.ask(Command::Import(vec![Vec::new(); 257]));

    assert!(matches!(refused, Err(CommandError::OutOfRange(_))), "{refused:?}");
}

fn assert_dropped(at: &mut Bench, seals: &[Vec<u8>]) {
    let before = rows(at);
    let not_for_us = u64::try_from(seals.len()).expect("few");
    assert_eq!(import(at, seals), ImportView { not_for_us, ..ImportView::default() });
    assert!(rows(at) == before);
}

/// The whole disk.
fn rows(at: &Bench) -> Vec<(Key, Vec<u8>)> {
    let mut rows = Vec::new();
    at.disk.for_each(|key, value| rows.push((key.clone(), value.to_vec())));
    rows
}
