use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;

use governor::clock::FakeRelativeClock;
use governor::{Quota as Theirs, RateLimiter};
use proptest::prelude::*;

use super::super::policy::Rules;
use super::super::{SavedLimit, Side};
use super::*;
use crate::time::UnixMillis;

const CLASS: Class = Class::Message;

fn quota(burst: u32, millis: u64) -> Option<Quota> {
    Some(Quota::of(burst, Duration::from_millis(millis)))
}

/// Small enough that every limit binds at times.
fn policy() -> Policy {
    let rules = Rules {
        peer: [quota(6, 40), quota(3, 70), quota(3, 100)],
        prefix: quota(5, 60),
        tier: [None, quota(8, 30), quota(7, 35)],
        global: quota(12, 20),
    };
    Policy { rules: [rules; Class::ALL.len()] }
}

fn who(number: u32, tier: Tier) -> Who {
    let mut peer = [0; 32];
    peer[..4].copy_from_slice(&number.to_be_bytes());
    let [.., low] = number.to_be_bytes();
    Who { peer: DeviceId(peer), prefix: Prefix::V4([192, 0, 2, low / 4]), tier }
}

fn at(millis: u64) -> Moment {
    Moment::from_micros(millis * 1_000)
}

/// A cheap stream of numbers: the same in every run.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Every unit that a limit admitted, with the moment when its place is free again.
#[derive(Default)]
struct Log(VecDeque<u64>);

impl Log {
    fn has_room(&mut self, (burst, interval): (usize, u64), now: u64, cost: usize) -> bool {
        while self.0.front().is_some_and(|free| *free <= now) {
            self.0.pop_front();
        }
        let _ = interval;
        self.0.len() + cost <= burst
    }

    fn take(&mut self, interval: u64, now: u64, cost: usize) {
        for _ in 0..cost {
            let last = self.0.back().copied().unwrap_or(now).max(now);
            self.0.push_back(last + interval);
        }
    }
}

/// The quotas of [`policy`] again, written down without it.
fn oracle_rules(number: u32, tier: Tier) -> Vec<((u8, u32), usize, u64)> {
    let own = match tier {
        Tier::Contact => (6, 40),
        Tier::Invited => (3, 70),
        Tier::Unknown => (3, 100),
    };
    let mut rules = vec![((tier as u8, number), own.0, own.1), ((9, 0), 12, 20)];
    match tier {
        Tier::Contact => {}
        Tier::Invited => rules.extend([((7, number / 4), 5, 60), ((8, 1), 8, 30)]),
        Tier::Unknown => rules.extend([((7, number / 4), 5, 60), ((8, 2), 7, 35)]),
    }
    rules
}

#[test]
fn a_million_random_arrivals_are_decided_as_by_a_log_of_every_unit() {
    let (mut limiter, mut logs) = (Limiter::new(policy()), BTreeMap::<_, Log>::new());
    let (mut state, mut now, mut admitted) = (7, 0, 0);
    for _ in 0..1_000_000 {
        now += next(&mut state) % 25;
        let number = u32::try_from(next(&mut state) % 12).expect("small");
        let tier = Tier::ALL[usize::try_from(number % 3).expect("small")];
        let cost = usize::try_from(next(&mut state) % 3 + 1).expect("small");
        let rules = oracle_rules(number, tier);
        let room = |(key, burst, interval): &(_, usize, u64)| {
            logs.entry(*key).or_default().has_room((*burst, *interval), now, cost)
        };
        let expected = rules.iter().map(room).collect::<Vec<_>>().into_iter().all(|room| room);
        if expected {
            admitted += 1;
            for (key, _, interval) in &rules {
                logs.entry(*key).or_default().take(*interval, now, cost);
            }
        }
        let units = u32::try_from(cost).expect("small");
        let decided = limiter.admit(&who(number, tier), CLASS, units, at(now));
        assert_eq!(decided.is_ok(), expected, "{number} {cost} at {now}: {decided:?}");
    }
    assert!((100_000..900_000).contains(&admitted), "{admitted}: both answers are common");
}

