//! Every bound, at it and above it.

use super::*;
use crate::ratchet::{GAP_MAX, OLD_CHAINS_MAX, SKIPPED_KEY_AGE_MAX, SKIPPED_KEYS_MAX};
use std::time::Duration;

/// Lets `peer` be `messages` ahead in its sending chain, without the cost of sealing them.
fn run_ahead(peer: &mut Peer, messages: u32) {
    let sending = peer.ratchet.sending.as_mut().expect("sends");
    let mut walk = crate::crypto::ChainWalk::new(&sending.chain);
    (0..messages).for_each(|_| walk.skip());
    sending.chain = walk.end();
    sending.sent += messages;
}

fn kept(peer: &Peer) -> u32 {
    u32::try_from(peer.rows.keys.len()).expect("small")
}

#[test]
fn messages_open_in_any_order_across_turns() {
    let (mut alice, mut bob) = talking();
    let first: Vec<_> = (0..5).map(|n| alice.seal(&n.to_string())).collect();
    bob.open(&first[2], "2");
    alice.open(&bob.seal("turn"), "turn");
    let second: Vec<_> = (5..10).map(|n| alice.seal(&n.to_string())).collect();

    bob.open(&second[3], "8");
    for n in [4, 0, 3, 1] {
        bob.open(&first[n], &n.to_string());
    }
    for n in [4, 0, 2, 1] {
        bob.open(&second[n], &(n + 5).to_string());
    }

    assert_eq!(kept(&bob), 0);
    assert!(bob.ratchet.old.is_empty(), "a chain without keys is forgotten");
}

#[test]
fn a_gap_keeps_the_last_keys_only() {
    let (mut alice, mut bob) = talking();
    let first = alice.seal("first");
    run_ahead(&mut alice, 1_000);
    let in_reach = alice.seal("in reach");
    run_ahead(&mut alice, SKIPPED_KEYS_MAX - 1);

    let counts = bob.open(&alice.seal("last"), "last");

    assert_eq!(counts, (SKIPPED_KEYS_MAX + 1_001, 1_001));
    assert_eq!(kept(&bob), SKIPPED_KEYS_MAX);
    bob.open(&in_reach, "in reach");
    bob.refuses(&first);
}

#[test]
fn the_largest_gap_opens_and_one_more_does_not() {
    let (mut alice, mut bob) = talking();
    bob.open(&alice.seal("founds the chain"), "founds the chain");
    run_ahead(&mut alice, GAP_MAX);
    let before = alice.ratchet.to_record();
    let largest = alice.seal("largest");

    alice.ratchet = Ratchet::from_record(before).expect("own record");
    run_ahead(&mut alice, 1);
    let error = bob.try_open(&alice.seal("beyond")).expect_err("too far");

    assert!(matches!(error, Error::CounterJump { jump, limit: GAP_MAX } if jump == GAP_MAX + 1));
    bob.open(&largest, "largest");
}

#[test]
fn both_chains_of_a_turn_count_as_one_gap() {
    let (mut alice, mut bob) = talking();
    bob.open(&alice.seal("founds the chain"), "founds the chain");
    let turn = bob.seal("turn");
    run_ahead(&mut alice, GAP_MAX / 2);
    alice.open(&turn, "turn");
    run_ahead(&mut alice, GAP_MAX / 2);
    let largest = alice.seal("largest");
    let beyond = alice.seal("beyond");

    assert!(matches!(bob.try_open(&beyond), Err(Error::CounterJump { .. })));
    let (skipped, _) = bob.open(&largest, "largest");

    assert_eq!(skipped, GAP_MAX);
    assert_eq!(kept(&bob), SKIPPED_KEYS_MAX);
}

#[test]
fn a_turn_shares_the_bound_between_both_chains_and_prefers_the_newer() {
    let (mut alice, mut bob) = talking();
    bob.open(&alice.seal("founds the chain"), "founds the chain");
    let turn = bob.seal("turn");
    let lost = alice.seal("lost");
    run_ahead(&mut alice, 1_498);
    let closing = alice.seal("closing");
    alice.open(&turn, "turn");
    let opening = alice.seal("opening");
    run_ahead(&mut alice, 999);

    let counts = bob.open(&alice.seal("text"), "text");

    assert_eq!(counts, (2_500, 500));
    bob.open(&opening, "opening");
    bob.open(&closing, "closing");
    bob.refuses(&lost);
}

