//! Each thing that users get wrong: its exit code, one clear line, a hint, and never a backtrace.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Finished, Profile, Stage, TCP, private_file};

fn refused(finished: &Finished, code: i32, about: &str) {
    assert_eq!(finished.code, code, "{finished:?}");
    let lines: Vec<_> = finished.stderr.lines().filter(|line| !line.contains("warning")).collect();
    assert_eq!(lines.len(), 2, "an error and a hint: {finished:?}");
    assert!(lines[0].starts_with("bitchat: error: ") && lines[0].contains(about), "{finished:?}");
    assert!(lines[1].starts_with("bitchat: hint: "), "{finished:?}");
    for word in ["panicked", "RUST_BACKTRACE", "src/", "Some(", "Err(", " { "] {
        assert!(!finished.stderr.contains(word), "{word} in {finished:?}");
    }
}

#[test]
fn a_wrong_passphrase_exits_with_12() {
    let stage = Stage::new();
    for (name, text) in
        [("right", "orbit velvet canyon 93 lamp"), ("wrong", "orbit velvet canyon 94 lamp")]
    {
        private_file(&stage.path(name), text);
    }
    let [right, wrong] = ["right", "wrong"].map(|name| stage.path(name).display().to_string());
    let home = stage.path("home");
    let made = Profile::at(home.clone())
        .with(&["--passphrase-file", &right])
        .run(&["init", "--name", "a"]);
    assert_eq!(made.code, 0, "{made:?}");

    refused(
        &Profile::at(home.clone()).with(&["--passphrase-file", &wrong]).run(&["id"]),
        12,
        "passphrase",
    );
    refused(&Profile::at(home.clone()).run(&["id"]), 1, "passphrase");
    assert_eq!(Profile::at(home).with(&["--passphrase-file", &right]).run(&["id"]).code, 0);
}

#[test]
fn a_weak_passphrase_or_a_second_profile_exits_with_1() {
    let stage = Stage::new();
    private_file(&stage.path("weak"), "password1");
    let weak = stage.path("weak").display().to_string();
    let alice = stage.profile("alice");

    let home = Profile::at(stage.path("home")).with(&["--passphrase-file", &weak]);
    refused(&home.run(&["init", "--name", "a"]), 1, "weak");
    refused(&alice.run(&["init", "--name", "again", "--no-passphrase"]), 1, "profile");
}

#[test]
fn no_profile_exits_with_1_and_says_how_to_make_one() {
    let stage = Stage::new();

    let finished = Profile::at(stage.path("nothing")).run(&["id"]);

    refused(&finished, 1, "no profile");
    assert!(finished.stderr.contains("bitchat init"));
}

/// A process that holds the lock and serves no socket (a daemon that hangs) is named at once.
#[test]
fn a_lock_held_by_a_process_without_socket_exits_with_9_and_names_it() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let daemon = alice.daemon(TCP);
    std::fs::remove_file(alice.home().join("bitchat.sock")).expect("the socket");

    let finished = alice.run(&["status"]);

    refused(&finished, 9, &daemon.pid().to_string());
}

/// A daemon that was killed leaves its socket behind: nobody answers there, and nobody holds the lock.
#[test]
fn a_dead_socket_without_a_lock_is_no_obstacle() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let mut daemon = alice.daemon(TCP);
    daemon.kill();
    assert!(alice.home().join("bitchat.sock").exists());

    assert_eq!(alice.run(&["id"]).code, 0);
    let mut again = alice.daemon(TCP);
    assert_eq!(again.stop(), 0);
}

#[test]
fn a_second_daemon_for_a_profile_exits_with_9() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let _first = alice.daemon(TCP);

    refused(&alice.run(&["daemon", "--listen", TCP]), 9, "daemon");
}

