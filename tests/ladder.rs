//! The way of a message between real daemons: its steps, ids of sends, read notices, what waits.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::harness::{Profile, Stage, TCP, eventually};

fn show(profile: &Profile, id: &str) -> Value {
    profile.json(&["queue", "show", id])[0].clone()
}

fn id_of(delivery: &Value) -> String {
    delivery["id"].as_str().expect("an id").to_owned()
}

fn states(track: &Value) -> Vec<&str> {
    let steps = track["steps"].as_array().expect("steps");
    steps.iter().map(|step| step["state"].as_str().expect("a word")).collect()
}

#[test]
fn every_step_of_a_message_is_shown_with_its_evidence() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);
    let sent = bob.json(&["send", "alice", "hello", "--wait", "delivered"])[0].clone();
    let id = id_of(&sent);

    let track = show(&bob, &id);
    let shown = bob.run(&["queue", "show", &id]);

    let reached = states(&track);
    assert_eq!((reached[0], *reached.last().expect("steps")), ("queued", "delivered"), "{track}");
    assert!(track["waits"].is_null() && track["late_receipt_ms"].is_null(), "{track}");
    assert!(shown.stdout.contains("✓✓ delivered: receipt of the recipient's device"), "{shown:?}");
    assert!(shown.stdout.contains("· queued: on this disk"), "{shown:?}");
    let unknown = alice.run(&["queue", "show", &id]);
    assert_eq!(unknown.code, 8, "{unknown:?}");
}

/// A script that does not know whether its last try went through tries again.
#[test]
fn the_same_id_sends_once_also_after_the_daemon_was_killed() {
    let stage = Stage::new();
    let [(alice, _a), (bob, mut at_bob)] = stage.acquainted(TCP);
    let order = ["send", "alice", "seven please", "--id", "order-7", "--wait", "delivered"];
    let first = bob.json(&order)[0].clone();
    at_bob.kill();
    let _at_bob = bob.daemon(TCP);

    let again = bob.json(&order)[0].clone();
    let other = bob.run(&["send", "alice", "eight please", "--id", "order-7", "--json"]);

    assert_eq!(again["id"], first["id"]);
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stderr.contains("\"code\":\"id_taken\""), "{other:?}");
    assert_eq!(alice.receive(), ["seven please"]);
}

#[test]
fn a_sender_is_told_what_was_read_only_if_the_reader_wishes_it() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);
    let silent = bob.json(&["send", "alice", "psst", "--wait", "delivered"])[0].clone();
    assert_eq!(alice.receive(), ["psst"]);
    let unsaid = bob.run(&["send", "alice", "2", "--wait", "read", "--timeout", "1s"]);
    assert_eq!(alice.run(&["contact", "receipts", "bob", "on"]).code, 0);
    let told = bob.json(&["send", "alice", "hello", "--wait", "delivered"])[0].clone();

    alice.receive();

    eventually("it is read", || show(&bob, &id_of(&told))["state"] == "read");
    assert_eq!(show(&bob, &id_of(&silent))["state"], "delivered");
    assert_eq!(unsaid.code, 6, "{unsaid:?}");
    assert!(unsaid.stderr.contains("may choose not to say more"), "{unsaid:?}");
    assert!(bob.run(&["history", "alice"]).stdout.contains("✓✓ read"));
}

/// The switch of the profile, in its file.
#[test]
fn a_wait_for_read_ends_when_the_reader_has_taken_the_message() {
    let stage = Stage::new();
    let (alice, bob) = (stage.profile("alice"), stage.profile("bob"));
    std::fs::write(alice.home().join("config.toml"), "[privacy]\nread_receipts = true\n")
        .expect("written");
    let (_a, _b) = (alice.daemon(TCP), bob.daemon(TCP));
    bob.add(&alice);
    eventually("she knows him", || alice.run(&["contact", "show", "bob"]).code == 0);
    let mut wait = bob.command(&["send", "alice", "hello", "--wait", "read", "--timeout", "30s"]);
    let mut waiting = wait.stdout(Stdio::null()).spawn().expect("it runs");
    eventually("it has come", || !alice.json(&["history", "bob"]).is_empty());
    let before = waiting.try_wait().expect("a child");

    assert_eq!(alice.receive(), ["hello"]);

    assert_eq!(before, None, "nobody has read it yet");
    assert_eq!(waiting.wait().expect("it ends").code(), Some(0));
}

