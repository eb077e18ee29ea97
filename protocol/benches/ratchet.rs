//! The ratchet against vodozemac's Olm: 100-byte messages, the same machine, the same run.
//!
//! Ours does more for each message: it seals the header, and binds each body to a random nonce.

#![allow(clippy::expect_used, clippy::panic, reason = "a panic is how it fails")]

use std::cell::RefCell;

use bitchat_protocol::crypto::{DhSecret, Secret};
use bitchat_protocol::ratchet::{InitialKeys, Ratchet, Sealed, SkippedAt, SkippedKeys};
use bitchat_protocol::store::StoreError;
use bitchat_protocol::time::UnixMillis;
use divan::{Bencher, black_box};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use vodozemac::olm::{Account, OlmMessage, Session, SessionConfig};

const TEXT: [u8; 100] = [7; 100];
const AD: [u8; 200] = [9; 200];
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);
/// Messages of one chain in a sample.
const CHAIN: usize = 100;

fn main() {
    divan::main();
}

/// No message is overtaken here.
struct NoneSkipped;

impl SkippedKeys for NoneSkipped {
    fn get(&self, _: u32, _: u32) -> Result<Option<Secret<32>>, StoreError> {
        Ok(None)
    }

    fn oldest(&self, _: usize) -> Result<Vec<SkippedAt>, StoreError> {
        Ok(Vec::new())
    }
}

mod ours {
    use super::*;

    struct Pair {
        alice: Ratchet,
        bob: Ratchet,
        rng: ChaCha20Rng,
    }

    fn pair() -> Pair {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let prekey = DhSecret::random(&mut rng);
        let alice = Ratchet::initiator(keys(), prekey.public(), &mut rng).expect("a good prekey");
        let mut pair = Pair { alice, bob: Ratchet::responder(keys(), prekey), rng };
        turn(&mut pair);
        pair
    }

    fn keys() -> InitialKeys {
        let key = |byte| Secret::take(&mut [byte; 32]);
        InitialKeys { root: key(1), header_initiator: key(2), header_responder: key(3) }
    }

    fn seal(ratchet: &mut Ratchet, rng: &mut ChaCha20Rng) -> Sealed {
        ratchet.seal(rng, black_box(&AD), black_box(&TEXT)).expect("may send")
    }

    fn open(ratchet: &mut Ratchet, rng: &mut ChaCha20Rng, sealed: &Sealed) -> Vec<u8> {
        ratchet.open(rng, &NoneSkipped, black_box(&AD), sealed, NOW).expect("in order").plaintext
    }

    /// One message there and one back.
    fn turn(pair: &mut Pair) {
        let there = seal(&mut pair.alice, &mut pair.rng);
        black_box(open(&mut pair.bob, &mut pair.rng, &there));
        let back = seal(&mut pair.bob, &mut pair.rng);
        black_box(open(&mut pair.alice, &mut pair.rng, &back));
    }

    #[divan::bench]
    fn encrypt(bencher: Bencher<'_, '_>) {
        let pair = RefCell::new(pair());
        bencher.bench_local(|| {
            let Pair { alice, rng, .. } = &mut *pair.borrow_mut();
            seal(alice, rng)
        });
    }

    #[divan::bench]
    fn decrypt_100(bencher: Bencher<'_, '_>) {
        let input = || {
            let mut pair = pair();
            // The turn of the ratchet is not part of the chain.
            let first = seal(&mut pair.alice, &mut pair.rng);
            open(&mut pair.bob, &mut pair.rng, &first);
            let Pair { alice, rng, .. } = &mut pair;
            let messages = (0..CHAIN).map(|_| seal(alice, rng)).collect::<Vec<_>>();
            (pair, messages)
        };
        bencher.with_inputs(input).bench_local_refs(|(pair, messages)| {
            for message in messages {
                black_box(open(&mut pair.bob, &mut pair.rng, message));
            }
        });
    }

