//! Whatever the input, every provider gives the same bytes and the same refusal.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, XChaCha20Poly1305};
use proptest::prelude::*;

use super::*;
use crate::crypto::{DhPublic, DhSecret, open_body, open_header, seal_body, seal_header};

/// What every provider makes of `work`: once, if they agree.
fn by_all<R: PartialEq + std::fmt::Debug>(work: impl Fn() -> R) -> R {
    let mut results = Provider::ALL.iter().map(|provider| provider.run(&work));
    let first = results.next().expect("one at least");
    for (result, provider) in results.zip(&Provider::ALL[1..]) {
        assert_eq!(result, first, "{provider:?}");
    }
    first
}

/// A shared secret as bytes, so that it can be shown.
fn agreed(secret: &[u8; 32], theirs: &[u8; 32]) -> Option<[u8; 32]> {
    by_all(|| {
        let prepared = Prepared::new(secret);
        agree(secret, || &prepared, theirs).map(|shared| *shared.expose())
    })
}

fn public(secret: &[u8; 32]) -> [u8; 32] {
    by_all(|| *Prepared::new(secret).public())
}

/// Sealed by each; what one seals every other opens.
fn sealed(key: &[u8; 32], nonce: &[u8; 12], associated: &[u8], text: &[u8]) -> Vec<u8> {
    let sealed = by_all(|| seal(key, nonce, associated, text)).expect("short");
    let opened = by_all(|| open(key, nonce, associated, &sealed));
    assert_eq!(opened.as_deref(), Some(text));
    sealed
}

#[test]
fn the_fastest_that_is_compiled_in_runs() {
    assert_eq!(Provider::ALL.last(), Some(&Provider::DEFAULT));
    assert_eq!(Provider::ALL.len(), if cfg!(feature = "accelerated") { 2 } else { 1 });
    assert_eq!(Provider::current(), Provider::DEFAULT);
    assert_eq!(Provider::Named.run(Provider::current), Provider::Named);
    assert_eq!(Provider::current(), Provider::DEFAULT);
}

/// The prepared key says which of them did the work: a test that ran one of them twice would pass.
#[cfg(feature = "accelerated")]
#[test]
fn each_provider_prepares_its_own_key() {
    assert!(Provider::AwsLc.run(|| Prepared::new(&[1; 32])).key.is_some());
    assert!(Provider::Named.run(|| Prepared::new(&[1; 32])).key.is_none());
}

/// Block borders of both ciphers and of both MACs, a message of the largest frame, and the empty one.
#[test]
fn sealed_texts_of_every_size_are_equal() {
    let text: Vec<u8> = (0..70_000_u32).map(|n| n.to_le_bytes()[0] ^ 0x5A).collect();
    let near = |size: usize| size.saturating_sub(1)..=size + 1;
    let borders = [1_024, 4_096, 16_384, 65_536, 69_999].into_iter().flat_map(near);

    for size in (0..=600).chain(borders) {
        let text = &text[..size];
        let sealed = sealed(&[1; 32], &[2; 12], &text[..size.min(300)], text);

        let payload = Payload { msg: text, aad: &text[..size.min(300)] };
        let expected = ChaCha20Poly1305::new(&[1; 32].into()).encrypt(&[2; 12].into(), payload);
        assert_eq!(sealed, expected.expect("short"), "{size} bytes");
    }
}

