//! Messages that travel in a file: two homes, no daemon, no network.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Finished, Profile, Stage, TCP, eventually};

/// The first line of a file of envelopes.
const MAGIC: &[u8] = b"bitchat envelopes 1\n";

fn export(from: &Profile) -> Vec<u8> {
    let (finished, bytes) = from.run_bytes(&["export-envelope", "--all"], b"");
    assert_eq!(finished.code, 0, "{finished:?}");
    bytes
}

/// How the import ended and its counts.
fn import(to: &Profile, file: &[u8]) -> (Finished, Value) {
    let (finished, stdout) = to.run_bytes(&["import-envelope", "--json"], file);
    let counts = serde_json::from_slice(&stdout).unwrap_or_default();
    (finished, counts)
}

fn queue(profile: &Profile, to: &str, text: &str) -> String {
    let sent = profile.json(&["send", to, text, "--wait", "queued"]);
    sent[0]["id"].as_str().expect("an id").to_owned()
}

fn count(counts: &Value, name: &str) -> u64 {
    counts[name].as_u64().unwrap_or_else(|| panic!("{name} in {counts}"))
}

/// Bob has Alice's link and nothing else.
fn strangers(stage: &Stage) -> (Profile, Profile) {
    let (alice, bob) = (stage.profile("alice"), stage.profile("bob"));
    bob.add(&alice);
    (alice, bob)
}

#[test]
fn a_message_goes_by_file_and_its_receipt_comes_back_by_file() {
    let stage = Stage::new();
    let (alice, bob) = strangers(&stage);
    queue(&bob, "alice", "by stick");

    let out = export(&bob);
    let shown = bob.json(&["queue", "list"]);
    let (taken, counts) = import(&alice, &out);
    let received = alice.receive();
    queue(&alice, "bob", "got it");
    let (ended, back) = import(&bob, &export(&alice));
    let (last, confirmed) = import(&alice, &export(&bob));

    assert_eq!((taken.code, ended.code, last.code), (0, 0, 0), "{taken:?} {ended:?} {last:?}");
    assert_eq!(shown[0]["state"], "queued", "an export claims nothing");
    assert_eq!(count(&counts, "delivered"), 2, "the greeting and the text: {counts}");
    assert_eq!(received, ["by stick"]);
    assert_eq!((count(&back, "delivered"), count(&back, "receipts")), (1, 2), "{back}");
    assert_eq!(bob.receive(), ["got it"]);
    assert_eq!(count(&confirmed, "receipts"), 1, "{confirmed}");
    for profile in [&alice, &bob] {
        assert!(profile.json(&["queue", "list"]).is_empty());
    }
    assert!(bob.run(&["history", "alice"]).stdout.contains("✓✓"));
    let (_, again) = import(&alice, &out);
    assert_eq!(count(&again, "duplicates"), 2, "{again}");
    assert!(alice.receive().is_empty(), "shown once");
}

/// The file of one message, and the state that it leaves.
#[test]
fn one_message_is_exported_by_its_id_and_says_so() {
    let stage = Stage::new();
    let (alice, bob) = strangers(&stage);
    let id = queue(&bob, "alice", "only this");
    queue(&bob, "alice", "not this");

    let (finished, file) = bob.run_bytes(&["export-envelope", &id, "--json"], b"");
    let unknown = bob.run(&["export-envelope", &"0".repeat(32)]);
    let no_id = bob.run(&["export-envelope", "deadbeef"]);
    assert_eq!(no_id.code, 1, "{no_id:?}");
    assert!(no_id.stderr.contains("`bitchat queue list` shows the ids"), "{no_id:?}");
    let neither = bob.run(&["export-envelope"]);
    let (_, counts) = import(&alice, &file);

    assert_eq!((finished.code, unknown.code, neither.code), (0, 8, 1), "{unknown:?} {neither:?}");
    let summary: Value = serde_json::from_str(&finished.stderr).expect("one object on stderr");
    assert_eq!((&summary["schema"], &summary["messages"]), (&1.into(), &1.into()));
    assert!(unknown.stdout.is_empty(), "no half of a file");
    assert_eq!(count(&counts, "delivered"), 1, "{counts}");
    assert_eq!(bob.json(&["queue", "list"]).len(), 2);
}

