//! The ways in which ratchets break, each once.

use std::collections::BTreeSet;

use super::*;
use crate::crypto::{HEADER_NONCE_BYTES, Ledger, seal_body, seal_header};
use crate::ratchet::header::{Header, SealedHeader};

#[test]
fn every_bit_of_header_and_body_is_authenticated() {
    let (mut alice, mut bob) = talking();
    let sealed = alice.seal("text");

    for bit in 0..(sealed.header.len() + sealed.body.len()) * 8 {
        let mut changed = sealed.clone();
        let part = changed.header.iter_mut().chain(&mut changed.body);
        *part.into_iter().nth(bit / 8).expect("in range") ^= 1 << (bit % 8);
        bob.refuses(&changed);
    }
    bob.open(&sealed, "text");
}

#[test]
fn the_plain_header_is_bound_into_the_body() {
    let (mut alice, mut bob) = talking();
    let sealed = alice.seal("text");
    let key = alice.ratchet.sending.as_ref().expect("sends").header.duplicate();

    // The holder of a header key, but of no message key, puts another header before the body.
    let parts = SealedHeader::parse(&sealed.header).expect("length");
    let header = Header::try_open(&parts, &key, AD).expect("header").expect("key");
    let forged = Header { previous: header.previous + 1, ..header };
    let header = forged.seal(&key, &parts.nonce, AD).expect("short");

    bob.refuses(&Sealed { header, body: sealed.body.clone() });
    bob.open(&sealed, "text");
}

#[test]
fn truncated_or_extended_tags_do_not_open() {
    let (mut alice, mut bob) = talking();
    let sealed = alice.seal("text");

    for length in 0..sealed.body.len() {
        bob.refuses(&Sealed { header: sealed.header.clone(), body: sealed.body[..length].into() });
    }
    bob.refuses(&Sealed { header: sealed.header.clone(), body: [&sealed.body[..], &[0]].concat() });
    for length in 0..sealed.header.len() {
        let header = sealed.header[..length].to_vec();
        let result = bob.try_open(&Sealed { header, body: sealed.body.clone() });
        assert!(matches!(result, Err(Error::Malformed(_))));
    }
    bob.open(&sealed, "text");
}

#[test]
fn other_associated_data_does_not_open() {
    let (mut alice, mut bob) = talking();
    let sealed = alice.seal("text");

    let result = bob.ratchet.open(&mut bob.rng, &bob.rows, b"responder, initiator", &sealed, START);

    assert!(matches!(result, Err(Error::Decrypt)));
    bob.open(&sealed, "text");
}

#[test]
fn the_border_between_associated_data_and_header_is_fixed() {
    let (mut alice, mut bob) = talking();
    let sealed = alice.ratchet.seal(&mut alice.rng, b"ab", b"text").expect("may send");

    for associated in [&b"a"[..], b"abc", b"", b"ba"] {
        let result = bob.ratchet.open(&mut bob.rng, &bob.rows, associated, &sealed, START);
        assert!(matches!(result, Err(Error::Decrypt)));
    }
}

#[test]
fn a_bad_body_behind_a_good_header_does_not_burn_the_message_key() {
    let (mut alice, mut bob) = talking();
    let late = alice.seal("late");
    let next = alice.seal("next");
    bob.open(&next, "next");
    alice.open(&bob.seal("turn"), "turn");
    let turned = alice.seal("turned");

    // A skipped key, and a turn of the ratchet: the two steps with most to lose.
    for (sealed, text) in [(&late, "late"), (&turned, "turned")] {
        let body = vec![0; sealed.body.len()];
        bob.refuses(&Sealed { header: sealed.header.clone(), body });
        bob.open(sealed, text);
    }
}

#[test]
fn state_does_not_advance_before_authentication() {
    let (mut alice, mut bob) = talking();
    alice.lose(50);
    let sealed = alice.seal("text");
    let forged = Sealed { header: sealed.header.clone(), body: b"sixteen and more".repeat(2) };

    bob.refuses(&forged);

    assert!(bob.rows.keys.is_empty());
    assert_eq!(bob.open(&sealed, "text"), (50, 0));
}

#[test]
fn a_duplicate_does_not_open() {
    let (mut alice, mut bob) = talking();
    let (late, sealed) = (alice.seal("late"), alice.seal("text"));

    bob.open(&sealed, "text");
    bob.refuses(&sealed);
    bob.open(&late, "late");
    bob.refuses(&late);
    alice.open(&bob.seal("turn"), "turn");
    bob.open(&alice.seal("turned"), "turned");
    bob.refuses(&sealed);
    bob.refuses(&late);
}

#[test]
fn a_message_reflected_to_its_sender_does_not_open() {
    let (mut alice, mut bob) = pair();
    let first = alice.seal("first");
    alice.refuses(&first);

    bob.open(&first, "first");
    let answer = bob.seal("answer");
    bob.refuses(&answer);
    alice.open(&answer, "answer");
    let second = alice.seal("second");
    alice.refuses(&second);
}

