//! The store as a whole, on a real directory.

mod damage;
mod erasure;
mod model;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::channel;

use bitchat_protocol::crypto::Secret;
use bitchat_protocol::store::BatchId;

use super::*;

fn keys(byte: u8) -> StoreKeys {
    StoreKeys::derive(&Secret::take(&mut [byte; 32]))
}

fn open(dir: &Path) -> SledStore {
    SledStore::open(dir, keys(1)).expect("opens")
}

fn batch(id: u64, writes: impl IntoIterator<Item = (Key, Option<Vec<u8>>)>) -> Batch {
    Batch { id: BatchId(id), writes: Arc::new(writes.into_iter().collect()) }
}

fn put(number: u64, value: Vec<u8>) -> (Key, Option<Vec<u8>>) {
    (Key::numbered(Table::Outbox, b"alice", number), Some(value))
}

fn get(store: &SledStore, number: u64) -> Option<Vec<u8>> {
    store.get(&Key::numbered(Table::Outbox, b"alice", number)).expect("reads")
}

fn parent() -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let data = dir.path().join("data");
    (dir, data)
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let (_parent, dir) = parent();
    let store = open(&dir);

    let proofs = store.commit(&[
        batch(1, [put(1, vec![1]), put(2, vec![2])]),
        batch(2, [put(2, vec![3]), (Key::numbered(Table::Outbox, b"alice", 1), None)]),
    ]);
    drop(store);
    let store = open(&dir);

    let ids: Vec<_> = proofs.expect("commits").iter().map(|proof| proof.batch().0).collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!(get(&store, 1), None);
    assert_eq!(get(&store, 2), Some(vec![3]));
}

#[test]
fn a_wrong_key_is_told_and_changes_nothing() {
    let (_parent, dir) = parent();
    let store = open(&dir);
    let _ = store.commit(&[batch(1, [put(1, vec![1])])]).expect("commits");
    drop(store);

    let wrong = SledStore::open(&dir, keys(2));

    assert!(matches!(wrong, Err(StoreOpenError::WrongKey { .. })), "{wrong:?}");
    assert_eq!(get(&open(&dir), 1), Some(vec![1]));
}

#[test]
fn a_foreign_database_is_told() {
    let (_parent, dir) = parent();
    let theirs = sled::open(&dir).expect("opens");
    theirs.insert("their", "row").expect("inserts");
    drop(theirs);
    let (_other, beside) = parent();
    drop(open(&beside));

    let keyless = SledStore::open(&dir, keys(1));
    fs::copy(beside.join("keys"), dir.join("keys")).expect("copies");
    let ours = SledStore::open(&dir, keys(1));

    assert!(matches!(keyless, Err(StoreOpenError::Keys { .. })), "{keyless:?}");
    assert!(matches!(ours, Err(StoreOpenError::Foreign { .. })), "{ours:?}");
    let theirs = sled::open(&dir).expect("opens");
    assert_eq!(theirs.get("their").expect("reads").as_deref(), Some(&b"row"[..]));
}

#[test]
fn a_damaged_directory_is_refused_and_not_made_anew() {
    for (name, cut) in [("db", false), ("conf", false), ("blobs", false), ("db", true)] {
        let (_parent, dir) = parent();
        drop(open(&dir));
        let path = dir.join(name);
        if cut {
            fs::write(&path, "").expect("empties");
        } else if path.is_dir() {
            fs::remove_dir(&path).expect("removes");
        } else {
            fs::remove_file(&path).expect("removes");
        }

        let opened = SledStore::open(&dir, keys(1));

        assert!(matches!(opened, Err(StoreOpenError::Corrupt { .. })), "{name}: {opened:?}");
        assert_eq!(path.exists(), cut, "{name} was made anew");
    }
    let (_parent, dir) = parent();
    fs::create_dir(&dir).expect("makes");
    let empty = SledStore::open(&dir, keys(1));
    assert!(matches!(empty, Err(StoreOpenError::Corrupt { .. })), "{empty:?}");
    assert_eq!(fs::read_dir(&dir).expect("lists").count(), 0);
}