#[test]
fn the_oldest_keys_of_the_session_go_first() {
    let (mut alice, mut bob) = talking();
    let oldest = alice.seal("oldest");
    let second = alice.seal("second");
    bob.open(&alice.seal("text"), "text");
    alice.open(&bob.seal("turn"), "turn");
    run_ahead(&mut alice, SKIPPED_KEYS_MAX - 1);

    let counts = bob.open(&alice.seal("text"), "text");

    assert_eq!(counts, (SKIPPED_KEYS_MAX - 1, 1));
    assert_eq!(kept(&bob), SKIPPED_KEYS_MAX);
    bob.refuses(&oldest);
    bob.open(&second, "second");
    assert!(bob.ratchet.old.is_empty());
}

#[test]
fn keys_older_than_a_month_go_with_the_next_message() {
    let (mut alice, mut bob) = talking();
    let old = alice.seal("old");
    bob.open(&alice.seal("text"), "text");
    bob.now = START.plus(SKIPPED_KEY_AGE_MAX);
    let young = alice.seal("young");

    assert_eq!(bob.open(&alice.seal("at the bound"), "at the bound"), (1, 0));
    bob.now = bob.now.plus(Duration::from_millis(1));
    assert_eq!(bob.open(&alice.seal("above it"), "above it"), (0, 1));

    bob.refuses(&old);
    bob.open(&young, "young");
}

#[test]
fn a_key_past_its_age_still_opens_its_own_message() {
    let (mut alice, mut bob) = talking();
    let (first, second) = (alice.seal("first"), alice.seal("second"));
    bob.open(&alice.seal("text"), "text");
    bob.now = START.plus(SKIPPED_KEY_AGE_MAX * 2);

    assert_eq!(bob.open(&second, "second"), (0, 1));

    bob.refuses(&first);
    assert_eq!(kept(&bob), 0);
}

#[test]
fn old_chains_are_kept_up_to_their_bound() {
    let (mut alice, mut bob) = talking();
    let mut late = Vec::new();
    for _ in 0..=OLD_CHAINS_MAX + 1 {
        late.push([alice.seal("late"), alice.seal("late")]);
        bob.open(&alice.seal("text"), "text");
        alice.open(&bob.seal("turn"), "turn");
        bob.restart();
    }

    assert_eq!(bob.ratchet.old.len(), OLD_CHAINS_MAX);
    bob.refuses(&late[0][0]);
    bob.refuses(&late[0][1]);
    for message in late[1..].as_flattened() {
        bob.open(message, "late");
    }
    assert_eq!(kept(&bob), 0);
    assert!(bob.ratchet.old.is_empty());
}

#[test]
fn a_sending_counter_does_not_wrap() {
    let (mut alice, _) = talking();
    alice.ratchet.sending.as_mut().expect("sends").sent = u32::MAX;
    let before = alice.ratchet.to_record();

    let result = alice.ratchet.seal(&mut alice.rng, AD, b"text");

    assert!(matches!(result, Err(Error::CounterJump { .. })));
    assert!(before == alice.ratchet.to_record());
}

#[test]
fn a_receiving_counter_does_not_wrap() {
    let (mut alice, mut bob) = talking();
    bob.open(&alice.seal("founds the chain"), "founds the chain");
    let sending = alice.ratchet.sending.as_mut().expect("sends");
    let receiving = bob.ratchet.receiving.as_mut().expect("received");
    (sending.sent, receiving.received) = (u32::MAX - 1, u32::MAX - 1);
    bob.open(&alice.seal("last"), "last");

    // One more number than a chain has, from a peer that does not check its own counter.
    let sending = alice.ratchet.sending.as_ref().expect("sends");
    let header = crate::ratchet::Header {
        dh: alice.ratchet.ours.public(),
        previous: alice.ratchet.previous,
        number: u32::MAX,
        extension: None,
    };
    let header = header.seal(&sending.header, &[9; 24], AD).expect("short");
    let result = bob.try_open(&Sealed { header, body: vec![0; 20] });

    assert!(matches!(result, Err(Error::CounterJump { .. })));
}

#[test]
fn a_count_of_turns_does_not_wrap() {
    let (mut alice, mut bob) = talking();
    bob.open(&alice.seal("text"), "text");
    alice.open(&bob.seal("turn"), "turn");
    bob.ratchet.receiving.as_mut().expect("received").index = u32::MAX;

    let result = bob.try_open(&alice.seal("turned"));

    assert!(matches!(result, Err(Error::CounterJump { .. })));
}
