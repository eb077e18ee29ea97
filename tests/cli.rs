//! What scripts and terminals rely on, against real daemons.

use serde_json::Value;

use crate::harness::{Finished, Profile, Stage, TCP, eventually};

fn keys(object: &Value) -> Vec<&str> {
    object.as_object().expect("an object").keys().map(String::as_str).collect()
}

fn deliver(from: &Profile, to: &str, text: &str) -> Finished {
    let sent =
        from.run_with(&["send", to, "--stdin", "--wait", "delivered", "--timeout", "30s"], text);
    assert_eq!(sent.code, 0, "{sent:?}");
    sent
}

#[test]
fn every_json_object_has_the_fields_that_scripts_rely_on() {
    let stage = Stage::new();
    let [(alice, _a), (bob, mut at_bob)] = stage.acquainted(TCP);
    let sent = bob.json(&["send", "alice", "hi", "--wait", "delivered", "--timeout", "30s"]);
    eventually("the link is listed", || !alice.json(&["peers"]).is_empty());

    for (profile, args, fields) in [
        (
            &alice,
            &["receive"][..],
            &["cursor", "id", "from", "text", "sent_ms", "received_ms", "gap"][..],
        ),
        (&alice, &["history", "bob"], &["direction", "state", "text"]),
        (&alice, &["id"], &["account", "device", "addresses"]),
        (&alice, &["contact", "show", "bob"], &["name", "account", "verified", "prekeys"]),
        (&alice, &["peers"], &["peer", "path", "rtt_ms", "breakers"]),
        (
            &alice,
            &["status"],
            &[
                "ready",
                "warnings",
                "addresses",
                "nat",
                "outbox",
                "prekeys",
                "degradation",
                "metrics",
                "socket",
            ],
        ),
    ] {
        let objects = profile.json(args);
        assert!(!objects.is_empty(), "{args:?}");
        for object in objects {
            assert_eq!(object["schema"], 1, "{args:?}");
            assert!(fields.iter().all(|field| keys(&object).contains(field)), "{args:?}: {object}");
        }
    }
    let (ours, theirs) = (&bob.json(&["history", "alice"])[0], &alice.json(&["history", "bob"])[0]);
    assert_eq!(ours["from"], bob.json(&["id"])[0]["account"], "who wrote it");
    assert_eq!((&ours["contact"], &ours["direction"]), (&"alice".into(), &"out".into()));
    assert_eq!((&theirs["from"], &theirs["contact"]), (&"bob".into(), &"bob".into()));
    for field in ["schema", "id", "to", "state", "evidence"] {
        assert!(keys(&sent[0]).contains(&field), "{sent:?}");
    }
    assert_eq!(at_bob.stop(), 0);
}

#[test]
fn a_reader_has_its_own_cursor_and_since_acknowledges_nothing() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);
    deliver(&bob, "alice", "one");
    deliver(&bob, "alice", "two");

    let again = alice.json(&["receive", "--since", "0"]);
    let first = alice.json(&["receive", "--max", "1"]);
    let rest = alice.receive();
    let bot = alice.json(&["receive", "--reader", "bot"]);

    assert_eq!((again.len(), first.len(), bot.len()), (2, 1, 2));
    assert_eq!((&first[0]["text"], rest), (&"one".into(), vec!["two".to_owned()]));
    assert!(alice.receive().is_empty());
}

/// OSC 52 would write the clipboard, U+202E turns the line around, 0x9B is CSI in one byte.
#[test]
fn what_a_peer_writes_cannot_command_the_terminal() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);
    let hostile = "a\u{1b}[2Jb\u{1b}]52;c;ZXZpbA==\u{7}c\u{9b}31md\u{202e}e\u{200b}f\rg\u{8}h";
    deliver(&bob, "alice", hostile);

    let shown = alice.run(&["history", "bob"]).stdout;
    let json = alice.json(&["receive", "--since", "0"]);
    let received = alice.run(&["receive"]).stdout;

    for output in [&shown, &received] {
        for hazard in ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\u{200b}', '\r', '\u{8}'] {
            assert!(!output.contains(hazard), "{hazard:?} in {output:?}");
        }
        assert!(
            ["a", "b", "c", "d", "e", "f"].iter().all(|letter| output.contains(letter)),
            "{output:?}"
        );
    }
    assert_eq!(json[0]["text"], hostile, "programs get the text as it is");
}

