//! Commands against a stand-in for the daemon: what they ask, what they print, how they end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code; clippy allows these by itself only inside `#[test]` functions"
)]

#[path = "commands/support.rs"]
mod support;

#[path = "commands/attach.rs"]
mod attach;
#[path = "commands/chat.rs"]
mod chat;
#[path = "commands/documents.rs"]
mod documents;
#[path = "commands/envelopes.rs"]
mod envelopes;
#[path = "commands/prompt.rs"]
mod prompt;
#[path = "commands/receive.rs"]
mod receive;
#[path = "commands/send.rs"]
mod send;
#[path = "commands/terminal.rs"]
mod terminal;

use serde_json::json;
use support::{FakeDaemon, bitchat, contact, problem};

#[test]
fn an_error_of_the_node_keeps_its_exit_code_cause_and_hint() {
    for (category, code) in
        [("usage", 1), ("internal", 2), ("network", 3), ("untrusted", 4), ("rate_limited", 5)]
            .into_iter()
            .chain([("timed_out", 6), ("breaker_open", 7), ("not_found", 8), ("store", 9)])
            .chain([("rejected", 10), ("task_failed", 11), ("verification", 12)])
    {
        let daemon = FakeDaemon::start();
        daemon.answer("GET /v1/contacts/bob", 400, problem("some_code", category));

        let human = daemon.run("contact show bob");
        let machine = daemon.run("contact show bob --json");

        assert_eq!((human.code, machine.code), (Some(code), Some(code)));
        assert_eq!(human.stderr, "bitchat: error: the cause\nbitchat: hint: the way out\n");
        let expected = format!(
            r#"{{"schema":1,"error":{{"code":"some_code","category":"{category}","message":"the cause","hint":"the way out","retry_after_ms":null}}}}"#
        );
        assert_eq!(machine.stderr.trim_end(), expected);
        assert_eq!(machine.stdout, "");
    }
}

