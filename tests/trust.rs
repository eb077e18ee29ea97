//! Contacts that come with a new device, and comparing who they are: between real daemons.

use serde_json::Value;

use crate::harness::{Daemon, Profile, Stage, TCP, eventually};

/// Alice knows Bob, whose daemon is gone; his account comes back from its words on a new device.
struct Replaced {
    alice: Profile,
    at_alice: Daemon,
    bob: Profile,
    _at_bob: Daemon,
    old_device: Value,
}

fn shown(profile: &Profile, name: &str) -> Value {
    profile.json(&["contact", "show", name]).remove(0)
}

fn replaced(stage: &Stage, policy: &str) -> Replaced {
    let (alice, first) = (stage.profile("alice"), Profile::at(stage.path("first")));
    let made = first.json(&["init", "--name", "bob", "--no-passphrase"]).remove(0);
    let words = made["phrase"].as_str().expect("24 words").to_owned();
    let at_alice = alice.daemon(TCP);
    {
        let _at_first = first.daemon(TCP);
        first.add(&alice);
        eventually("bob is known", || alice.run(&["contact", "show", "bob"]).code == 0);
    }
    assert_eq!(alice.run(&["contact", "policy", "bob", policy]).code, 0);
    let old_device = shown(&alice, "bob")["device"].clone();
    let bob = Profile::at(stage.path("second"));
    let init = ["init", "--recover", "--name", "bob", "--no-passphrase"];
    let again = bob.run_with(&init, &words);
    assert_eq!(again.code, 0, "{again:?}");
    let at_bob = bob.daemon(TCP);
    bob.add(&alice);
    Replaced { alice, at_alice, bob, _at_bob: at_bob, old_device }
}

fn warned(profile: &Profile) -> bool {
    let status = profile.json(&["status"]).remove(0);
    let warnings = status["warnings"].as_array().expect("warnings");
    warnings.iter().any(|warning| warning["code"] == "unverified_key_change")
}

#[test]
fn a_new_device_is_blocked_until_it_is_trusted_and_then_nothing_is_lost() {
    let stage = Stage::new();
    let set = replaced(&stage, "verified");
    let (alice, bob) = (&set.alice, &set.bob);
    assert_eq!(bob.run(&["send", "alice", "from the new device"]).code, 0);

    eventually("alice was told", || warned(alice));
    let blocked = alice.run(&["send", "bob", "for whom?"]);
    let contact = shown(alice, "bob");
    assert_eq!(blocked.code, 4, "{blocked:?}");
    assert!(blocked.stderr.contains("bitchat contact trust"), "{blocked:?}");
    assert_eq!(
        (&contact["device"], &contact["key_change"]["blocked"]),
        (&set.old_device, &true.into())
    );
    let log = set.at_alice.log();
    assert!(log.iter().any(|line| line.contains("KeyChanged")), "the operator, too: {log:?}");
    assert!(!log.iter().any(|line| line.contains("bob")), "and nobody's name: {log:?}");
    assert!(alice.receive().is_empty());
    assert_eq!(bob.json(&["queue", "list"]).len(), 1, "the sender keeps it");

    assert_eq!(alice.run(&["contact", "trust", "bob"]).code, 0);

    let named = bob.json(&["id"]).remove(0)["device"].clone();
    assert_eq!(contact["key_change"]["device"], named, "what both can compare");
    let sent = alice.run(&["send", "bob", "now", "--wait", "delivered", "--timeout", "30s"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    eventually("the queue drains", || bob.json(&["queue", "list"]).is_empty());
    assert_eq!(alice.receive(), ["from the new device"]);
    assert_eq!(bob.receive(), ["now"]);
    assert_ne!(shown(alice, "bob")["device"], set.old_device);
    eventually("the warning goes", || !warned(alice));
}

/// Trust on first use is not trust without a word; the verified mark is the account's.
#[test]
fn a_new_device_is_accepted_by_tofu_and_pointed_out() {
    let stage = Stage::new();
    let set = replaced(&stage, "tofu");
    let (alice, bob) = (&set.alice, &set.bob);

    let sent = bob.run(&["send", "alice", "hi", "--wait", "delivered", "--timeout", "30s"]);

    assert_eq!(sent.code, 0, "{sent:?}");
    eventually("alice is warned", || warned(alice));
    let contact = shown(alice, "bob");
    assert_eq!(contact["key_change"]["blocked"], false);
    assert_ne!(contact["device"], set.old_device);
    assert!(alice.run(&["contact", "list"]).stdout.contains("new device"));
    assert_eq!(alice.run(&["contact", "verify", "bob"]).code, 0);
    assert_eq!(shown(alice, "bob")["key_change"], Value::Null);
    eventually("the warning goes", || !warned(alice));
}

#[test]
fn a_scanned_safety_code_verifies_or_ends_with_12() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);
    let carol = stage.profile("carol");
    let _at_carol = carol.daemon(TCP);
    carol.add(&alice);
    let code =
        |of: &Profile| shown(of, "alice")["safety_code"].as_str().expect("a code").to_owned();
    let (bobs, carols) = (code(&bob), code(&carol));
    let own = shown(&alice, "bob")["safety_code"].as_str().expect("a code").to_owned();
    let scan = |code: &str| alice.run(&["contact", "verify", "bob", "--scanned", code]);

    let (wrong, mine, cut) = (scan(&carols), scan(&own), scan(&bobs[..40]));

    assert_eq!((wrong.code, mine.code, cut.code), (12, 1, 1), "{wrong:?} {mine:?} {cut:?}");
    assert_eq!(shown(&alice, "bob")["verified"], false);
    assert_eq!(scan(&bobs).code, 0);
    assert_eq!(shown(&alice, "bob")["verified"], true);
    assert!(bob.run(&["contact", "show", "alice", "--qr"]).stdout.contains('█'));
}
