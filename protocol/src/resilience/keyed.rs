//! One limit for each key, in bounded memory, that a flood of keys cannot reset.
//!
//! ```text
//!   known key            its own limit
//!   new key, room        a fresh limit
//!   new key, no room     the limit that all keys without a place share
//! ```
//!
//! # What is forgotten
//!
//! Only a limit that is idle: its whole burst is there again, so it says what a fresh one would say
//! and forgetting it gives nothing away. A limit that is owed something is never dropped for a new
//! key. So no number of keys gains a listed key anything back, its own or another's:
//!
//! - who is listed keeps exactly its own limit, whatever the others do;
//! - a flood of new keys fills the places, each with one quota, and then shares one quota;
//! - an honest newcomer in the flood competes for that one until a place is idle, at most the time in
//!   which a burst is earned. Where that matters, keep those that are known (contacts) in a `Keyed` of
//!   their own, as large as their number.
//!
//! A key that drew on the shared limit and then finds a place starts it fresh: alone, a key gets at
//! most twice its quota. All keys together never get more than `places + 1` quotas, and a global limit
//! beside this one caps that.
//!
//! Ordered maps: the same inputs give the same decisions in every process.
//!
//! See docs/SPEC.md, section "Rate limits".

use std::collections::{BTreeMap, BTreeSet};

use super::{Gcra, Quota, Refused};
use crate::time::Moment;

/// Idle limits forgotten for each new key: more than one, so that a flood's traces go away again.
const FORGOTTEN: usize = 2;

/// A bounded map of limits with one quota.
#[derive(Debug)]
pub struct Keyed<K> {
    quota: Quota,
    places: usize,
    limits: BTreeMap<K, Gcra>,
    /// The same limits by the moment at which they are idle.
    by_idle: BTreeSet<(Moment, K)>,
    shared: Gcra,
    /// Since somebody last found a place.
    is_full: bool,
    times_full: u64,
}

impl<K: Ord + Copy> Keyed<K> {
    /// At most `places` keys are told apart.
    #[must_use]
    pub const fn new(quota: Quota, places: usize) -> Self {
        Self {
            quota,
            places,
            limits: BTreeMap::new(),
            by_idle: BTreeSet::new(),
            shared: Gcra::new(),
            is_full: false,
            times_full: 0,
        }
    }

    /// Takes `cost` units of a key's limit if they are there.
    ///
    /// # Errors
    ///
    /// [`Refused`] if they are not; nothing is taken then. For a key without a place, its wait is true
    /// as long as no other such key is served meanwhile.
    pub fn admit(&mut self, key: K, now: Moment, cost: u32) -> Result<(), Refused> {
        if let Some(limit) = self.limits.get_mut(&key) {
            let before = limit.idle_at();
            let decided = limit.admit(&self.quota, now, cost);
            let after = limit.idle_at();
            if before != after {
                self.by_idle.remove(&(before, key));
                self.by_idle.insert((after, key));
            }
            return decided;
        }
        self.forget_idle(now);
        if self.limits.len() >= self.places {
            self.times_full = self.times_full.saturating_add(u64::from(!self.is_full));
            self.is_full = true;
            let decided = self.shared.admit(&self.quota, now, cost);
            return decided.map_err(|refused| self.or_first_place(refused, now));
        }
        self.is_full = false;
        let mut limit = Gcra::new();
        let decided = limit.admit(&self.quota, now, cost);
        if decided.is_ok() {
            self.limits.insert(key, limit);
            self.by_idle.insert((limit.idle_at(), key));
        }
        decided
    }

    /// What [`Keyed::admit`] would say, without taking.
    ///
    /// # Errors
    ///
    /// As [`Keyed::admit`].
    pub fn check(&self, key: K, now: Moment, cost: u32) -> Result<(), Refused> {
        match self.limits.get(&key) {
            Some(limit) => limit.check(&self.quota, now, cost),
            None if self.has_room(now) => Gcra::new().check(&self.quota, now, cost),
            None => {
                let decided = self.shared.check(&self.quota, now, cost);
                decided.map_err(|refused| self.or_first_place(refused, now))
            }
        }
    }

    /// How often a new key found no place where the one before it did.
    #[must_use]
    pub const fn times_full(&self) -> u64 {
        self.times_full
    }

