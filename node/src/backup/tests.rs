//! A backup opens with its passphrase and whole, or says why not; nothing is written half.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use bitchat_protocol::backup::{Head, Item, MAGIC};
use bitchat_protocol::contact::{Contact, KeyPolicy};
use bitchat_protocol::crypto::{AgeHeader, Secret};
use bitchat_protocol::id::{AccountId, DeviceId};
use bitchat_protocol::store::{Key, Store, Table};
use bitchat_protocol::time::UnixMillis;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use super::*;
use crate::home::Home;
use crate::keystore::{Factors, Keystore};
use crate::profile::{Credentials, NewProfile, create_profile, unlock};
use crate::store::SledStore;

const PASSPHRASE: &str = "correct horse battery staple";

/// Cheap: what scrypt costs is not what is tested.
const WORK: u8 = 4;

fn head() -> Head {
    Head {
        phrase_entropy: Secret::take(&mut [9; 32]),
        nickname: "ann".to_owned(),
        number: 1,
        // Far in the future, as if the old machine's clock had been wrong.
        generation: 9_000_000_000_000,
        created: UnixMillis(1_700_000_000_000),
        history: false,
    }
}

fn contact(number: u32) -> Item {
    let mut account = [2; 32];
    account[..4].copy_from_slice(&number.to_be_bytes());
    Item::Contact(Box::new(Contact {
        account: AccountId(account),
        name: format!("contact {number}"),
        nickname: String::new(),
        record: Some(vec![7; 4_000]),
        device: DeviceId(account),
        generation: 1,
        addresses: Vec::new(),
        token: None,
        read_receipts: None,
        verified: number.is_multiple_of(2),
        added: UnixMillis(1),
        former: Vec::new(),
        policy: KeyPolicy::Tofu,
        changed: None,
        pending: None,
    }))
}

fn backup(contacts: u32) -> Vec<u8> {
    let mut creator =
        Creator::with(Vec::new(), PASSPHRASE.as_bytes(), WORK, head()).expect("memory");
    for number in 0..contacts {
        creator.take(&contact(number).frame()).expect("an item");
    }
    creator.finish().expect("memory").0
}

fn check(file: &[u8]) -> Result<Contents, NodeError> {
    verify(Cursor::new(file), PASSPHRASE)
}

#[test]
fn a_backup_of_many_chunks_says_what_is_in_it() {
    let file = backup(100);

    let contents = check(&file).expect("whole");

    assert!(file.len() > 5 * 65_536);
    assert_eq!((contents.counts.contacts, contents.counts.verified), (100, 50));
    assert_eq!((contents.nickname.as_str(), contents.history), ("ann", false));
    assert!(contents.account.starts_with("bchat1"));
}

#[test]
fn nothing_of_the_content_is_readable_in_the_file() {
    let file = backup(3);

    for word in [&b"contact"[..], b"bitchat backup", b"ann", &[7; 16], &[9; 16]] {
        assert!(!file.windows(word.len()).any(|window| window == word), "{word:?}");
    }
}

#[test]
fn a_wrong_passphrase_is_told_from_damage() {
    assert_eq!(
        verify(Cursor::new(backup(1)), "another passphrase"),
        Err(NodeError::BackupPassphrase)
    );
}

#[test]
fn every_cut_is_noticed() {
    let file = backup(20);
    let ends = (1..400).chain([file.len() / 2, file.len() - 16, file.len() - 1]);

    for end in ends {
        let error = check(&file[..end]).expect_err("cut");
        assert!(error.category().exit() == 12 || end < 22, "{end}: {error:?}");
    }
    assert_eq!(check(&[]), Err(NodeError::NotABackup));
}

#[test]
fn every_flipped_byte_is_noticed() {
    let file = backup(20);
    let steps = (0..300).chain((300..file.len()).step_by(1_021));

    for at in steps {
        let mut flipped = file.clone();
        flipped[at] ^= 1;
        let error = check(&flipped).expect_err("flipped");
        assert!(error.category().exit() == 12 || at < 33, "{at}: {error:?}");
    }
}