#[test]
fn an_unknown_and_an_ambiguous_contact_exit_with_8() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let _at_alice = alice.daemon(TCP);
    let twins = [stage.profile("bob"), Profile::at(stage.path("bob2"))];
    assert_eq!(twins[1].run(&["init", "--name", "bob", "--no-passphrase"]).code, 0);
    let _daemons = twins.each_ref().map(|twin| {
        let daemon = twin.daemon(TCP);
        twin.add(&alice);
        daemon
    });
    crate::harness::eventually("both are known", || alice.json(&["contact", "list"]).len() == 2);
    let other = alice.json(&["contact", "list"]).into_iter().find(|twin| twin["name"] != "bob");
    let fingerprint = other.expect("a name of its own")["fingerprint"].clone();
    let other = fingerprint.as_str().expect("a fingerprint");

    refused(&alice.run(&["send", "carol", "hi"]), 8, "carol");
    assert_eq!(alice.run(&["send", "bob", "hi"]).code, 0, "who was there first keeps the name");
    assert_eq!(alice.run(&["send", &format!("bob-{other}"), "hi"]).code, 0);
    let renamed = alice.run(&["contact", "rename", other, "bob"]);
    assert_eq!(renamed.code, 0, "{renamed:?}");
    assert!(renamed.stderr.contains("warning: \"bob\" may mean"), "{renamed:?}");
    let ambiguous = alice.run(&["send", "bob", "hi"]);
    refused(&ambiguous, 8, "bob");
    for contact in alice.json(&["contact", "list"]) {
        let fingerprint = contact["fingerprint"].as_str().expect("a fingerprint");
        assert!(ambiguous.stderr.contains(fingerprint), "{ambiguous:?}");
        let account = contact["account"].as_str().expect("an account");
        assert_eq!(
            alice.run(&["send", account, "hi"]).code,
            0,
            "the account id is never ambiguous"
        );
    }
}

#[test]
fn a_malformed_link_exits_with_1() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let bob = stage.profile("bob");
    let good = alice.invite();

    refused(&bob.run(&["contact", "add", "bitchat:xyz"]), 1, "invitation");
    refused(&bob.run(&["contact", "add", &good[..good.len() - 2]]), 1, "invitation");
    refused(&bob.run(&["contact", "add", "https://example.org"]), 1, "invitation");
    refused(&alice.run(&["contact", "add", &good]), 1, "own");
}

#[test]
fn an_empty_or_oversized_message_exits_with_1() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let bob = stage.profile("bob");
    bob.add(&alice);

    refused(&bob.run_with(&["send", "alice", "--stdin"], &"x".repeat(65_537)), 1, "65536");
    refused(&bob.run_with(&["send", "alice", "--stdin"], ""), 1, "empty");
    let longest =
        bob.run_with(&["send", "alice", "--stdin", "--wait", "queued"], &"x".repeat(65_536));
    assert_eq!(longest.code, 0, "{longest:?}");
}

/// JSON writes a quote as two characters and a control character as six.
#[test]
fn the_longest_text_is_taken_whatever_its_characters() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let bob = stage.profile("bob");
    bob.add(&alice);

    for text in ["\"".repeat(65_536), "\u{1}".repeat(65_536), "\n".repeat(65_535) + "x"] {
        let queued = bob.run_with(&["send", "alice", "--stdin", "--wait", "queued"], &text);
        assert_eq!(queued.code, 0, "{queued:?}");
    }
}

#[test]
fn an_invitation_with_any_wrong_character_is_refused() {
    let stage = Stage::new();
    let (alice, bob) = (stage.profile("alice"), stage.profile("bob"));
    let good = alice.invite();

    for at in [10, 20, 35, 100, good.len() - 3] {
        let mut bad: Vec<char> = good.chars().collect();
        bad[at] = if bad[at] == 'A' { 'B' } else { 'A' };
        let link: String = bad.into_iter().collect();
        refused(&bob.run(&["contact", "add", &link]), 1, "invitation");
    }
}

