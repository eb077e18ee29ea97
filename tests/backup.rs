//! Backups and copies of a profile, with real daemons.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Daemon, Profile, Stage, TCP, eventually, files_below, private_file};

const PASSPHRASE: &str = "seven purple wagons drift sideways";

/// A file with the passphrase of backups.
fn passphrase(stage: &Stage) -> String {
    let path = stage.path("backup-passphrase");
    if !path.exists() {
        private_file(&path, PASSPHRASE);
    }
    path.display().to_string()
}

fn back_up(stage: &Stage, profile: &Profile, history: bool) -> PathBuf {
    let file = stage.path("backup.age");
    let (path, secret) = (file.display().to_string(), passphrase(stage));
    let mut args = vec!["backup", "create", &path, "--backup-passphrase-file", &secret];
    args.extend(history.then_some("--history"));
    let made = profile.run(&args);
    assert_eq!(made.code, 0, "{made:?}");
    file
}

fn restore(stage: &Stage, file: &Path, name: &str) -> Profile {
    let profile = Profile::at(stage.path(name));
    let (path, secret) = (file.display().to_string(), passphrase(stage));
    let args = ["backup", "restore", &path, "--backup-passphrase-file", &secret, "--no-passphrase"];
    let made = profile.run(&args);
    assert_eq!(made.code, 0, "{made:?}");
    profile
}

fn send(from: &Profile, to: &str, text: &str) {
    let sent = from.run(&["send", to, text, "--wait", "delivered", "--timeout", "60s"]);
    assert_eq!(sent.code, 0, "{text}: {sent:?}");
}

