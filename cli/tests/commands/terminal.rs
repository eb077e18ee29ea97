//! What a peer wrote reaches the terminal as harmless text, in every command (S2, I4).

use serde_json::{Value, json};

use crate::support::{FakeDaemon, contact, delivery, message};

/// Clear screen, clipboard, hyperlink, 8-bit CSI, overwriting, direction, joiners, floods, markup.
fn hostile() -> String {
    format!(
        "one\u{1b}[2J two\u{1b}]52;c;ZXZpbA==\u{7} \u{1b}]8;;http://evil\u{1b}\\three\u{1b}]8;;\u{1b}\\ \
         \u{9b}31mfour\rfive\n2026-11-24 08:20:03Z  ann (aaaa-bbbb ✓)  six \u{202e}seven\u{2066} \
         eight{} z{} <script>\0",
        "\u{200d}".repeat(5_000),
        "\u{301}".repeat(10_000)
    )
}

fn daemon() -> FakeDaemon {
    let daemon = FakeDaemon::start();
    let text = hostile();
    let mut received = message(1, &text);
    received["from"] = json!(text);
    let mut sent = received.clone();
    sent["direction"] = json!("out");
    sent["state"] = json!("delivered");
    let mut person = contact("bob");
    for field in ["name", "nickname", "device", "safety_number", "safety_code"] {
        person[field] = json!(text);
    }
    person["addresses"] = json!([text]);
    let status: Value = json!({ "ready": true, "addresses": [text], "nat": text,
        "warnings": [{ "code": "c", "message": text, "hint": text }] });
    let row = json!({ "id": "01", "to": text, "state": text, "created_ms": u64::MAX,
        "expires_ms": 0, "attempts": 1, "bytes": 1 });
    let breaker = json!({ "operation": text, "state": text, "failures": 1, "cause": text,
        "until_ms": null, "retry_after_ms": null });
    let peer = json!({ "peer": text, "connected": true, "path": text, "rtt_ms": 1,
        "breakers": [breaker], "contact": text });
    let identity = json!({ "account": "a", "device": "d", "nickname": text, "addresses": [text] });
    let mut delivered = delivery("01", "sent");
    delivered["to"] = json!(text);
    delivered["evidence"] = json!(text);
    let mut problem = crate::support::problem("ambiguous_contact", "not_found");
    problem["error"]["message"] = json!(text);
    daemon.receive(received.clone());
    daemon.answer("GET /v1/history/bob", 200, json!({ "messages": [received, sent] }));
    daemon.answer("GET /v1/history/bob", 200, json!({ "messages": [] }));
    daemon.answer("GET /v1/contacts", 200, json!({ "contacts": [person] }));
    daemon.answer("GET /v1/contacts/bob", 200, person.clone());
    daemon.answer("PATCH /v1/contacts/bob", 200, person);
    daemon.answer("GET /v1/contacts/eve", 400, problem);
    daemon.answer("GET /v1/status", 200, status);
    daemon.answer("GET /v1/queue", 200, json!({ "messages": [row] }));
    daemon.answer("GET /v1/peers", 200, json!({ "peers": [peer] }));
    daemon.answer("GET /v1/identity", 200, identity);
    daemon.answer("POST /v1/messages", 200, delivered);
    daemon
}

const COMMANDS: [&str; 13] = [
    "receive --since 0",
    "history bob",
    "contact list",
    "contact show bob",
    "contact verify bob",
    "contact rename bob rob",
    "contact show eve",
    "status",
    "queue list",
    "peers",
    "id",
    "send bob hi",
    "chat bob",
];

#[test]
fn no_command_prints_a_control_character_of_a_peer() {
    for flags in ["", " --json"] {
        for command in COMMANDS {
            let ran = daemon().run(&format!("{command}{flags}"));

            let printed = ran.stdout + &ran.stderr;
            assert!(!printed.is_empty() || command == "chat bob", "{command}");
            let hazard = printed.chars().find(|c| {
                (c.is_control() && *c != '\n')
                    || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            });
            assert_eq!(hazard, None, "{command}{flags}");
        }
    }
}

#[test]
fn the_words_survive_and_no_line_of_a_text_passes_for_another_message() {
    let ran = daemon().run("receive");

    for word in ["one", "two", "three", "four", "five", "six", "seven", "eight", "<script>"] {
        assert!(ran.stdout.contains(word), "{word}");
    }
    let starts: Vec<_> = ran.stdout.lines().map(|line| line.starts_with("2026-")).collect();
    assert_eq!(starts, [true, false, false]);
    assert!(ran.stdout.lines().skip(1).all(|line| line.starts_with("  │ ")));
    assert_eq!(ran.stdout.matches('\u{301}').count(), 4);
}

#[test]
fn raw_prints_the_text_as_it_came() {
    let ran = daemon().run("receive --raw");

    assert!(ran.stdout.contains(&hostile()));
}

#[test]
fn json_carries_the_text_unchanged() {
    let ran = daemon().run("receive --json");

    let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(printed["text"], json!(hostile()));
}
