//! A session at rest: how large it is, and that it comes back.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

#[path = "support/sessions.rs"]
mod sessions;

use bitchat_protocol::session::Session;

use sessions::Pair;

/// The row is written with every message. Outside a KEM exchange; skipped keys are rows of their own.
#[test]
fn a_settled_session_takes_at_most_600_bytes() {
    let (alice, bob) = Pair::new().settled();

    for session in [alice, bob] {
        let bytes = session.to_record().len();
        assert!(bytes <= 600, "{bytes} bytes");
    }
}

/// The row does not repeat who the peer is: the associated data says it, for either role.
#[test]
fn a_session_comes_back_with_its_peer_and_goes_on() {
    let mut pair = Pair::new();
    let (alice, bob) = pair.found();

    let restore =
        |session: Session| Session::from_record(&session.to_record()).expect("own record");
    let (mut alice, mut bob) = (restore(alice), restore(bob));

    assert_eq!((bob.peer(), alice.peer()), pair.peers());
    pair.send(&mut bob, &mut alice);
    pair.send(&mut alice, &mut bob);
}
