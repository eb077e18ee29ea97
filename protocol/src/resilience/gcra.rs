//! Generic cell rate algorithm: a leaky bucket whose whole state is one point in time.
//!
//! ```text
//!   debt    = how far the theoretical arrival time lies ahead of now, at most the capacity
//!   admit   = debt + cost * interval <= capacity        capacity = burst * interval
//!   refusal = wait for what is too much: exact, so the same request passes then and not earlier
//! ```
//!
//! Virtual scheduling (ITU-T I.371, annex A) in whole nanoseconds: nothing is rounded, so nothing
//! drifts however often it is asked. Sans-IO: time is an argument.
//!
//! # Invariants
//!
//! - In any time `t`, at most `burst + t / interval` units are admitted.
//! - A refusal changes nothing, except under the clock below.
//! - A clock that stands still earns nothing. One that goes back earns nothing either and never
//!   shuts longer than a full burst takes to earn: a debt from a future that did not come is cut to
//!   the capacity. For this one case a refusal is remembered, or its wait would not be true.
//!
//! See docs/SPEC.md, section "Rate limits".

use std::num::NonZeroU32;
use std::time::Duration;

use crate::time::Moment;

/// How much is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    interval: u64,
    capacity: u64,
}

/// One limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gcra {
    /// Theoretical arrival time, in nanoseconds of the clock: when every debt is paid.
    paid: u64,
}

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// After exactly this long the same request passes, if no other comes before it.
    Later(Duration),
    /// It costs more than a whole burst.
    Never,
}

impl Quota {
    /// `burst` units at once, and one more for each `interval`. An interval of zero limits nothing.
    #[must_use]
    pub const fn new(burst: NonZeroU32, interval: Duration) -> Self {
        let whole = interval.as_secs().saturating_mul(1_000_000_000);
        let (part, burst) = (interval.subsec_nanos() as u64, burst.get() as u64);
        let interval = whole.saturating_add(part);
        Self { interval, capacity: interval.saturating_mul(burst) }
    }
}

impl Refused {
    /// The longer of two waits.
    #[must_use]
    pub fn longer(self, other: Self) -> Self {
        match (self, other) {
            (Self::Later(one), Self::Later(two)) => Self::Later(one.max(two)),
            (Self::Never, _) | (_, Self::Never) => Self::Never,
        }
    }

    /// The wait, `at_most` for what will never pass.
    #[must_use]
    pub fn retry_after(self, at_most: Duration) -> Duration {
        match self {
            Self::Later(wait) => wait.min(at_most),
            Self::Never => at_most,
        }
    }
}

impl Gcra {
    /// A limit with its whole burst.
    #[must_use]
    pub const fn new() -> Self {
        Self { paid: 0 }
    }

    /// A limit whose burst is whole again at this moment.
    #[must_use]
    pub const fn idle_from(moment: Moment) -> Self {
        Self { paid: moment.as_nanos() }
    }

    /// Takes `cost` units if they are there. What costs nothing always passes.
    ///
    /// # Errors
    ///
    /// [`Refused`] if they are not; nothing is taken then.
    pub fn admit(&mut self, quota: &Quota, now: Moment, cost: u32) -> Result<(), Refused> {
        let debt = self.debt(quota, now);
        match after(quota, debt, cost) {
            Ok(after) => self.paid = now.as_nanos().saturating_add(after),
            Err(refused) => {
                self.paid = self.paid.min(now.as_nanos().saturating_add(debt));
                return Err(refused);
            }
        }
        Ok(())
    }

    /// What [`Gcra::admit`] would say, without taking.
    ///
    /// # Errors
    ///
    /// As [`Gcra::admit`].
    pub fn check(&self, quota: &Quota, now: Moment, cost: u32) -> Result<(), Refused> {
        after(quota, self.debt(quota, now), cost).map(drop)
    }

    /// When the whole burst is there again.
    #[must_use]
    pub const fn idle_at(&self) -> Moment {
        Moment::from_nanos(self.paid)
    }

    fn debt(&self, quota: &Quota, now: Moment) -> u64 {
        self.paid.saturating_sub(now.as_nanos()).min(quota.capacity)
    }
}