/// The marks of a chat go on while it is open, up to `read`.
#[test]
fn a_chat_shows_that_its_message_was_read_while_it_is_open() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);
    assert_eq!(alice.run(&["contact", "receipts", "bob", "on"]).code, 0);
    let mut chat = bob.command(&["chat", "alice"]);
    let chat = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut chat = chat.spawn().expect("it runs");
    let mut typed = chat.stdin.take().expect("piped");
    typed.write_all(b"hello\n").expect("typed");
    let (lines, printed) = channel();
    let stdout = BufReader::new(chat.stdout.take().expect("piped"));
    std::thread::spawn(move || {
        stdout.lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
    });
    let mut marks: Vec<String> = Vec::new();
    let mut until = |mark: &str| {
        while !marks.last().is_some_and(|line| line.contains(mark)) {
            let line = printed.recv_timeout(Duration::from_secs(20));
            marks.push(line.unwrap_or_else(|_| panic!("no {mark} in {marks:?}")));
        }
    };
    until("✓✓ hello");

    assert_eq!(alice.receive(), ["hello"]);

    until("✓✓ read hello");
    drop(typed);
    assert_eq!(chat.wait().expect("it ends").code(), Some(0));
    assert!(marks.first().is_some_and(|line| line.contains("· hello")), "{marks:?}");
}

#[test]
fn what_nobody_took_is_taken_back_and_never_arrives() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    at_alice.kill();
    let regretted = id_of(&bob.json(&["send", "alice", "regretted"])[0]);
    let meant = id_of(&bob.json(&["send", "alice", "meant"])[0]);
    eventually("it was tried", || {
        let waits = show(&bob, &meant)["waits"].clone();
        !waits["last_error"].is_null() && !waits["next_attempt_ms"].is_null()
    });

    let cancelled = bob.json(&["queue", "cancel", &regretted])[0].clone();
    let _at_alice = alice.daemon(TCP);
    let retried = bob.run(&["queue", "retry", &meant]);

    assert_eq!(cancelled["state"], "undeliverable", "{cancelled}");
    assert!(cancelled["evidence"].as_str().is_some_and(|why| why.starts_with("cancelled")));
    assert!([0, 8].contains(&retried.code), "tried, or there by itself: {retried:?}");
    eventually("the queue drains", || bob.json(&["queue", "list"]).is_empty());
    // The number of what was taken back is missing at her side, and said to be.
    eventually("it is shown", || !alice.json(&["history", "bob"]).is_empty());
    let history = alice.json(&["history", "bob"]);
    assert_eq!(history.len(), 1, "{history:?}");
    assert_eq!((&history[0]["text"], &history[0]["gap"]), (&"meant".into(), &1.into()));
    assert!(alice.run(&["history", "bob"]).stdout.contains("… 1 missing"));
    let late = bob.run(&["queue", "cancel", &meant]);
    assert_eq!(late.code, 8, "{late:?}");
}

#[test]
fn a_message_expires_when_its_sender_said_and_never_later_than_thirty_days() {
    let stage = Stage::new();
    let [(_alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    at_alice.kill();

    let never = bob.run(&["send", "alice", "x", "--expires", "31d"]);
    let wait = ["--wait", "delivered", "--timeout", "20s"];
    let sent = bob.run(&[["send", "alice", "x", "--expires", "1s"].as_slice(), &wait].concat());
    let stored = bob.run(&["send", "alice", "y", "--wait", "stored", "--timeout", "300ms"]);
    let waiting = bob.json(&["queue", "list"]);

    assert_eq!((never.code, sent.code, stored.code), (1, 3, 6), "{never:?} {sent:?}");
    assert!(stored.stderr.contains("not stored within 300ms: still queued"), "{stored:?}");
    assert!(bob.run(&["history", "alice"]).stdout.contains("✗ expired"));
    let expires = waiting[0]["expires_ms"].as_u64().expect("a time");
    let days = (expires - now_ms() + 3_600_000) / 86_400_000;
    assert_eq!((waiting.len(), days), (1, 14), "{waiting:?}");
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("soon")
}
