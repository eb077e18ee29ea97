//! The ratchet and the sessions of this crate.

use std::hint::black_box;

use bitchat_protocol::crypto::{DhSecret, Secret};
use bitchat_protocol::ratchet::{InitialKeys, Ratchet, Sealed};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::sessions::{self, NOW, NoneSkipped, SETTLED};
use super::{CHAIN, Contestant, SKIPPED, TEXT, TURNS, time};

/// As long as that of a session.
const AD: [u8; 244] = [9; 244];

struct Pair {
    alice: Ratchet,
    bob: Ratchet,
    rng: ChaCha20Rng,
}

/// Two that have talked long enough for their first KEM exchange to be over.
fn pair() -> Pair {
    let keys = || {
        let key = |byte| Secret::take(&mut [byte; 32]);
        InitialKeys { root: key(1), header_initiator: key(2), header_responder: key(3) }
    };
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let prekey = DhSecret::random(&mut rng);
    let alice = Ratchet::initiator(keys(), prekey.public(), &mut rng).expect("a good prekey");
    let mut pair = Pair { alice, bob: Ratchet::responder(keys(), prekey), rng };
    (0..SETTLED).for_each(|_| turn(&mut pair));
    pair
}

fn seal(ratchet: &mut Ratchet, rng: &mut ChaCha20Rng) -> Sealed {
    ratchet.seal(rng, black_box(&AD), black_box(&TEXT)).expect("may send")
}

fn open(ratchet: &mut Ratchet, rng: &mut ChaCha20Rng, sealed: &Sealed) {
    let opened = ratchet.open(rng, &NoneSkipped, black_box(&AD), black_box(sealed), NOW);
    black_box(opened.expect("in order"));
}

/// One message there and one back.
fn turn(Pair { alice, bob, rng }: &mut Pair) {
    let there = seal(alice, rng);
    open(bob, rng, &there);
    let back = seal(bob, rng);
    open(alice, rng, &back);
}

pub(super) fn encrypt() -> Contestant {
    let Pair { mut alice, mut rng, .. } = pair();
    Box::new(move || {
        time(CHAIN, || {
            for _ in 0..CHAIN {
                black_box(seal(&mut alice, &mut rng));
            }
        })
    })
}

pub(super) fn decrypt() -> Contestant {
    let Pair { mut alice, mut bob, mut rng } = pair();
    let first = seal(&mut alice, &mut rng);
    open(&mut bob, &mut rng, &first);
    Box::new(move || {
        let messages: Vec<_> = (0..CHAIN).map(|_| seal(&mut alice, &mut rng)).collect();
        time(CHAIN, || {
            for message in &messages {
                open(&mut bob, &mut rng, message);
            }
        })
    })
}

pub(super) fn ping_pong() -> Contestant {
    let mut pair = pair();
    Box::new(move || time(TURNS, || (0..TURNS).for_each(|_| turn(&mut pair))))
}

pub(super) fn session() -> Contestant {
    let mut pair = sessions::Pair::new();
    Box::new(move || {
        time(1, || {
            black_box(pair.found());
        })
    })
}

/// On one-time keys that were checked before, as Olm leaves it to its user.
pub(super) fn session_once() -> Contestant {
    let mut pair = sessions::Pair::new();
    let (offer, secrets) = pair.one_time();
    let keys = pair.verified(&offer);
    Box::new(move || {
        time(1, || {
            black_box(pair.found_on(&keys, &secrets));
        })
    })
}

/// The same, and the two signatures of the one-time keys.
pub(super) fn session_checked() -> Contestant {
    let mut pair = sessions::Pair::new();
    let (offer, secrets) = pair.one_time();
    Box::new(move || {
        time(1, || {
            let keys = pair.verified(black_box(&offer));
            black_box(pair.found_on(&keys, &secrets));
        })
    })
}

pub(super) fn skip() -> Contestant {
    let Pair { mut alice, mut bob, mut rng } = pair();
    let first = seal(&mut alice, &mut rng);
    open(&mut bob, &mut rng, &first);
    for _ in 0..SKIPPED {
        seal(&mut alice, &mut rng);
    }
    let last = seal(&mut alice, &mut rng);
    let record = bob.to_record();
    Box::new(move || {
        let mut bob = Ratchet::from_record(record.clone()).expect("own record");
        time(1, || open(&mut bob, &mut rng, &last))
    })
}

/// The row of a session as the store gets it, before it is sealed.
pub(super) fn stored_bytes() -> usize {
    sessions::Pair::new().settled().0.to_record().len()
}
