//! Agreement with a second implementation, written in Python from docs/SPEC.md: `protocol/interop`.
//!
//! Without Python or one of its packages the tests that need them say so and pass; where
//! `BITCHAT_INTEROP_PYTHON` names an interpreter, it must have them.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test that is skipped says why")]

#[path = "interop/changed.rs"]
mod changed;
#[path = "interop/known.rs"]
mod known;
#[path = "interop/network.rs"]
mod network;
#[path = "interop/peer.rs"]
mod peer;
#[path = "interop/side.rs"]
mod side;

use std::path::PathBuf;
use std::process::Command;

use network::{Role, Session};
use peer::Peer;

/// Names the Python interpreter whose packages are those of `protocol/interop/requirements.txt`.
const PYTHON: &str = "BITCHAT_INTEROP_PYTHON";

/// Sessions in each role and random events in each, 20,000 in all: some ten turns a session and
/// hundreds of overtaken messages, far below every bound of the ratchet.
const SESSIONS: u32 = 20;
const EVENTS: usize = 500;

#[test]
fn known_answers_are_those_of_this_implementation() {
    let text = std::fs::read_to_string(folder().join("known-answers.txt")).expect("readable");
    let mut pinned: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let mut ours = known::lines();
    pinned.sort_unstable();
    ours.sort_unstable();

    for (ours, pinned) in ours.iter().zip(&pinned) {
        assert_eq!(ours, pinned);
    }
    assert_eq!(ours.len(), pinned.len());
}

#[test]
fn a_second_implementation_derives_the_known_answers() {
    let Some(python) = python() else { return };
    let script = [folder().join("known_answers.py"), folder().join("known-answers.txt")];

    let output = Command::new(python).arg("-B").args(script).output().expect("runs");

    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_second_implementation_makes_and_opens_the_known_seals() {
    let Some(python) = python() else { return };
    let answers = folder().join("../src/sealed/known-answers.json");

    let output = Command::new(python)
        .arg("-B")
        .args([folder().join("sealed_answers.py"), answers])
        .output()
        .expect("runs");

    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_handshake_with_a_changed_bit_founds_no_common_session() {
    let Some(python) = python() else { return };
    let mut peer = Peer::start(&python, &folder().join("peer.py"));

    changed::ours(&mut peer);
    changed::theirs(&mut peer);
}

#[test]
fn a_foreign_initiator_talks_to_us_over_a_hostile_network() {
    converse(Role::Responder);
}

#[test]
fn a_foreign_responder_talks_to_us_over_a_hostile_network() {
    converse(Role::Initiator);
}

#[test]
fn almost_as_many_skipped_keys_as_are_kept_open_on_both_sides() {
    let Some(python) = python() else { return };
    let mut peer = Peer::start(&python, &folder().join("peer.py"));
    let mut session = Session::found(&mut peer, Role::Initiator, 0);

    session.overtake(1_900);
}

fn converse(ours: Role) {
    let Some(python) = python() else { return };
    let mut peer = Peer::start(&python, &folder().join("peer.py"));
    let (mut turns, mut exchanges) = (0, 0);
    for seed in 0..SESSIONS {
        let mut session = Session::found(&mut peer, ours, seed);
        for _ in 0..EVENTS {
            session.event();
        }
        session.drain();
        turns += session.chains();
        exchanges += session.exchanges();
    }
    assert!(turns > 10 * SESSIONS, "the network let the ratchet turn {turns} times only");
    assert!(exchanges > 2 * SESSIONS, "{exchanges} KEM exchanges only");
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("interop")
}

/// The interpreter, or `None` after saying what is missing.
fn python() -> Option<PathBuf> {
    const PACKAGES: &str = "import cryptography, doubleratchet, kyber_py";
    let named = std::env::var_os(PYTHON).filter(|name| !name.is_empty());
    let python = PathBuf::from(named.clone().unwrap_or_else(|| "python3".into()));
    let usable = Command::new(&python)
        .args(["-c", PACKAGES])
        .output()
        .is_ok_and(|output| output.status.success());
    assert!(usable || named.is_none(), "{} lacks a package", python.display());
    if !usable {
        println!("skipped: needs python3 with protocol/interop/requirements.txt");
    }
    usable.then_some(python)
}
