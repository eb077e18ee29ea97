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

/// Who has an older copy of the store, and its passphrase, has the keys of its conversations. After
/// a change of the data key they open what was written before, and nothing that is new.
#[test]
fn another_data_key_gives_conversations_new_keys_and_the_last_message_takes_all_along() {
    let (_parent, dir) = parent();
    let clock = Clock::new();
    let store = clock.open(&dir);
    commit(&store, [(message(b"alice", 1), Some(value("old")))]);
    let row = |number| {
        let key = store.inner.layout.key(&message(b"alice", number)).expect("a key");
        (Layout::conversation_key(&key, 0), key)
    };
    let ((key_row, _), (_, new_row)) = (row(1), row(2));
    let known = store.inner.conversation(&store.inner.ring(), &key_row).expect("reads");
    let known = known.expect("the thief's key");
    drop(store);
    SledStore::hand_over(&dir, &keys(1), &keys(2), || Ok(())).expect("hands over");

    let store = SledStore::open_with(&dir, keys(2), clock.epochs()).expect("opens");
    commit(&store, [(message(b"alice", 2), Some(value("new")))]);

    let head = store.inner.tree.get(&new_row).expect("reads").expect("a row");
    let head = Head::parse(&head).expect("a head");
    let stolen = Layout::open(&known, &new_row, &head, |piece| store.inner.piece(&new_row, piece));
    assert!(stolen.is_err(), "the old copy opens a new message");
    for (number, text) in [(1, "old"), (2, "new")] {
        let found = store.get(&message(b"alice", number)).expect("reads");
        assert_eq!(found, Some(value(text)));
    }
    let found = store.fsck().expect("reads");
    assert_eq!((found.rows, found.corrupt), (2, 0));
    commit(&store, [1, 2].map(|number| (message(b"alice", number), None)));
    assert_eq!(store.inner.tree.range(Layout::conversation_keys()).count(), 0);
}
