//! `bitchat export-envelope` and `import-envelope`: pages out, batches in, exit codes.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{FakeDaemon, Ran};

const EXPORT: &str = "POST /v1/envelopes/export";
const IMPORT: &str = "POST /v1/envelopes/import";

/// docs/SPEC.md, "Files of envelopes", for the seals 01 02 03 and 04; digests by another program.
const FILE: &[u8] = b"bitchat envelopes 1\n\
    \0\0\0\x03\x01\x02\x03\x03\x90\x58\xc6\0\0\0\x01\x04\xe5\x2d\x9c\x50\0\0\0\0\0\0\0\x02";

fn page(envelopes: &[&str], next: Option<&str>) -> Value {
    json!({
        "schema": 1, "envelopes": envelopes, "messages": 1, "receipts": 2, "no_keys": 3,
        "held_back": 0, "next": next,
    })
}

fn taken(delivered: u64, busy: &[usize]) -> Value {
    json!({
        "schema": 1, "delivered": delivered, "receipts": 0, "duplicates": 0, "not_for_us": 0,
        "refused": 0, "busy": busy,
    })
}

fn import(daemon: &FakeDaemon, line: &str, file: &[u8]) -> Ran {
    let mut command = daemon.command(line);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdin.take().unwrap().write_all(file));
    Ran::from(child.wait_with_output().unwrap())
}

#[test]
fn every_page_goes_into_one_file() {
    let daemon = FakeDaemon::start();
    daemon.answer(EXPORT, 200, page(&["AQID"], Some("bchat1x.7")));
    daemon.answer(EXPORT, 200, page(&["BA=="], None));

    let output = daemon.command("export-envelope --all").output().unwrap();

    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), FILE));
    let asked: Vec<_> = daemon.asked(EXPORT).into_iter().map(|asked| asked.body).collect();
    assert_eq!(
        asked,
        [json!({"id": null, "after": null}), json!({"id": null, "after": "bchat1x.7"})]
    );
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "exported: 2 messages, receipts for 4\n\
         left out: 6 for contacts whose keys are not known\n"
    );
}

#[test]
fn one_message_that_cannot_be_exported_is_an_error_and_no_file() {
    for (field, code, word) in [("no_keys", 8, "no_keys"), ("held_back", 6, "held_back")] {
        let daemon = FakeDaemon::start();
        let mut answer = page(&[], None);
        answer["no_keys"] = 0.into();
        answer[field] = 1.into();
        daemon.answer(EXPORT, 200, answer);

        let ran = daemon.run(&format!("export-envelope {} --json", "0a".repeat(16)));

        assert_eq!((ran.code, ran.stdout.as_str()), (Some(code), ""));
        assert!(ran.stderr.contains(&format!(r#""code":"{word}""#)), "{}", ran.stderr);
        assert_eq!(daemon.asked(EXPORT)[0].body["id"], "0a".repeat(16));
    }
}

#[test]
fn a_file_is_given_to_the_node_and_its_counts_are_shown() {
    let daemon = FakeDaemon::start();
    daemon.answer(IMPORT, 200, taken(2, &[]));

    let human = import(&daemon, "import-envelope", FILE);
    let machine = import(&daemon, "import-envelope --json", FILE);

    assert_eq!((human.code, machine.code), (Some(0), Some(0)), "{human:?} {machine:?}");
    assert_eq!(daemon.asked(IMPORT)[0].body, json!({ "envelopes": ["AQID", "BA=="] }));
    assert_eq!(
        human.stdout,
        "delivered 2, receipts 0, duplicates 0, not for us 0, refused 0, damaged 0\n"
    );
    let printed: Value = serde_json::from_str(&machine.stdout).unwrap();
    assert_eq!((&printed["schema"], &printed["delivered"]), (&1.into(), &2.into()));
}

/// A node admits strangers one by one.
#[test]
fn what_was_too_much_at_once_is_given_again() {
    let daemon = FakeDaemon::start();
    daemon.answer(IMPORT, 200, taken(1, &[1]));
    daemon.answer(IMPORT, 200, taken(1, &[]));

    let ran = import(&daemon, "import-envelope --json", FILE);

    let asked: Vec<_> = daemon.asked(IMPORT).into_iter().map(|asked| asked.body).collect();
    assert_eq!(asked[1..], [json!({ "envelopes": ["BA=="] })]);
    let printed: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&printed["delivered"], &printed["refused"]), (&2.into(), &0.into()));
}

#[test]
fn what_is_whole_is_taken_before_a_damage_is_told() {
    let daemon = FakeDaemon::start();
    daemon.answer(IMPORT, 200, taken(1, &[]));
    let mut changed = FILE.to_vec();
    changed[24] ^= 1;
    let cut = &FILE[..FILE.len() - 2];

    for (file, given, hint) in [
        (changed.as_slice(), json!(["BA=="]), "envelopes_damaged"),
        (cut, json!(["AQID", "BA=="]), "envelopes_truncated"),
    ] {
        let ran = import(&daemon, "import-envelope --json", file);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        assert!(ran.stdout.contains(r#""delivered":1"#), "{ran:?}");
        assert!(ran.stderr.contains(hint), "{ran:?}");
        assert_eq!(daemon.asked(IMPORT).last().unwrap().body["envelopes"], given);
    }
}

#[test]
fn what_is_no_file_of_envelopes_never_reaches_the_node() {
    let daemon = FakeDaemon::start();
    for (file, word) in [
        (&b"hello"[..], "this is no file of envelopes"),
        (b"", "this is no file of envelopes"),
        (b"bitchat envelopes 2\n", "a newer version wrote this file"),
    ] {
        let ran = import(&daemon, "import-envelope", file);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.contains(word), "{ran:?}");
    }
    assert!(daemon.asked(IMPORT).is_empty());
}
