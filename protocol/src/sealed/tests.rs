//! A seal opens at its recipient and nowhere else, whole or not at all.

mod vectors;

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;
use crate::identity::{Account, Device, Phrase};
use crate::time::UnixMillis;

const LETTER: &[u8] = b"session, message, ratchet";

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn account(seed: u64) -> Account {
    Account::from_phrase(&Phrase::generate(&mut rng(seed)).expect("32 bytes"))
}

fn identity(seed: u64) -> Identity {
    let device = Device::random(&mut rng(seed + 100));
    let certificate = account(seed).certify(&device, 0, seed, UnixMillis(5));
    Identity::new(device, certificate).expect("its own certificate")
}

struct Scene {
    alice: Identity,
    bob: Identity,
    seal: Vec<u8>,
}

fn scene() -> Scene {
    let (alice, bob) = (identity(1), identity(2));
    let seal = seal(&alice, bob.certificate(), LETTER, &mut rng(3)).expect("sealed");
    Scene { alice, bob, seal }
}

/// A seal with this certificate inside, proven by the secret that its maker has.
fn forge(certificate: &[u8], proof: &DhSecret, recipient: &Identity) -> Vec<u8> {
    let theirs = recipient.certificate().identity_dh();
    let ephemeral = DhSecret::random(&mut rng(5));
    let travels = *ephemeral.public().as_bytes();
    let shared = ephemeral.agree(&theirs).expect("a good point");
    let outer = Outer::new(recipient.certificate(), &travels, &shared);
    let hidden = seal_once(&outer.key, &outer.transcript, certificate).expect("short");
    let proof = proof.agree(&theirs).expect("a good point");
    let inner = Inner::new(&outer, certificate, &hidden, (&shared, &proof));
    let padded = pad(LETTER).expect("short");
    let text = seal_once(&inner.key, &inner.transcript, &padded).expect("short");
    [travels.as_slice(), &hidden, &text].concat()
}

fn assert_refused(at: &Identity, seal: &[u8], why: &str) {
    let opened = open(at, seal);
    assert!(matches!(opened, Err(Error::Decrypt)), "{why}: {opened:?}");
}

#[test]
fn a_seal_opens_at_its_recipient_alone_and_names_its_sender() {
    let Scene { alice, bob, seal } = scene();

    let opened = open(&bob, &seal).expect("for bob");

    assert_eq!((opened.letter.as_slice(), &opened.sender), (LETTER, alice.certificate()));
    assert_refused(&identity(4), &seal, "somebody else");
    assert_refused(&alice, &seal, "its sender");
}

#[test]
fn a_changed_bit_anywhere_is_refused() {
    let Scene { bob, seal, .. } = scene();

    for at in 0..seal.len() {
        // The free bit of the ephemeral key counts, too.
        for bit in if at < EPHEMERAL_BYTES { 0..8 } else { 7..8 } {
            let mut changed = seal.clone();
            changed[at] ^= 1 << bit;
            assert_refused(&bob, &changed, &format!("bit {bit} of byte {at}"));
        }
    }
}

#[test]
fn a_seal_that_is_cut_or_longer_is_refused() {
    let Scene { bob, seal, .. } = scene();

    for at in 0..seal.len() {
        assert_refused(&bob, &seal[..at], "cut");
        assert_refused(&bob, &seal[at + 1..], "cut in front");
    }
    assert_refused(&bob, &[seal.as_slice(), &[0]].concat(), "longer");
    assert_refused(&bob, &[seal.as_slice(), &[0; 128]].concat(), "as long as another");
    assert_refused(&bob, &vec![9; SEAL_BYTES_MAX + 1], "too long");
}

/// Whoever has every public record still lacks a secret of one of the two.
#[test]
fn a_seal_forged_from_public_records_is_refused() {
    let (alice, bob) = (identity(1), identity(2));
    let certificate = alice.certificate().to_bytes();
    let (ephemeral, stranger) = (DhSecret::random(&mut rng(5)), DhSecret::random(&mut rng(6)));
    for guess in [&stranger, &ephemeral] {
        assert_refused(&bob, &forge(&certificate, guess, &bob), "forged");
    }
    let good = forge(&certificate, alice.device().dh(), &bob);
    assert!(open(&bob, &good).is_ok(), "with the sender's secret");
}

/// The hidden certificate of one seal before the letter of another, by every sender who could try.
#[test]
fn a_swapped_certificate_is_refused() {
    let Scene { bob, seal: first, .. } = scene();
    let second = seal(&identity(4), bob.certificate(), LETTER, &mut rng(3)).expect("sealed");
    assert_eq!(first[..EPHEMERAL_BYTES], second[..EPHEMERAL_BYTES], "the same ephemeral key");
    let (head, tail) = (EPHEMERAL_BYTES, EPHEMERAL_BYTES + HIDDEN_BYTES);

    let swapped = [&first[..head], &second[head..tail], &first[tail..]].concat();

    assert_refused(&bob, &swapped, "another's certificate");
    assert!(open(&bob, &second).is_ok(), "the stranger's own is good");
}

