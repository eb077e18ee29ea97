//! Messages between real daemons over loopback.

use crate::harness::{QUIC, Stage, TCP, eventually};

fn marks(history: &str) -> Vec<&str> {
    history
        .lines()
        .filter_map(|line| ["✓✓", "✓", "→", "·", "✗"].into_iter().find(|m| line.contains(m)))
        .collect()
}

fn a_message_each_way_is_delivered(listen: &str) {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(listen);

    let sent =
        bob.run(&["send", "alice", "meet at nine", "--wait", "delivered", "--timeout", "30s"]);
    let received = alice.json(&["receive"]);
    let answered = alice
        .run_with(&["send", "bob", "--stdin", "--wait", "delivered", "--timeout", "30s"], "yes");

    assert_eq!((sent.code, answered.code), (0, 0), "{sent:?} {answered:?}");
    assert_eq!(received.len(), 1);
    assert_eq!((&received[0]["schema"], &received[0]["text"]), (&1.into(), &"meet at nine".into()));
    assert_eq!(received[0]["from"], "bob");
    assert_eq!(bob.receive(), ["yes"]);
    assert!(bob.receive().is_empty(), "acknowledged messages are not printed again");
    for (profile, name) in [(&alice, "bob"), (&bob, "alice")] {
        let history = profile.run(&["history", name]);
        assert!(
            history.stdout.contains("meet at nine") && history.stdout.contains("yes"),
            "{history:?}"
        );
        assert_eq!(marks(&history.stdout), ["✓✓"], "{history:?}");
    }
}

/// One key of each kind, gone with the session; `status` and `contact show` say so.
#[test]
fn a_session_of_two_daemons_is_founded_on_one_time_keys() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);

    let sent = bob.run(&["send", "alice", "hi", "--wait", "delivered", "--timeout", "30s"]);

    assert_eq!(sent.code, 0, "{sent:?}");
    for (profile, name) in [(&alice, "bob"), (&bob, "alice")] {
        assert_eq!(profile.json(&["contact", "show", name])[0]["prekeys"], "one_time");
        let prekeys = profile.json(&["status"])[0]["prekeys"].clone();
        assert_eq!(prekeys["last_resort_sessions"], 0, "{prekeys}");
    }
    eventually("the stock is full but for what was handed out", || {
        let left = alice.json(&["status"])[0]["prekeys"]["x25519"].as_u64();
        left.is_some_and(|left| left > 90)
    });
}

#[test]
fn a_message_each_way_is_delivered_over_tcp() {
    a_message_each_way_is_delivered(TCP);
}

#[test]
fn a_message_each_way_is_delivered_over_quic() {
    a_message_each_way_is_delivered(QUIC);
}

/// The sender's daemon keeps trying by itself.
#[test]
fn a_message_to_a_receiver_that_is_down_is_delivered_once_when_it_starts() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    at_alice.kill();

    let sent =
        bob.run(&["send", "alice", "are you there?", "--wait", "delivered", "--timeout", "1s"]);
    let waiting = bob.json(&["queue", "list"]);
    let again = alice.daemon(TCP);

    assert_eq!(again.addresses, at_alice.addresses, "a node keeps its port");
    assert_eq!(sent.code, 6, "{sent:?}");
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    eventually("the queue drains", || bob.json(&["queue", "list"]).is_empty());
    assert_eq!(alice.receive(), ["are you there?"]);
    assert!(bob.run(&["history", "alice"]).stdout.contains("✓✓"));
}

/// Over UDP nothing tells a sender that the receiver's process is another one now; its dial does.
#[test]
fn a_receiver_that_was_killed_and_started_again_is_reached_at_once_over_quic() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(QUIC);
    std::thread::sleep(std::time::Duration::from_secs(3)); // The connection is no fresh one.
    at_alice.kill();
    let before = bob.run(&["send", "alice", "lost on the old connection", "--wait", "queued"]);
    let _at_alice = alice.daemon(QUIC);

    let sent = bob.run(&["send", "alice", "hello again", "--wait", "delivered", "--timeout", "8s"]);

    assert_eq!((before.code, sent.code), (0, 0), "{sent:?}");
    assert_eq!(alice.receive(), ["lost on the old connection", "hello again"]);
}

/// A node that comes back elsewhere tells its contacts: they need no new invitation.
#[test]
fn a_contact_that_moved_to_another_port_is_found_again() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    at_alice.kill();
    std::fs::remove_file(alice.home().join("ports")).expect("she remembered her port");

    let _at_alice = alice.daemon(TCP);

    let sent = bob.run(&["send", "alice", "found you", "--wait", "delivered", "--timeout", "60s"]);
    assert_eq!(sent.code, 0, "{sent:?}");
}

/// The greeting that founds the contact at the inviter is nobody's message.
#[test]
fn a_contact_that_was_only_added_leaves_nothing_in_the_queue() {
    let stage = Stage::new();
    let (alice, bob) = (stage.profile("alice"), stage.profile("bob"));
    bob.add(&alice);

    assert!(bob.json(&["queue", "list"]).is_empty());
    assert_eq!(bob.json(&["status"])[0]["outbox"]["rows"], 0);
}

#[test]
fn a_message_from_somebody_who_was_removed_is_rejected_visibly() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);
    assert_eq!(alice.run(&["contact", "remove", "bob", "--yes"]).code, 0);

    let sent = bob.run(&["send", "alice", "hello?", "--wait", "delivered", "--timeout", "30s"]);

    assert_eq!(sent.code, 10, "{sent:?}");
    assert!(bob.run(&["history", "alice"]).stdout.contains("✗"));
    assert!(alice.receive().is_empty());
}

/// Without a daemon the command itself dials, hands over and ends.
#[test]
fn a_single_command_sends_without_a_daemon() {
    let stage = Stage::new();
    let [(alice, _a), (bob, mut at_bob)] = stage.acquainted(TCP);
    assert_eq!(at_bob.stop(), 0);

    let sent =
        bob.run(&["send", "alice", "from a script", "--wait", "delivered", "--timeout", "30s"]);

    assert_eq!(sent.code, 0, "{sent:?}");
    assert_eq!(alice.receive(), ["from a script"]);
}