#[test]
fn a_snapshot_rollback_never_repeats_a_key_and_nonce() {
    let (mut alice, mut bob) = talking();
    let snapshot = alice.ratchet.to_record();
    let ledger = Ledger::open();
    let mut headers = BTreeSet::new();
    let mut bodies = BTreeSet::new();

    // The same text at the same place of the same chain: equal bytes would be equal keystreams.
    for _ in 0..20 {
        alice.ratchet = Ratchet::from_record(snapshot.clone()).expect("own record");
        let sealed = alice.seal("the same text");
        headers.insert(sealed.header);
        bodies.insert(sealed.body);
    }

    assert_eq!((headers.len(), bodies.len()), (20, 20));
    assert_eq!((ledger.seals(), ledger.repeats()), (40, 0));
    bob.open(&alice.seal("on it goes"), "on it goes");
}

#[test]
fn the_peer_of_a_rolled_back_party_goes_on() {
    let (mut alice, mut bob) = talking();
    let snapshot = alice.ratchet.to_record();
    for _ in 0..5 {
        bob.open(&alice.seal("before"), "before");
    }

    // Alice comes back with fewer messages sent than Bob has opened, and learns of a turn.
    alice.ratchet = Ratchet::from_record(snapshot).expect("own record");
    alice.open(&bob.seal("turn"), "turn");

    assert_eq!(bob.open(&alice.seal("after"), "after"), (0, 0));
}

#[test]
fn a_header_sealed_by_the_peer_with_a_bad_point_is_refused() {
    let (alice, mut bob) = talking();
    let key = &alice.ratchet.sending.as_ref().expect("sends").header;
    let mut low_order = [0; 32];
    low_order[0] = 1;

    for dh in [[0; 32], [0xFF; 32], low_order] {
        let nonce = [9; HEADER_NONCE_BYTES];
        let plain = [&dh[..], &[0; 8]].concat();
        let text = seal_header(key, &nonce, AD, &plain).expect("short");
        let header = [&nonce[..], &text].concat();
        let error = bob.try_open(&Sealed { header, body: vec![0; 20] }).expect_err("bad point");
        assert!(matches!(error, Error::Malformed(_) | Error::NotAuthentic(_)), "{error}");
    }
}

#[test]
fn a_header_with_another_ratchet_key_than_its_chain_is_refused() {
    let (mut alice, mut bob) = talking();
    bob.open(&alice.seal("founds the chain"), "founds the chain");
    let sending = alice.ratchet.sending.as_ref().expect("sends");
    let (_, key) = crate::crypto::chain_step(&sending.chain);
    let dh = DhSecret::random(&mut alice.rng).public();
    let header =
        Header { dh, previous: alice.ratchet.previous, number: sending.sent, extension: None };
    let nonce = [9; HEADER_NONCE_BYTES];

    let sealed = Sealed {
        header: header.seal(&sending.header, &nonce, AD).expect("short"),
        body: seal_body(&key, &nonce, &header.bind(AD), b"text").expect("short"),
    };

    bob.refuses(&sealed);
}

#[test]
fn a_failing_store_changes_nothing_and_costs_nothing() {
    let (mut alice, mut bob) = talking();
    let (late, next, more) = (alice.seal("late"), alice.seal("next"), alice.seal("more"));
    bob.open(&next, "next");

    bob.rows.broken = true;
    assert!(matches!(bob.try_open(&late), Err(Error::Store(StoreError::Full))));
    assert!(matches!(bob.try_open(&more), Err(Error::Store(StoreError::Full))));

    bob.rows.broken = false;
    bob.open(&more, "more");
    bob.open(&late, "late");
}

#[test]
fn rows_that_contradict_the_record_are_reported_as_corrupt() {
    let (mut alice, mut bob) = talking();
    alice.lose(1);
    bob.open(&alice.seal("next"), "next");
    let stray = (Secret::take(&mut [0; 32]), UnixMillis(0));
    bob.rows.keys.insert((0, 0), stray);

    let result = bob.try_open(&alice.seal("more"));

    assert!(matches!(result, Err(Error::Store(StoreError::Corrupt(_)))));
}

#[test]
fn nothing_secret_is_in_debug() {
    let (mut alice, mut bob) = talking();
    let sealed = alice.seal("AAAA");
    let opened = bob.try_open(&sealed).expect("opens");

    assert_eq!(format!("{:?}", alice.ratchet), "Ratchet(..)");
    assert_eq!(format!("{opened:?}"), "Opened(4 bytes, 0 changes)");
    assert_eq!(format!("{sealed:?}"), "Sealed(80 + 20 bytes)");
    let shown = format!("{:?}", keys());
    assert!(shown.contains("Secret(..)") && !shown.contains('1'), "{shown}");
}

#[test]
fn a_responder_cannot_send_before_it_has_received() {
    let (_, mut bob) = pair();

    let result = bob.ratchet.seal(&mut bob.rng, AD, b"text");

    assert!(matches!(result, Err(Error::Bug(_))));
}
