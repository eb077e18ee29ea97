//! Rate limits as a peer meets them.

use std::time::Duration;

use bitchat_protocol::engine::{Fact, Input, RateClass};
use bitchat_protocol::envelope::Frame;
use bitchat_protocol::error::Code;
use bitchat_protocol::id::{DeviceId, InvitationToken};

use crate::bench::Bench;

fn asks(alice: &mut Bench, peer: DeviceId, number: u64) {
    let bytes = Frame::RecordRequest(InvitationToken([7; 16])).encode();
    alice.feed(Input::Frame { peer, number, bytes });
    alice.flush();
}

/// Told in milliseconds on the wire, exact in the engine.
#[test]
fn a_stranger_that_is_too_fast_is_told_a_wait_that_is_true() {
    let (mut alice, stranger) = (Bench::new("alice", 1), DeviceId([9; 32]));
    (0..5).for_each(|number| asks(&mut alice, stranger, number));
    assert_eq!(alice.refused, []);

    asks(&mut alice, stranger, 5);
    let wait = Duration::from_secs(2);
    assert_eq!(alice.refused, [(stranger, Code::Busy, wait)]);
    assert!(alice.facts.contains(&Fact::RateLimited(RateClass::Stranger)));

    alice.pass(wait - Duration::from_millis(1));
    asks(&mut alice, stranger, 6);
    assert_eq!(alice.refused.last(), Some(&(stranger, Code::Busy, Duration::from_millis(1))));
    alice.pass(Duration::from_millis(1));
    asks(&mut alice, stranger, 7);
    assert_eq!(alice.refused.len(), 2);
}

#[test]
fn a_flood_of_devices_is_bounded_together() {
    let mut alice = Bench::new("alice", 1);
    let mut served = 0;
    for number in 0..3_000u64 {
        let mut device = [0; 32];
        device[..8].copy_from_slice(&number.to_be_bytes());
        let before = alice.refused.len();
        asks(&mut alice, DeviceId(device), number);
        served += usize::from(alice.refused.len() == before);
        alice.pass(Duration::from_millis(1));
    }

    assert_eq!(served, 20 + 29, "a burst, and ten a second for three seconds");
}
