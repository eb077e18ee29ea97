//! The seam of the hot primitives: ChaCha20-Poly1305 and X25519, by who computes them.
//!
//! ```text
//!   aead, dh  -->  Provider  -->  named    chacha20poly1305, x25519-dalek: always there
//!                            -->  aws_lc   aws-lc-rs: with the feature `accelerated`
//! ```
//!
//! Providers differ in time only: same bytes, same refusals (`provider/tests.rs`). Which of them
//! runs is fixed when this compiles. Why these two and only these primitives: docs/decisions, 18.
//!
//! What a provider keeps of a key it must wipe when it is dropped; both say how.
//!
//! See docs/SPEC.md, section "Primitives".

#[cfg(feature = "accelerated")]
mod aws_lc;
mod named;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "test-hooks"))]
use std::cell::Cell;

use super::Secret;

/// Bytes of a tag.
pub(super) const TAG_BYTES: usize = 16;

/// Bytes of a nonce.
pub(super) const NONCE_BYTES: usize = 12;

/// Who computes the hot primitives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Rust crates, built without a C compiler.
    Named,
    /// AWS-LC, in C and assembly.
    #[cfg(feature = "accelerated")]
    AwsLc,
}

#[cfg(any(test, feature = "test-hooks"))]
thread_local! {
    static CURRENT: Cell<Provider> = const { Cell::new(Provider::DEFAULT) };
}

impl Provider {
    /// All that were compiled in.
    pub const ALL: &[Self] = &[
        Self::Named,
        #[cfg(feature = "accelerated")]
        Self::AwsLc,
    ];

    /// The one that runs: the fastest that was compiled in.
    #[cfg(feature = "accelerated")]
    pub const DEFAULT: Self = Self::AwsLc;
    /// The one that runs: the fastest that was compiled in.
    #[cfg(not(feature = "accelerated"))]
    pub const DEFAULT: Self = Self::Named;

    /// Lets this provider run instead, on this thread and as long as `work` takes. For tests and
    /// benches, which compare providers in one process.
    #[cfg(any(test, feature = "test-hooks"))]
    pub fn run<R>(self, work: impl FnOnce() -> R) -> R {
        struct Before(Provider);
        impl Drop for Before {
            fn drop(&mut self) {
                CURRENT.set(self.0);
            }
        }
        let _before = Before(CURRENT.replace(self));
        work()
    }

    #[cfg(any(test, feature = "test-hooks"))]
    fn current() -> Self {
        CURRENT.get()
    }

    #[cfg(not(any(test, feature = "test-hooks")))]
    const fn current() -> Self {
        Self::DEFAULT
    }
}

/// Text and tag; `None` if the text is longer than the cipher takes (256 GiB).
pub(super) fn seal(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    text: &[u8],
) -> Option<Vec<u8>> {
    match Provider::current() {
        Provider::Named => named::seal(key, nonce, associated, text),
        #[cfg(feature = "accelerated")]
        Provider::AwsLc => aws_lc::seal(key, nonce, associated, text),
    }
}

/// The text of what [`seal`] made; `None` if the tag is not that of all the rest.
pub(super) fn open(
    key: &[u8; 32],
    nonce: &[u8; NONCE_BYTES],
    associated: &[u8],
    sealed: &[u8],
) -> Option<Vec<u8>> {
    match Provider::current() {
        Provider::Named => named::open(key, nonce, associated, sealed),
        #[cfg(feature = "accelerated")]
        Provider::AwsLc => aws_lc::open(key, nonce, associated, sealed),
    }
}

/// What a provider makes of an X25519 secret once, for every use of it.
pub(super) struct Prepared {
    public: [u8; 32],
    #[cfg(feature = "accelerated")]
    key: Option<aws_lc::Key>,
}

impl Prepared {
    /// Prepares a secret, which is clamped as RFC 7748 says.
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        #[cfg(feature = "accelerated")]
        if Provider::current() == Provider::AwsLc
            && let Some((key, public)) = aws_lc::prepare(secret)
        {
            return Self { public, key: Some(key) };
        }
        Self {
            public: named::public(secret),
            #[cfg(feature = "accelerated")]
            key: None,
        }
    }

    /// The public key.
    pub(super) const fn public(&self) -> &[u8; 32] {
        &self.public
    }
}

/// The shared secret with the point `theirs`; `None` if it is all zero. `prepared` is asked for if
/// the provider needs it.
pub(super) fn agree<'a>(
    secret: &[u8; 32],
    prepared: impl FnOnce() -> &'a Prepared,
    theirs: &[u8; 32],
) -> Option<Secret<32>> {
    #[cfg(feature = "accelerated")]
    if Provider::current() == Provider::AwsLc
        && let Some(key) = &prepared().key
    {
        return aws_lc::agree(key, theirs);
    }
    #[cfg(not(feature = "accelerated"))]
    let _ = prepared;
    named::agree(secret, theirs)
}
