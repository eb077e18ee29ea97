//! Known answers: the protocol as bytes. A change here is a new protocol version.
//!
//! Derived a second time by `protocol/interop/known_answers.py`.

use super::*;
use crate::crypto::{Provider, digest};

/// Ratchet keys: the initiator's first, the signed prekey, the responder's next, the initiator's
/// next.
const RATCHET_KEYS: [&str; 4] = [
    "000efec87c5749ec1157912e0e171f60de9e5341348819a2de99f140c59a424c",
    "9a3744504560639ec670b7a17d492b273e077b0a96bef58ba7760779e544546e",
    "ff333f9fda91d09ca6db37da20b7b707875d4c5da259340d80ceb0a4bd8e46af",
    "3b5f6ccb168aad932cf8ccb495646e17340d11bb581b17d3180d67443ccd0bdd",
];

/// Hash of the header, and the body, of each message.
const MESSAGES: [[&str; 2]; 4] = [
    [
        "d9717b34a5eb8147e8bcaeebf22eb327a4dbe0fccf9f34dfc8d8c595573d7b6b",
        "401050fdb7c8483f6110a6f6c54d4fb2bfee129af7",
    ],
    [
        "7b2575baeb538c01458b9afa9f38fe3087df4fc5b17480b09f0bbaf7a3a3c68a",
        "db38a0af47222fa62783ffd00710157c6c0630a6",
    ],
    [
        "ad182700e1ff33c39fdeb2423ea81db16da0af605d88a5768ccc9c225ff2b525",
        "3512e2870aa8fdb59f4d523a5260c547b155163a3e26",
    ],
    [
        "368ca4572fa4503aaf3d08068e1bcf651b336780ca7390d31764061821e95f0a",
        "43326203e6f6fb09e352266c0d2b5dd5c6a965074864",
    ],
];

/// Whoever computes the primitives.
#[test]
fn a_seeded_conversation_has_known_bytes() {
    for provider in Provider::ALL {
        provider.run(conversation_has_known_bytes);
    }
}

/// Three turns, a KEM exchange and a message that was overtaken.
fn conversation_has_known_bytes() {
    let (mut alice, mut bob) = pair();
    let mut ratchet_keys = vec![ratchet_key(&alice), ratchet_key(&bob)];

    let first = alice.seal("first");
    bob.open(&first, "first");
    ratchet_keys.push(ratchet_key(&bob));
    let late = bob.seal("late");
    let answer = bob.seal("answer");
    alice.open(&answer, "answer");
    ratchet_keys.push(ratchet_key(&alice));
    let second = alice.seal("second");
    bob.open(&second, "second");
    alice.open(&late, "late");

    assert_eq!(ratchet_keys, RATCHET_KEYS);
    for (sealed, known) in [first, late, answer, second].iter().zip(MESSAGES) {
        assert_eq!([hex(&digest(&sealed.header)), hex(&sealed.body)], known);
    }
}

fn ratchet_key(peer: &Peer) -> String {
    hex(peer.ratchet.ours.secret().expose())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