fn texts(profile: &Profile, who: &str) -> Vec<String> {
    let history = profile.json(&["history", who]);
    history.iter().map(|line| line["text"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Codes of the standing warnings, but for those about the way tests run.
fn warnings(profile: &Profile) -> Vec<String> {
    let status = profile.json(&["status"]).remove(0);
    let codes = status["warnings"].as_array().expect("a list").iter();
    let codes = codes.map(|warning| warning["code"].as_str().unwrap_or_default().to_owned());
    codes.filter(|code| code != "config_insecure").collect()
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
    assert!(copied.success());
}

/// The home burns; the account, its contacts and what was said come back on a new device.
#[test]
fn an_account_whose_home_was_destroyed_talks_to_its_contacts_again_after_a_restore() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    send(&bob, "alice", "before the fire");
    send(&alice, "bob", "I smell smoke");
    assert_eq!(alice.run(&["contact", "rename", "bob", "Robert"]).code, 0);
    assert_eq!(alice.run(&["contact", "verify", "Robert"]).code, 0);
    assert_eq!(bob.run(&["contact", "verify", "alice"]).code, 0);
    let before = alice.json(&["id"]).remove(0);
    let file = back_up(&stage, &alice, true);
    at_alice.kill();
    std::fs::remove_dir_all(alice.home()).expect("burns");
    let lost = bob.run(&["send", "alice", "are you well?", "--wait", "queued"]);

    let phoenix = restore(&stage, &file, "phoenix");
    let _at_phoenix = phoenix.daemon(TCP);

    eventually("what bob sent meanwhile arrives", || {
        texts(&phoenix, "Robert").contains(&"are you well?".to_owned())
    });
    send(&phoenix, "Robert", "as good as new");
    send(&bob, "alice", "so glad");
    assert_eq!(lost.code, 0, "{lost:?}");
    let after = phoenix.json(&["id"]).remove(0);
    assert_eq!(after["account"], before["account"]);
    assert_ne!(after["device"], before["device"], "a restore is a new device");
    assert_eq!(
        texts(&phoenix, "Robert"),
        ["before the fire", "I smell smoke", "are you well?", "as good as new", "so glad"]
    );
    let robert = phoenix.json(&["contact", "show", "Robert"]).remove(0);
    assert_eq!(robert["verified"], true);
    assert!(phoenix.receive().iter().all(|text| text != "before the fire"), "nothing old is news");
    let alice_at_bob = bob.json(&["contact", "show", "alice"]).remove(0);
    assert_eq!(alice_at_bob["device"], after["device"], "bob knows the new device");
    assert_eq!(alice_at_bob["verified"], true, "the account is the same");
    assert_eq!(warnings(&phoenix), Vec::<String>::new());
}

/// Nobody has to guess which of two devices is the right one: the old one is told.
#[test]
fn a_device_that_was_replaced_by_a_restore_is_told_and_says_so() {
    let stage = Stage::new();
    let [(alice, at_alice), (bob, _b)] = stage.acquainted(TCP);
    send(&alice, "bob", "hello");
    let file = back_up(&stage, &alice, false);
    assert_eq!(warnings(&alice), Vec::<String>::new());

    let newer = restore(&stage, &file, "newer");
    let _at_newer = newer.daemon(TCP);
    eventually("bob knows the new device", || {
        let device = &newer.json(&["id"])[0]["device"];
        bob.json(&["contact", "show", "alice"])[0]["device"] == *device
    });

    eventually("the old device says so", || warnings(&alice) == ["superseded"]);
    assert_eq!(warnings(&newer), Vec::<String>::new());
    assert_eq!(texts(&newer, "bob"), Vec::<String>::new(), "made without --history");
    let dismissed = alice.run(&["status", "--dismiss", "copied_datadir"]);
    assert_ne!(dismissed.code, 0, "{dismissed:?}");
    drop(at_alice);
    let again = alice.daemon(TCP);
    assert_eq!(warnings(&alice), ["superseded"], "it is remembered");
    drop(again);
}

/// It was off when its successor came: it is told when it comes back.
#[test]
fn a_replaced_device_that_was_off_is_told_when_it_returns() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    send(&alice, "bob", "hello");
    let file = back_up(&stage, &alice, false);
    assert_eq!(at_alice.stop(), 0);
    let newer = restore(&stage, &file, "newer");
    let at_newer = newer.daemon(TCP);
    send(&newer, "bob", "here I am");
    drop(at_newer);

    let _at_alice = alice.daemon(TCP);

    eventually("the old device says so", || warnings(&alice) == ["superseded"]);
    assert_eq!(bob.json(&["contact", "list"]).len(), 1);
}

/// The old device is the one in use after all: it takes the account back, and the other one is told.
#[test]
fn a_replaced_device_takes_the_account_back_and_the_other_one_is_told() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    let file = back_up(&stage, &alice, false);
    let newer = restore(&stage, &file, "newer");
    let _at_newer = newer.daemon(TCP);
    eventually("the old device says so", || warnings(&alice) == ["superseded"]);
    assert_ne!(alice.run(&["key", "reclaim"]).code, 0, "not while the daemon runs");
    assert_eq!(at_alice.stop(), 0);

    let reclaimed = alice.run(&["key", "reclaim"]);
    assert_eq!(reclaimed.code, 0, "{reclaimed:?}");
    let _at_alice = alice.daemon(TCP);

    send(&alice, "bob", "it is me");
    assert_eq!(warnings(&alice), Vec::<String>::new());
    eventually("the newer device says so", || warnings(&newer) == ["superseded"]);
    send(&bob, "alice", "I see");
    assert_eq!(alice.receive(), ["I see"]);
}

#[test]
fn a_copied_home_warns_until_it_is_accepted_and_a_moved_one_does_not() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    assert_eq!(warnings(&alice), Vec::<String>::new());
    let moved = Profile::at(stage.path("moved"));
    std::fs::rename(alice.home(), moved.home()).expect("renames");

    assert_eq!(warnings(&moved), Vec::<String>::new(), "a rename is no copy");
    let copied = Profile::at(stage.path("copied"));
    copy(moved.home(), copied.home());
    assert_eq!(warnings(&copied), ["copied_datadir"]);
    assert_eq!(warnings(&copied), ["copied_datadir"], "it stands");
    assert!(copied.run(&["id"]).stderr.contains("was copied"), "a command that needs no daemon");
    assert!(!moved.run(&["id"]).stderr.contains("was copied"));
    assert_eq!(copied.run(&["status", "--dismiss", "copied_datadir"]).code, 0);
    assert_eq!(warnings(&copied), Vec::<String>::new());
    assert_eq!(warnings(&moved), Vec::<String>::new());
}

