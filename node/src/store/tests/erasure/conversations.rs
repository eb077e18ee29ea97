//! A conversation's key is made with its first message and goes with its last.

use super::*;
use crate::store::inner::Inner;

#[test]
fn the_last_message_of_a_conversation_takes_its_key_along_at_once() {
    let (_parent, dir) = parent();
    let clock = Clock::new();
    let store = clock.open(&dir);
    commit(
        &store,
        [(message(b"alice", 1), Some(value("one"))), (message(b"alice", 2), Some(value("two")))],
    );
    commit(&store, [(message(b"bob", 1), Some(value("bob")))]);
    let key_rows = |store: &SledStore| store.inner.tree.range(Layout::conversation_keys()).count();
    assert_eq!(key_rows(&store), 2);
    erase(&store);
    let epoch = ring(&dir).chain(Chain::Hour).current.number;

    commit(&store, [(message(b"alice", 1), None)]);
    assert_eq!(key_rows(&store), 2, "one message is left");
    commit(&store, [(message(b"alice", 2), None)]);
    assert_eq!(key_rows(&store), 1);
    drop(store); // What was asked for survives a stop.
    let store = clock.open(&dir);
    erase(&store);

    let after = ring(&dir);
    assert_eq!(after.chain(Chain::Hour).current.number, epoch + 1, "nobody waits for the hour");
    assert_eq!(after.chain(Chain::Long).current.number, 2, "ids and deliveries go too");
    assert_eq!(store.get(&message(b"bob", 1)).expect("reads"), Some(value("bob")));
    erase(&store);
    drop(store);
    let store = clock.open(&dir);
    erase(&store);
    assert_eq!(ring(&dir).chain(Chain::Hour).current.number, epoch + 1, "once is enough");
}

#[test]
fn a_conversation_that_begins_anew_in_the_same_flush_has_another_key() {
    let (_parent, dir) = parent();
    let clock = Clock::new();
    let store = clock.open(&dir);
    commit(&store, [(message(b"alice", 1), Some(value("old")))]);
    let secret = |inner: &Inner| {
        let row = inner.layout.key(&message(b"alice", 1)).expect("a key");
        let key_row = Layout::conversation_key(&row, 0);
        inner.conversation(&inner.ring(), &key_row).expect("reads").expect("a key")
    };
    let old = secret(&store.inner);

    let _ = store
        .commit(&[
            batch(2, [(message(b"alice", 1), None)]),
            batch(
                3,
                [
                    (message(b"alice", 1), Some(value("new"))),
                    (message(b"alice", 2), Some(value("more"))),
                ],
            ),
        ])
        .expect("commits");

    assert_ne!(secret(&store.inner), old);
    drop(store);
    let store = clock.open(&dir);
    assert_ne!(secret(&store.inner), old);
    assert_eq!(store.get(&message(b"alice", 1)).expect("reads"), Some(value("new")));
    assert_eq!(store.get(&message(b"alice", 2)).expect("reads"), Some(value("more")));
}
