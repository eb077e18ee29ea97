//! Known answers: `known-answers.json` beside the module. A change there is a new protocol version.
//!
//! Derived a second time by `protocol/interop/sealed_answers.py`.

use serde_json::{Value, json};

use super::super::file::{MAGIC, Writer};
use super::*;
use crate::crypto::digest;

const PINNED: &str = include_str!("../known-answers.json");

#[test]
fn seeded_seals_have_known_bytes() {
    let (alice, bob) = (identity(1), identity(2));
    let cases = [
        case("short", (&alice, &bob), LETTER, 3),
        case("answer", (&bob, &alice), LETTER, 4),
        case("empty", (&alice, &bob), &[], 5),
        case("longest of the first length", (&alice, &bob), &[0x5A; FLOOR - OVERHEAD - 1], 6),
        case("ends like padding", (&bob, &alice), &[0x80, 0, 0x80, 0, 0], 7),
    ];
    let ours = json!({
        "parties": { "alice": party(&alice), "bob": party(&bob) },
        "seals": cases,
        "file": file(),
    });

    let pinned: Value = serde_json::from_str(PINNED).expect("JSON");

    assert!(ours == pinned, "{}", serde_json::to_string_pretty(&ours).expect("JSON"));
}

#[test]
fn known_seals_open_to_their_letters() {
    let parties = [("alice", identity(1)), ("bob", identity(2))];
    let pinned: Value = serde_json::from_str(PINNED).expect("JSON");

    for case in pinned["seals"].as_array().expect("a list") {
        let who = |field: &str| {
            let named = parties.iter().find(|(name, _)| case[field] == *name);
            &named.expect("alice or bob").1
        };
        let opened = open(who("recipient"), &unhex(&case["seal"])).expect("known to open");
        assert_eq!(opened.letter, unhex(&case["letter"]));
        assert_eq!(&opened.sender, who("sender").certificate());
    }
}

fn party(identity: &Identity) -> Value {
    json!({
        "identity": hex(identity.device().dh().secret().expose()),
        "certificate": hex(&identity.certificate().to_bytes()),
    })
}

fn case(name: &str, (from, to): (&Identity, &Identity), letter: &[u8], seed: u64) -> Value {
    let mut random = rng(seed);
    let ephemeral = DhSecret::random(&mut random);
    let mut noise = [0];
    random.fill_bytes(&mut noise);
    let sealed = seal(from, to.certificate(), letter, &mut rng(seed)).expect("sealed");
    let (travels, rest) = sealed.split_first_chunk().expect("long enough");
    let (hidden, _) = rest.split_at(HIDDEN_BYTES);
    let shared = ephemeral.agree(&to.certificate().identity_dh()).expect("a good point");
    let proof = from.device().dh().agree(&to.certificate().identity_dh()).expect("a good point");
    let outer = Outer::new(to.certificate(), travels, &shared);
    let inner = Inner::new(&outer, &from.certificate().to_bytes(), hidden, (&shared, &proof));
    let name_of =
        |who: &Identity| if who.certificate().generation() == 1 { "alice" } else { "bob" };
    json!({
        "name": name,
        "sender": name_of(from),
        "recipient": name_of(to),
        "ephemeral": hex(ephemeral.secret().expose()),
        "free_bit": noise[0] >> 7,
        "letter": hex(letter),
        "outer_transcript": hex(&outer.transcript),
        "outer_key": hex(outer.key.expose()),
        "inner_transcript": hex(&inner.transcript),
        "inner_key": hex(inner.key.expose()),
        "seal_sha256": hex(&digest(&sealed)),
        "seal": hex(&sealed),
    })
}

/// The layout of a file does not look into the seals.
fn file() -> Value {
    let seals = [vec![1, 2, 3], vec![4]];
    let mut writer = Writer::default();
    let records: Vec<u8> = seals.iter().flat_map(|seal| writer.record(seal)).collect();
    let whole = [MAGIC.as_slice(), &records, &writer.end()].concat();
    json!({ "seals": seals.map(|seal| hex(&seal)), "bytes": hex(&whole) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a text");
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16))
        .map(|byte| byte.expect("digits"))
        .collect()
}
