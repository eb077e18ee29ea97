//! Olm, as the crate `vodozemac` has it.

use std::hint::black_box;

use vodozemac::olm::{Account, OlmMessage, Session, SessionConfig, SessionPickle};

use super::{CHAIN, Contestant, SKIPPED, TEXT, TURNS, time};

struct Pair {
    alice: Session,
    bob: Session,
}

/// Two that have talked: no pre-key messages any more.
fn pair() -> Pair {
    let (alice, bob) = found();
    let mut pair = Pair { alice, bob };
    let back = pair.bob.encrypt(TEXT).expect("may send");
    pair.alice.decrypt(&back).expect("in order");
    turn(&mut pair);
    pair
}

/// Outbound session, first message, inbound session. Version 1 is all that this build offers.
fn found() -> (Session, Session) {
    let (alice, mut bob) = (Account::new(), Account::new());
    bob.generate_one_time_keys(1);
    found_between(&alice, &mut bob)
}

fn found_between(alice: &Account, bob: &mut Account) -> (Session, Session) {
    let one_time = *bob.one_time_keys().values().next().expect("one");
    let mut outbound = alice
        .create_outbound_session(SessionConfig::version_1(), bob.curve25519_key(), one_time)
        .expect("good keys");
    let OlmMessage::PreKey(first) = outbound.encrypt(TEXT).expect("may send") else {
        panic!("the first message is a pre-key message");
    };
    let identity = alice.curve25519_key();
    let inbound = bob
        .create_inbound_session(SessionConfig::version_1(), identity, &first)
        .expect("the first message opens");
    (outbound, inbound.session)
}

fn turn(pair: &mut Pair) {
    let there = pair.alice.encrypt(black_box(&TEXT)).expect("may send");
    black_box(pair.bob.decrypt(&there).expect("in order"));
    let back = pair.bob.encrypt(black_box(&TEXT)).expect("may send");
    black_box(pair.alice.decrypt(&back).expect("in order"));
}

pub(super) fn encrypt() -> Contestant {
    let Pair { mut alice, .. } = pair();
    Box::new(move || {
        time(CHAIN, || {
            for _ in 0..CHAIN {
                black_box(alice.encrypt(black_box(&TEXT)).expect("may send"));
            }
        })
    })
}

pub(super) fn decrypt() -> Contestant {
    let Pair { mut alice, mut bob } = pair();
    let first = alice.encrypt(TEXT).expect("may send");
    bob.decrypt(&first).expect("in order");
    Box::new(move || {
        let messages: Vec<_> = (0..CHAIN).map(|_| alice.encrypt(TEXT).expect("may send")).collect();
        time(CHAIN, || {
            for message in &messages {
                black_box(bob.decrypt(message).expect("in order"));
            }
        })
    })
}

pub(super) fn ping_pong() -> Contestant {
    let mut pair = pair();
    Box::new(move || time(TURNS, || (0..TURNS).for_each(|_| turn(&mut pair))))
}

/// Both accounts are there; a one-time key is made for each session, outside the measure.
pub(super) fn session() -> Contestant {
    let (alice, mut bob) = (Account::new(), Account::new());
    Box::new(move || {
        bob.generate_one_time_keys(1);
        time(1, || {
            black_box(found_between(&alice, &mut bob));
        })
    })
}

pub(super) fn skip() -> Contestant {
    let Pair { mut alice, mut bob } = pair();
    let first = alice.encrypt(TEXT).expect("may send");
    bob.decrypt(&first).expect("in order");
    for _ in 0..SKIPPED {
        alice.encrypt(TEXT).expect("may send");
    }
    let last = alice.encrypt(TEXT).expect("may send");
    let pickle = serde_json::to_string(&bob.pickle()).expect("a pickle");
    Box::new(move || {
        let pickle: SessionPickle = serde_json::from_str(&pickle).expect("a pickle");
        let mut bob = Session::from_pickle(pickle);
        time(1, || {
            black_box(bob.decrypt(black_box(&last)).expect("within its window"));
        })
    })
}

/// The encrypted pickle.
pub(super) fn stored_bytes() -> usize {
    pair().alice.pickle().encrypt(&[1; 32]).len()
}
