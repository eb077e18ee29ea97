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

fn none() -> Factors {
    Factors::default()
}

fn with(text: &str) -> Factors {
    Factors { passphrase: Some(passphrase(text)), key_file: None }
}

fn both(text: &str, key_file: &Path) -> Factors {
    Factors { key_file: Some(key_file.to_owned()), ..with(text) }
}

fn create(dir: &Path, factors: &Factors) -> (PathBuf, Unlocked) {
    let path = dir.join("keystore.json");
    let unlocked = Keystore::create(&path, factors, &secrets(), &mut UnwrapErr(SysRng));
    (path, unlocked.expect("creates"))
}

fn open(path: &Path, factors: &Factors) -> Result<Unlocked, KeystoreError> {
    Keystore::open(path, factors).map(Opened::into_unlocked)
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
    let (path, created) = create(dir.path(), &with(GOOD));

    let started = Instant::now();
    let opened = open(&path, &with(GOOD)).expect("opens");
    let took = started.elapsed();
    let wrong = open(&path, &with("cobalt sundial otter quarrx"));
    let none = open(&path, &none());

    assert_eq!(opened.secrets, secrets());
    assert_eq!(opened.store_keys, created.store_keys);
    assert_eq!(opened.protection, Protection::Passphrase);
    assert!(matches!(wrong, Err(KeystoreError::WrongPassphrase)));
    assert!(matches!(none, Err(KeystoreError::NoPassphrase)));
    assert_eq!(path.metadata().expect("exists").permissions().mode() & 0o777, 0o600);
    assert!(took < Duration::from_secs(5), "unlocking took {took:?}");
}

#[test]
fn a_new_key_store_is_at_the_floor_and_two_share_nothing() {
    let (one, two) = (dir(), dir());
    let (first, left) = create(one.path(), &with(GOOD));
    let (second, right) = create(two.path(), &with(GOOD));

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

    let created = Keystore::create(&path, &with("alice"), &secrets(), &mut UnwrapErr(SysRng));

    assert!(matches!(created, Err(KeystoreError::WeakPassphrase { .. })));
    assert_eq!(fs::read_dir(dir.path()).expect("lists").count(), 0);
}

#[test]
fn an_existing_key_store_and_its_key_file_are_never_replaced() {
    let dir = dir();
    let (path, _) = create(dir.path(), &none());
    let before = (fs::read(&path).expect("reads"), fs::read(key_file(&path)).expect("reads"));

    let again = Keystore::create(&path, &none(), &secrets(), &mut UnwrapErr(SysRng));

    assert!(matches!(again, Err(KeystoreError::Exists)));
    let after = (fs::read(&path).expect("reads"), fs::read(key_file(&path)).expect("reads"));
    assert_eq!(before, after);
}

#[test]
fn altered_parameters_are_refused_or_do_not_open() {
    let dir = dir();
    let (path, _) = create(dir.path(), &with(GOOD));
    let original = fs::read(&path).expect("reads");
    let open = |field, value: serde_json::Value| {
        fs::write(&path, &original).expect("writes");
        alter(&path, field, value);
        // Wrong ones that were counted before are not what this is about.
        drop(fs::remove_file(path.with_extension("attempts")));
        open(&path, &with(GOOD)).map(drop)
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
    assert!(matches!(open("kdf", "key-file".into()), Err(KeystoreError::Corrupt(_))));
    assert!(matches!(open("kdf", "argon2id+key-file".into()), Err(KeystoreError::NoKeyFile)));
}

#[test]
fn damage_behind_an_authentic_data_key_is_told_from_a_wrong_passphrase() {
    let dir = dir();
    let (path, _) = create(dir.path(), &none());
    let flip = |field: &str| {
        let json: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).expect("reads")).expect("json");
        let mut text = json[field].as_str().expect("a string").to_owned();
        let last = if text.pop() == Some('0') { '1' } else { '0' };
        text.push(last);
        alter(&path, field, text.into());
    };

    flip("secrets");
    let secrets = open(&path, &none());
    flip("dek");
    let dek = open(&path, &none());

    assert!(matches!(secrets, Err(KeystoreError::Corrupt("secrets"))));
    assert!(matches!(dek, Err(KeystoreError::WrongPassphrase)));
}

#[test]
fn without_passphrase_the_key_file_opens_and_says_so() {
    let dir = dir();
    let (path, created) = create(dir.path(), &none());

    let opened = open(&path, &none()).expect("opens");
    fs::remove_file(key_file(&path)).expect("removes");
    let missing = open(&path, &none());

    assert_eq!(opened.protection, Protection::KeyFile);
    assert_eq!(opened.store_keys, created.store_keys);
    assert!(matches!(missing, Err(KeystoreError::KeyFile { .. })));
}

