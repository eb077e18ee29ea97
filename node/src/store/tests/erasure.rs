//! Keys turn when they should, whatever stops them, and nothing is lost.

mod conversations;
mod loot;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bitchat_protocol::time::UnixMillis;

use super::*;
use crate::store::keyfile::KeyFile;
use crate::store::keyring::{Chain, Ring};

const MINUTE: u64 = 60_000;

/// A clock that the test moves.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicU64>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_800_000_000_000)))
    }

    fn forward(&self, minutes: u64) {
        self.0.fetch_add(minutes * MINUTE, Ordering::Relaxed);
    }

    fn epochs(&self) -> Epochs {
        let clock = self.clone();
        let now = move || UnixMillis(clock.0.load(Ordering::Relaxed));
        Epochs { clock: Arc::new(now), ..Epochs::default() }
    }

    fn open(&self, dir: &Path) -> SledStore {
        SledStore::open_with(dir, keys(1), self.epochs()).expect("opens")
    }
}

fn erase(store: &SledStore) {
    let step = store.erase_until(Instant::now() + Duration::from_secs(60)).expect("erases");
    assert_eq!(step, Step::Idle);
}

fn commit(store: &SledStore, writes: impl IntoIterator<Item = (Key, Option<Vec<u8>>)>) {
    let _ = store.commit(&[batch(1, writes)]).expect("commits");
}

fn message(account: &[u8], index: u64) -> Key {
    Key::numbered(Table::Message, account, index)
}

/// The keys in the file of the store in `dir`.
fn ring(dir: &Path) -> Ring {
    KeyFile::open(dir, &keys(1)).expect("opens").1
}

fn copy_of(dir: &Path, to: &Path) -> PathBuf {
    fs::create_dir(to).expect("makes");
    for entry in fs::read_dir(dir).expect("lists") {
        let (from, to) =
            (entry.as_ref().expect("entry").path(), to.join(entry.expect("entry").file_name()));
        if from.is_dir() {
            copy_of(&from, &to);
        } else {
            fs::copy(from, to).expect("copies");
        }
    }
    to.to_owned()
}

/// Bytes of a value in the tests.
const LENGTH: usize = 100;

/// A value that names itself.
fn value(name: &str) -> Vec<u8> {
    let mut value = name.as_bytes().to_vec();
    value.resize(LENGTH, b'.');
    value
}

/// All bytes of all files in `dir` and below.
fn bytes_in(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).expect("lists") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            found.extend(bytes_in(&path));
        } else {
            found.insert(path.clone(), fs::read(path).expect("reads"));
        }
    }
    found
}

#[test]
fn a_stop_after_any_step_leaves_every_row_readable_and_the_next_start_goes_on() {
    let (parent, first) = parent();
    let clock = Clock::new();
    let large = |number| put(number, vec![7; if number % 10 == 0 { 50_000 } else { 50 }]);
    let rows: Vec<_> = (0..100)
        .map(large)
        .chain((0..5).map(|index| (message(b"alice", index), Some(value("text")))))
        .chain([(Key::of(Table::Seen, b"id"), Some(value("seen")))])
        .collect();
    commit(&clock.open(&first), rows.clone());
    let all = |store: &SledStore, steps| {
        for (key, value) in &rows {
            assert_eq!(store.get(key).expect("reads"), *value, "after {steps} steps: {key:?}");
        }
        let found = store.fsck().expect("reads");
        assert_eq!((found.rows, found.corrupt, found.orphans), (106, 0, 0), "{steps} steps");
    };
    for steps in 0.. {
        let dir = copy_of(&first, &parent.path().join(steps.to_string()));
        let store = clock.open(&dir);
        store.want_erasure();
        let mut done = false;
        for _ in 0..steps {
            done = store.erase_step().expect("a step") == Step::Idle;
        }
        drop(store);

        let store = clock.open(&dir);
        all(&store, steps);
        store.want_erasure();
        erase(&store);
        all(&store, steps);
        drop(store);

        let ring = ring(&dir);
        assert!(Chain::ALL.iter().all(|chain| ring.chain(*chain).retiring.is_none()));
        if done {
            assert!(steps > 8, "the turns had {steps} steps, so the test tried little");
            return;
        }
    }
}

/// The new key is in the file and nothing was written under it yet: whoever goes on must not destroy
/// the old key that the sentinel is under.
#[test]
fn a_stop_between_the_key_file_and_the_sentinel_is_made_good() {
    for chain in Chain::ALL {
        let (_parent, dir) = parent();
        let clock = Clock::new();
        let store = clock.open(&dir);
        commit(&store, [put(1, vec![1]), (Key::of(Table::Seen, b"id"), Some(value("seen")))]);
        drop(store);
        let (mut file, ring) = KeyFile::open(&dir, &keys(1)).expect("opens");
        // Now, so that the next turn, which would write the sentinel anew, is not due.
        let next = ring.with_new(chain, (clock.epochs().clock)()).expect("randomness");
        file.write(&next).expect("writes");

        for _ in 0..2 {
            let store = clock.open(&dir);
            assert_eq!(get(&store, 1), Some(vec![1]), "{chain:?}");
            erase(&store);
        }

        assert!(self::ring(&dir).chain(chain).retiring.is_none());
        let store = clock.open(&dir);
        assert_eq!(store.get(&Key::of(Table::Seen, b"id")).expect("reads"), Some(value("seen")));
    }
}