#[test]
fn every_truncation_and_every_flipped_bit_is_refused_by_all() {
    for text in [&b""[..], b"a", &[7; 64], &[8; 100]] {
        let good = sealed(&[3; 32], &[4; 12], b"context", text);

        for length in 0..good.len() {
            assert_eq!(by_all(|| open(&[3; 32], &[4; 12], b"context", &good[..length])), None);
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(by_all(|| open(&[3; 32], &[4; 12], b"context", &longer)), None);
        for bit in 0..good.len() * 8 {
            let mut changed = good.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(by_all(|| open(&[3; 32], &[4; 12], b"context", &changed)), None);
        }
        for associated in [&b""[..], b"contex", b"context\0", b"Context"] {
            assert_eq!(by_all(|| open(&[3; 32], &[4; 12], associated, &good)), None);
        }
        assert_eq!(by_all(|| open(&[5; 32], &[4; 12], b"context", &good)), None);
        assert_eq!(by_all(|| open(&[3; 32], &[5; 12], b"context", &good)), None);
    }
}

/// All canonical points of low order, and every encoding that is not canonical: 0 to 18 above the
/// prime, with and without the top bit, which RFC 7748 ignores. `DhPublic` refuses most of them.
#[test]
fn odd_points_are_answered_alike() {
    let low = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    let low = low.map(hex);
    let above = (0xED..=0xFF).map(|first| {
        let mut point = [0xFF; 32];
        (point[0], point[31]) = (first, 0x7F);
        point
    });
    let canonical = (2..12).map(|byte| [byte; 32]);
    let mut refused = 0;

    for point in low.into_iter().chain(above).chain(canonical) {
        for top in [0, 0x80] {
            let mut point = point;
            point[31] |= top;
            for secret in [[0; 32], [1; 32], [0xFF; 32], [0x77; 32]] {
                refused += usize::from(agreed(&secret, &point).is_none());
            }
        }
    }

    // Five, and two more that are spelled above the prime (0 and 1); with each top bit and secret.
    assert_eq!(refused, 7 * 2 * 4);
}

#[test]
fn clamping_is_done_by_all() {
    for secret in [[0; 32], [0xFF; 32], [1; 32]] {
        let mut clamped = secret;
        clamped[0] &= 248;
        clamped[31] = clamped[31] & 127 | 64;

        assert_eq!(public(&secret), public(&clamped));
        assert_eq!(agreed(&secret, &[9; 32]), agreed(&clamped, &[9; 32]));
    }
}

/// RFC 7748, section 6.1.
#[test]
fn rfc_7748_is_met_by_all() {
    let alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");

    assert_eq!(agreed(&alice, &public(&bob)), Some(shared));
    assert_eq!(agreed(&bob, &public(&alice)), Some(shared));
}

/// A secret prepared by one provider and used under another, as when a test switches between.
#[test]
fn a_key_pair_outlives_a_change_of_provider() {
    let theirs = DhPublic::parse(&public(&[2; 32])).expect("a point");
    let expected = agreed(&[1; 32], theirs.as_bytes()).expect("a good point");

    for first in Provider::ALL {
        for second in Provider::ALL {
            let secret = DhSecret::from_secret(Secret::take(&mut [1; 32]));
            let public = first.run(|| secret.public());
            let shared = second.run(|| secret.agree(&theirs)).expect("a good point");
            assert_eq!((public, shared.expose()), (secret.public(), &expected));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn keys_and_agreements_are_equal(secret in any::<[u8; 32]>(), theirs in any::<[u8; 32]>()) {
        public(&secret);
        agreed(&secret, &theirs);
    }

    #[test]
    fn bodies_and_headers_are_equal(
        key in any::<[u8; 32]>(),
        nonce in any::<[u8; 24]>(),
        associated in prop::collection::vec(any::<u8>(), 0..300),
        text in prop::collection::vec(any::<u8>(), 0..2_000),
        garbage in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let key = Secret::take(&mut { key });
        let body = by_all(|| seal_body(&key, &nonce, &associated, &text).expect("short"));
        let header = by_all(|| seal_header(&key, &nonce, &associated, &text).expect("short"));

        prop_assert_eq!(&by_all(|| open_body(&key, &nonce, &associated, &body).ok()), &Some(text.clone()));
        prop_assert_eq!(&by_all(|| open_header(&key, &nonce, &associated, &header).ok()), &Some(text.clone()));
        prop_assert_eq!(by_all(|| open_header(&key, &nonce, &associated, &garbage).ok()), None);
        let whole = XChaCha20Poly1305::new(key.expose().into());
        let payload = Payload { msg: &text, aad: &associated };
        prop_assert_eq!(header, whole.encrypt(&nonce.into(), payload).expect("short"));
    }
}

fn hex(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal");
    }
    bytes
}