#[test]
fn bytes_after_the_end_are_noticed() {
    let mut file = backup(1);
    file.push(0);

    assert!(matches!(check(&file), Err(NodeError::BackupDamaged { .. })));
}

#[test]
fn other_files_are_no_backup() {
    for file in [&b"PK\x03\x04"[..], b"\n", &[0; 100_000], b"age-encryption.org/v2\n"] {
        assert_eq!(check(file), Err(NodeError::NotABackup));
    }
    let stranger = sealed(b"holiday pictures");
    assert_eq!(check(&stranger), Err(NodeError::NotABackup));
    let newer = sealed(b"bitchat backup 2\n....");
    assert_eq!(check(&newer), Err(NodeError::BackupVersion { found: 2 }));
}

/// An age file whose chunks are in order but whose items end too early.
#[test]
fn a_payload_without_its_end_is_damaged() {
    let whole = [MAGIC, &Item::Head(head()).frame(), &contact(1).frame()].concat();

    for end in [MAGIC.len(), MAGIC.len() + 9, whole.len() - 1, whole.len()] {
        let found = check(&sealed(&whole[..end]));
        assert!(matches!(found, Err(NodeError::BackupDamaged { .. })), "{end}: {found:?}");
    }
}

#[test]
fn a_file_appears_whole_or_not_at_all() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("backup.age");

    let mut first = NewFile::create(&path, false).expect("creates");
    std::io::Write::write_all(&mut first, b"half").expect("writes");
    drop(first);
    assert_eq!(names(dir.path()), Vec::<String>::new(), "given up");
    NewFile::create(&path, false).expect("creates").keep().expect("kept");

    let again = NewFile::create(&path, false).map(drop);
    let replaced = NewFile::create(&path, true).and_then(NewFile::keep);

    assert_eq!(again, Err(NodeError::FileExists { path: path.clone() }));
    assert_eq!(replaced, Ok(()));
    assert_eq!(names(dir.path()), ["backup.age"]);
    let mode = std::os::unix::fs::MetadataExt::mode(&path.metadata().expect("there"));
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_restore_is_a_new_device_of_a_higher_generation_with_the_old_contacts() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let home = Home::at(dir.path().join("home"));

    let restored = restore(&home, Cursor::new(backup(300)), PASSPHRASE, Credentials::default())
        .expect("an empty home");
    let unlocked = Keystore::open(&home.keystore(), &Factors::default())
        .expect("no passphrase")
        .into_unlocked();
    let store = SledStore::open(&home.data(), unlocked.store_keys).expect("opens");
    let secrets = unlocked.secrets;
    let (rows, _) = store.walk(Table::Contact, None, 1_000).expect("reads");

    assert_eq!(restored.generation, 9_000_000_000_001);
    assert_eq!(secrets.generation, restored.generation);
    assert_eq!(secrets.phrase_entropy, Secret::take(&mut [9; 32]));
    assert_eq!(rows.len(), 300);
    assert!(rows.iter().any(|row| Contact::from_record(row).is_ok_and(|c| c.verified)));
    assert_eq!(store.get(&Key::of(Table::Meta, b"prekeys")), Ok(None));
    assert!(!home.staging().exists());
}

#[test]
fn a_home_that_has_a_profile_is_left_alone() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let home = Home::at(dir.path().join("home"));
    restore(&home, Cursor::new(backup(1)), PASSPHRASE, Credentials::default())
        .expect("an empty home");
    let before = fs::read(home.keystore()).expect("reads");

    let again = restore(&home, Cursor::new(backup(1)), PASSPHRASE, Credentials::default());

    assert!(matches!(again, Err(NodeError::ProfileExists { .. })));
    assert_eq!(fs::read(home.keystore()).expect("reads"), before);
}