/// All files of a store but its key file.
fn others(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let below = |path: PathBuf| path.strip_prefix(dir).expect("below").to_owned();
    let files = bytes_in(dir).into_iter().map(|(path, bytes)| (below(path), bytes));
    files.filter(|(path, _)| path != Path::new("keys")).collect()
}

#[test]
fn a_lost_damaged_or_exchanged_key_file_is_told_and_changes_nothing() {
    let (parent, dir) = parent();
    let clock = Clock::new();
    let store = clock.open(&dir);
    commit(&store, [put(1, vec![1])]);
    drop(store);
    let sound = copy_of(&dir, &parent.path().join("sound"));
    let good = fs::read(dir.join("keys")).expect("reads");
    let other = parent.path().join("other");
    drop(clock.open(&other));
    let mut damaged = good.clone();
    damaged[100] ^= 1;
    damaged[5_000] ^= 1;
    let cases = [
        (None, "is missing"),
        (Some(good[..5_000].to_vec()), "has a wrong length"),
        (Some(damaged), "is damaged"),
        (Some(fs::read(other.join("keys")).expect("reads")), "belongs to another store"),
    ];
    for (keys_bytes, expected) in cases {
        match &keys_bytes {
            Some(bytes) => fs::write(dir.join("keys"), bytes).expect("writes"),
            None => fs::remove_file(dir.join("keys")).expect("removes"),
        }

        let opened = SledStore::open(&dir, keys(1));

        let Err(StoreOpenError::Keys { file, fault }) = opened else { panic!("{opened:?}") };
        assert_eq!((file, fault), (dir.join("keys"), expected));
        assert_eq!(fs::read(dir.join("keys")).ok(), keys_bytes, "{expected}: the file was changed");
        if expected != "belongs to another store" {
            assert_eq!(others(&dir), others(&sound), "{expected}: not even sled is started");
        }
    }
    fs::write(dir.join("keys"), good).expect("writes");
    assert_eq!(get(&clock.open(&dir), 1), Some(vec![1]));
}

#[test]
fn a_key_file_of_another_time_is_told_from_damage() {
    let (parent, dir) = parent();
    let clock = Clock::new();
    let store = clock.open(&dir);
    commit(&store, [put(1, vec![1])]);
    drop(store);
    let early = copy_of(&dir, &parent.path().join("early"));
    let store = clock.open(&dir);
    store.want_erasure();
    erase(&store);
    drop(store);
    let exchange = |one: &Path, two: &Path| {
        let (a, b) = (fs::read(one.join("keys")), fs::read(two.join("keys")));
        fs::write(one.join("keys"), b.expect("reads")).expect("writes");
        fs::write(two.join("keys"), a.expect("reads")).expect("writes");
    };
    exchange(&early, &dir);

    let older = SledStore::open(&dir, keys(1));
    let newer = SledStore::open(&early, keys(1));

    let fault = |opened| match opened {
        Err(StoreOpenError::Keys { fault, .. }) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        (fault(older), fault(newer)),
        ("is older than the store", "is newer than the store")
    );
    exchange(&early, &dir);
    assert_eq!(
        (get(&clock.open(&dir), 1), get(&clock.open(&early), 1)),
        (Some(vec![1]), Some(vec![1]))
    );
}

#[test]
fn a_chain_turns_fifty_minutes_after_something_was_overwritten_and_not_before() {
    let (_parent, dir) = parent();
    let clock = Clock::new();
    let store = clock.open(&dir);
    let epoch = || ring(&dir).chain(Chain::Hour).current.number;
    clock.forward(51);
    erase(&store); // A start does not know what was overwritten before it.
    assert_eq!((epoch(), store.erasure().unerased_age), (2, Duration::ZERO));

    commit(&store, [put(1, vec![1])]);
    clock.forward(600);
    erase(&store);
    assert_eq!(epoch(), 2, "new rows alone leave nothing to forget");

    commit(&store, [put(1, vec![2])]);
    clock.forward(49);
    erase(&store);
    assert_eq!(epoch(), 2);
    assert_eq!(store.erasure().unerased_age, Duration::from_secs(49 * 60));
    clock.forward(1);
    erase(&store);
    assert_eq!((epoch(), store.erasure().unerased_age), (3, Duration::ZERO));
    assert_eq!((store.erasure().epoch_age, store.erasure().moved), (Duration::ZERO, 1));

    commit(&store, [put(1, vec![3])]);
    clock.0.fetch_sub(400 * 24 * 60 * MINUTE, Ordering::Relaxed);
    erase(&store);
    assert_eq!(epoch(), 4, "a clock that was wrong must not put erasure off for a year");
    assert_eq!(ring(&dir).chain(Chain::Long).current.number, 2, "the same for the long chain");
}

