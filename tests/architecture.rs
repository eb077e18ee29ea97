//! The house rules that the compiler does not enforce, checked against the sources themselves.
//!
//! ```text
//!   arrows   crate -> crate          Cargo.toml, [dependencies]
//!   ranks    module -> module        the ranks in each lib.rs
//!   owners   file -> foreign crate   libp2p, sled, clap, generated types
//!   calls    file -> call            durability, printing, clocks
//!   lengths  files and functions
//!   pitfalls docs/SECURITY.md -> test
//!   sections constant -> docs/SPEC.md
//! ```
//!
//! Each check is a function from a source tree to its violations. Beside each stand tests that plant
//! violations in a small tree and see them reported, so a check that has gone blind fails too.

mod arrows;
mod calls;
mod lengths;
mod owners;
mod pitfalls;
mod ranks;
mod sections;
mod token;
mod tree;

use std::path::Path;

use tree::Tree;

/// The repository that this test was compiled in.
fn repository() -> Tree {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root");
    let tree = Tree::read(root).expect("a readable tree");
    assert!(tree.manifests.len() > 6, "every crate is seen");
    assert!(tree.sources.iter().any(|source| source.path == "protocol/src/lib.rs"));
    tree
}

/// Shows one violation a line.
fn assert_none(violations: &[String]) {
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn crates_depend_downwards_only() {
    assert_none(&arrows::wrong_arrows(&repository()));
}

#[test]
fn modules_import_from_lower_ranks_only() {
    assert_none(&ranks::wrong_imports(&repository()));
}

#[test]
fn foreign_crates_are_named_by_their_owners_only() {
    assert_none(&owners::wrong_crates(&repository()));
}

#[test]
fn generated_types_stop_at_the_envelope_and_the_records() {
    assert_none(&owners::wrong_generated(&repository()));
}

#[test]
fn only_stores_claim_durability() {
    assert_none(&calls::wrong_syncs(&repository()));
}

#[test]
fn only_the_output_module_prints() {
    assert_none(&calls::wrong_prints(&repository()));
}

#[test]
fn the_core_reads_no_clock() {
    assert_none(&calls::wrong_clocks(&repository()));
}

#[test]
fn secrets_are_never_compared_byte_by_byte() {
    assert_none(&calls::wrong_comparisons(&repository()));
}

#[test]
fn every_pitfall_in_the_document_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root");
    let text = std::fs::read_to_string(root.join("docs/SECURITY.md")).expect("readable");
    assert_none(&pitfalls::untested(&text, &repository()));
}

#[test]
fn constants_of_the_protocol_name_their_section() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ lies in the root");
    let text = std::fs::read_to_string(root.join("docs/SPEC.md")).expect("readable");
    assert_none(&sections::unfounded(&text, &repository()));
}

#[test]
fn files_and_functions_are_short() {
    assert_none(&lengths::too_long(&repository()));
}