#[test]
fn a_key_file_outlives_the_key_store_that_was_moved_away() {
    let dir = dir();
    let (path, first) = create(dir.path(), &none());
    let moved = fs::read(&path).expect("reads");
    fs::remove_file(&path).expect("removes");

    let (_, second) = create(dir.path(), &none());
    fs::write(&path, moved).expect("writes");

    let opened = open(&path, &none()).expect("its key file is still there");
    assert_eq!(opened.store_keys, first.store_keys);
    assert_ne!(opened.store_keys, second.store_keys);
}

#[test]
fn a_key_store_with_passphrase_cannot_be_turned_into_one_without() {
    let dir = dir();
    let (path, _) = create(dir.path(), &with(GOOD));
    fs::write(key_file(&path), [0; KEY_FILE_BYTES]).expect("writes");
    let text = fs::read_to_string(&path).expect("reads");
    let json: serde_json::Value = serde_json::from_str(&text).expect("json");
    let (salt, dek, secrets) = (&json["salt"], &json["dek"], &json["secrets"]);
    let forged = serde_json::json!({
        "version": 1, "kdf": "key-file", "salt": salt, "dek": dek, "secrets": secrets,
    });
    fs::write(&path, forged.to_string()).expect("writes");

    let opened = open(&path, &none());

    assert!(matches!(opened, Err(KeystoreError::WrongPassphrase)));
}

#[test]
fn no_file_garbage_and_a_huge_file_are_no_key_store() {
    let dir = dir();
    let path = dir.path().join("keystore.json");
    let filled = |bytes: &[u8]| {
        fs::write(&path, bytes).expect("writes");
        open(&path, &none()).map(drop)
    };

    assert!(matches!(open(&path, &none()), Err(KeystoreError::NotFound)));
    assert!(matches!(filled(b""), Err(KeystoreError::Corrupt(_))));
    assert!(matches!(filled(b"{\"version\":1}"), Err(KeystoreError::Corrupt(_))));
    assert!(matches!(filled(&vec![b' '; 40_000]), Err(KeystoreError::Corrupt("length"))));
}

#[test]
fn with_a_second_factor_both_are_needed_and_a_wrong_one_is_told_from_a_missing_one() {
    let (dir, elsewhere) = (dir(), dir());
    let (key, other) = (elsewhere.path().join("key"), elsewhere.path().join("other"));
    fs::write(&other, (0..=255).collect::<Vec<u8>>()).expect("writes");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).expect("chmod");

    let (path, created) = create(dir.path(), &both(GOOD, &key));

    assert_eq!(created.protection, Protection::TwoFactors);
    assert_eq!(key.metadata().expect("made").len(), 32);
    let opened = open(&path, &both(GOOD, &key)).expect("opens");
    assert_eq!((opened.secrets, opened.store_keys), (secrets(), created.store_keys));
    for wrong in [both(GOOD, &other), both("cobalt sundial otter quarrx", &key)] {
        assert!(matches!(open(&path, &wrong), Err(KeystoreError::WrongFactors)));
    }
    assert!(matches!(open(&path, &with(GOOD)), Err(KeystoreError::NoKeyFile)));
    assert!(matches!(open(&path, &none()), Err(KeystoreError::NoKeyFile)));
    let gone = open(&path, &both(GOOD, &elsewhere.path().join("gone")));
    assert!(matches!(
        gone,
        Err(KeystoreError::SecondFactor { problem: KeyFileProblem::Missing, .. })
    ));
    assert!(!elsewhere.path().join("gone").exists(), "only a new key store makes one");
}

