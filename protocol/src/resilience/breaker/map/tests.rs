//! Breakers of many peers: apart from one another, bounded, counted.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;

const FAILED: Outcome = Outcome::Failure("test");

fn peer(number: u8) -> DeviceId {
    DeviceId([number; 32])
}

fn at(seconds: u64) -> Moment {
    Moment::START + Duration::from_secs(seconds)
}

fn end(breakers: &mut Breakers, of: (DeviceId, Operation), outcome: Outcome, now: Moment) {
    let permit = breakers.permit(of.0, of.1, now).expect("leave");
    breakers.spend(permit, outcome, now, &mut ChaCha20Rng::seed_from_u64(1));
}

/// One peer with an open breaker, opened at second 0.
fn opened(of: (DeviceId, Operation), places: usize) -> Breakers {
    let mut breakers = Breakers::new(Policy::default(), places);
    (0..5).for_each(|_| end(&mut breakers, of, FAILED, at(0)));
    breakers
}

#[test]
fn an_open_breaker_holds_neither_another_peer_nor_another_operation() {
    let mut breakers = opened((peer(1), Operation::Dial), 8);

    let withheld = breakers.permit(peer(1), Operation::Dial, at(1));
    assert_eq!(withheld, Err(Withheld { until: at(60) }));
    for operation in Operation::ALL {
        let is_open = breakers.permit(peer(1), operation, at(1)).is_err();
        assert_eq!(is_open, operation == Operation::Dial);
        assert!(breakers.permit(peer(2), operation, at(1)).is_ok());
    }
}

#[test]
fn looking_takes_no_slot_and_moves_nothing() {
    let mut breakers = opened((peer(1), Operation::Message), 8);
    assert_eq!(
        breakers.withholds(peer(1), Operation::Message, at(59)),
        Some(Withheld { until: at(60) })
    );
    breakers.take_moves();

    for _ in 0..10 {
        assert_eq!(breakers.withholds(peer(1), Operation::Message, at(60)), None);
    }
    assert_eq!(breakers.take_moves(), []);

    let probes: Vec<_> =
        (0..9).filter_map(|_| breakers.permit(peer(1), Operation::Message, at(60)).ok()).collect();
    assert_eq!(probes.len(), 3);
    assert!(probes.iter().all(Permit::is_probe));
    assert_eq!(
        breakers.withholds(peer(1), Operation::Message, at(61)),
        Some(Withheld { until: at(180) })
    );
}

#[test]
fn a_peer_that_answers_costs_no_memory_and_one_that_shows_itself_is_well_at_once() {
    let mut breakers = Breakers::new(Policy::default(), 8);
    end(&mut breakers, (peer(1), Operation::Dial), Outcome::Success, at(0));
    end(&mut breakers, (peer(2), Operation::Dial), FAILED, at(0));
    end(&mut breakers, (peer(2), Operation::Dial), Outcome::Success, at(0));
    assert_eq!(breakers.seen().count(), 0);

    let mut breakers = opened((peer(1), Operation::Dial), 8);
    breakers.alive(peer(1), Operation::Dial);
    end(&mut breakers, (peer(1), Operation::Dial), FAILED, at(1));

    let seen: Vec<_> = breakers.seen().collect();
    assert_eq!((seen[0].state, seen[0].failures, seen[0].cause), (State::Closed, 1, "test"));
}

#[test]
fn every_change_is_told_once_and_the_counts_add_up() {
    let mut breakers = opened((peer(1), Operation::Fetch), 8);
    end(&mut breakers, (peer(2), Operation::Fetch), FAILED, at(0));
    let row = |breakers: &Breakers| breakers.counts()[Operation::Fetch as usize];
    assert_eq!(row(&breakers), [1, 0, 1]);
    end(&mut breakers, (peer(1), Operation::Fetch), Outcome::Success, at(60));
    assert_eq!(row(&breakers), [1, 1, 0]);
    end(&mut breakers, (peer(1), Operation::Fetch), FAILED, at(60));

    let operation = Operation::Fetch;
    let expected = [
        (State::Closed, State::Open),
        (State::Open, State::HalfOpen),
        (State::HalfOpen, State::Open),
    ];
    let expected = expected.map(|(from, to)| Move { operation, from, to });
    assert_eq!(breakers.take_moves(), expected);
    assert_eq!(breakers.take_moves(), []);
    breakers.forget(peer(1));
    assert_eq!(row(&breakers), [1, 0, 0]);
}

#[test]
fn what_nobody_used_for_an_hour_is_forgotten_and_nothing_else() {
    let mut breakers = opened((peer(1), Operation::Dial), 8);
    end(&mut breakers, (peer(2), Operation::Dial), FAILED, at(1_000));

    breakers.forget_idle(at(3_600));
    assert_eq!(breakers.seen().count(), 2);
    breakers.forget_idle(at(3_601));

    assert_eq!(breakers.seen().map(|seen| seen.peer).collect::<Vec<_>>(), [peer(2)]);
    assert_eq!(breakers.counts()[0], [1, 0, 0]);
}

#[test]
fn an_answer_after_an_hour_counts_for_nothing() {
    let mut breakers = Breakers::new(Policy::default(), 8);
    let permit = breakers.permit(peer(1), Operation::Task, at(0)).expect("leave");
    breakers.spend(permit, FAILED, at(3_601), &mut ChaCha20Rng::seed_from_u64(1));

    assert_eq!(breakers.seen().count(), 0);
}

#[test]
fn a_flood_of_peers_stays_within_the_bound_and_frees_nobody_who_is_held() {
    let mut breakers = opened((peer(0), Operation::Dial), 32);
    for number in 1..=255 {
        end(&mut breakers, (peer(number), Operation::Dial), FAILED, at(u64::from(number) / 8));
        assert!(breakers.seen().count() <= 32);
    }

    assert!(breakers.permit(peer(0), Operation::Dial, at(59)).is_err());
    assert!(breakers.seen().any(|seen| seen.peer == peer(255)), "the newest is watched");
    assert!(breakers.times_full() > 0);
}

#[test]
fn where_all_are_open_one_more_is_not_watched_and_not_held() {
    let mut breakers = opened((peer(0), Operation::Dial), 1);
    for _ in 0..9 {
        end(&mut breakers, (peer(1), Operation::Dial), FAILED, at(1));
    }

    assert!(breakers.permit(peer(1), Operation::Dial, at(1)).is_ok());
    assert!(breakers.permit(peer(0), Operation::Dial, at(1)).is_err());
}

#[test]
fn other_thresholds_hold_from_the_next_answer_and_free_nobody() {
    let mut breakers = opened((peer(1), Operation::Dial), 8);
    breakers.set_policy(Policy { failures: 2, probes: 1, ..Policy::default() });
    assert!(breakers.permit(peer(1), Operation::Dial, at(59)).is_err());

    (0..2).for_each(|_| end(&mut breakers, (peer(2), Operation::Dial), FAILED, at(59)));
    assert!(breakers.permit(peer(2), Operation::Dial, at(59)).is_err());

    let probe = breakers.permit(peer(1), Operation::Dial, at(60)).expect("leave");
    assert!(breakers.permit(peer(1), Operation::Dial, at(60)).is_err());
    breakers.spend(probe, Outcome::Success, at(60), &mut ChaCha20Rng::seed_from_u64(1));
    assert!(breakers.permit(peer(1), Operation::Dial, at(60)).is_ok());
}
