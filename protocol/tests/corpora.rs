//! Replays the corpora of `protocol/fuzz`: what a fuzzer found once stays found.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// What all corpora together may weigh.
const BYTES_MAX: usize = 200 * 1024;

#[test]
fn every_target_holds_on_its_corpus() {
    for (name, body) in targets::TARGETS {
        let inputs = inputs(&corpus().join(name));
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for (path, bytes) in inputs {
            let held = std::panic::catch_unwind(|| body(&bytes));
            assert!(held.is_ok(), "{}", path.display());
        }
    }
}

#[test]
fn every_target_holds_on_nothing() {
    for (_, body) in targets::TARGETS {
        body(&[]);
    }
}

/// A change of an encoding leaves the seeds behind: `cargo run --example seeds` writes them again.
#[test]
fn the_seeds_are_what_the_code_encodes() {
    for (target, name, bytes) in targets::seeds() {
        let path = corpus().join(target).join(format!("seed-{name}"));
        let stored = fs::read(&path).expect("a seed of the corpus");
        assert!(stored == bytes, "{} is out of date", path.display());
    }
}

#[test]
fn the_corpora_stay_small_and_each_has_a_target() {
    let mut total = 0;
    for folder in fs::read_dir(corpus()).expect("the corpora") {
        let folder = folder.expect("a corpus").path();
        let name = folder.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(targets::TARGETS.iter().any(|(target, _)| *target == name), "{name}: no target");
        total += inputs(&folder).iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    assert!(total <= BYTES_MAX, "{total} bytes of corpora, limit {BYTES_MAX}");
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus")
}

fn inputs(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("a corpus");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an input").path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).expect("an input"))).collect()
}