/// A daemon that imports tells the sender over a link when one stands.
#[test]
fn daemons_take_files_and_links_for_one() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    at_alice.kill();
    let sent = bob.run(&["send", "alice", "twice on its way", "--wait", "queued"]);
    let file = export(&bob);
    let (taken, counts) = import(&alice, &file);
    let _at_alice = alice.daemon(TCP);

    eventually("the receipt comes over the link", || bob.json(&["queue", "list"]).is_empty());
    let (_, again) = import(&alice, &file);

    assert_eq!((sent.code, taken.code), (0, 0), "{sent:?} {taken:?}");
    assert_eq!((count(&counts, "delivered"), count(&again, "duplicates")), (1, 1));
    assert_eq!(alice.receive(), ["twice on its way"]);
}

/// Neither names nor keys nor ids: a carrier sees lengths.
#[test]
fn a_file_shows_its_carrier_nothing() {
    let stage = Stage::new();
    let (alice, bob) = strangers(&stage);
    let id = queue(&bob, "alice", "CANARY-TEXT");
    let file = export(&bob);

    let mut canaries = vec![b"CANARY-TEXT".to_vec(), b"alice".to_vec(), b"bob".to_vec()];
    canaries.push((0..16).map(|at| hex(&id[2 * at..2 * at + 2])).collect());
    for profile in [&alice, &bob] {
        let me = &profile.json(&["id"])[0];
        canaries.push(me["account"].as_str().expect("an account").as_bytes().to_vec());
        canaries.push(me["device"].as_str().expect("a device").as_bytes().to_vec());
    }
    for canary in canaries {
        assert!(!file.windows(canary.len()).any(|window| window == canary));
    }
    assert!(!file.windows(12).any(|w| w == b"/ip4/127.0.0"));
}

fn hex(digits: &str) -> u8 {
    u8::from_str_radix(digits, 16).expect("digits")
}

#[test]
fn a_file_that_is_foreign_cut_or_damaged_is_told_and_what_is_whole_is_taken() {
    let stage = Stage::new();
    let (alice, bob) = strangers(&stage);
    queue(&bob, "alice", "first");
    let file = export(&bob);
    let giant = [MAGIC, &(1u32 << 30).to_be_bytes(), &[7; 500]].concat();
    let mut changed = file.clone();
    changed[MAGIC.len() + 300] ^= 1;

    for (bytes, code, word) in [
        (&b"%PDF-1.7 no envelopes"[..], 1, "not_envelopes"),
        (b"", 1, "not_envelopes"),
        (b"bitchat envelopes 2\n", 1, "envelopes_version"),
        (&giant, 3, "envelopes_damaged"),
        (&file[..MAGIC.len() - 3], 3, "envelopes_truncated"),
    ] {
        let (finished, counts) = import(&alice, bytes);
        assert_eq!(finished.code, code, "{finished:?}");
        assert!(finished.stderr.contains(word), "{finished:?}");
        assert!(counts.is_null() || count(&counts, "delivered") == 0);
    }
    let (cut, counts) = import(&alice, &file[..file.len() - 40]);
    assert_eq!((cut.code, count(&counts, "delivered")), (3, 1), "{cut:?}");
    let (damaged, counts) = import(&alice, &changed);
    assert_eq!(damaged.code, 3, "{damaged:?}");
    assert_eq!((count(&counts, "damaged"), count(&counts, "delivered")), (1, 1), "{counts}");
    assert_eq!(alice.receive(), ["first"]);
    let (whole, counts) = import(&alice, &file);
    assert_eq!((whole.code, count(&counts, "duplicates")), (0, 2), "{whole:?}");
}

#[test]
fn a_hundred_thousand_foreign_envelopes_need_no_more_memory_than_a_few() {
    const ENVELOPES: usize = 100_000;
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let seal = [0x5A; 256];
    let check = bitchat_protocol::crypto::digest(&seal);
    let record = [&256u32.to_be_bytes(), &seal[..], &check[..4]].concat();
    let mut child = alice
        .command(&["import-envelope", "--json"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut stdin = child.stdin.take().expect("piped");
    let peak = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("alive");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number")
    };

    stdin.write_all(MAGIC).expect("it reads");
    let mut at_first = 0;
    for number in 0..ENVELOPES {
        stdin.write_all(&record).expect("it reads");
        if number == ENVELOPES / 10 {
            at_first = peak();
        }
    }
    let at_last = peak();
    let end = u32::try_from(ENVELOPES).expect("small").to_be_bytes();
    stdin.write_all(&[[0; 4], end].concat()).expect("it reads");
    drop(stdin);
    let output = child.wait_with_output().expect("it ends");

    let counts: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(count(&counts, "not_for_us"), 100_000, "{counts}");
    let grown = at_last.saturating_sub(at_first);
    assert!(grown < 8 * 1024, "{at_first} kB after a tenth, {at_last} kB after all");
}
