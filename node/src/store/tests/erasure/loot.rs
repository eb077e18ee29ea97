//! What was overwritten or deleted cannot be read any more: all bytes of a copy are searched with
//! every key that is left.

use super::*;
use crate::store::keyring::Class;

/// Everything that a thief gets from the bytes of `dir` with the keys of `ring`: at each place that
/// looks like the head of a value of `LENGTH` bytes, each key is tried for each of `rows`, and each
/// conversation key found opens further ones.
fn loot(dir: &Path, ring: &Ring, rows: &[Key]) -> Vec<Vec<u8>> {
    let layout = Layout::new(&ring.scopes);
    let mut secrets: Vec<(Chain, u32, Secret<32>)> = Vec::new();
    for chain in Chain::ALL {
        for number in 0..20 {
            secrets.extend(ring.key(chain, number).map(|key| (chain, number, key.duplicate())));
        }
    }
    let files = bytes_in(dir);
    let sealed_at = |row: &[u8], number: u32, secret: &Secret<32>, length: usize| {
        let start = [&[1], &number.to_be_bytes()[..], &[0, 0]].concat();
        let mut found = Vec::new();
        for bytes in files.values() {
            for at in 0..bytes.len().saturating_sub(31 + length + 16) {
                if bytes[at..].starts_with(&start)
                    && let Ok(head) = Head::parse(&bytes[at..at + 31 + length + 16])
                {
                    let none = |_| Err::<[u8; 0], _>(StoreError::Corrupt("pieces"));
                    found.extend(Layout::open(secret, row, &head, none).ok());
                }
            }
        }
        found
    };
    let mut found = Vec::new();
    for key in rows {
        let row = layout.key(key).expect("a key");
        for (chain, number, secret) in &secrets {
            match Class::of(key.table as u8) {
                Class::Chain(of) if of == *chain => {
                    found.extend(sealed_at(&row, *number, secret, LENGTH));
                }
                Class::Conversation if *chain == Chain::Hour => {
                    let key_row = Layout::conversation_key(&row, 0);
                    for opened in sealed_at(&key_row, *number, secret, 32) {
                        let secret = Secret::from_slice(&opened).expect("32 bytes");
                        found.extend(sealed_at(&row, 0, &secret, LENGTH));
                    }
                }
                Class::Chain(_) | Class::Conversation => {}
            }
        }
    }
    found
}

/// One row of each kind that must be forgotten.
fn secrets_of(name: &str) -> Vec<(Key, Option<Vec<u8>>)> {
    let row = |key, what: &str| (key, Some(value(&format!("{name} {what}"))));
    vec![
        row(Key::of(Table::Meta, b"prekeys"), "prekeys"),
        row(Key::numbered(Table::Session, b"device", 0), "session"),
        row(Key::numbered(Table::SkippedKey, b"session", 3), "skipped key"),
        row(Key::numbered(Table::Outbox, b"alice", 1), "outbox"),
        row(Key::of(Table::Contact, b"alice"), "contact"),
        row(Key::of(Table::Delivery, b"message"), "delivery"),
        row(message(b"alice", 1), "message"),
        row(Key::numbered(Table::Held, b"alice", 2), "held"),
    ]
}

#[test]
fn what_was_overwritten_or_deleted_cannot_be_opened_once_its_keys_are_gone() {
    let (parent, dir) = parent();
    let clock = Clock::new();
    let store = clock.open(&dir);
    let rows: Vec<Key> = secrets_of("").into_iter().map(|(key, _)| key).collect();
    commit(&store, secrets_of("first"));
    commit(&store, secrets_of("second"));
    let before = copy_of(&dir, &parent.path().join("before"));
    let stolen = ring(&before);
    commit(&store, rows.iter().map(|key| (key.clone(), None)));
    commit(&store, [(message(b"bob", 1), Some(value("alive"))), put(9, value("alive too"))]);
    clock.forward(51);
    erase(&store);
    clock.forward(51);
    erase(&store);
    drop(store);
    let left = ring(&dir);

    // What the thief would have got with the keys of that time: each secret, in both directories.
    for dir in [&before, &dir] {
        let found = loot(dir, &stolen, &rows);
        for (_, secret) in [secrets_of("first"), secrets_of("second")].concat() {
            let secret = secret.expect("a value");
            let name = String::from_utf8_lossy(&secret).into_owned();
            assert!(found.contains(&secret), "the search does not find {name} in {dir:?}");
        }
        // And with those that are left: nothing of it.
        assert_eq!(loot(dir, &left, &rows), Vec::<Vec<u8>>::new(), "{dir:?}");
    }
    let alive = loot(&dir, &left, &[message(b"bob", 1), put(9, Vec::new()).0]);
    assert!(alive.contains(&value("alive")) && alive.contains(&value("alive too")));
    nothing_of(&stolen, &before, &dir);
}

/// No old key lies in `dir`, neither in clear nor as it was sealed in `before`.
fn nothing_of(stolen: &Ring, before: &Path, dir: &Path) {
    let slots = fs::read(before.join("keys")).expect("reads");
    let mut needles: Vec<Vec<u8>> = slots
        .chunks(32)
        .filter(|chunk| chunk.iter().any(|byte| *byte != 0) && !chunk.starts_with(b"bitchat keys"))
        .map(<[u8]>::to_vec)
        .collect();
    assert!(needles.len() > 10);
    for chain in Chain::ALL {
        needles.push(stolen.chain(chain).current.key.expose().to_vec());
    }
    for (path, bytes) in bytes_in(dir) {
        for needle in &needles {
            let found = bytes.windows(needle.len()).any(|window| window == needle);
            assert!(!found, "an old key lies in {}", path.display());
        }
    }
}
