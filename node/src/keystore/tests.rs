//! The key store as a whole.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use bitchat_protocol::time::UnixMillis;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use super::*;

const GOOD: &str = "cobalt sundial otter quarry";

fn secrets() -> Secrets {
    Secrets {
        phrase_entropy: Secret::take(&mut [1; 32]),
        device_seed: Secret::take(&mut [2; 32]),
        device_dh: Secret::take(&mut [3; 32]),
        number: 1,
        generation: 7,
        created: UnixMillis(5),
        nickname: "alice".to_owned(),
    }
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).expect("short")
}

fn create(dir: &Path, passphrase: Option<&Passphrase>) -> (PathBuf, Unlocked) {
    let path = dir.join("keystore.json");
    let unlocked = Keystore::create(&path, passphrase, &secrets(), &mut UnwrapErr(SysRng));
    (path, unlocked.expect("creates"))
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().expect("temporary directory")
}

/// Rewrites one field of the file.
fn alter(path: &Path, field: &str, value: serde_json::Value) {
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(path).expect("reads")).expect("json");
    json[field] = value;
    fs::write(path, json.to_string()).expect("writes");
}

#[test]
fn the_right_passphrase_opens_and_a_wrong_one_does_not() {
    let dir = dir();
    let (path, created) = create(dir.path(), Some(&passphrase(GOOD)));

    let started = Instant::now();
    let opened = Keystore::open(&path, Some(&passphrase(GOOD))).expect("opens");
    let took = started.elapsed();
    let wrong = Keystore::open(&path, Some(&passphrase("cobalt sundial otter quarrx")));
    let none = Keystore::open(&path, None);

    assert_eq!(opened.secrets, secrets());
    assert_eq!(opened.store_keys, created.store_keys);
    assert_eq!(opened.protection, Protection::Passphrase);
    assert_eq!(Keystore::protection(&path).expect("reads"), Protection::Passphrase);
    assert!(matches!(wrong, Err(KeystoreError::WrongPassphrase)));
    assert!(matches!(none, Err(KeystoreError::NoPassphrase)));
    assert_eq!(path.metadata().expect("exists").permissions().mode() & 0o777, 0o600);
    assert!(took < Duration::from_secs(5), "unlocking took {took:?}");
}

#[test]
fn a_new_key_store_is_at_the_floor_and_two_share_nothing() {
    let (one, two) = (dir(), dir());
    let (first, left) = create(one.path(), Some(&passphrase(GOOD)));
    let (second, right) = create(two.path(), Some(&passphrase(GOOD)));

    let (first, second) = (read(&first).expect("reads"), read(&second).expect("reads"));

    assert_eq!(first.header.kdf, Kdf::Argon2id(KdfParameters::FLOOR));
    assert_ne!(first.header.salt, second.header.salt);
    assert_ne!(first.dek, second.dek);
    assert_ne!(left.store_keys, right.store_keys);
}

#[test]
fn a_weak_passphrase_leaves_no_file() {
    let dir = dir();
    let path = dir.path().join("keystore.json");

    let created =
        Keystore::create(&path, Some(&passphrase("alice")), &secrets(), &mut UnwrapErr(SysRng));

    assert!(matches!(created, Err(KeystoreError::WeakPassphrase { .. })));
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0);
}

#[test]
fn an_existing_key_store_and_its_key_file_are_never_replaced() {
    let dir = dir();
    let (path, _) = create(dir.path(), None);
    let before = (fs::read(&path).expect("reads"), fs::read(key_file(&path)).expect("reads"));

    let again = Keystore::create(&path, None, &secrets(), &mut UnwrapErr(SysRng));

    assert!(matches!(again, Err(KeystoreError::Exists)));
    let after = (fs::read(&path).expect("reads"), fs::read(key_file(&path)).expect("reads"));
    assert_eq!(before, after);
}