#[test]
fn a_restore_that_fails_leaves_no_profile_and_can_be_begun_again() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let home = Home::at(dir.path().join("home"));
    let file = backup(300);

    let cut =
        restore(&home, Cursor::new(&file[..file.len() - 20]), PASSPHRASE, Credentials::default());
    assert!(matches!(cut, Err(NodeError::BackupDamaged { .. })), "{cut:?}");
    assert!(!home.has_profile() && !home.data().exists());

    // As if the process had died between the two renames.
    fs::create_dir_all(home.staging()).expect("creates");
    fs::create_dir_all(home.data().join("db")).expect("creates");
    assert!(restore(&home, Cursor::new(&file), PASSPHRASE, Credentials::default()).is_ok());
}

/// Data without a key store that no restore of ours left may be somebody's messages.
#[test]
fn data_that_no_restore_left_is_not_removed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let home = Home::at(dir.path().join("home"));
    home.create().expect("creates");
    fs::create_dir(home.data()).expect("creates");

    let refused = restore(&home, Cursor::new(backup(1)), PASSPHRASE, Credentials::default());

    assert!(matches!(refused, Err(NodeError::HomeUnwritable { .. })), "{refused:?}");
    assert!(home.data().exists());
}

fn sealed(payload: &[u8]) -> Vec<u8> {
    let mut rng = UnwrapErr(SysRng);
    let created = AgeHeader::create(PASSPHRASE.as_bytes(), WORK, &mut rng);
    let (mut file, mut sealer) = created.expect("a cheap header");
    file.extend(sealer.seal(payload, true).expect("one chunk"));
    file
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("lists").map_while(Result::ok);
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_key_file_that_is_named_guards_the_restored_profile_and_lies_outside_of_it() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let home = Home::at(dir.path().join("home"));
    let restored = |key_file: &Path| {
        let passphrase = Some(PASSPHRASE.to_owned().into());
        let own = Credentials { passphrase, key_file: Some(key_file.to_owned()) };
        restore(&home, Cursor::new(backup(1)), PASSPHRASE, own)
    };

    let inside = restored(&home.root().join("key"));
    let (outside, key) = (dir.path().join("key"), || Passphrase::new(PASSPHRASE).ok());
    let made = restored(&outside);

    assert_eq!(inside.expect_err("refused").code(), "key_file");
    assert!(made.is_ok() && outside.exists(), "{made:?}");
    let without = Keystore::open(&home.keystore(), &Factors { passphrase: key(), key_file: None });
    assert!(without.is_err(), "the passphrase alone opens it");
    let both = Factors { passphrase: key(), key_file: Some(outside) };
    assert!(Keystore::open(&home.keystore(), &both).is_ok());
}

/// Killed between the two renames, at the end.
#[test]
fn a_restore_that_was_killed_does_not_hinder_a_profile_nor_stay_beside_it() {
    for moved in [false, true] {
        let dir = tempfile::tempdir().expect("temporary directory");
        let home = Home::at(dir.path().join("home"));
        restore(&home, Cursor::new(backup(1)), PASSPHRASE, Credentials::default())
            .expect("restores");
        fs::create_dir(home.staging()).expect("makes");
        for name in ["keystore.json", "keystore.key"] {
            fs::rename(home.root().join(name), home.staging().join(name)).expect("renames");
        }
        if !moved {
            fs::rename(home.data(), home.staging().join("data")).expect("renames");
        }
        let new = NewProfile {
            name: String::new(),
            credentials: Credentials::default(),
            allow_no_passphrase: true,
            recover: None,
        };

        create_profile(&home, new).expect("a profile");

        assert!(!home.staging().exists(), "the other account's keys stayed");
        let keys = unlock(&home, Credentials::default()).expect("opens").store_keys;
        SledStore::open(&home.data(), keys).expect("its own store");
    }
}
