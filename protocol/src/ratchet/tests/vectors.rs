//! Known answers: the protocol as bytes. A change here is a new protocol version.
//!
//! Derived a second time by `protocol/interop/known_answers.py`.

use super::*;

/// Ratchet keys: the initiator's first, the signed prekey, the responder's next, the initiator's
/// next.
const RATCHET_KEYS: [&str; 4] = [
    "000efec87c5749ec1157912e0e171f60de9e5341348819a2de99f140c59a424c",
    "9a3744504560639ec670b7a17d492b273e077b0a96bef58ba7760779e544546e",
    "ff333f9fda91d09ca6db37da20b7b707875d4c5da259340d80ceb0a4bd8e46af",
    "3b5f6ccb168aad932cf8ccb495646e17340d11bb581b17d3180d67443ccd0bdd",
];

/// Header and body of each message; the nonce is in the header.
const MESSAGES: [[&str; 2]; 4] = [
    [
        "8e0bb7534fcf4f12ac7458fb8092fe529ce56ea0bb68edb6db2dc98d2daa7ebfbe67d9ef4c59\
         c35feeecc0a06a2fdb8f4d68645cd2385da709e27dcf067b852ac974ece257cf81aa62229da8\
         49a7d5bd",
        "401050fdb7c8483f6110a6f6c54d4fb2bfee129af7",
    ],
    [
        "dc45a2165ed7eaf73d2956d23f12edc0f968aaf13304b1e5a2070fd47df4214772118234eef4\
         9fd5915ce7107bc40602bd2e4553075cf2c5723eaecada5b9c49d06052769c0cf5b98470084a\
         0f858e96",
        "bf013331992ac782cd357f7e8ed5ffd5ed0eb232",
    ],
    [
        "b8e32627ae97d165ad370abed4c4df773112d60534f2acc14a8bef2e19b15bb575ce66b90d4c\
         dfbbd18097bb37344cd20ebfa3fcea04828ad42e029bd03bc7d86a7712620b390ed63f77daa5\
         69d8dc5a",
        "f08ee7f191fa75e15d69350dd68a04e061b1e27015f8",
    ],
    [
        "8d0f6107eab8de26559776009a6d862aad04921e29fde5bdf9accf78c909bdedc89769c579d2\
         340282afd139c246c8238645d723b0819907de966b027ce02bbf07c4e5614567740f865ae009\
         4a576d53",
        "280c1076b28a34540ad16e13a6ed3d057348f93a60cc",
    ],
];

/// Three turns and a message that was overtaken.
#[test]
fn a_seeded_conversation_has_known_bytes() {
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
        assert_eq!([hex(&sealed.header), hex(&sealed.body)], known);
    }
}

fn ratchet_key(peer: &Peer) -> String {
    hex(peer.ratchet.ours.secret().expose())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