    /// Keys that are told apart now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.limits.len()
    }

    /// Whether no key is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.limits.is_empty()
    }

    /// A place that is idle sooner than the shared limit has earned enough serves as well.
    fn or_first_place(&self, refused: Refused, now: Moment) -> Refused {
        match (refused, self.by_idle.first()) {
            (Refused::Later(wait), Some((idle, _))) => Refused::Later(wait.min(idle.since(now))),
            (refused, _) => refused,
        }
    }

    fn has_room(&self, now: Moment) -> bool {
        let has_idle = || self.by_idle.first().is_some_and(|(idle, _)| *idle <= now);
        self.limits.len() < self.places || has_idle()
    }

    fn forget_idle(&mut self, now: Moment) {
        for _ in 0..FORGOTTEN {
            let Some(&(idle, key)) = self.by_idle.first() else { return };
            if idle > now {
                return;
            }
            self.by_idle.remove(&(idle, key));
            self.limits.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const BURST: u64 = 3;
    const INTERVAL: u64 = 100;
    const PLACES: usize = 4;

    fn quota() -> Quota {
        let burst = NonZeroU32::new(3).expect("not zero");
        Quota::new(burst, Duration::from_nanos(INTERVAL))
    }

    fn keyed() -> Keyed<u16> {
        Keyed::new(quota(), PLACES)
    }

    fn at(nanos: u64) -> Moment {
        Moment::from_nanos(nanos)
    }

    #[test]
    fn who_used_its_burst_gets_nothing_back_by_a_flood_of_other_keys() {
        let mut keyed = keyed();
        for _ in 0..BURST {
            assert_eq!(keyed.admit(0, at(0), 1), Ok(()));
        }
        let refused = keyed.admit(0, at(0), 1);

        for other in 1..1_000 {
            let _ = keyed.admit(other, at(0), 1);
        }

        assert_eq!(refused, Err(Refused::Later(Duration::from_nanos(INTERVAL))));
        assert_eq!(keyed.admit(0, at(0), 1), refused);
        assert_eq!(keyed.admit(0, at(INTERVAL), 1), Ok(()));
    }

    #[test]
    fn an_honest_key_with_a_place_is_served_through_a_flood() {
        let mut keyed = keyed();
        let mut served = 0;
        for round in 0..100u16 {
            // Once for each interval: what it may. Its limit is never idle when the flood looks.
            served += u32::from(keyed.admit(0, at(u64::from(round) * (INTERVAL - 1)), 1).is_ok());
            for other in 1..200 {
                let _ = keyed.admit(other + round, at(u64::from(round) * (INTERVAL - 1)), 1);
            }
        }

        assert_eq!(served, 100);
        assert_eq!(keyed.len(), PLACES);
    }

    #[test]
    fn reaching_the_bound_is_counted_once_until_somebody_finds_room() {
        let mut keyed = keyed();
        for key in 0..100 {
            let _ = keyed.admit(key, at(0), 1);
        }
        assert_eq!(keyed.times_full(), 1);

        for key in 100..200 {
            let _ = keyed.admit(key, at(INTERVAL * BURST), 1);
        }

        assert_eq!(keyed.times_full(), 2);
        assert_eq!(keyed.len(), PLACES);
    }

    #[test]
    fn idle_limits_are_forgotten() {
        let mut keyed = keyed();
        for key in 0..3 {
            keyed.admit(key, at(0), 1).expect("a burst");
        }

        keyed.admit(9, at(INTERVAL), 1).expect("a burst");
        keyed.admit(8, at(INTERVAL), 1).expect("a burst");

        assert_eq!(keyed.len(), 2);
    }

    proptest! {
        /// However many keys: one quota a place and one for those without. One key: two at most.
        #[test]
        fn no_choice_of_keys_gains_more_than_one_quota_a_place(
            steps in prop::collection::vec((0u64..40, 0u16..12, 1u32..3), 1..600),
        ) {
            let (mut keyed, mut now) = (keyed(), 0);
            let (mut all, mut first) = (0, 0);
            for (gap, key, cost) in steps {
                now += gap;
                if keyed.admit(key, at(now), cost).is_ok() {
                    all += u64::from(cost);
                    first += if key == 0 { u64::from(cost) } else { 0 };
                }
                let one = BURST + now / INTERVAL;
                prop_assert!(keyed.len() <= PLACES);
                prop_assert!(all <= (PLACES as u64 + 1) * one, "{} of {}", all, one);
                prop_assert!(first <= 2 * one);
            }
        }

        /// Places enough: each key has a limit of its own, and asking first tells the truth.
        #[test]
        fn with_a_place_for_each_every_key_is_limited_as_if_it_were_alone(
            steps in prop::collection::vec((0u64..60, 0u16..4, 0u32..5), 1..400),
        ) {
            let (mut keyed, mut alone, mut now) = (keyed(), [Gcra::new(); PLACES], 0);
            for (gap, key, cost) in steps {
                now += gap;
                let expected = alone[usize::from(key)].admit(&quota(), at(now), cost);
                prop_assert_eq!(keyed.check(key, at(now), cost), expected);
                prop_assert_eq!(keyed.admit(key, at(now), cost), expected);
            }
        }

        /// Whatever happened before, whoever is refused passes when it was told to come back.
        #[test]
        fn a_wait_is_true_with_and_without_a_place(
            steps in prop::collection::vec((0u64..40, 0u16..12), 1..200),
        ) {
            let (mut keyed, mut now) = (keyed(), 0);
            for (gap, key) in steps {
                now += gap;
                let checked = keyed.check(key, at(now), 1);
                prop_assert_eq!(keyed.admit(key, at(now), 1), checked);
            }
            for key in 0..12 {
                if let Err(Refused::Later(wait)) = keyed.check(key, at(now), 1) {
                    prop_assert_eq!(keyed.check(key, at(now) + wait, 1), Ok(()));
                    let early = at((at(now) + wait).as_nanos() - 1);
                    prop_assert!(keyed.check(key, early, 1).is_err());
                }
            }
        }
    }
}
