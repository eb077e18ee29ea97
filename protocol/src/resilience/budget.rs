//! A budget for sending again: a tenth of what is sent for the first time, and ten a second.
//!
//! Retries multiply load exactly when a network has least to spare. Each first sending earns a tenth of a
//! retry, each 100 ms a whole one, and each retry costs one; what is earned and not used is kept up to
//! [`SAVED_MAX`]. Over any time `t` with `n` first sendings no more than `SAVED_MAX + n / 10 + 10 t` retries
//! leave. Whoever must try once whatever the budget says (an attempt for each contact and step of its
//! back-off) does not ask.
//!
//! See docs/SPEC.md, section "Delivery".

use std::time::Duration;

use crate::time::Moment;

/// Retries that may be saved up: ten seconds' worth.
pub const SAVED_MAX: u32 = 100;

/// Nanoseconds in which time alone earns a retry.
const ONE: u64 = 100_000_000;

/// First sendings that earn one retry.
const SENDS: u32 = 10;

/// What is saved, `ONE` for each retry: exact, whatever the steps of time.
#[derive(Clone, Copy, Debug)]
pub struct RetryBudget {
    saved: u64,
    at: Moment,
}

impl RetryBudget {
    /// A full budget.
    #[must_use]
    pub const fn new(now: Moment) -> Self {
        Self { saved: Self::FULL, at: now }
    }

    const FULL: u64 = ONE * SAVED_MAX as u64;

    /// Something was sent for the first time.
    pub fn sent(&mut self) {
        self.earn(ONE / u64::from(SENDS));
    }

    /// Asks for one retry and takes it.
    ///
    /// # Errors
    ///
    /// When there is none: how long until time alone has earned it.
    pub fn take(&mut self, now: Moment) -> Result<(), Duration> {
        let passed = now.since(self.at);
        self.at = self.at.max(now);
        self.earn(u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX));
        match self.saved.checked_sub(ONE) {
            Some(left) => {
                self.saved = left;
                Ok(())
            }
            None => Err(Duration::from_nanos(ONE.saturating_sub(self.saved))),
        }
    }

    fn earn(&mut self, more: u64) {
        self.saved = self.saved.saturating_add(more).min(Self::FULL);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by looking back at everything that happened: a retry may leave if, from every earlier time
    /// on, no more retries left than were saved at most and earned since.
    #[derive(Default)]
    struct Oracle {
        /// Milliseconds at which a retry left, and at which a sending earned a tenth of one.
        taken: Vec<u64>,
        earned: Vec<u64>,
    }

    impl Oracle {
        fn may(&self, now: u64) -> bool {
            let since = |from: u64, times: &[u64]| {
                u64::try_from(times.iter().filter(|at| **at >= from).count()).expect("few")
            };
            let starts = self.taken.iter().copied().chain([0]);
            starts.into_iter().all(|from| {
                let taken = since(from, &self.taken) * 1_000;
                let earned = since(from, &self.earned) * 100 + (now - from) * 10;
                taken + 1_000 <= u64::from(SAVED_MAX) * 1_000 + earned
            })
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Send,
        Retry,
    }

    proptest! {
        /// Whatever comes when: never more than saved, a tenth of the sendings and ten a second; and what
        /// is refused may leave when the refusal said.
        #[test]
        fn no_more_retries_leave_than_the_oracle_allows(
            steps in prop::collection::vec((0u64..40, prop_oneof![1 => Just(Step::Send), 3 => Just(Step::Retry)]), 1..400),
        ) {
            let (mut budget, mut oracle) = (RetryBudget::new(Moment::START), Oracle::default());
            let mut now = 0;
            for (wait, step) in steps {
                now += wait; // Milliseconds: each earns a hundredth of a retry.
                let moment = Moment::from_micros(now * 1_000);
                match step {
                    Step::Send => {
                        budget.sent();
                        oracle.earned.push(now);
                    }
                    Step::Retry => match budget.take(moment) {
                        Ok(()) => {
                            prop_assert!(oracle.may(now), "a retry too many at {now} ms");
                            oracle.taken.push(now);
                        }
                        Err(wait) => {
                            let (mut then, mut before) = (budget, budget);
                            prop_assert!(then.take(moment + wait).is_ok());
                            let early = wait.saturating_sub(Duration::from_nanos(1));
                            prop_assert!(before.take(moment + early).is_err());
                        }
                    },
                }
            }
        }
    }

    #[test]
    fn a_long_silence_saves_ten_seconds_worth_and_no_more() {
        let mut budget = RetryBudget::new(Moment::START);
        let later = Moment::from_micros(3_600_000_000);

        let burst = (0..1_000).filter(|_| budget.take(later).is_ok()).count();

        assert_eq!(burst, 100);
        assert_eq!(budget.take(later), Err(Duration::from_millis(100)));
        (0..10).for_each(|_| budget.sent());
        assert_eq!(budget.take(later), Ok(()));
    }
}