    #[divan::bench]
    fn ping_pong(bencher: Bencher<'_, '_>) {
        let pair = RefCell::new(pair());
        bencher.bench_local(|| turn(&mut pair.borrow_mut()));
    }

    #[divan::bench]
    fn to_record(bencher: Bencher<'_, '_>) {
        let pair = pair();
        bencher.bench_local(|| black_box(&pair.alice).to_record());
    }

    #[divan::bench]
    fn from_record(bencher: Bencher<'_, '_>) {
        let pair = pair();
        bencher
            .with_inputs(|| pair.alice.to_record())
            .bench_local_values(|record| Ratchet::from_record(record).expect("own record"));
    }

    #[divan::bench]
    fn largest_gap(bencher: Bencher<'_, '_>) {
        let mut pair = pair();
        let first = seal(&mut pair.alice, &mut pair.rng);
        open(&mut pair.bob, &mut pair.rng, &first);
        for _ in 0..bitchat_protocol::ratchet::GAP_MAX {
            seal(&mut pair.alice, &mut pair.rng);
        }
        let last = seal(&mut pair.alice, &mut pair.rng);
        let record = pair.bob.to_record();
        bencher
            .with_inputs(|| Ratchet::from_record(record.clone()).expect("own record"))
            .bench_local_values(|mut bob| open(&mut bob, &mut pair.rng, &last));
    }
}

mod olm {
    use super::*;

    struct Pair {
        alice: Session,
        bob: Session,
    }

    fn pair() -> Pair {
        // Version 1 is all that this build offers; its MAC is cut to 8 bytes.
        let (alice, mut bob) = (Account::new(), Account::new());
        bob.generate_one_time_keys(1);
        let one_time = *bob.one_time_keys().values().next().expect("one");
        let identity = bob.curve25519_key();
        let mut session = alice
            .create_outbound_session(SessionConfig::version_1(), identity, one_time)
            .expect("good keys");
        let OlmMessage::PreKey(first) = session.encrypt(TEXT).expect("may send") else {
            panic!("the first message is a pre-key message");
        };
        let inbound = bob
            .create_inbound_session(SessionConfig::version_1(), alice.curve25519_key(), &first)
            .expect("the first message opens");
        let mut pair = Pair { alice: session, bob: inbound.session };
        let back = pair.bob.encrypt(TEXT).expect("may send");
        pair.alice.decrypt(&back).expect("in order");
        turn(&mut pair);
        pair
    }

    fn turn(pair: &mut Pair) {
        let there = pair.alice.encrypt(black_box(&TEXT)).expect("may send");
        black_box(pair.bob.decrypt(&there).expect("in order"));
        let back = pair.bob.encrypt(black_box(&TEXT)).expect("may send");
        black_box(pair.alice.decrypt(&back).expect("in order"));
    }

    #[divan::bench]
    fn encrypt(bencher: Bencher<'_, '_>) {
        let pair = RefCell::new(pair());
        // The turn of the ratchet is not part of the chain.
        pair.borrow_mut().alice.encrypt(TEXT).expect("may send");
        bencher.bench_local(|| pair.borrow_mut().alice.encrypt(black_box(&TEXT)));
    }

    #[divan::bench]
    fn decrypt_100(bencher: Bencher<'_, '_>) {
        let input = || {
            let mut pair = pair();
            let first = pair.alice.encrypt(TEXT).expect("may send");
            pair.bob.decrypt(&first).expect("in order");
            let messages =
                (0..CHAIN).map(|_| pair.alice.encrypt(TEXT).expect("may send")).collect();
            (pair, messages)
        };
        bencher.with_inputs(input).bench_local_refs(|(pair, messages): &mut (_, Vec<_>)| {
            for message in messages {
                black_box(pair.bob.decrypt(message).expect("in order"));
            }
        });
    }

    #[divan::bench]
    fn ping_pong(bencher: Bencher<'_, '_>) {
        let pair = RefCell::new(pair());
        bencher.bench_local(|| turn(&mut pair.borrow_mut()));
    }
}
