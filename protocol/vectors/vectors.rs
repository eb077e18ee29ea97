//! Published vectors, run against the primitives: RFC 5869, 7748, 8032, 8439 and Project Wycheproof.
//!
//! | primitive | what runs |
//! | --- | --- |
//! | X25519 | `crypto::DhPublic::parse`, `crypto::DhSecret::agree` |
//! | XChaCha20-Poly1305 | `crypto::seal_header`, `crypto::open_header` |
//! | HKDF-SHA-256 | `crypto::expand` |
//! | Ed25519 | crate `ed25519-dalek`, `verify_strict`: `crypto::verify` puts a label in front |
//! | ChaCha20-Poly1305 | crate `chacha20poly1305`: `crypto::seal_body` derives key and nonce |
//! | HMAC-SHA-256 | crate `hmac`: `crypto::chain_step` has a 32-byte key and a 1-byte message |
//!
//! The crates are the copies in `Cargo.lock` that `bitchat-protocol` is built with. Where a crate runs,
//! further tests show that our function is that crate plus the label, the derivation or the byte that
//! docs/SPEC.md, section "Primitives", names.
//!
//! We refuse more than Wycheproof asks for. Each suite counts its vectors by what must happen to
//! them, and the counts are pinned: a suite that is empty, or that moves a vector to another class,
//! fails. See docs/decisions/0012-vectors-in-a-crate-of-their-own.md.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod aead;
mod age;
mod ed25519;
mod hkdf;
mod hmac;
mod x25519;

use std::collections::BTreeMap;

use bitchat_protocol::crypto::Secret;

/// How many vectors fell into each class.
type Counts = BTreeMap<&'static str, usize>;

/// Compares what was counted with what this version of the suite holds.
fn assert_counts<const N: usize>(counts: &Counts, pinned: [(&'static str, usize); N]) {
    assert_eq!(*counts, BTreeMap::from(pinned));
}

/// Bytes of hexadecimal digits, as the RFCs print them.
fn hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2), "whole bytes: {digits}");
    let pairs = (0..digits.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits")).collect()
}

/// [`hex`] of exactly `N` bytes.
fn array<const N: usize>(digits: &str) -> [u8; N] {
    hex(digits).try_into().expect("the right length")
}

fn secret(bytes: &[u8]) -> Secret<32> {
    Secret::from_slice(bytes).expect("32 bytes")
}
