//! Calls that only certain files may make: the proof of durability, printing, the clock.

use proc_macro2::Delimiter;

use super::token::{Kind, Token, is_separator};
use super::tree::{Source, Tree, is_at};

/// Stores: what they say about durability must be true.
const SYNC_PLACES: [&str; 3] = ["protocol/src/store/memory", "node/src/store", "simulations/"];

/// What a user of `bitchat` reads goes through the first, so that it is sanitised and pipe-safe; the
/// second is the report of the simulator, which no peer writes.
const PRINT_PLACES: [&str; 2] = ["cli/src/output", "simulations/src/main.rs"];

const PRINT_MACROS: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

/// Naming one of these in the core is reading a clock, or preparing to.
const CLOCKS: [&str; 2] = ["Instant", "SystemTime"];

/// Claims of durability (`Durable::after_sync`) outside a store.
pub(super) fn wrong_syncs(tree: &Tree) -> Vec<String> {
    let is_claim = |tokens: &[Token], at: usize| {
        tokens[at].is_word("after_sync") && !(at > 0 && tokens[at - 1].is_word("fn"))
    };
    outside(tree, &SYNC_PLACES, is_claim, "must not claim durability")
}

/// Print macros outside the output module, tests and build scripts.
pub(super) fn wrong_prints(tree: &Tree) -> Vec<String> {
    let is_print = |tokens: &[Token], at: usize| {
        let is_macro = tokens.get(at + 1).is_some_and(|next| next.is_mark('!'));
        is_macro && !tokens[at].test && PRINT_MACROS.iter().any(|name| tokens[at].is_word(name))
    };
    let mut wrong = outside(tree, &PRINT_PLACES, is_print, "must not print");
    wrong.retain(|place| place.contains("/src/"));
    wrong
}

/// Clocks and sleeps in the core, tests included.
pub(super) fn wrong_clocks(tree: &Tree) -> Vec<String> {
    let is_clock = |tokens: &[Token], at: usize| {
        let sleeps = tokens[at].is_word("sleep")
            && at >= 3
            && is_separator(tokens, at - 2)
            && tokens[at - 3].is_word("thread");
        sleeps || CLOCKS.iter().any(|name| tokens[at].is_word(name))
    };
    let core = |source: &&Source| source.path.starts_with("protocol/src/");
    tree.sources
        .iter()
        .filter(core)
        .flat_map(|s| places(s, is_clock, "must not read a clock"))
        .collect()
}

/// Secrets that are compared as bytes: `expose()` in a statement with `==` or `!=`.
pub(super) fn wrong_comparisons(tree: &Tree) -> Vec<String> {
    let is_compared = |tokens: &[Token], at: usize| {
        !tokens[at].test && tokens[at].is_word("expose") && is_in_comparison(tokens, at)
    };
    outside(tree, &[], is_compared, "must not compare a secret byte by byte")
}

/// Whether `==` or `!=` stands in the statement around a token.
fn is_in_comparison(tokens: &[Token], at: usize) -> bool {
    let ends = |token: &Token| {
        token.is_mark(';')
            || token.is_mark(',')
            || matches!(token.kind, Kind::Open(Delimiter::Brace))
    };
    let from = tokens[..at].iter().rposition(ends).unwrap_or(0);
    let to = tokens[at..].iter().position(ends).map_or(tokens.len(), |length| at + length);
    tokens[from..to]
        .windows(2)
        .any(|pair| (pair[0].is_mark('=') || pair[0].is_mark('!')) && pair[1].is_mark('='))
}

fn outside(
    tree: &Tree,
    allowed: &[&str],
    is_wrong: impl Fn(&[Token], usize) -> bool + Copy,
    message: &str,
) -> Vec<String> {
    let is_outside = |source: &&Source| !allowed.iter().any(|place| is_at(&source.path, place));
    let sources = tree.sources.iter().filter(is_outside);
    sources.flat_map(|source| places(source, is_wrong, message)).collect()
}

fn places(
    source: &Source,
    is_wrong: impl Fn(&[Token], usize) -> bool,
    message: &str,
) -> Vec<String> {
    let wrong = (0..source.tokens.len()).filter(|at| is_wrong(&source.tokens, *at));
    wrong.map(|at| format!("{} {message}", source.at(&source.tokens[at]))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted::tree;
    use super::*;

    #[test]
    fn a_claim_of_durability_outside_a_store_is_reported() {
        let claim = "fn f(b: &Batch) { Durable::after_sync(b); }";

        assert_eq!(
            wrong_syncs(&tree(&[("node/src/driver.rs", claim)])),
            ["node/src/driver.rs:1 must not claim durability"]
        );
        assert_eq!(wrong_syncs(&tree(&[("protocol/src/store.rs", claim)])).len(), 1);
        assert!(wrong_syncs(&tree(&[("node/src/store/commit.rs", claim)])).is_empty());
        let definition = "impl Durable { pub const fn after_sync(batch: &Batch) -> Self {} }";
        assert!(wrong_syncs(&tree(&[("protocol/src/store.rs", definition)])).is_empty());
    }

    #[test]
    fn a_print_outside_the_output_module_is_reported() {
        let print = "fn f() { println!(\"x\"); }";

        assert_eq!(wrong_prints(&tree(&[("cli/src/commands/send.rs", print)])).len(), 1);
        assert_eq!(wrong_prints(&tree(&[("node/src/lib.rs", "fn f() { dbg!(1); }")])).len(), 1);
        assert!(wrong_prints(&tree(&[("cli/src/output.rs", print)])).is_empty());
        assert!(wrong_prints(&tree(&[("proto/build.rs", print)])).is_empty());
        let test = format!("#[cfg(test)] mod tests {{ {print} }}");
        assert!(wrong_prints(&tree(&[("node/src/lib.rs", &test)])).is_empty());
    }

    #[test]
    fn a_secret_that_is_compared_as_bytes_is_reported() {
        for wrong in
            ["fn f() { if a.expose() == b { g() } }", "fn f() { let x = a != *b.expose(); }"]
        {
            assert_eq!(wrong_comparisons(&tree(&[("node/src/lib.rs", wrong)])).len(), 1, "{wrong}");
            let test = format!("#[cfg(test)] mod tests {{ {wrong} }}");
            assert!(wrong_comparisons(&tree(&[("node/src/lib.rs", &test)])).is_empty());
        }
        let fine = "fn f() { let key = a.expose(); if b == c { g(key) } }";
        assert!(wrong_comparisons(&tree(&[("node/src/lib.rs", fine)])).is_empty());
    }

    #[test]
    fn a_clock_or_a_sleep_in_the_core_is_reported() {
        for text in [
            "fn f() { std::time::Instant::now(); }",
            "use std::time::SystemTime as T;",
            "fn f() { std::thread::sleep(d) }",
            "#[cfg(test)] mod tests { use std::time::Instant; }",
        ] {
            assert_eq!(wrong_clocks(&tree(&[("protocol/src/time.rs", text)])).len(), 1, "{text}");
            assert!(wrong_clocks(&tree(&[("node/src/driver.rs", text)])).is_empty());
        }
    }
}