#[test]
fn json_is_one_object_a_line_with_its_schema_first() {
    let daemon = FakeDaemon::start();
    daemon.answer(
        "GET /v1/contacts",
        200,
        json!({ "schema": 1, "contacts": [contact("ann"), contact("bob")] }),
    );
    daemon.answer("GET /v1/status", 200, json!({ "schema": 1, "ready": true, "pid": 7 }));

    let contacts = daemon.run("contact list --json");
    let status = daemon.run("--json status");

    assert_eq!(contacts.stdout.lines().count(), 2);
    for line in contacts.stdout.lines().chain(status.stdout.lines()) {
        assert!(line.starts_with(r#"{"schema":1,"#), "{line}");
        assert_eq!(line.matches("schema").count(), 1);
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok());
    }
    assert!(status.stdout.contains(r#""pid":7"#), "what it does not know is passed on");
}

#[test]
fn the_link_of_an_invitation_stands_alone_on_stdout() {
    let daemon = FakeDaemon::start();
    let link = json!({ "link": "bitchat:long", "short": "bitchat:short", "expires_ms": null });
    daemon.answer("POST /v1/invitations", 200, link);

    let ran = daemon.run("contact invite --once --expires 1d");

    assert_eq!(ran.stdout, "bitchat:long\n");
    let asked = &daemon.asked("POST /v1/invitations")[0];
    assert_eq!(asked.body, json!({ "once": true, "expires_ms": 86_400_000 }));
}

#[test]
fn a_link_is_read_from_stdin_and_a_known_contact_is_pointed_out() {
    let daemon = FakeDaemon::start();
    let mut known = contact("bob");
    known["known"] = json!(true);
    daemon.answer("POST /v1/contacts", 200, known);

    let ran = daemon.run_with("contact add - --name bob", "bitchat:abc\n");

    assert_eq!(ran.code, Some(0));
    assert!(ran.stderr.contains("bob (aaaa-bbbb) was a contact already"), "{}", ran.stderr);
    assert_eq!(
        daemon.asked("POST /v1/contacts")[0].body,
        json!({ "link": "bitchat:abc", "name": "bob" })
    );
}

#[test]
fn changes_name_one_thing_each() {
    let daemon = FakeDaemon::start();
    daemon.answer("PATCH /v1/contacts/bob", 200, contact("bob"));
    daemon.answer("DELETE /v1/contacts/bob", 200, json!({ "schema": 1 }));

    for line in [
        "contact verify bob",
        "contact verify bob --undo",
        "contact rename bob rob",
        "contact policy bob verified",
        "contact trust bob",
        "contact verify bob --scanned bitchat-safety:y",
    ] {
        assert_eq!(daemon.run(line).code, Some(0), "{line}");
    }
    let scanned = daemon.run_with("contact verify bob --scanned -", " bitchat-safety:z\n");
    assert_eq!(scanned.code, Some(0), "{scanned:?}");
    assert_eq!(daemon.run("contact remove bob --yes").code, Some(0));
    let erased = daemon.run("contact remove bob --yes --history");
    assert_eq!((erased.code, erased.stdout.trim()), (Some(0), "removed bob and every message"));

    let bodies: Vec<_> =
        daemon.asked("PATCH /v1/contacts/bob").into_iter().map(|asked| asked.body).collect();
    assert_eq!(
        bodies,
        [
            json!({ "verified": true }),
            json!({ "verified": false }),
            json!({ "name": "rob" }),
            json!({ "policy": "verified" }),
            json!({ "trusted": true }),
            json!({ "scanned": "bitchat-safety:y" }),
            json!({ "scanned": "bitchat-safety:z" }),
        ]
    );
    let removed = daemon.asked("DELETE /v1/contacts/bob");
    assert_eq!(removed.iter().map(|asked| &asked.query).collect::<Vec<_>>(), ["", "history=true"]);
}

#[test]
fn changed_keys_are_pointed_out_wherever_the_contact_is_shown() {
    let daemon = FakeDaemon::start();
    let mut changed = contact("bob");
    changed["key_change"] =
        json!({ "at_ms": 1_795_508_403_000_u64, "device": "12D3KooX", "blocked": true });
    changed["policy"] = json!("verified");
    daemon.answer("GET /v1/contacts/bob", 200, changed.clone());
    daemon.answer("GET /v1/contacts", 200, json!({ "schema": 1, "contacts": [changed] }));

    let shown = daemon.run("contact show bob --qr");
    let listed = daemon.run("contact list");

    assert_eq!((shown.code, listed.code), (Some(0), Some(0)));
    for line in [
        "new devices     blocked until trusted",
        "new device      12D3KooX, blocked, since 2026-11-24",
        "safety code     bitchat-safety:x",
    ] {
        assert!(shown.stdout.contains(line), "{}", shown.stdout);
    }
    assert!(shown.stdout.contains('█'), "a QR code: {}", shown.stdout);
    assert!(shown.stderr.contains("bitchat contact trust"), "{}", shown.stderr);
    assert!(listed.stdout.contains("new device, blocked"), "{}", listed.stdout);
}

#[test]
fn a_session_is_reset_by_its_route() {
    let daemon = FakeDaemon::start();
    daemon.answer("POST /v1/contacts/bob/session", 200, contact("bob"));

    let ran = daemon.run("session reset bob");

    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("new session with bob (aaaa-bbbb)"), "{}", ran.stdout);
}

#[test]
fn history_is_read_page_by_page_from_the_end_and_printed_from_the_start() {
    let daemon = FakeDaemon::start();
    let row = |index: u64, state: &str| {
        let mut row = support::message(0, &format!("text {index}"));
        row["index"] = json!(index);
        row["lamport"] = json!(index + 1);
        row["direction"] = json!("out");
        row["state"] = json!(state);
        row
    };
    for page in [
        json!([row(2, "delivered"), row(3, "rejected")]),
        json!([row(0, "queued"), row(1, "sent")]),
        json!([]),
    ] {
        daemon.answer("GET /v1/history/bob", 200, json!({ "schema": 1, "messages": page }));
    }

    let ran = daemon.run("history bob");

    let ends: Vec<&str> = ran
        .stdout
        .lines()
        .filter_map(|line| line.split_once("  me "))
        .map(|(_, end)| end)
        .collect();
    assert_eq!(ends, ["·  text 0", "→  text 1", "✓✓  text 2", "✗ rejected  text 3"]);
    let queries: Vec<_> =
        daemon.asked("GET /v1/history/bob").into_iter().map(|asked| asked.query).collect();
    assert_eq!(queries, ["max=50", "max=48&before=2", "max=46&before=0"]);
}

#[test]
fn an_empty_name_finds_nobody() {
    let daemon = FakeDaemon::start();
    for words in [&["history", ""][..], &["contact", "show", ""], &["chat", ""]] {
        let output = daemon.command("--json").args(words).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();

        assert_eq!(output.status.code(), Some(8), "{said}");
        assert!(said.contains(r#""code":"unknown_contact""#), "{said}");
    }
}

#[test]
fn settings_have_their_types_in_json() {
    let ran = bitchat("config show --json --home /nonexistent").output().unwrap();

    let rows: Vec<serde_json::Value> = String::from_utf8(ran.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let value = |key: &str| rows.iter().find(|row| row["key"] == key).unwrap()["value"].clone();
    assert!(value("network.mdns").is_boolean());
    assert!(value("limits.connections").is_u64());
    assert!(value("network.listen").is_array());
    assert_eq!(value("log.format"), "pretty");
}

#[test]
fn a_second_daemon_is_refused_while_the_first_one_answers() {
    let ran = FakeDaemon::start().run("daemon");

    assert_eq!(ran.code, Some(9));
    assert!(ran.stderr.contains("a daemon runs for this profile already"), "{}", ran.stderr);
}

#[test]
fn a_home_whose_path_no_socket_can_have_is_refused_with_the_way_out() {
    let ran = bitchat("status").args(["--home", &"x".repeat(120)]).output().unwrap();

    assert_eq!(ran.status.code(), Some(1));
    assert!(String::from_utf8(ran.stderr).unwrap().contains("choose a shorter `--home DIR`"));
}

#[test]
fn a_daemon_that_hangs_up_is_a_network_error() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("bitchat.sock");
    let listener = std::os::unix::net::UnixListener::bind(path).unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));

    let ran = bitchat("status").env("BITCHAT_HOME", home.path()).output().unwrap();

    assert_eq!(ran.status.code(), Some(3));
    assert!(String::from_utf8(ran.stderr).unwrap().contains("the daemon does not answer"));
}