#[test]
fn a_half_written_snapshot_of_sled_does_not_keep_the_store_shut() {
    let (_parent, dir) = parent();
    let store = open(&dir);
    let _ = store.commit(&[batch(1, [put(1, vec![1])])]).expect("commits");
    drop(store);
    fs::write(dir.join("snap.0FFFFFFFFFFFFFFF.generating"), "half").expect("writes");

    let store = open(&dir);

    assert_eq!(get(&store, 1), Some(vec![1]));
}

#[test]
fn an_interrupted_creation_is_begun_again() {
    let (_parent, dir) = parent();
    let new = disk_beside(&dir);
    fs::create_dir_all(new.join("blobs")).expect("makes");
    fs::write(new.join("conf"), "half").expect("writes");

    let store = open(&dir);

    assert_eq!(get(&store, 1), None);
    assert!(!new.exists());
}

fn disk_beside(dir: &Path) -> std::path::PathBuf {
    crate::home::disk::beside(dir)
}

#[test]
fn an_open_store_is_locked_and_a_closed_one_opens_at_once() {
    let (_parent, dir) = parent();
    let store = open(&dir);

    let second = SledStore::open(&dir, keys(1));
    drop(store);

    assert!(matches!(second, Err(StoreOpenError::Locked { .. })), "{second:?}");
    for _ in 0..5 {
        drop(open(&dir));
    }
}

#[test]
fn everything_on_disk_is_private_and_holds_no_plaintext() {
    let (_parent, dir) = parent();
    let store = open(&dir);
    let canary = b"canary-in-a-coal-mine".repeat(1_000);
    let _ = store
        .commit(&[batch(1, [(Key::of(Table::Contact, b"canary-in-a-coal-mine"), Some(canary))])])
        .expect("commits");
    drop(store);
    drop(open(&dir));

    let mut files = vec![dir];
    while let Some(path) = files.pop() {
        let metadata = path.metadata().expect("exists");
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
        if metadata.is_dir() {
            files.extend(
                fs::read_dir(&path).expect("lists").map(|entry| entry.expect("entry").path()),
            );
        } else {
            let bytes = fs::read(&path).expect("reads");
            assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
        }
    }
}

#[test]
fn large_values_come_back_and_leave_no_pieces_behind() {
    let (_parent, dir) = parent();
    let store = open(&dir);
    let value =
        |length: usize| (0..length).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect::<Vec<_>>();
    let sizes = [0, 1, 4_048, 4_049, 4_050, 8_145, 8_146, 200 * 1024, 1 << 20];

    for (number, length) in (0..).zip(sizes) {
        let _ = store.commit(&[batch(1, [put(number, value(length))])]).expect("commits");
    }
    drop(store);
    let store = open(&dir);

    for (number, length) in (0..).zip(sizes) {
        assert!(get(&store, number) == Some(value(length)), "{length} bytes");
    }
    let found = store.fsck().expect("reads");
    assert_eq!((found.rows, found.corrupt, found.orphans), (9, 0, 0));
    let _ = store.commit(&[batch(2, [put(7, value(5_000)), put(8, value(1))])]).expect("commits");
    let _ = store
        .commit(&[batch(3, [(Key::numbered(Table::Outbox, b"alice", 7), None)])])
        .expect("commits");
    let found = store.fsck().expect("reads");
    assert_eq!((found.rows, found.corrupt, found.orphans), (8, 0, 0));
    assert_eq!(fs::read_dir(dir.join("blobs")).expect("lists").count(), 0);
}

#[test]
fn full_leaves_of_the_largest_rows_make_no_files_of_their_own() {
    let (_parent, dir) = parent();
    let store = open(&dir);

    for round in 0..3u8 {
        for number in 0..300 {
            let row = put(number * 7 % 300, vec![round; 4_049]);
            let _ = store.commit(&[batch(1, [row])]).expect("commits");
            assert_eq!(fs::read_dir(dir.join("blobs")).expect("lists").count(), 0);
        }
    }
}

