//! Whether the driver's loop still turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A loop that has not turned for so long is blocked, not busy.
const BLOCKED_AFTER: Duration = Duration::from_secs(10);

/// The loop says [`Self::beat`]; others ask [`Self::is_alive`]. Cheap to clone.
///
/// An idle loop must beat too: the driver wakes at least every few seconds.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    origin: Instant,
    /// Milliseconds from `origin` to the last beat.
    last: Arc<AtomicU64>,
}

impl Heartbeat {
    /// A heart whose first beat is `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { origin: now, last: Arc::new(AtomicU64::new(0)) }
    }

    /// The loop turned.
    pub fn beat(&self, now: Instant) {
        self.last.store(self.millis(now), Ordering::Relaxed);
    }

    /// Whether the last beat is at most 10 s old.
    #[must_use]
    pub fn is_alive(&self, now: Instant) -> bool {
        let age = self.millis(now).saturating_sub(self.last.load(Ordering::Relaxed));
        Duration::from_millis(age) <= BLOCKED_AFTER
    }

    fn millis(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.origin);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_is_blocked_when_it_did_not_turn_for_more_than_10_seconds() {
        let start = Instant::now();
        let heart = Heartbeat::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);

        assert!(heart.is_alive(at(10)));
        assert!(!heart.is_alive(at(11)));

        heart.beat(at(11));
        assert!(heart.is_alive(at(21)));
        assert!(!heart.is_alive(at(22)));
    }
}