/// The debt that a request leaves behind.
fn after(quota: &Quota, debt: u64, cost: u32) -> Result<u64, Refused> {
    let price = quota.interval.checked_mul(cost.into()).filter(|price| *price <= quota.capacity);
    let price = price.ok_or(Refused::Never)?;
    let room = quota.capacity.saturating_sub(debt);
    match price.checked_sub(room) {
        None | Some(0) => Ok(debt.saturating_add(price)),
        Some(wait) => Err(Refused::Later(Duration::from_nanos(wait))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn quota(burst: u32, interval: u64) -> Quota {
        Quota::new(NonZeroU32::new(burst).expect("not zero"), Duration::from_nanos(interval))
    }

    /// The definition, written down: every unit admitted is remembered with the time when its place
    /// in the bucket is free again.
    struct SlidingLog {
        burst: usize,
        interval: u64,
        free_at: VecDeque<u64>,
    }

    impl SlidingLog {
        fn admit(&mut self, now: u64, cost: u32) -> bool {
            self.free_at.retain(|at| *at > now);
            if self.free_at.len() + cost as usize > self.burst {
                return false;
            }
            for _ in 0..cost {
                let last = self.free_at.back().copied().unwrap_or(now).max(now);
                self.free_at.push_back(last + self.interval);
            }
            true
        }
    }

    proptest! {
        /// Units that start to be earned at an arbitrary time, costs above one, long pauses.
        #[test]
        fn it_decides_like_a_log_of_every_unit(
            steps in prop::collection::vec((0u64..60, 0u32..7), 1..400),
            burst in 1u32..12,
            interval in 1u64..40,
        ) {
            let (quota, mut gcra) = (quota(burst, interval), Gcra::default());
            let mut log =
                SlidingLog { burst: burst as usize, interval, free_at: VecDeque::new() };
            let mut now = 0;
            for (gap, cost) in steps {
                now += gap;
                let admitted = gcra.admit(&quota, Moment::from_nanos(now), cost);
                prop_assert_eq!(admitted.is_ok(), log.admit(now, cost), "{} at {}", cost, now);
            }
        }

        /// In every window, not only from the start.
        #[test]
        fn never_more_than_burst_plus_rate_times_time_in_any_window(
            steps in prop::collection::vec((0u64..50, 1u32..5), 1..200),
            burst in 1u32..32,
            interval in 1u64..100,
        ) {
            let (quota, mut gcra) = (quota(burst, interval), Gcra::default());
            let (mut now, mut admitted) = (0, Vec::new());
            for (gap, cost) in steps {
                now += gap;
                if gcra.admit(&quota, Moment::from_nanos(now), cost).is_ok() {
                    admitted.push((now, u64::from(cost)));
                }
            }
            for (first, &(start, _)) in admitted.iter().enumerate() {
                let mut units = 0;
                for (at, cost) in &admitted[first..] {
                    units += cost;
                    let allowed = u64::from(burst) + (at - start) / interval;
                    prop_assert!(units <= allowed, "{} in [{}, {}]", units, start, at);
                }
            }
        }

        #[test]
        fn a_refused_request_passes_at_its_retry_time_and_not_a_nanosecond_earlier(
            steps in prop::collection::vec((0u64..2_000, 1u32..6), 1..100),
            burst in 1u32..8,
            interval in 1u64..5_000,
        ) {
            let (quota, mut gcra) = (quota(burst, interval), Gcra::default());
            let mut now = Moment::START;
            for (gap, cost) in steps {
                now = now + Duration::from_nanos(gap);
                match gcra.admit(&quota, now, cost) {
                    Ok(()) => {}
                    Err(Refused::Never) => prop_assert!(cost > burst),
                    Err(Refused::Later(wait)) => {
                        let (at, mut early, mut late) = (now + wait, gcra, gcra);
                        let before = Moment::from_nanos(at.as_nanos() - 1);
                        prop_assert!(early.admit(&quota, before, cost).is_err());
                        prop_assert_eq!(late.admit(&quota, at, cost), Ok(()));
                    }
                }
            }
        }

        /// Only time that goes forward earns; a wait is true on the clock that says it.
        #[test]
        fn a_clock_that_goes_back_gives_nothing_and_shuts_nobody_out(
            steps in prop::collection::vec((any::<bool>(), 0u64..3_000), 1..300),
            burst in 1u32..8,
        ) {
            const INTERVAL: u64 = 100;
            let (quota, mut gcra) = (quota(burst, INTERVAL), Gcra::default());
            let (mut now, mut forward, mut units) = (1_000_000u64, 0, 0);
            for (back, by) in steps {
                if back { now -= by } else { now += by; forward += by }
                match gcra.admit(&quota, Moment::from_nanos(now), 1) {
                    Ok(()) => units += 1,
                    Err(Refused::Later(wait)) => {
                        prop_assert!(wait <= Duration::from_nanos(INTERVAL));
                        let mut later = gcra;
                        let at = Moment::from_nanos(now) + wait;
                        prop_assert_eq!(later.admit(&quota, at, 1), Ok(()));
                    }
                    Err(Refused::Never) => prop_assert!(false),
                }
                prop_assert!(units <= u64::from(burst) + forward / INTERVAL);
            }
        }
    }

    #[test]
    fn a_million_requests_in_step_with_the_rate_never_drift() {
        let (quota, mut gcra) = (quota(1, 333_333_333), Gcra::default());

        for number in 0..1_000_000 {
            let now = Moment::from_nanos(number * 333_333_333);
            assert_eq!(gcra.admit(&quota, now, 1), Ok(()));
            assert_eq!(
                gcra.check(&quota, now, 1),
                Err(Refused::Later(Duration::from_nanos(333_333_333)))
            );
        }
    }

    #[test]
    fn a_clock_that_stands_still_gives_one_burst() {
        let (quota, mut gcra) = (quota(20, 100), Gcra::default());
        let now = Moment::from_nanos(5);

        let passed = (0..1_000).filter(|_| gcra.admit(&quota, now, 1).is_ok());

        assert_eq!(passed.count(), 20);
    }

    #[test]
    fn what_costs_more_than_a_burst_never_passes_and_takes_nothing() {
        let (quota, mut gcra) = (quota(3, 100), Gcra::default());

        assert_eq!(gcra.admit(&quota, Moment::START, 4), Err(Refused::Never));
        assert_eq!(gcra.admit(&quota, Moment::START, u32::MAX), Err(Refused::Never));
        assert_eq!(gcra.admit(&quota, Moment::START, 3), Ok(()));
        assert_eq!(gcra.admit(&quota, Moment::START, 0), Ok(()));
    }

    #[test]
    fn a_quota_too_large_for_the_clock_does_not_wrap() {
        let quota = quota(u32::MAX, u64::MAX);
        let mut gcra = Gcra::default();

        assert_eq!(gcra.admit(&quota, Moment::START, 1), Ok(()));
        assert!(matches!(gcra.admit(&quota, Moment::START, 1), Err(Refused::Later(_))));
    }
}