#[test]
fn while_the_pause_stands_the_right_passphrase_is_not_looked_at_either() {
    let dir = dir();
    let (path, _) = create(dir.path(), &with(GOOD));
    let record = path.with_extension("attempts");
    let failures = |count: u32, wall_ms: u64| {
        let text = format!(r#"{{"failures":{count},"at":{{"wall_ms":{wall_ms},"uptime":null}}}}"#);
        attempts::tests::put(&record, &text);
    };
    failures(9, u64::MAX);

    let started = Instant::now();
    let paused = [open(&path, &with(GOOD)), open(&path, &none())];
    let took = started.elapsed();

    for refused in paused {
        let Err(KeystoreError::Paused { retry_after }) = refused else {
            panic!("{refused:?}");
        };
        assert!(retry_after > Duration::from_secs(10), "{retry_after:?}");
    }
    assert!(took < Duration::from_millis(100), "that is no time for Argon2: {took:?}");
    failures(9, 0);
    open(&path, &with(GOOD)).expect("the pause is over");
    let text = fs::read_to_string(&record).expect("there");
    assert!(text.starts_with(r#"{"failures":0,"#), "forgotten: {text}");
}

#[test]
fn a_call_without_passphrase_is_no_attempt_and_a_wrong_one_is() {
    let dir = dir();
    let (path, _) = create(dir.path(), &with(GOOD));
    let record = path.with_extension("attempts");

    assert!(matches!(open(&path, &none()), Err(KeystoreError::NoPassphrase)));
    assert!(!record.exists());
    assert!(matches!(open(&path, &with("wrong")), Err(KeystoreError::WrongPassphrase)));
    let text = fs::read_to_string(&record).expect("counted");
    assert!(text.starts_with(r#"{"failures":1,"#), "{text}");
}

#[test]
fn other_factors_open_the_same_secrets_and_the_old_ones_nothing() {
    let (dir, elsewhere) = (dir(), dir());
    let (path, created) = create(dir.path(), &none());
    let key = elsewhere.path().join("key");
    let new = "velvet anchor mosaic turnip";
    let mut present = none();
    for to in [with(GOOD), both(new, &key), with(GOOD)] {
        let mut opened = Keystore::open(&path, &present).expect("opens");
        let before = fs::read(&path).expect("reads");
        assert!(matches!(
            opened.guard(&with("alice"), &mut UnwrapErr(SysRng)),
            Err(KeystoreError::WeakPassphrase { .. })
        ));
        assert_eq!(fs::read(&path).expect("reads"), before, "refused and unchanged");

        opened.guard(&to, &mut UnwrapErr(SysRng)).expect("changes");

        assert!(open(&path, &present).is_err());
        let again = open(&path, &to).expect("opens");
        assert_eq!(again.secrets, secrets());
        assert_eq!(again.store_keys, created.store_keys);
        present = to;
    }
}

#[test]
fn new_factors_never_cost_a_thief_less_than_the_old_ones() {
    let dir = dir();
    let (path, _) = create(dir.path(), &with(GOOD));
    let opened = Keystore::open(&path, &with(GOOD)).expect("opens");
    let dear = KdfParameters { passes: 4, ..KdfParameters::FLOOR };
    let salt = [7; kdf::SALT_BYTES];
    let kek = factors::kek(&passphrase(GOOD), None, &salt, dear).expect("derives");
    let header = Header { kdf: Kdf::Argon2id(dear), salt };
    opened.write_as(header, &kek, &mut UnwrapErr(SysRng));

    let mut opened = Keystore::open(&path, &with(GOOD)).expect("opens");
    opened.guard(&with("velvet anchor mosaic turnip"), &mut UnwrapErr(SysRng)).expect("changes");

    assert_eq!(read(&path).expect("reads").header.kdf, Kdf::Argon2id(dear));
}

#[test]
fn a_new_data_key_keeps_the_secrets_and_counts_once_it_is_committed() {
    let dir = dir();
    let (path, created) = create(dir.path(), &with(GOOD));
    let opened = Keystore::open(&path, &with(GOOD)).expect("opens");
    let before = read(&path).expect("reads");

    let rotated = opened.rotate(&mut UnwrapErr(SysRng)).expect("rotates");
    assert_eq!(open(&path, &with(GOOD)).expect("not yet").store_keys, created.store_keys);
    let new = rotated.store_keys.duplicate();
    rotated.commit().expect("commits");

    let after = open(&path, &with(GOOD)).expect("the same passphrase");
    assert_eq!((after.secrets, &after.store_keys), (secrets(), &new));
    assert_ne!(new, created.store_keys);
    let file = read(&path).expect("reads");
    assert!(file.dek != before.dek && file.secrets != before.secrets);
}

#[test]
fn secrets_of_the_key_store_say_nothing_of_themselves() {
    let (dir, elsewhere) = (dir(), dir());
    let key = elsewhere.path().join("key");
    let (path, unlocked) = create(dir.path(), &both(GOOD, &key));
    let opened = Keystore::open(&path, &both(GOOD, &key)).expect("opens");
    let rotated = opened.rotate(&mut UnwrapErr(SysRng)).expect("rotates");

    let shown = format!("{opened:?} {rotated:?} {unlocked:?} {:?}", both(GOOD, &key));

    // Long enough that no sealed bytes look so by chance.
    let numbers = [1, 2, 3].map(|byte: u8| format!("{byte}, ").repeat(8));
    let digits = [1, 2, 3].map(|byte: u8| format!("{byte:02x}").repeat(8));
    let words = ["cobalt", "sundial"].map(str::to_owned);
    for secret in numbers.iter().chain(&digits).chain(&words) {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

/// Compiles only for types that cannot be copied by accident: for others it is ambiguous which of
/// the two implementations is meant.
macro_rules! cannot_be_copied {
    ($($type:ty),* $(,)?) => {
        $(const _: fn() = || {
            trait Whatever<A> {
                fn name() {}
            }
            impl<T: ?Sized> Whatever<()> for T {}
            struct Cloneable;
            impl<T: ?Sized + Clone> Whatever<Cloneable> for T {}
            <$type as Whatever<_>>::name();
        };)*
    };
}

cannot_be_copied!(Secrets, StoreKeys, Passphrase, Factors, Opened, Rotated, Unlocked);