/// The X25519 key must be the one that the account has certified.
#[test]
fn a_certificate_with_another_key_is_refused() {
    let (alice, bob, mallory) = (identity(1), identity(2), identity(7));
    let mut certificate = alice.certificate().to_bytes();
    certificate[64..96].copy_from_slice(mallory.certificate().identity_dh().as_bytes());

    let forged = forge(&certificate, mallory.device().dh(), &bob);

    assert_refused(&bob, &forged, "alice's certificate with mallory's key");
}

#[test]
fn zero_low_order_and_non_canonical_points_are_refused() {
    let Scene { bob, seal, .. } = scene();
    let mut one = [0; 32];
    one[0] = 1;
    let mut prime = [0xFF; 32];
    prime[0] = 0xED;
    prime[31] = 0x7F;

    for point in [[0; 32], one, prime, [0xFF; 32]] {
        let forged = [point.as_slice(), &seal[EPHEMERAL_BYTES..]].concat();
        assert_refused(&bob, &forged, "a bad point");
    }
}

#[test]
fn nobody_seals_for_itself() {
    let Scene { alice, .. } = scene();

    let sealed = seal(&alice, alice.certificate(), LETTER, &mut rng(3));

    assert!(matches!(sealed, Err(Error::NotAuthentic(_))));
    let certificate = alice.certificate().to_bytes();
    assert_refused(&alice, &forge(&certificate, alice.device().dh(), &alice), "her own");
}

/// A carrier sees neither the sender nor the recipient nor the letter, and no two seals share bytes.
#[test]
fn nothing_that_is_known_stands_in_the_bytes() {
    let Scene { alice, bob, seal: first } = scene();
    let second = seal(&alice, bob.certificate(), LETTER, &mut rng(8)).expect("sealed");

    let certificates = [alice.certificate(), bob.certificate()];
    let mut canaries = vec![LETTER.to_vec()];
    for certificate in certificates {
        canaries.push(certificate.account().0.to_vec());
        canaries.push(certificate.device().0.to_vec());
        canaries.push(certificate.identity_dh().as_bytes().to_vec());
    }
    for canary in canaries {
        for piece in canary.windows(6) {
            assert!(!first.windows(6).any(|window| window == piece));
        }
    }
    let equal = first.iter().zip(&second).filter(|(a, b)| a == b).count();
    assert!(equal < 30, "{equal} of {} bytes are equal", first.len());
}

/// The bit that a plain X25519 key always leaves at 0.
#[test]
fn the_free_bit_of_the_ephemeral_key_is_random() {
    let (alice, bob) = (identity(1), identity(2));
    let mut random = rng(9);
    let mut set = 0;
    for _ in 0..200 {
        let sealed = seal(&alice, bob.certificate(), LETTER, &mut random).expect("sealed");
        set += usize::from(sealed[EPHEMERAL_BYTES - 1] & FREE_BIT != 0);
        assert!(open(&bob, &sealed).is_ok());
    }
    assert!((60..140).contains(&set), "{set} of 200");
}

#[test]
fn short_letters_have_one_length_and_long_ones_few() {
    let (alice, bob) = (identity(1), identity(2));
    let length = |letter: usize| {
        let sealed = seal(&alice, bob.certificate(), &vec![7; letter], &mut rng(3));
        sealed.expect("sealed").len()
    };

    assert_eq!([0, 1, 400, FLOOR - OVERHEAD - 1].map(length), [FLOOR; 4]);
    assert_eq!(length(FLOOR - OVERHEAD), 2_176);
    let classes: std::collections::BTreeSet<_> = (0..16_000).step_by(97).map(length).collect();
    assert!(classes.len() < 50, "{} lengths up to 16,000 bytes", classes.len());
}

#[test]
fn a_letter_too_long_for_a_seal_is_not_sealed() {
    let (alice, bob) = (identity(1), identity(2));
    let sealed = |length: usize| {
        seal(&alice, bob.certificate(), &vec![7; length], &mut rng(3)).map(|seal| seal.len())
    };

    assert!(matches!(sealed(SEAL_BYTES_MAX - OVERHEAD - 1), Ok(SEAL_BYTES_MAX)));
    assert!(matches!(sealed(SEAL_BYTES_MAX - OVERHEAD), Err(Error::Bug(_))));
}

#[test]
fn a_padding_that_no_sender_makes_is_refused() {
    for padded in [vec![0; FLOOR - OVERHEAD], vec![1; FLOOR - OVERHEAD], Vec::new(), vec![0x80]] {
        assert!(unpad(padded).is_err());
    }
    let mut longer = pad(LETTER).expect("short").to_vec();
    longer.extend([0; 128]);
    assert!(unpad(longer).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_letter_survives(
        letter in prop::collection::vec(any::<u8>(), 0..3_000),
        seed in any::<u64>(),
    ) {
        let (alice, bob) = (identity(1), identity(2));
        let sealed = seal(&alice, bob.certificate(), &letter, &mut rng(seed)).expect("sealed");

        prop_assert_eq!(padme(sealed.len(), FLOOR), sealed.len());
        prop_assert_eq!(open(&bob, &sealed).expect("for bob").letter, letter);
    }

    #[test]
    fn no_bytes_open_or_panic(seal in prop::collection::vec(any::<u8>(), 0..2_200)) {
        prop_assert!(open(&identity(2), &seal).is_err());
        let mut known = seal;
        known.resize(FLOOR, 0);
        prop_assert!(open(&identity(2), &known).is_err());
    }
}