#[test]
fn a_million_random_arrivals_of_one_peer_are_decided_as_by_governor() {
    let clock = FakeRelativeClock::default();
    let burst = NonZeroU32::new(6).expect("not zero");
    let period = Duration::from_millis(40);
    let theirs = Theirs::with_period(period).expect("a period").allow_burst(burst);
    let theirs = RateLimiter::direct_with_clock(theirs, clock.clone());
    let mut policy = Policy::default();
    policy.rules[CLASS.index()].peer = [quota(6, 40), None, None];
    let mut ours = Limiter::new(policy);
    let (mut state, mut now) = (11, 0);
    for _ in 0..1_000_000 {
        let gap = next(&mut state) % 70;
        now += gap;
        clock.advance(Duration::from_millis(gap));
        let expected = theirs.check().is_ok();
        let decided = ours.admit(&who(0, Tier::Contact), CLASS, 1, at(now));
        assert_eq!(decided.is_ok(), expected, "at {now}");
    }
}

proptest! {
    /// For whoever is refused, by whatever limit.
    #[test]
    fn a_told_wait_is_true_and_a_millisecond_less_is_not(
        steps in prop::collection::vec((0u64..40, 0u32..12, 1u32..4), 1..150),
    ) {
        let (mut limiter, mut now) = (Limiter::new(policy()), 0);
        for (gap, number, cost) in steps {
            now += gap;
            let tier = Tier::ALL[usize::try_from(number % 3).expect("small")];
            let who = who(number, tier);
            let Err(limited) = limiter.admit(&who, CLASS, cost, at(now)) else { continue };
            let Refused::Later(wait) = limited.refused else {
                prop_assert!(false, "{:?}", limited);
                continue;
            };
            let then = at(now) + wait;
            prop_assert_eq!(limiter.check(&who, CLASS, cost, then), Ok(()));
            let early = Moment::from_nanos(then.as_nanos() - 1);
            prop_assert!(limiter.check(&who, CLASS, cost, early).is_err());
            if wait > Duration::from_millis(1) {
                let early = Moment::from_nanos(then.as_nanos() - 1_000_000);
                prop_assert!(limiter.check(&who, CLASS, cost, early).is_err());
            }
        }
    }

    /// Killed at any time after a save and started under any clock: what was refused at the save is
    /// refused as long as no time has passed on the wall clock, and never admitted earlier.
    #[test]
    fn a_restart_gives_nobody_more_than_the_time_that_has_passed(
        steps in prop::collection::vec((0u64..2_000, 0u32..12), 1..150),
        down in -20_000i64..20_000,
    ) {
        let mut slow = policy();
        for rules in &mut slow.rules {
            rules.peer = [quota(6, 4_000), quota(3, 7_000), quota(3, 10_000)];
            rules.prefix = quota(5, 6_000);
        }
        let (mut before, mut now) = (Limiter::new(slow), 0);
        for (gap, number) in steps {
            now += gap;
            let tier = Tier::ALL[usize::try_from(number % 3).expect("small")];
            let _ = before.admit(&who(number, tier), CLASS, 1, at(now));
        }
        let saved = UnixMillis(1_000_000);
        let wall = UnixMillis(1_000_000u64.saturating_add_signed(down));
        let mut after = Limiter::new(slow);
        let start = Moment::from_micros(5);
        for (key, owed) in before.save(at(now), usize::MAX) {
            let row = SavedLimit { side: Side::Theirs, key, saved, owed };
            let row = SavedLimit::decode(&row.encode()).expect("a row");
            after.restore(row.key, &row.owed_at(wall), start);
        }
        let passed = Duration::from_millis(u64::try_from(down).unwrap_or(0));
        for number in 0..12 {
            let who = who(number, Tier::ALL[usize::try_from(number % 3).expect("small")]);
            if let Err(limited) = before.check(&who, CLASS, 1, at(now) + passed)
                && matches!(limited.scope, Scope::Peer | Scope::Prefix)
                && limited.refused.retry_after(Duration::MAX) + passed >= WORTH
            {
                let again = after.check(&who, CLASS, 1, start);
                let again = again.expect_err("still refused").refused;
                prop_assert!(again.longer(limited.refused) == again, "{:?} {:?}", again, limited);
            }
        }
    }
}

