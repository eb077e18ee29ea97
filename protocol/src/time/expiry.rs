//! The clock that time-outs of stored things are judged by: it does not take the jumps of the wall
//! clock (docs/decisions/0025-what-a-clock-jump-does.md).
//!
//! ```text
//!   wall  ----+        +-----      forward: expiry goes on at the pace of the monotonic clock
//!             |  +1 h  |           back:    expiry is the wall clock, which is behind anyway
//!   expiry ---+--------+-----      it is never ahead of the wall clock and never faster than time
//! ```
//!
//! Between two inputs both clocks should move by the same. If they differ by more than [`JUMP`], the
//! wall clock was set: [`ExpiryClock::skew`] says by how much it is off what it said before.
//!
//! What it does *not* do: know which of the two times is right, or look behind a start of the process.
//!
//! See docs/SPEC.md, section "Delivery".

use std::time::Duration;

use super::{Now, UnixMillis};

/// By how much the clocks may differ from one input to the next. Corrections of a running clock stay
/// far below; a process that was stopped between the two readings does not reach it.
pub const JUMP: Duration = Duration::from_secs(30);

/// Both clocks as they were last seen, and what was not believed.
#[derive(Clone, Copy, Debug)]
pub struct ExpiryClock {
    last: Now,
    /// How far the wall clock is from where it would be without jumps, in milliseconds.
    skew: i64,
    /// How far expiry is behind the wall clock.
    lag: Duration,
}

impl ExpiryClock {
    /// Begins where the wall clock is: there is nothing to compare it with.
    #[must_use]
    pub const fn starting(now: Now) -> Self {
        Self { last: now, skew: 0, lag: Duration::ZERO }
    }

    /// Takes a reading; says whether the wall clock jumped.
    pub fn read(&mut self, now: Now) -> bool {
        let passed =
            i128::try_from(now.mono.since(self.last.mono).as_millis()).unwrap_or(i128::MAX);
        let moved = i128::from(now.wall.0) - i128::from(self.last.wall.0);
        let jump =
            i64::try_from(moved - passed).unwrap_or(if moved < 0 { i64::MIN } else { i64::MAX });
        self.last = now;
        if jump.unsigned_abs() <= millis(JUMP) {
            return false;
        }
        let skew = self.skew.saturating_add(jump);
        // What comes back within the bound is back: the rest is the corrections in between.
        self.skew = if skew.unsigned_abs() <= millis(JUMP) { 0 } else { skew };
        let by = Duration::from_millis(jump.unsigned_abs());
        self.lag = if jump > 0 { self.lag.saturating_add(by) } else { self.lag.saturating_sub(by) };
        true
    }

    /// The time by which stored things expire.
    #[must_use]
    pub fn wall(&self) -> UnixMillis {
        UnixMillis(self.last.wall.0.saturating_sub(millis(self.lag)))
    }

    /// Milliseconds by which the wall clock is ahead of (or behind) what it said before it jumped; 0
    /// while it did not, and when it is back.
    #[must_use]
    pub const fn skew(&self) -> i64 {
        self.skew
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Moment;
    use super::*;

    const HOUR: u64 = 3_600_000;
    const START: u64 = 1_800_000_000_000;

    #[test]
    fn an_hour_ahead_and_back_again_moves_nothing() {
        let mut clock = ExpiryClock::starting(at(0, START));

        assert!(clock.read(at(1_000, START + 1_000 + HOUR)));
        assert_eq!((clock.wall().0, clock.skew()), (START + 1_000, HOUR as i64));
        assert!(!clock.read(at(61_000, START + 61_000 + HOUR)));
        assert_eq!(clock.wall().0, START + 61_000);

        assert!(clock.read(at(62_000, START + 62_000)));
        assert_eq!((clock.wall().0, clock.skew()), (START + 62_000, 0));
    }

    #[test]
    fn what_was_written_while_the_clock_was_behind_has_its_time_when_it_is_back() {
        let mut clock = ExpiryClock::starting(at(0, START));
        clock.read(at(1_000, START - HOUR));
        let deadline = clock.wall().0 + HOUR / 2;

        clock.read(at(2_000, START + 2_000));

        assert_eq!(clock.skew(), 0);
        assert!(clock.wall().0 < deadline, "expired {} early", deadline - clock.wall().0);
    }

    #[test]
    fn a_clock_that_is_corrected_slowly_is_followed() {
        let mut clock = ExpiryClock::starting(at(0, START));

        for minute in 1..1_000 {
            assert!(!clock.read(at(minute * 60_000, START + minute * 61_000)));
        }

        assert_eq!(clock.wall().0, START + 999 * 61_000);
    }

    proptest! {
        /// Whatever the wall clock does: expiry is not ahead of it, and between two readings it gains
        /// on the monotonic clock by no more than a correction.
        #[test]
        fn expiry_is_never_ahead_and_never_jumps(
            steps in prop::collection::vec((0u64..100_000, -10_000_000i64..10_000_000), 1..60),
        ) {
            let (mut mono, mut wall) = (0, START);
            let mut clock = ExpiryClock::starting(at(mono, wall));
            for (passed, jump) in steps {
                let before = clock.wall().0;
                mono += passed;
                wall = (wall + passed).saturating_add_signed(jump);
                clock.read(at(mono, wall));
                let after = clock.wall().0;
                prop_assert!(after <= wall, "{after} is ahead of {wall}");
                let gained = after.saturating_sub(before);
                prop_assert!(gained <= passed + millis(JUMP), "{gained} in {passed}");
            }
        }
    }

    fn at(mono_ms: u64, wall: u64) -> Now {
        Now { mono: Moment::from_micros(mono_ms * 1_000), wall: UnixMillis(wall) }
    }
}
