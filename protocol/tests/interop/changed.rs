//! Handshakes of which the network changes a bit.

use bitchat_proto::prost::Message;
use bitchat_proto::wire;
use bitchat_protocol::handshake::{accept, initiate};
use bitchat_protocol::invitation::ContactRecord;
use bitchat_protocol::prekey::Prekeys;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::network::identity;
use crate::offer::{decode_offer, encode_offer, offer, secrets};
use crate::peer::{Peer, bytes};
use crate::side::NOW;

/// One-time keys of both kinds.
const BOTH: u32 = 3;

/// The foreign device refuses ours or derives another session.
pub(crate) fn ours(peer: &mut Peer) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let published = peer.ask("publish", &[]).expect("publishes");
    let record = bytes(&published, "record");
    let record = ContactRecord::verify(&record, NOW).expect("valid");
    let keys = decode_offer(&bytes(&published, "offer"), BOTH);
    let keys = keys.verify(&record.certificate().device(), NOW).expect("its own keys");
    let started = initiate(&identity(&mut rng), &record, &keys, &mut rng).expect("a good record");
    let initial = started.initial.encode_to_vec();

    let whole = peer.ask("accept", &[("initial", &initial)]).expect("accepts");
    assert_eq!(bytes(&whole, "session"), started.session.0);
    for (place, changed) in flipped(&initial, &mut rng) {
        if let Ok(answer) = peer.ask("accept", &[("initial", &changed)]) {
            assert_ne!(bytes(&answer, "session"), started.session.0, "byte {place}");
        }
    }
}

/// We refuse the foreign device's or derive another session.
pub(crate) fn theirs(peer: &mut Peer) {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let identity = identity(&mut rng);
    let mut prekeys = Prekeys::generate(&mut rng, NOW);
    let record = ContactRecord::issue(&identity, &mut prekeys, &[], NOW).expect("issued");
    let secrets = secrets(&mut rng, BOTH);
    let offer = encode_offer(offer(&identity, &secrets));
    let answer = peer.ask("initiate", &[("record", &record), ("offer", &offer)]);
    let answer = answer.expect("initiates");
    let (initial, session) = (bytes(&answer, "initial"), bytes(&answer, "session"));
    let derive = |initial: &[u8]| {
        let initial = wire::Initial::decode(initial).ok()?;
        accept(&identity, &prekeys, &secrets, &initial).ok().map(|accepted| accepted.session.0)
    };

    assert_eq!(derive(&initial).expect("accepted").as_slice(), session);
    for (place, changed) in flipped(&initial, &mut rng) {
        assert!(derive(&changed).is_none_or(|other| other.as_slice() != session), "byte {place}");
    }
}

/// Copies with one bit changed: a random bit of each byte around the KEM ciphertext, and of some
/// bytes within it.
fn flipped(bytes: &[u8], rng: &mut ChaCha20Rng) -> Vec<(usize, Vec<u8>)> {
    const BEFORE: usize = 300;
    const AFTER: usize = 16;
    const STEP: usize = 50;
    let end = bytes.len() - AFTER;
    let places = (0..BEFORE).chain((BEFORE..end).step_by(STEP)).chain(end..bytes.len());
    let copies = places.map(|place| {
        let bit = rng.next_u32() % 8;
        let mut changed = bytes.to_vec();
        changed[place] ^= 1 << bit;
        (place, changed)
    });
    copies.collect()
}
