//! A profile that is set back to a copy of itself, between real daemons.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::{Profile, Stage, TCP, eventually};

/// As a backup program does it: files and directories with their modes.
fn copy(from: &Path, to: &Path) {
    let mode = std::fs::metadata(from).expect("a directory").permissions();
    std::fs::create_dir(to).expect("a new directory");
    for entry in std::fs::read_dir(from).expect("a directory").map_while(Result::ok) {
        let (kind, target) = (entry.file_type().expect("a kind"), to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target);
        } else if kind.is_file() {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
    assert_eq!(mode.mode() & 0o077, 0);
    std::fs::set_permissions(to, mode).expect("its mode");
}

fn deliver(from: &Profile, to: &str, text: &str) {
    let sent = from.run(&["send", to, text, "--wait", "delivered", "--timeout", "40s"]);
    assert_eq!(sent.code, 0, "{text}: {sent:?}");
}

/// The texts of a whole conversation that came from the other side.
fn heard(profile: &Profile, from: &str) -> Vec<String> {
    let lines = profile.json(&["history", from, "--max", "100"]);
    let came = lines.iter().filter(|line| line["direction"] == "in");
    came.map(|line| line["text"].as_str().expect("a text").to_owned()).collect()
}

/// Pitfall "snapshot rollback": the user restores last week's copy of his home directory.
#[test]
fn after_a_rollback_messages_flow_in_both_directions_and_none_is_shown_twice() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _at_bob)] = stage.acquainted(TCP);
    for number in 0..3 {
        deliver(&alice, "bob", &format!("a{number}"));
        deliver(&bob, "alice", &format!("b{number}"));
    }
    assert_eq!(at_alice.stop(), 0);
    let saved = stage.path("saved");
    copy(alice.home(), &saved);
    let mut at_alice = alice.daemon(TCP);
    for number in 3..6 {
        deliver(&bob, "alice", &format!("b{number}"));
        deliver(&alice, "bob", &format!("a{number}"));
    }
    assert_eq!(at_alice.stop(), 0);
    std::fs::remove_dir_all(alice.home()).expect("removed");
    copy(&saved, alice.home());
    let waiting = bob.run(&["send", "alice", "b6"]);
    assert_eq!(waiting.code, 0, "{waiting:?}");

    let _at_alice = alice.daemon(TCP);

    deliver(&bob, "alice", "b7");
    deliver(&alice, "bob", "a7");
    deliver(&bob, "alice", "b8");
    eventually("both queues drain", || {
        [&alice, &bob].iter().all(|profile| profile.json(&["queue", "list"]).is_empty())
    });
    let at_bob = ["a0", "a1", "a2", "a3", "a4", "a5", "a7"];
    assert_eq!(heard(&bob, "alice"), at_bob, "each once");
    // What the copy holds and what came since; the three between are gone, and she is told.
    let at_alice = ["b0", "b1", "b2", "b6", "b7", "b8"];
    eventually("nobody waits for lost predecessors any more", || heard(&alice, "bob").len() >= 6);
    assert_eq!(heard(&alice, "bob"), at_alice);
    assert!(alice.run(&["history", "bob"]).stdout.contains("3 missing"));
}

#[test]
fn a_session_can_be_reset_while_messages_wait() {
    let stage = Stage::new();
    let [(alice, _at_alice), (bob, mut at_bob)] = stage.acquainted(TCP);
    deliver(&alice, "bob", "before");
    at_bob.kill();
    assert_eq!(alice.run(&["send", "bob", "waits"]).code, 0);

    let reset = alice.run(&["session", "reset", "bob"]);

    assert_eq!(reset.code, 0, "{reset:?}");
    let _at_bob = bob.daemon(TCP);
    deliver(&alice, "bob", "after");
    deliver(&bob, "alice", "answer");
    assert_eq!(heard(&bob, "alice"), ["before", "waits", "after"]);
    assert_eq!(heard(&alice, "bob"), ["answer"]);
    assert_eq!(alice.run(&["session", "reset", "nobody"]).code, 8);
}