#[test]
fn a_batch_far_larger_than_a_segment_is_one_batch() {
    let (_parent, dir) = parent();
    let store = open(&dir);

    let rows = (0..40).map(|number| put(number, vec![7; 200 * 1024]));
    let _ = store.commit(&[batch(1, rows)]).expect("commits");
    drop(store);

    assert_eq!(open(&dir).fsck().expect("reads").rows, 40);
}

#[test]
fn a_failed_commit_closes_the_store() {
    let (_parent, dir) = parent();
    let store = open(&dir);
    let _ = store.commit(&[batch(1, [put(1, vec![1])])]).expect("commits");
    let bad = Key { table: Table::Outbox, scope: Vec::new(), order: vec![0; 17] };

    let failed = store.commit(&[batch(2, [put(1, vec![2]), (bad, Some(vec![]))])]);
    let next = store.commit(&[batch(3, [put(1, vec![3])])]);

    assert!(failed.is_err());
    assert_eq!(next, Err(closed()));
    assert_eq!(get(&store, 1), Some(vec![1]), "nothing of it was written, so reads go on");
    store.inner.set_health(Health::Broken);
    assert_eq!(store.get(&Key::of(Table::Meta, b"")), Err(closed()));
}

#[test]
fn the_committer_proves_batches_in_order_and_ends_with_the_first_error() {
    let (_parent, dir) = parent();
    let store = open(&dir);
    let (proofs, received) = channel();
    let (stats, reported) = channel();
    let done = move |result| proofs.send(result).expect("test listens");
    let report = move |figures| stats.send(figures).expect("test listens");
    let committer = Committer::start(store, 1_000, done, report).expect("starts");

    for id in 1..=300 {
        committer.submit(batch(id, [put(id, vec![1])])).expect("room");
    }
    drop(committer);

    let ids: Vec<u64> = received
        .iter()
        .flat_map(|result| result.expect("commits"))
        .map(|proof| proof.batch().0)
        .collect();
    assert_eq!(ids, (1..=300).collect::<Vec<_>>());
    let figures: Vec<CommitStats> = reported.iter().collect();
    assert_eq!(figures.iter().map(|figure| figure.batches).sum::<usize>(), 300);
    assert!(figures.len() < 300, "batches that wait are merged");
    assert!(figures.iter().all(|figure| figure.batches <= 256));
}

#[test]
fn a_committer_takes_nothing_after_an_error() {
    let (_parent, dir) = parent();
    let store = open(&dir);
    store.inner.set_health(Health::Broken);
    let (proofs, received) = channel();
    let done = move |result| proofs.send(result).expect("test listens");
    let committer = Committer::start(store, 10, done, |_| {}).expect("starts");

    committer.submit(batch(1, [put(1, vec![1])])).expect("the error is not known yet");
    let results: Vec<_> = received.iter().collect();

    assert_eq!(results, [Err(closed())]);
    let refused = committer.submit(batch(2, []));
    assert!(matches!(refused, Err(Refused::Stopped(Batch { id: BatchId(2), .. }))));
}

#[test]
fn a_row_that_was_moved_or_changed_does_not_open() {
    let (_parent, dir) = parent();
    let store = open(&dir);
    let _ = store.commit(&[batch(1, [put(1, vec![1]), put(2, vec![2; 9_000])])]).expect("commits");
    let (layout, tree) = (&store.inner.layout, &store.inner.tree);
    let key = |number| {
        layout.key(&Key::numbered(Table::Outbox, b"alice", number)).expect("a short order")
    };

    let head = tree.get(key(1)).expect("reads").expect("there");
    tree.insert(key(3), head).expect("inserts");
    tree.remove(layout.piece_key(&key(2), 1)).expect("removes");

    for number in [2, 3] {
        let read = store.get(&Key::numbered(Table::Outbox, b"alice", number));
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{number}: {read:?}");
    }
    let found = store.fsck().expect("reads");
    assert_eq!((found.rows, found.corrupt, found.orphans), (1, 2, 1));
}
