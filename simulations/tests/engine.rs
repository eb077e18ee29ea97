//! One engine by hand: what must hold between two inputs, and what a lying or strange peer may cause.

#[path = "support/bench.rs"]
mod bench;

use std::time::Duration;

use bitchat_protocol::engine::Input;

use bench::{exchange, pair};

/// Frames that failed one after another: the first sets the deadline, the last the pause.
#[test]
fn sends_that_fail_one_after_another_on_a_standing_link_are_tried_again() {
    let (mut alice, mut bob) = pair();
    alice.send("bob").expect("queued");
    alice.send("bob").expect("queued");

    while let Some((peer, token, _)) = alice.sends.pop_front() {
        alice.feed(Input::SendFailed { peer, token });
        alice.pass(Duration::from_millis(3));
    }
    for _ in 0..200 {
        alice.pass(Duration::from_millis(1));
    }

    assert_eq!(alice.sends.len(), 2, "nothing is under way and no deadline will start it");
    exchange(&mut alice, &mut bob);
    assert_eq!(alice.queued(), 0);
}
