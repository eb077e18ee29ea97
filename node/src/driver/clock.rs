//! Both clocks, read once for each input.
//!
//! The monotonic one goes on while the machine sleeps: what is due after a night is due, and a clock
//! that is an hour ahead after an hour of sleep was not set.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitchat_protocol::time::{Moment, Now, UnixMillis};
use rustix::time::{ClockId, clock_gettime};

use crate::profile::wall_clock;

/// The clocks of one process. Cheap to clone.
#[derive(Clone)]
pub struct Clock {
    start: Duration,
    wall: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
}

impl Clock {
    /// The system's.
    #[must_use]
    pub fn system() -> Self {
        Self::with_wall(wall_clock)
    }

    /// The system's monotonic clock, beside a wall clock that the caller sets.
    pub fn with_wall(wall: impl Fn() -> UnixMillis + Send + Sync + 'static) -> Self {
        Self { start: awake_and_asleep(), wall: Arc::new(wall) }
    }

    pub(crate) fn now(&self) -> Now {
        let since = awake_and_asleep().saturating_sub(self.start);
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Now { mono: Moment::from_nanos(nanos), wall: (self.wall)() }
    }

    /// When a moment comes, by the clock that timers go by.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        Instant::now() + moment.since(self.now().mono)
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// Since the machine started.
fn awake_and_asleep() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_can_be_set_and_the_other_goes_on() {
        let clock = Clock::with_wall(|| UnixMillis(7));
        let first = clock.now();
        let second = clock.now();

        assert_eq!((first.wall, second.wall), (UnixMillis(7), UnixMillis(7)));
        assert!(second.mono > first.mono);
        let ahead = clock.instant(second.mono + Duration::from_secs(9));
        let wait = ahead.saturating_duration_since(Instant::now());
        assert!(wait > Duration::from_secs(8) && wait <= Duration::from_secs(9), "{wait:?}");
    }
}