#[test]
fn a_text_of_several_lines_and_scripts_arrives_as_it_was() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);
    let text = "first line\nsecond: \u{e9}\u{4e16}\u{754c} \"quoted\" \\ {json}\n\ttabbed";

    deliver(&bob, "alice", text);

    assert_eq!(alice.receive(), [text]);
}

#[test]
fn chat_on_a_pipe_sends_each_line_and_waits_for_it() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);

    let chat = bob.run_with(&["chat", "alice"], "hello\nare you there?\n");

    assert_eq!(chat.code, 0, "{chat:?}");
    eventually("both lines arrive", || alice.json(&["history", "bob"]).len() == 2);
    assert_eq!(alice.receive(), ["hello", "are you there?"]);
}

#[test]
fn global_flags_stand_before_or_after_the_verb() {
    let stage = Stage::new();
    let alice = stage.profile("alice");

    let before = alice.run(&["--json", "id"]);
    let after = alice.run(&["id", "--json"]);

    assert_eq!((before.code, &before.stdout), (0, &after.stdout));
}

#[test]
fn a_lost_identity_comes_back_from_its_words_as_a_new_device() {
    let stage = Stage::new();
    let first = Profile::at(stage.path("first"));
    let made = first.json(&["init", "--name", "alice", "--no-passphrase"]);
    let words = made[0]["phrase"].as_str().expect("24 words").to_owned();

    let second = Profile::at(stage.path("second"));
    let recovered =
        second.run_with(&["init", "--name", "alice", "--no-passphrase", "--recover"], &words);

    assert_eq!(recovered.code, 0, "{recovered:?}");
    let (old, new) = (&first.json(&["id"])[0], &second.json(&["id"])[0]);
    assert_eq!(old["account"], new["account"]);
    assert_ne!(old["device"], new["device"]);
}

#[test]
fn a_verified_mark_and_a_petname_survive_and_a_taken_name_is_refused() {
    let stage = Stage::new();
    let [(alice, _a), _bob] = stage.acquainted(TCP);

    assert_eq!(alice.run(&["contact", "verify", "bob"]).code, 0);
    assert_eq!(alice.run(&["contact", "rename", "bob", "robert"]).code, 0);

    let link = stage.profile("eve").invite();
    let taken = alice.run(&["contact", "add", &link, "--name", "robert"]);
    assert_eq!(taken.code, 1, "{taken:?}");
    assert!(taken.stderr.contains("is taken"), "{taken:?}");
    let shown = alice.json(&["contact", "show", "robert"]);
    assert_eq!((&shown[0]["verified"], &shown[0]["nickname"]), (&true.into(), &"bob".into()));
    assert_eq!(alice.run(&["contact", "show", "bob"]).code, 8);
    assert_eq!(
        shown[0]["safety_number"].as_str().map(str::len),
        Some(71),
        "60 digits in 12 groups"
    );
}

#[test]
fn the_short_invitation_of_a_qr_code_founds_a_contact_too() {
    let stage = Stage::new();
    let (alice, bob) = (stage.profile("alice"), stage.profile("bob"));
    let (_a, _b) = (alice.daemon(TCP), bob.daemon(TCP));
    let invited = alice.json(&["contact", "invite", "--qr"]);
    let short = invited[0]["short"].as_str().expect("a short link");
    assert!(short.len() < 400);

    let added = bob.run(&["contact", "add", short]);

    assert_eq!(added.code, 0, "{added:?}");
    deliver(&bob, "alice", "by the short link");
    assert_eq!(alice.receive(), ["by the short link"]);
}

#[test]
fn an_invitation_for_one_admits_one() {
    let stage = Stage::new();
    let [alice, bob, eve] = ["alice", "bob", "eve"].map(|name| stage.profile(name));
    let _daemons = [&alice, &bob, &eve].map(|profile| profile.daemon(TCP));
    let link = alice.run(&["contact", "invite", "--once"]).stdout.trim().to_owned();
    assert_eq!(bob.run(&["contact", "add", &link]).code, 0);
    deliver(&bob, "alice", "first");

    assert_eq!(eve.run(&["contact", "add", &link]).code, 0);
    let sent = eve.run(&["send", "alice", "me too", "--wait", "delivered", "--timeout", "30s"]);

    assert_eq!(sent.code, 10, "{sent:?}");
    assert_eq!(alice.receive(), ["first"]);
    assert_eq!(alice.json(&["contact", "list"]).len(), 1);
}
