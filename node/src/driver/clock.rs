//! Both clocks, read once for each input.

use std::time::Instant;

use bitchat_protocol::time::{Moment, Now};

use crate::profile::wall_clock;

/// The monotonic clock of one process.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// From now on.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Now {
        let micros = u64::try_from(self.0.elapsed().as_micros()).unwrap_or(u64::MAX);
        Now { mono: Moment::from_micros(micros), wall: wall_clock() }
    }

    /// When a moment comes, by the system's clock.
    pub(crate) fn instant(self, moment: Moment) -> Instant {
        self.0 + moment.since(Moment::START)
    }
}
