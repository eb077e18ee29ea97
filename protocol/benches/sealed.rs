//! Cost of a seal around a message of 256 padded bytes, beside what it is made of (ADR 19).
//!
//! Budget: 200 microseconds for both ends together. What counts is [`foreign`]: a file or a mailbox
//! may hold many seals for others, and each costs one agreement before it is known.

use bitchat_protocol::crypto::DhSecret;
use bitchat_protocol::error::Error;
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::sealed::{open, seal};
use bitchat_protocol::time::UnixMillis;
use divan::{Bencher, black_box};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

/// A letter: session, message id, header of 80 bytes, body of 256 bytes and a tag.
const LETTER: [u8; 386] = [7; 386];

fn main() {
    divan::main();
}

fn identity(seed: u64) -> Result<Identity, Error> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let account = Account::from_phrase(&Phrase::generate(&mut rng)?);
    let device = Device::random(&mut rng);
    let certificate = account.certify(&device, 0, 1, UnixMillis(1));
    Identity::new(device, certificate)
}

struct Scene {
    alice: Identity,
    bob: Identity,
    carol: Identity,
    sealed: Vec<u8>,
    rng: ChaCha20Rng,
}

fn scene() -> Result<Scene, Error> {
    let (alice, bob, carol) = (identity(1)?, identity(2)?, identity(3)?);
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let sealed = seal(&alice, bob.certificate(), &LETTER, &mut rng)?;
    Ok(Scene { alice, bob, carol, sealed, rng })
}

#[divan::bench]
fn make(bencher: Bencher<'_, '_>) {
    let Ok(Scene { alice, bob, mut rng, .. }) = scene() else { return };
    bencher.bench_local(|| seal(&alice, bob.certificate(), black_box(&LETTER), &mut rng));
}

#[divan::bench]
fn own(bencher: Bencher<'_, '_>) {
    let Ok(Scene { bob, sealed, .. }) = scene() else { return };
    bencher.bench_local(|| open(&bob, black_box(&sealed)));
}

#[divan::bench]
fn foreign(bencher: Bencher<'_, '_>) {
    let Ok(Scene { carol, sealed, .. }) = scene() else { return };
    bencher.bench_local(|| open(&carol, black_box(&sealed)));
}

/// The largest part of each: making takes two of these and a key pair, opening two and a signature.
#[divan::bench]
fn agreement(bencher: Bencher<'_, '_>) {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let (ours, theirs) = (DhSecret::random(&mut rng), DhSecret::random(&mut rng).public());
    bencher.bench_local(|| ours.agree(black_box(&theirs)));
}
