//! Whatever is written and read, in whatever order, the store agrees with a map.

use bitchat_protocol::store::MemoryStore;
use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Keys that are prefixes of each other, hold NUL, `/`, `..` and 0xFF, or differ by table alone.
const SCOPES: &[&[u8]] = &[b"", b"\0", b"a", b"a\0", b"a/b", b"..", b"\xFF", b"\xFF\xFF", b"ab"];
const TABLES: &[Table] =
    &[Table::Meta, Table::Outbox, Table::Held, Table::Message, Table::Delivery];
const ORDERS: &[&[u8]] =
    &[b"", b"\0", b"\0\0", b"\x01", b"\x7F", b"\xFF", &[0xFF; 16], b"\xFE\xFF"];

#[derive(Clone, Debug)]
enum Step {
    Commit(Vec<BTreeMap<Key, Option<Vec<u8>>>>),
    Get(Key),
    Scan(Key, usize),
    ScanBack(Key, Option<Vec<u8>>, usize),
    Walk(Table, usize),
    /// So many steps towards new keys.
    Erase(usize),
    Reopen,
}

fn key() -> impl Strategy<Value = Key> {
    (select(TABLES), select(SCOPES), select(ORDERS)).prop_map(|(table, scope, order)| Key {
        table,
        scope: scope.to_vec(),
        order: order.to_vec(),
    })
}

fn value() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        2 => Just(None),
        6 => vec(any::<u8>(), 0..40).prop_map(Some),
        2 => (any::<u8>(), 3_900usize..14_000).prop_map(|(byte, length)| Some(vec![byte; length])),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(btree_map(key(), value(), 0..12), 1..4).prop_map(Step::Commit),
        4 => key().prop_map(Step::Get),
        4 => (key(), 0usize..6).prop_map(|(key, limit)| Step::Scan(key, limit)),
        4 => (key(), proptest::option::of(select(ORDERS)), 0usize..6)
            .prop_map(|(key, before, limit)| Step::ScanBack(key, before.map(<[u8]>::to_vec), limit)),
        2 => (select(TABLES), 1usize..7).prop_map(|(table, limit)| Step::Walk(table, limit)),
        1 => (0usize..6).prop_map(Step::Erase),
        1 => Just(Step::Reopen),
    ]
}

/// Every value of a table, page by page.
fn walk(store: &impl Store, table: Table, limit: usize) -> Vec<Vec<u8>> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let (page, next) = store.walk(table, cursor.as_ref(), limit).expect("reads");
        assert!(page.len() <= limit, "a page of {} with limit {limit}", page.len());
        all.extend(page);
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    all.sort();
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Every read of the store gives what the same read of a map gives.
    #[test]
    fn the_store_agrees_with_a_map(steps in vec(step(), 1..40)) {
        let (_parent, dir) = parent();
        let mut store = open(&dir);
        let mut map = MemoryStore::default();
        for step in steps {
            match step {
                Step::Commit(batches) => {
                    let batches: Vec<Batch> = (1..).zip(batches).map(|(id, writes)| batch(id, writes)).collect();
                    for batch in &batches {
                        let _ = map.commit(batch);
                    }
                    prop_assert_eq!(store.commit(&batches).expect("commits").len(), batches.len());
                }
                Step::Get(key) => prop_assert_eq!(store.get(&key), map.get(&key)),
                Step::Scan(Key { table, scope, order }, limit) => prop_assert_eq!(
                    store.scan(table, &scope, &order, limit),
                    map.scan(table, &scope, &order, limit)
                ),
                Step::ScanBack(Key { table, scope, .. }, before, limit) => prop_assert_eq!(
                    store.scan_back(table, &scope, before.as_deref(), limit),
                    map.scan_back(table, &scope, before.as_deref(), limit)
                ),
                Step::Walk(table, limit) => {
                    prop_assert_eq!(walk(&store, table, limit), walk(&map, table, limit));
                }
                Step::Erase(steps) => {
                    store.want_erasure();
                    for _ in 0..steps {
                        let _ = store.erase_step().expect("a step");
                    }
                }
                Step::Reopen => {
                    drop(store);
                    store = open(&dir);
                }
            }
        }
        let found = store.fsck().expect("reads");
        prop_assert_eq!((found.corrupt, found.orphans), (0, 0));
        prop_assert_eq!(found.rows, map.rows().count() as u64);
    }
}
