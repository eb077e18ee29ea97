//! The ratchet at rest, and the longest work that one message can ask for. What each message costs is
//! in `figures.rs`, beside Olm.

#![allow(clippy::expect_used, reason = "a panic is how it fails")]

use bitchat_protocol::crypto::{DhSecret, Secret};
use bitchat_protocol::ratchet::{InitialKeys, Ratchet, Sealed, SkippedAt, SkippedKeys};
use bitchat_protocol::store::StoreError;
use bitchat_protocol::time::UnixMillis;
use divan::{Bencher, black_box};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const TEXT: [u8; 100] = [7; 100];
const AD: [u8; 200] = [9; 200];
const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

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
    // Until the first KEM exchange is over.
    (0..4).for_each(|_| turn(&mut pair));
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