#[test]
fn altered_parameters_are_refused_or_do_not_open() {
    let dir = dir();
    let (path, _) = create(dir.path(), Some(&passphrase(GOOD)));
    let original = fs::read(&path).expect("reads");
    let open = |field, value: serde_json::Value| {
        fs::write(&path, &original).expect("writes");
        alter(&path, field, value);
        Keystore::open(&path, Some(&passphrase(GOOD))).map(drop)
    };

    assert!(matches!(open("m_kib", 8.into()), Err(KeystoreError::Downgrade(_))));
    assert!(matches!(open("t", 1.into()), Err(KeystoreError::Downgrade(_))));
    assert!(matches!(open("m_kib", 1_048_577.into()), Err(KeystoreError::Excessive(_))));
    assert!(matches!(open("t", 4.into()), Err(KeystoreError::WrongPassphrase)));
    assert!(matches!(open("salt", "00".repeat(16).into()), Err(KeystoreError::WrongPassphrase)));
    assert!(matches!(open("salt", "00".repeat(15).into()), Err(KeystoreError::Corrupt("salt"))));
    assert!(matches!(open("version", 2.into()), Err(KeystoreError::Version { found: 2 })));
    assert!(matches!(open("extra", 2.into()), Err(KeystoreError::Corrupt(_))));
    assert!(matches!(open("kdf", "scrypt".into()), Err(KeystoreError::Corrupt(_))));
}

#[test]
fn damage_behind_an_authentic_data_key_is_told_from_a_wrong_passphrase() {
    let dir = dir();
    let (path, _) = create(dir.path(), None);
    let flip = |field: &str| {
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).expect("reads")).expect("json");
        let mut text = json[field].as_str().expect("a string").to_owned();
        let last = if text.pop() == Some('0') { '1' } else { '0' };
        text.push(last);
        alter(&path, field, text.into());
    };

    flip("secrets");
    let secrets = Keystore::open(&path, None);
    flip("dek");
    let dek = Keystore::open(&path, None);

    assert!(matches!(secrets, Err(KeystoreError::Corrupt("secrets"))));
    assert!(matches!(dek, Err(KeystoreError::WrongPassphrase)));
}

#[test]
fn without_passphrase_the_key_file_opens_and_says_so() {
    let dir = dir();
    let (path, created) = create(dir.path(), None);

    let opened = Keystore::open(&path, None).expect("opens");
    fs::remove_file(key_file(&path)).expect("removes");
    let missing = Keystore::open(&path, None);

    assert_eq!(opened.protection, Protection::KeyFile);
    assert_eq!(opened.store_keys, created.store_keys);
    assert!(matches!(missing, Err(KeystoreError::KeyFile { .. })));
}

#[test]
fn a_key_file_outlives_the_key_store_that_was_moved_away() {
    let dir = dir();
    let (path, first) = create(dir.path(), None);
    let moved = fs::read(&path).expect("reads");
    fs::remove_file(&path).expect("removes");

    let (_, second) = create(dir.path(), None);
    fs::write(&path, moved).expect("writes");

    let opened = Keystore::open(&path, None).expect("its key file is still there");
    assert_eq!(opened.store_keys, first.store_keys);
    assert_ne!(opened.store_keys, second.store_keys);
}

#[test]
fn a_key_store_with_passphrase_cannot_be_turned_into_one_without() {
    let dir = dir();
    let (path, _) = create(dir.path(), Some(&passphrase(GOOD)));
    fs::write(key_file(&path), [0; KEY_FILE_BYTES]).expect("writes");
    let text = fs::read_to_string(&path).expect("reads");
    let json: serde_json::Value = serde_json::from_str(&text).expect("json");
    let (salt, dek, secrets) = (&json["salt"], &json["dek"], &json["secrets"]);
    let forged = serde_json::json!({
        "version": 1, "kdf": "key-file", "salt": salt, "dek": dek, "secrets": secrets,
    });
    fs::write(&path, forged.to_string()).expect("writes");

    let opened = Keystore::open(&path, None);

    assert!(matches!(opened, Err(KeystoreError::WrongPassphrase)));
}

#[test]
fn no_file_garbage_and_a_huge_file_are_no_key_store() {
    let dir = dir();
    let path = dir.path().join("keystore.json");
    let open = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("writes");
        Keystore::open(&path, None).map(drop)
    };

    assert!(matches!(Keystore::open(&path, None), Err(KeystoreError::NotFound)));
    assert!(matches!(open(b""), Err(KeystoreError::Corrupt(_))));
    assert!(matches!(open(b"{\"version\":1}"), Err(KeystoreError::Corrupt(_))));
    assert!(matches!(open(&vec![b' '; 9_000]), Err(KeystoreError::Corrupt("length"))));
}