#[test]
fn a_store_that_is_opened_once_a_day_erases_when_it_is_opened() {
    let (_parent, dir) = parent();
    let clock = Clock::new();
    for day in 1..=3 {
        let store = clock.open(&dir);
        let committer = Committer::start(store, 16, |_| {}, |_| {}).expect("starts");
        committer.submit(batch(1, [put(1, vec![day])])).expect("room");
        drop(committer);

        assert_eq!(ring(&dir).chain(Chain::Hour).current.number, u32::from(day));
        assert!(ring(&dir).chain(Chain::Hour).retiring.is_none(), "the end finishes it");
        assert_eq!(get(&clock.open(&dir), 1), Some(vec![day]));
        clock.forward(24 * 60);
    }
}

/// Damage to one row must not keep the others' past readable for ever.
#[test]
fn a_damaged_row_does_not_stop_erasure_and_stays_damaged() {
    let (_parent, dir) = parent();
    let clock = Clock::new();
    let store = clock.open(&dir);
    commit(&store, [put(1, vec![1]), put(2, vec![2; 9_000]), put(3, vec![3])]);
    let (layout, tree) = (&store.inner.layout, &store.inner.tree);
    let row = |number| layout.key(&put(number, Vec::new()).0).expect("a short order");
    tree.remove(layout.piece_key(&row(2), 0)).expect("removes");
    tree.insert(row(3), tree.get(row(1)).expect("reads").expect("there")).expect("inserts");
    store.want_erasure();

    erase(&store);

    assert_eq!((store.erasure().failure, store.erasure().moved), (None, 1));
    assert!(ring(&dir).chain(Chain::Hour).retiring.is_none());
    assert_eq!(get(&store, 1), Some(vec![1]));
    for number in [2, 3] {
        let read = store.get(&put(number, Vec::new()).0);
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{number}: {read:?}");
    }
    store.want_erasure();
    erase(&store);
    assert_eq!(store.erasure().failure, None, "nor the next time");
}

#[test]
fn a_key_file_that_takes_no_write_is_told_and_the_store_goes_on() {
    let (_parent, dir) = parent();
    let clock = Clock::new();
    let store = clock.open(&dir);
    commit(&store, [put(1, vec![1])]);
    let whole = fs::read(dir.join("keys")).expect("reads");
    let read_only = fs::File::open(dir.join("keys")).expect("opens");
    let sound = store.inner.writer().keys.exchange(read_only);
    store.want_erasure();

    erase(&store);
    commit(&store, [put(1, vec![2])]);
    let early = store.erasure();
    clock.forward(61);
    erase(&store);
    let late = store.erasure();

    assert!(early.failure.is_some() && !early.is_overdue, "{early:?}");
    assert!(late.failure.is_some() && late.is_overdue, "{late:?}");
    assert_eq!(fs::read(dir.join("keys")).expect("reads"), whole);
    drop(store.inner.writer().keys.exchange(sound));
    clock.forward(2);
    erase(&store);
    assert_eq!(store.erasure(), Erasure { moved: store.erasure().moved, ..Erasure::default() });
    assert_eq!(get(&store, 1), Some(vec![2]));
}

#[test]
fn a_store_goes_from_one_data_key_to_another_without_touching_a_row() {
    let (_parent, dir) = parent();
    let clock = Clock::new();
    let store = clock.open(&dir);
    commit(&store, [put(1, vec![1])]);
    drop(store);

    let refused = SledStore::hand_over(&dir, &keys(1), &keys(2), || {
        Err(io::Error::other("the key store does not take it"))
    });
    assert!(refused.is_err());
    assert_eq!(get(&clock.open(&dir), 1), Some(vec![1]), "the old one still opens it");
    let log = fs::read(dir.join("db")).expect("reads");
    SledStore::hand_over(&dir, &keys(1), &keys(2), || {
        // A stop here: either would open it.
        assert!(KeyFile::open(&dir, &keys(1)).is_ok() && KeyFile::open(&dir, &keys(2)).is_ok());
        Ok(())
    })
    .expect("hands over");

    assert_eq!(fs::read(dir.join("db")).expect("reads"), log, "a row was touched");
    let old = SledStore::open(&dir, keys(1));
    assert!(matches!(old, Err(StoreOpenError::WrongKey { .. })), "{old:?}");
    assert_eq!(get(&SledStore::open(&dir, keys(2)).expect("opens"), 1), Some(vec![1]));
}