/// A snapshot of a whole machine keeps every mark of its place; contacts still know better.
#[test]
fn a_device_that_was_set_back_learns_from_a_contact_that_a_copy_of_it_was_ahead() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    send(&alice, "bob", "one");
    assert_eq!(at_alice.stop(), 0);
    let twin = Profile::at(stage.path("twin"));
    copy(alice.home(), twin.home());
    std::fs::remove_file(twin.home().join("ports")).expect("it knew its port");
    let mut at_twin = twin.daemon(TCP);
    send(&twin, "bob", "two, from the copy");
    send(&bob, "alice", "three");
    assert_eq!(at_twin.stop(), 0);

    let _at_alice: Daemon = alice.daemon(TCP);
    let _ = alice.run(&["send", "bob", "four, from the past", "--wait", "queued"]);

    eventually("the device that was set back says so", || warnings(&alice) == ["copied_datadir"]);
}

/// Both are up at once: each takes the other's place at the contact, who shows what it holds.
#[test]
fn of_two_copies_that_run_at_once_the_one_that_fell_behind_says_so() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    send(&alice, "bob", "one");
    assert_eq!(at_alice.stop(), 0);
    let twin = Profile::at(stage.path("twin"));
    copy(alice.home(), twin.home());
    std::fs::remove_file(twin.home().join("ports")).expect("it knew its port");
    assert_eq!(twin.run(&["status", "--dismiss", "copied_datadir"]).code, 0, "a wrong promise");
    let _at_alice = alice.daemon(TCP);
    std::thread::sleep(std::time::Duration::from_secs(3)); // Her connection is no fresh one.
    let _at_twin = twin.daemon(TCP);
    let says_so = |profile: &Profile| {
        let said = profile.run(&["send", "bob", "still here", "--wait", "queued"]);
        assert_eq!(said.code, 0, "{said:?}");
        warnings(profile) == ["copied_datadir"]
    };

    eventually("one of them says so", || says_so(&alice) || says_so(&twin));
    assert_eq!(bob.json(&["contact", "list"]).len(), 1);
}

#[test]
fn a_backup_is_made_without_a_daemon_and_says_what_it_lacks() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let (file, secret) = (stage.path("a.age").display().to_string(), passphrase(&stage));
    let create = ["backup", "create", &file, "--backup-passphrase-file", &secret];

    let made = alice.run(&create);
    let again = alice.run(&create);
    let verify = ["backup", "verify", &file, "--backup-passphrase-file", &secret];
    let checked = Profile::at(stage.path("nowhere")).run(&verify);
    let counted = alice.json(&verify).remove(0);

    assert_eq!((made.code, again.code, checked.code), (0, 1, 0), "{made:?} {again:?} {checked:?}");
    assert!(made.stdout.contains("not held") && made.stdout.contains("sessions"), "{made:?}");
    assert!(again.stderr.contains("--force"), "{again:?}");
    assert!(checked.stdout.contains("the backup is whole"), "{checked:?}");
    assert!(!stage.path("nowhere").exists(), "verify makes no home");
    assert_eq!((&counted["contacts"], &counted["history"]), (&0.into(), &false.into()));
    assert_eq!(counted["account"], alice.json(&["id"])[0]["account"]);
    let left: Vec<_> = files_below(&stage.path(".")).into_iter().map(|(path, _)| path).collect();
    assert!(left.iter().all(|path| !path.display().to_string().contains(".new")), "{left:?}");
}

