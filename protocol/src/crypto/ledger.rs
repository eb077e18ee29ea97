//! A ledger of what was sealed, for tests: the same key and nonce must never seal two texts.
//!
//! Compiled into tests and under the feature `test-hooks` only, which no shipped build turns on. A
//! [`Ledger`] watches the thread that opened it until it is dropped; what other threads seal is not
//! seen. It keeps hashes only, so it may be kept for millions of messages.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{Secret, Transcript};

/// A hash cut in half: no accident makes two of these equal.
type Mark = [u8; 16];

thread_local! {
    /// What the open ledger of this thread has seen.
    static PAGES: RefCell<Option<Pages>> = const { RefCell::new(None) };
}

#[derive(Debug, Default)]
struct Pages {
    /// Text and associated data by algorithm, key and nonce.
    sealed: BTreeMap<Mark, Mark>,
    /// Seals, equal ones included.
    seals: u64,
}

/// Watches every seal of this thread. A seal that uses a key and nonce again, for another text or
/// other associated data, panics where it happens.
#[derive(Debug)]
#[must_use = "it watches until it is dropped"]
pub struct Ledger {
    /// Opened before this one, and suspended until this one is dropped.
    before: Option<Pages>,
}

impl Ledger {
    /// Opens an empty ledger; one that is already open waits until this one is dropped.
    pub fn open() -> Self {
        Self { before: PAGES.replace(Some(Pages::default())) }
    }

    /// How many seals it has seen: a test that says "no pair twice" also says of how many.
    #[must_use]
    pub fn seals(&self) -> u64 {
        PAGES.with_borrow(|pages| pages.as_ref().map_or(0, |pages| pages.seals))
    }

    /// How many of them used a pair again for the very same text: harmless, but worth a number.
    #[must_use]
    pub fn repeats(&self) -> u64 {
        PAGES.with_borrow(|pages| {
            pages.as_ref().map_or(0, |pages| {
                let distinct = u64::try_from(pages.sealed.len()).unwrap_or(u64::MAX);
                pages.seals.saturating_sub(distinct)
            })
        })
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        PAGES.set(self.before.take());
    }
}

/// Enters a seal. The nonce says which of the two algorithms it is by its length.
///
/// # Panics
///
/// If a ledger is open and has seen this key and nonce with something else.
pub(super) fn enter(key: &Secret<32>, nonce: &[u8], associated: &[u8], plaintext: &[u8]) {
    let repeated = PAGES.with_borrow_mut(|pages| {
        let Some(pages) = pages else { return false };
        let pair = mark([("key", key.expose()), ("nonce", nonce)]);
        let content = mark([("associated", associated), ("plaintext", plaintext)]);
        pages.seals += 1;
        *pages.sealed.entry(pair).or_insert(content) != content
    });
    assert!(!repeated, "a key and nonce have sealed two texts");
}

fn mark(fields: [(&str, &[u8]); 2]) -> Mark {
    let mut transcript = Transcript::new(b"ledger");
    for (label, value) in fields {
        transcript.add(label, value);
    }
    let [mark @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = transcript.finish();
    mark
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{HEADER_NONCE_BYTES, seal_body, seal_header};

    const NONCE: [u8; HEADER_NONCE_BYTES] = [2; HEADER_NONCE_BYTES];

    fn key(byte: u8) -> Secret<32> {
        Secret::take(&mut [byte; 32])
    }

    fn header(byte: u8, associated: &[u8], text: &[u8]) {
        seal_header(&key(byte), &NONCE, associated, text).expect("short");
    }

    #[test]
    #[should_panic(expected = "a key and nonce have sealed two texts")]
    fn a_header_nonce_used_again_is_caught() {
        let _ledger = Ledger::open();

        header(1, b"context", b"first");
        header(1, b"context", b"second");
    }

    #[test]
    #[should_panic(expected = "a key and nonce have sealed two texts")]
    fn a_body_under_the_same_message_key_and_salt_is_caught() {
        let _ledger = Ledger::open();

        for text in [b"one", b"two"] {
            seal_body(&key(1), &NONCE, b"context", text).expect("short");
        }
    }

    #[test]
    #[should_panic(expected = "a key and nonce have sealed two texts")]
    fn the_same_text_in_another_context_is_caught() {
        let _ledger = Ledger::open();

        header(1, b"context", b"text");
        header(1, b"another", b"text");
    }

    #[test]
    fn distinct_pairs_and_equal_seals_pass_and_are_counted() {
        let ledger = Ledger::open();

        header(1, b"context", b"text");
        header(2, b"context", b"another");
        header(1, b"context", b"text");

        assert_eq!((ledger.seals(), ledger.repeats()), (3, 1));
    }

    #[test]
    fn a_ledger_inside_another_starts_empty_and_gives_way_again() {
        let outer = Ledger::open();
        header(1, b"context", b"text");

        let inner = Ledger::open();
        header(1, b"context", b"another");
        assert_eq!(inner.seals(), 1);
        drop(inner);

        assert_eq!((outer.seals(), outer.repeats()), (1, 0));
    }

    #[test]
    fn without_a_ledger_nothing_is_kept() {
        header(1, b"context", b"text");
        header(1, b"context", b"another");

        assert_eq!(Ledger::open().seals(), 0);
    }
}
