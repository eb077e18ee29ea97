//! Rotations that die at every step, and a device that is certified anew.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;
use bitchat_protocol::store::{Batch, BatchId, Key, Store, Table};

use super::*;
use crate::keystore::StoreKeys;
use crate::profile::{self, NewProfile};
use crate::store::{SledStore, StoreOpenError};

const ROWS: u8 = 40;

fn key(number: u8) -> Key {
    Key::numbered(Table::Message, b"somebody", number.into())
}

/// Of a table whose rows are moved to new keys.
fn moving(number: u8) -> Key {
    Key::numbered(Table::Outbox, b"somebody", number.into())
}

/// Of one piece and of several.
fn value(number: u8) -> Vec<u8> {
    vec![number; if number.is_multiple_of(5) { 50_000 } else { 30 }]
}

/// A profile without passphrase whose store holds rows of one piece and of several.
fn profile() -> (tempfile::TempDir, Home) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let home = Home::at(dir.path().join("home"));
    let request = NewProfile {
        name: "alice".to_owned(),
        credentials: Credentials::default(),
        allow_no_passphrase: true,
        recover: None,
    };
    profile::create_profile(&home, request).expect("a fresh profile");
    let (store, _lock) = opened(&home);
    let rows = (0..ROWS).map(|number| (key(number), Some(value(number))));
    let moving = (0..ROWS).map(|number| (moving(number), Some(vec![number])));
    let writes = rows.chain(moving).collect();
    let batch = [Batch { id: BatchId(1), writes: Arc::new(writes) }];
    store.commit(&batch).expect("commits");
    mailboxes(&home).commit(&batch).expect("commits");
    (dir, home)
}

fn store_keys(home: &Home) -> StoreKeys {
    profile::unlock(home, Credentials::default()).expect("opens").store_keys
}

fn opened(home: &Home) -> (SledStore, HomeLock) {
    let lock = home.lock().expect("free");
    (SledStore::open(&home.data(), store_keys(home)).expect("the right keys"), lock)
}

fn mailboxes(home: &Home) -> SledStore {
    let keys = store_keys(home).of_mailboxes();
    SledStore::open(&home.mailboxes(), keys).expect("the right keys")
}

fn check(home: &Home) {
    let (store, _lock) = opened(home);
    for store in [store, mailboxes(home)] {
        for number in 0..ROWS {
            assert_eq!(store.get(&key(number)).expect("reads"), Some(value(number)));
            assert_eq!(store.get(&moving(number)).expect("reads"), Some(vec![number]));
        }
        assert_eq!(store.fsck().expect("reads").corrupt, 0);
    }
}

#[test]
fn after_a_rotation_the_old_data_key_opens_nothing_and_all_is_there() {
    let (_dir, home) = profile();
    let old = store_keys(&home);

    let moved = rotate_keys(&home, Credentials::default(), &mut |_| {}).expect("rotates");

    assert!(moved >= 2 * u64::from(ROWS), "{moved}");
    assert_ne!(store_keys(&home), old);
    for (dir, old) in [(home.mailboxes(), old.of_mailboxes()), (home.data(), old)] {
        let refused = SledStore::open(&dir, old).map(drop);
        assert!(matches!(refused, Err(StoreOpenError::WrongKey { .. })), "{refused:?}");
    }
    check(&home);
    rotate_keys(&home, Credentials::default(), &mut |_| {}).expect("rotates again");
    check(&home);
}

#[test]
fn a_rotation_that_dies_at_any_step_leaves_the_old_data_key_or_the_new_one() {
    let (_dir, home) = profile();
    for step in 0.. {
        let before = store_keys(&home);
        let (mut heard, mut committed) = (0, false);
        let rotated = catch_unwind(AssertUnwindSafe(|| {
            rotate_keys(&home, Credentials::default(), &mut |what| {
                committed |= what == Rotation::Committed;
                heard += 1;
                assert!(heard <= step, "killed here");
            })
        }));

        check(&home);
        assert_eq!(store_keys(&home) != before, committed, "at step {step}");
        if rotated.is_ok_and(|rotated| rotated.is_ok()) {
            assert!(step >= 4, "ready, committed, and both chains: {step}");
            break;
        }
    }
}

#[test]
fn a_profile_whose_store_is_missing_gets_no_new_one_by_a_rotation() {
    let (_dir, home) = profile();
    std::fs::remove_dir_all(home.data()).expect("removes");

    let refused = rotate_keys(&home, Credentials::default(), &mut |_| {});

    assert!(matches!(refused, Err(NodeError::StoreCorrupt { .. })));
    assert!(!home.data().exists());
}

#[test]
fn a_profile_whose_store_is_missing_gets_no_new_one_by_reclaiming() {
    let (_dir, home) = profile();
    std::fs::remove_dir_all(home.data()).expect("removes");

    let refused = reclaim(&home, Credentials::default());

    assert!(matches!(refused, Err(NodeError::StoreCorrupt { .. })), "{refused:?}");
    assert!(!home.data().exists());
}

/// Killed before it said so, or run twice: the same answer, and no generation that goes back.
#[test]
fn reclaiming_twice_before_a_start_is_reclaiming_once() {
    let (_dir, home) = profile();
    see(&home, 1);
    let ours = profile::unlock(&home, Credentials::default()).expect("opens").secrets.generation;
    assert_eq!(reclaim(&home, Credentials::default()).ok(), Some(ours), "we are the later one");
    see(&home, ours);
    let started = wall_clock().0;

    let generation = reclaim(&home, Credentials::default()).expect("reclaimed");
    std::thread::sleep(std::time::Duration::from_millis(2));

    assert!(generation >= started, "the time, as for every other new device");
    assert_eq!(reclaim(&home, Credentials::default()).ok(), Some(generation));
}

/// A contact has shown this device another one of its account.
fn see(home: &Home, generation: u64) {
    let (store, _lock) = opened(home);
    let row = rest::Copies { superseded: generation, ..rest::Copies::default() }.encode_to_vec();
    let writes = [(Key::of(Table::Meta, b"copies"), Some(row))].into_iter().collect();
    store.commit(&[Batch { id: BatchId(2), writes: Arc::new(writes) }]).expect("commits");
}

/// The device keys stay, the generation is above what was seen, and the next start greets. Without
/// such a device there is nothing to take back.
#[test]
fn reclaiming_certifies_the_same_device_above_the_later_one() {
    let (_dir, home) = profile();
    let secrets = || profile::unlock(&home, Credentials::default()).expect("opens").secrets;
    let before = secrets();
    let refused = reclaim(&home, Credentials::default());
    assert!(matches!(refused, Err(NodeError::Config { .. })), "{refused:?}");
    assert_eq!(secrets(), before);
    let ahead = before.generation + 1_000_000_000;
    see(&home, ahead);
    let generation = reclaim(&home, Credentials::default()).expect("reclaimed");

    let after = secrets();
    assert_eq!((generation, after.generation), (ahead + 1, ahead + 1));
    assert_eq!((&after.device_seed, &after.device_dh), (&before.device_seed, &before.device_dh));
    assert!(opened(&home).0.get(&restored_key()).expect("reads").is_some());
    check(&home);
    see(&home, u64::MAX);
    let last = reclaim(&home, Credentials::default());
    assert!(matches!(last, Err(NodeError::Config { .. })), "nothing is above it: {last:?}");
}
