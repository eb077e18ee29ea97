//! `bitchat chat` on a pipe.

use serde_json::json;

use crate::support::{FakeDaemon, contact, delivery, message};

fn talking_to_bob(states: [&str; 2]) -> FakeDaemon {
    let daemon = FakeDaemon::start();
    daemon.answer("GET /v1/contacts/bob", 200, contact("bob"));
    daemon.answer("POST /v1/messages", 200, delivery("01", states[0]));
    daemon.answer("GET /v1/messages/01", 200, delivery("01", states[1]));
    daemon
}

#[test]
fn lines_are_sent_in_order_and_the_end_of_input_waits_until_they_are_sent() {
    let daemon = talking_to_bob(["queued", "sent"]);

    let ran = daemon.run_with("chat bob", "one\n\ntwo\n");

    assert_eq!(ran.code, Some(0));
    let bodies: Vec<_> = daemon
        .asked("POST /v1/messages")
        .into_iter()
        .map(|asked| asked.body["text"].clone())
        .collect();
    assert_eq!(bodies, ["one", "two"]);
    for line in ["  · one", "  → one", "  · two", "  → two"] {
        assert!(ran.stdout.lines().any(|printed| printed == line), "{line}: {}", ran.stdout);
    }
}

#[test]
fn what_is_not_sent_in_time_is_a_time_out() {
    let daemon = talking_to_bob(["queued", "queued"]);

    let ran = daemon.run_with("chat bob --timeout 100ms", "one\n");

    assert_eq!(ran.code, Some(6));
}

#[test]
fn a_message_that_the_contact_refuses_decides_the_exit_code() {
    let daemon = talking_to_bob(["queued", "rejected"]);

    let ran = daemon.run_with("chat bob", "one\n");

    assert_eq!(ran.code, Some(10));
    assert!(ran.stdout.contains("✗ rejected one"), "{}", ran.stdout);
}

#[test]
fn only_the_contact_is_heard_and_other_cursors_stay() {
    let daemon = talking_to_bob(["queued", "queued"]);
    let mut stranger = message(2, "from a stranger");
    stranger["account"] = json!("bchat1eve");
    daemon.receive(message(1, "from bob")).receive(stranger);

    let ran = daemon.run_with("chat bob --timeout 400ms", "one\n");

    assert!(ran.stdout.contains("from bob"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("stranger"));
    assert_eq!(daemon.asked("POST /v1/inbox/ack")[0].body["reader"], "chat-bchat1bob");
}
