//! Two engines in virtual time: nothing acknowledged is lost, shown twice or out of order.

use std::time::Duration;

use bitchat_simulations::{Faults, two, two_at_once};

const CALM: Faults = Faults {
    latency: Duration::from_millis(40),
    flush: Duration::from_millis(10),
    breaks_per_mille: 0,
    crashes_per_mille: 0,
};

#[test]
fn messages_arrive_once_and_in_order_when_nothing_goes_wrong() {
    let outcome = two(1, 100, CALM);

    assert_eq!(outcome.violations, Vec::<String>::new());
    assert_eq!((outcome.acknowledged, outcome.retries), (200, 0));
}

/// A crash may fall between any two outputs: before or after the disk has the batch. A key and
/// nonce used again for another text would end the world; each message seals a header and a body.
#[test]
fn messages_arrive_once_and_in_order_though_links_break_and_nodes_crash() {
    let faults = Faults { breaks_per_mille: 20, crashes_per_mille: 20, ..CALM };
    let mut retries = 0;

    for seed in 0..30 {
        let outcome = two(seed, 60, faults);
        assert_eq!(outcome.violations, Vec::<String>::new(), "seed {seed}");
        let sent = u64::try_from(outcome.acknowledged).expect("small");
        assert!(outcome.seals >= 2 * sent, "seed {seed}: the ledger saw {}", outcome.seals);
        assert_eq!(outcome.heals, 0, "seed {seed}: no fault of a link looks like a lost session");
        retries += outcome.retries;
    }

    assert!(retries > 100, "the faults did not bite: {retries} retries");
}

/// Each side has encrypted on its own session when the other's arrives.
#[test]
fn two_that_add_one_another_at_once_settle_on_one_session_and_lose_nothing() {
    let faults = Faults { breaks_per_mille: 20, crashes_per_mille: 20, ..CALM };

    for seed in 0..30 {
        let calm = two_at_once(seed, 40, CALM);
        let rough = two_at_once(seed, 40, faults);
        assert_eq!((calm.violations, calm.acknowledged), (Vec::new(), 80), "seed {seed}");
        assert_eq!(rough.violations, Vec::<String>::new(), "seed {seed}");
        assert_eq!((calm.heals, rough.heals), (0, 0), "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let faults = Faults { breaks_per_mille: 20, crashes_per_mille: 20, ..CALM };

    assert_eq!(two(7, 40, faults), two(7, 40, faults));
}
