//! `bitchat send`: exit codes, and what leaves the command line.

use serde_json::json;

use crate::support::{FakeDaemon, delivery};

const ID: &str = "00000000000000000000000000000001";

#[test]
fn the_exit_code_says_how_far_the_message_got() {
    for (wait, state, code) in [
        ("queued", "queued", 0),
        ("queued", "delivered", 0),
        ("sent", "sent", 0),
        ("delivered", "delivered", 0),
        ("delivered", "read", 0),
        ("sent", "queued", 6),
        ("delivered", "stored", 6),
        ("delivered", "rejected", 10),
        ("queued", "rejected", 10),
        ("delivered", "expired", 3),
        ("sent", "undeliverable", 3),
    ] {
        let daemon = FakeDaemon::start();
        daemon.answer("POST /v1/messages", 200, delivery(ID, state));

        let ran = daemon.run(&format!("send bob hi --json --wait {wait} --timeout 50ms"));

        assert_eq!(ran.code, Some(code), "{wait} {state}");
        let printed: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((printed["state"].as_str(), printed["id"].as_str()), (Some(state), Some(ID)));
    }
}

#[test]
fn a_time_out_says_that_the_message_goes_on() {
    let daemon = FakeDaemon::start();
    daemon.answer("POST /v1/messages", 200, delivery(ID, "queued"));

    let ran = daemon.run("send bob hi --wait delivered --timeout 1500ms");

    let expected = "bitchat: error: not delivered within 1500ms: still queued, will go on\n\
        bitchat: hint: see it with `bitchat queue show 00000000000000000000000000000001`\n";
    assert_eq!(ran.stderr, expected);
}

#[test]
fn a_breaker_that_alone_was_in_the_way_has_an_exit_code_of_its_own() {
    let daemon = FakeDaemon::start();
    let mut withheld = delivery(ID, "queued");
    withheld["withheld"] = json!({ "operation": "dial", "retry_after_ms": 1_500 });
    daemon.answer("POST /v1/messages", 200, withheld);

    let ran = daemon.run("send bob hi --json --wait delivered --timeout 50ms");

    let error: serde_json::Value = serde_json::from_str(ran.stderr.trim()).unwrap();
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
    assert_eq!(error["error"]["code"], "peer_unavailable");
    assert_eq!(error["error"]["retry_after_ms"], 1_500);
}

#[test]
fn a_time_out_says_how_far_the_message_came() {
    for (wait, state, so_far) in [
        ("delivered", "sent", "so far sent, will go on"),
        ("read", "stored", "so far stored, will go on"),
        ("read", "delivered", "it is delivered"),
    ] {
        let daemon = FakeDaemon::start();
        daemon.answer("POST /v1/messages", 200, delivery(ID, state));

        let ran = daemon.run(&format!("send bob hi --wait {wait} --timeout 1s"));

        assert_eq!(ran.code, Some(6));
        let error = ran.stderr.lines().next().unwrap();
        assert_eq!(error, format!("bitchat: error: not {wait} within 1s: {so_far}"));
        assert_eq!(ran.stderr.contains("queue show"), state != "delivered", "{}", ran.stderr);
    }
}

#[test]
fn a_timeout_that_no_node_waits_is_refused_in_the_words_of_the_command_line() {
    let daemon = FakeDaemon::start();

    let ran = daemon.run("send bob hi --timeout 2d");

    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("`--timeout 1d`"), "{}", ran.stderr);
    assert!(daemon.asked("POST /v1/messages").is_empty());
}

#[test]
fn with_a_daemon_the_wait_ends_when_the_message_is_queued() {
    let daemon = FakeDaemon::start();
    daemon.answer("POST /v1/messages", 200, delivery(ID, "queued"));

    let ran = daemon.run("send bob hi --expires 1d");

    assert_eq!(ran.code, Some(0));
    let expected = json!({
        "to": "bob", "text": "hi", "wait": "queued", "timeout_ms": 30_000,
        "expires_ms": 86_400_000, "id": null,
    });
    assert_eq!(daemon.asked("POST /v1/messages")[0].body, expected);
}

#[test]
fn a_text_on_stdin_loses_one_newline_and_nothing_else() {
    let daemon = FakeDaemon::start();
    daemon.answer("POST /v1/messages", 200, delivery(ID, "queued"));

    daemon.run_with("send bob --stdin", " two\nlines\n\n");

    assert_eq!(daemon.asked("POST /v1/messages")[0].body["text"], " two\nlines\n");
}

#[test]
fn a_passphrase_on_stdin_never_becomes_part_of_the_message() {
    let daemon = FakeDaemon::start();
    daemon.answer("POST /v1/messages", 200, delivery(ID, "queued"));

    daemon.run_with("send bob --stdin --passphrase-file -", "correct horse\nhello\n");

    assert_eq!(daemon.asked("POST /v1/messages")[0].body["text"], "hello");
}

#[test]
fn too_much_on_stdin_is_refused_before_it_is_sent() {
    let daemon = FakeDaemon::start();

    let ran = daemon.run_with("send bob --stdin", &"x".repeat(64 * 1024 + 1));

    assert_eq!(ran.code, Some(1));
    assert!(daemon.asked("POST /v1/messages").is_empty());
}