#[test]
fn exhausting_one_class_leaves_the_others_and_another_peer() {
    let mut rules = policy();
    for rule in &mut rules.rules {
        (rule.tier, rule.global, rule.prefix) = ([None; 3], None, None);
    }
    for (spent, class) in Class::ALL.into_iter().enumerate() {
        let (mut limiter, one) = (Limiter::new(rules), who(0, Tier::Contact));
        let passed = (0..100).filter(|_| limiter.admit(&one, class, 1, at(0)).is_ok()).count();
        assert_eq!(passed, 6);
        for (number, other) in Class::ALL.into_iter().enumerate() {
            let decided = limiter.check(&one, other, 6, at(0));
            assert_eq!(decided.is_ok(), number != spent, "{class:?} and {other:?}");
        }
        assert_eq!(limiter.check(&who(1, Tier::Contact), class, 6, at(0)), Ok(()));
    }
}

#[test]
fn a_thousand_identities_of_one_prefix_share_its_limit_and_shut_no_contact_out() {
    let mut limiter = Limiter::new(policy());
    let sybil = |number| Who { prefix: Prefix::V4([10, 0, 0, 1]), ..who(number, Tier::Unknown) };
    let passed = (0..1_000).filter(|n| limiter.admit(&sybil(*n), CLASS, 1, at(0)).is_ok()).count();

    assert_eq!(passed, 5);
    let contact = Who { prefix: Prefix::V4([10, 0, 0, 1]), ..who(9_999, Tier::Contact) };
    assert_eq!(limiter.admit(&contact, CLASS, 6, at(0)), Ok(()));
}

#[test]
fn keys_are_bounded_and_who_finds_no_place_shares_the_bucket_of_its_prefix() {
    let mut policy = Policy::default();
    policy.rules[CLASS.index()].peer = [quota(2, 1_000), None, quota(2, 1_000)];
    let mut limiter = Limiter::new(policy);
    let (first, contact) = (who(0, Tier::Unknown), who(0, Tier::Contact));
    limiter.admit(&first, CLASS, 2, at(0)).expect("a burst");
    limiter.admit(&contact, CLASS, 2, at(0)).expect("a burst");
    let mut times = 0;
    for number in 1..60_000u32 {
        let one = who(number, Tier::Unknown);
        let _ = limiter.admit(&one, CLASS, 1, at(0));
        times += u32::from(limiter.take_full(&one, at(0)));
        assert!(limiter.keys() <= KEYS_MAX);
    }

    assert_eq!((times, limiter.times_full()), (1, 1), "the bound is told once");
    assert!(limiter.check(&first, CLASS, 1, at(0)).is_err(), "nobody is refilled by a flood");
    assert!(limiter.check(&contact, CLASS, 1, at(0)).is_err());
    let late = |host, number| Who {
        prefix: Prefix::V4([203, 0, 113, host]),
        ..who(number, Tier::Unknown)
    };
    let passed =
        (70_000..71_000).filter(|n| limiter.admit(&late(1, *n), CLASS, 1, at(0)).is_ok()).count();
    assert_eq!(passed, 2, "one bucket for the prefix");
    assert_eq!(limiter.admit(&late(2, 80_000), CLASS, 2, at(0)), Ok(()), "another prefix");
    let refused = limiter.check(&late(1, 70_000), CLASS, 1, at(0)).expect_err("empty").refused;
    assert_eq!(refused, Refused::Later(Duration::from_secs(1)));
    assert_eq!(limiter.check(&late(1, 70_000), CLASS, 1, at(1_000)), Ok(()));
}

#[test]
fn a_flood_of_saves_is_bounded_and_what_is_paid_leaves_the_disk() {
    let mut policy = Policy::default();
    policy.rules[CLASS.index()].peer = [None, None, quota(2, 5_000)];
    let mut limiter = Limiter::new(policy);
    for number in 0..1_000 {
        limiter.admit(&who(number, Tier::Unknown), CLASS, 2, at(0)).expect("a burst");
    }

    assert_eq!(limiter.save(at(0), 512).len(), 512);
    assert_eq!(limiter.save(at(0), 512).len(), 488);
    assert_eq!(limiter.save(at(0), 512), []);
    assert_eq!(limiter.save_at(at(0)), Some(at(10_000)));
    let gone = limiter.save(at(10_000), 2_000);
    assert_eq!((gone.len(), gone.iter().all(|(_, owed)| owed.is_empty())), (1_000, true));
    assert_eq!(limiter.save_at(at(10_000)), None);
}