#[test]
fn a_backup_that_does_not_hold_is_refused_with_the_exit_code_of_its_kind() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let file = back_up(&stage, &alice, false);
    let whole = std::fs::read(&file).expect("reads");
    let secret = passphrase(&stage);
    private_file(&stage.path("wrong"), "eleven green kettles hum quietly");
    let wrong = stage.path("wrong").display().to_string();
    let nobody = Profile::at(stage.path("nobody"));
    let restore = |bytes: &[u8], secret: &str| {
        let path = stage.path("candidate").display().to_string();
        std::fs::write(&path, bytes).expect("writes");
        let args = ["backup", "restore", &path, "--backup-passphrase-file", secret];
        let ended = nobody.run(&args);
        assert!(!nobody.home().join("keystore.json").exists(), "{ended:?}");
        assert!(!nobody.home().join("data").exists(), "{ended:?}");
        ended
    };
    let mut flipped = whole.clone();
    *flipped.last_mut().expect("not empty") ^= 1;

    assert_eq!(restore(&whole, &wrong).code, 12);
    assert_eq!(restore(&whole[..whole.len() - 1], &secret).code, 12);
    assert_eq!(restore(&flipped, &secret).code, 12);
    assert_eq!(restore(b"not at all", &secret).code, 1);
    let taken = Profile::at(alice.home().to_owned()).run(&[
        "backup",
        "restore",
        &file.display().to_string(),
        "--backup-passphrase-file",
        &secret,
    ]);
    assert_eq!(taken.code, 1, "{taken:?}");
    assert!(taken.stderr.contains("--home"), "{taken:?}");
}

/// The way of a script: through a pipe, with one passphrase for everything, in front of it.
#[test]
fn a_backup_goes_through_a_pipe_under_the_profiles_own_passphrase() {
    let stage = Stage::new();
    let secret = passphrase(&stage);
    let alice = Profile::at(stage.path("alice")).with(&["--passphrase-file", &secret]);
    assert_eq!(alice.run(&["init", "--name", "alice"]).code, 0);
    let copy = Profile::at(stage.path("copy")).with(&["--passphrase-file", &secret]);
    let program = env!("CARGO_BIN_EXE_bitchat-under-test");
    let (from, to) = (alice.home().display(), copy.home().display());
    let pipe = format!(
        "{{ cat '{secret}'; echo; \
            '{program}' --home '{from}' --passphrase-file '{secret}' backup create -; }} | \
         '{program}' --home '{to}' --passphrase-file - backup restore -"
    );

    let piped = Command::new("sh").args(["-c", &pipe]).output().expect("a shell");

    assert!(piped.status.success(), "{}", String::from_utf8_lossy(&piped.stderr));
    assert_eq!(copy.json(&["id"])[0]["account"], alice.json(&["id"])[0]["account"]);
    assert_eq!(copy.json(&["id"])[0]["nickname"], "alice");
}

/// A second factor is not lost without a word: a backup says that it is not guarded by it, and a
/// restore with it makes a profile that needs it.
#[test]
fn a_key_file_does_not_guard_a_backup_which_says_so_and_guards_a_restore_that_names_it() {
    let stage = Stage::new();
    let (secret, key) = (passphrase(&stage), stage.path("stick").display().to_string());
    let file = stage.path("backup.age").display().to_string();
    let at = |name: &str| Profile::at(stage.path(name));
    let both = ["--passphrase-file", &secret, "--key-file", &key];
    let alice = at("alice").with(&both);
    assert_eq!(alice.run(&["init", "--name", "alice"]).code, 0);

    let made = alice.run(&["backup", "create", &file]);
    let restored = at("copy").with(&both).run(&["backup", "restore", &file]);

    assert!(made.code == 0 && made.stderr.contains("its passphrase alone opens it"), "{made:?}");
    assert_eq!(restored.code, 0, "{restored:?}");
    assert_eq!(at("copy").with(&both[..2]).run(&["id"]).code, 1, "the key file is not asked for");
    assert_eq!(at("copy").with(&both).run(&["id"]).code, 0);
}
