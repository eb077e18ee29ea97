//! The pool by itself.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::store::MemoryStore;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn device() -> Device {
    Device::random(&mut rng())
}

/// A full pool, and what it wrote.
fn full() -> (Pool, Overlay<MemoryStore>) {
    let mut store = Overlay::new(MemoryStore::default());
    let mut pool = Pool::load(store.below()).expect("nothing");
    while pool.refill(&mut store, &mut rng()) {}
    (pool, store)
}

/// What is on the disk now.
fn durable(store: &mut Overlay<MemoryStore>) -> MemoryStore {
    let mut disk = store.below().clone();
    if let Some(batch) = store.seal() {
        let _ = disk.commit(&batch);
    }
    disk
}

fn take(pool: &mut Pool, store: &mut Overlay<MemoryStore>, to: HandTo) -> (u32, u32) {
    let offer = pool.hand_out(store, &device(), to, NOW).expect("rows");
    let id = |prekey: Option<SignedPrekey>| prekey.map_or(0, |prekey| prekey.id);
    (id(offer.x25519), id(offer.ml_kem))
}

#[test]
fn one_portion_is_bounded_and_the_pool_is_filled_to_its_size() {
    let mut store = Overlay::new(MemoryStore::default());
    let mut pool = Pool::load(store.below()).expect("nothing");

    assert!(pool.is_low());
    assert!(pool.refill(&mut store, &mut rng()));
    assert_eq!(pool.remaining(), Remaining { x25519: PORTION, ml_kem: PORTION });
    while pool.refill(&mut store, &mut rng()) {}
    assert_eq!(pool.remaining(), Remaining { x25519: READY, ml_kem: READY });
    assert_eq!(store.open_writes(), 2 * READY + 1);
}

#[test]
fn a_pool_comes_back_from_its_rows_and_never_gives_an_id_twice() {
    let (mut pool, mut store) = full();
    let first = take(&mut pool, &mut store, HandTo::Contact);
    pool.spend(&mut store, first.0, first.1);
    let second = take(&mut pool, &mut store, HandTo::Contact);
    let mut given: Vec<u32> = pool.x25519.ready.iter().chain(&pool.ml_kem.ready).copied().collect();
    given.extend([first.0, first.1, second.0, second.1]);

    let mut store = Overlay::new(durable(&mut store));
    let mut pool = Pool::load(store.below()).expect("its own rows");
    assert!(matches!(pool.secrets(&store, first.0, 0), Err(Error::Spent)));
    assert!(pool.secrets(&store, second.0, second.1).is_ok(), "handed out before");
    pool.x25519.ready.clear();
    pool.refill(&mut store, &mut rng());

    assert!(pool.x25519.ready.iter().all(|id| !given.contains(id)));
}

#[test]
fn a_key_that_is_ready_founds_nothing_before_it_was_handed_out() {
    let (mut pool, mut store) = full();
    let ready = *pool.x25519.ready.first().expect("full");
    assert!(matches!(pool.secrets(&store, ready, 0), Err(Error::Spent)));

    pool.spend(&mut store, ready, 0);
    let handed = take(&mut pool, &mut store, HandTo::Contact);

    assert_eq!(handed.0, ready, "nothing but time or a session deletes a key");
    assert!(pool.secrets(&store, handed.0, handed.1).is_ok());
    assert!(matches!(pool.secrets(&store, handed.1, handed.0), Err(Error::Spent)));
}

#[test]
fn strangers_leave_half_of_what_may_be_out_to_contacts() {
    let (mut pool, mut store) = full();
    let out = |count: usize| {
        let ids = 1_000_000..1_000_000 + u32::try_from(count).expect("small");
        ids.map(|id| (id, NOW.plus(KEPT))).collect::<BTreeMap<_, _>>()
    };
    for shelf in [&mut pool.x25519, &mut pool.ml_kem] {
        shelf.handed = out(HANDED_MAX / 2);
    }
    assert_eq!(take(&mut pool, &mut store, HandTo::Stranger), (0, 0));
    assert_ne!(take(&mut pool, &mut store, HandTo::Contact).0, 0);
    assert!(!pool.is_bound_reached());

    for shelf in [&mut pool.x25519, &mut pool.ml_kem] {
        shelf.handed = out(HANDED_MAX);
    }

    assert_eq!(take(&mut pool, &mut store, HandTo::Contact), (0, 0));
    assert!(pool.is_bound_reached());
    assert_eq!(pool.remaining(), Remaining { x25519: 0, ml_kem: 0 });
}

#[test]
fn a_clock_that_was_far_ahead_holds_no_key_for_years() {
    let (mut pool, mut store) = full();
    take(&mut pool, &mut store, HandTo::Contact);

    assert!(!pool.expire(&mut store, NOW));
    assert_eq!(pool.x25519.handed.len(), 1);
    pool.expire(&mut store, UnixMillis(NOW.0 - 3 * 24 * 3_600_000));
    assert_eq!(pool.x25519.handed.len(), 0);
}

#[test]
fn a_counter_behind_its_rows_or_a_damaged_row_is_corrupt() {
    let (_, mut store) = full();
    store.put(counter_key(), record::counter(3));
    assert!(matches!(Pool::load(&durable(&mut store)), Err(StoreError::Corrupt(_))));

    let (_, mut store) = full();
    store.put(row_key(Algorithm::X25519, 1), vec![8, 9]);
    assert!(matches!(Pool::load(&durable(&mut store)), Err(StoreError::Corrupt(_))));
}
