//! Time as a value: the driver measures it, the core only compares.
//!
//! See docs/SPEC.md, section "Delivery".

mod expiry;

pub use expiry::{ExpiryClock, JUMP};

use std::ops::Add;
use std::time::Duration;

/// Whole milliseconds, rounded up: whoever waits that long is not too early.
#[must_use]
pub fn millis_up(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// A point on the driver's monotonic clock: nanoseconds since it started, 584 years at most.
///
/// Never stored and never sent; deadlines that outlive the process are [`UnixMillis`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The start of the clock.
    pub const START: Self = Self(0);

    /// From microseconds since the start.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros.saturating_mul(1_000))
    }

    /// From nanoseconds since the start.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Microseconds since the start, rounded up: a deadline that is read off has passed then.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0.div_ceil(1_000)
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// Wall-clock time: milliseconds since 1970-01-01 UTC. May jump; never used to measure a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// `self + wait`, saturating.
    #[must_use]
    pub fn plus(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Time from `earlier` to here; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Both clocks, read once for each input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For waits and deadlines inside this process.
    pub mono: Moment,
    /// For what is stored, sent or shown.
    pub wall: UnixMillis,
}

impl Now {
    /// The wall time of a moment that lies ahead.
    #[must_use]
    pub fn wall_at(&self, moment: Moment) -> UnixMillis {
        self.wall.plus(moment.since(self.mono))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_saturates_instead_of_wrapping() {
        let end = Moment::from_nanos(u64::MAX);

        assert_eq!(end + Duration::from_secs(1), end);
        assert_eq!(Moment::START.since(end), Duration::ZERO);
        assert_eq!(Moment::from_micros(u64::MAX), end);
    }

    #[test]
    fn a_deadline_in_whole_microseconds_is_never_early() {
        assert_eq!(Moment::from_nanos(1_001).as_micros(), 2);
        assert_eq!(Moment::from_micros(7).as_micros(), 7);
    }
}