#[test]
fn an_unwritable_directory_exits_with_3() {
    let stage = Stage::new();
    // A file where the directory should be: no permission bits stop the superuser that CI runs as.
    std::fs::write(stage.path("file"), "").expect("a file");

    refused(
        &Profile::at(stage.path("file").join("home")).run(&[
            "init",
            "--name",
            "a",
            "--no-passphrase",
        ]),
        3,
        "file",
    );
}

#[test]
fn a_home_that_others_may_read_is_refused() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let loose = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(alice.home(), loose).expect("chmod");

    let finished = alice.run(&["id"]);

    assert_ne!(finished.code, 0);
    refused(&finished, finished.code, "others may use");
}

#[test]
fn a_damaged_store_exits_with_9_and_is_left_as_it_is() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    assert_eq!(alice.run(&["contact", "invite"]).code, 0);
    let db = alice.home().join("data").join("db");
    let before = std::fs::read(&db).expect("the database");
    let damaged: Vec<u8> = before.iter().map(|byte| byte ^ 0x5A).collect();
    std::fs::write(&db, &damaged).expect("damage");

    let finished = alice.run(&["id"]);

    refused(&finished, 9, "damaged");
    assert_eq!(std::fs::read(&db).expect("the database"), damaged, "nothing was made anew");
}

#[test]
fn a_lost_or_damaged_key_file_exits_with_9_says_which_and_changes_nothing() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let keys = alice.home().join("data").join("keys");
    let sound = std::fs::read(&keys).expect("the keys");

    std::fs::remove_file(&keys).expect("removes");
    refused(&alice.run(&["id"]), 9, "data/keys is missing");
    assert!(!keys.exists(), "it was made anew");
    let damaged: Vec<u8> = sound.iter().map(|byte| byte ^ 0x5A).collect();
    std::fs::write(&keys, &damaged).expect("damage");
    refused(&alice.run(&["id"]), 9, "data/keys is damaged");
    assert_eq!(std::fs::read(&keys).expect("the keys"), damaged);

    std::fs::write(&keys, sound).expect("writes");
    assert_eq!(alice.run(&["id"]).code, 0);
}

#[test]
fn a_store_that_vanished_exits_with_9_and_is_not_made_anew() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    std::fs::rename(alice.home().join("data"), stage.path("elsewhere")).expect("moved");

    refused(&alice.run(&["id"]), 9, "missing");

    assert!(!alice.home().join("data").exists());
}

#[test]
fn errors_with_json_are_one_object_on_stderr() {
    let stage = Stage::new();
    let alice = stage.profile("alice");

    let finished = alice.run(&["send", "nobody", "hi", "--json"]);

    let error: serde_json::Value =
        serde_json::from_str(finished.stderr.trim()).expect("one object");
    assert_eq!(
        (finished.code, &error["schema"], &error["error"]["category"]),
        (8, &1.into(), &"not_found".into())
    );
    assert!(error["error"]["hint"].as_str().is_some_and(|hint| !hint.is_empty()));
    assert!(finished.stdout.is_empty());
}

/// The screen vouches for a contact with a check mark; no name may, and what is shown answers.
#[test]
fn a_name_that_would_not_be_shown_as_it_is_exits_with_1_and_the_longest_one_answers() {
    let stage = Stage::new();
    let (alice, bob) = (stage.profile("alice"), stage.profile("bob"));
    alice.add(&bob);
    for name in ["bob ✓", "✅bob", "bo\u{202e}b", "bo\u{200b}b", "\u{301}bob", &"x".repeat(65)] {
        refused(&alice.run(&["contact", "rename", "bob", name]), 1, "not a usable name");
    }

    let longest = "y".repeat(64);
    assert_eq!(alice.run(&["contact", "rename", "bob", &longest]).code, 0);

    let listed = alice.run(&["contact", "list"]).stdout;
    let shown = listed.split_whitespace().next().expect("a name").to_owned();
    assert_eq!(shown, longest);
    assert_eq!(alice.run(&["contact", "show", &shown]).code, 0);
}
