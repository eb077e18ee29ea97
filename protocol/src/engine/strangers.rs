//! A small budget for devices that are no contacts: each costs us a handshake's cryptography.

use std::time::Duration;

use crate::error::Error;
use crate::time::Moment;

/// Strangers admitted to a handshake in a burst.
const BURST: u32 = 20;

/// One more for each of these: 10 a second cost less than 1 % of a core.
const INTERVAL: Duration = Duration::from_millis(100);

/// A token bucket over all strangers together. Limits per peer and prefix come with `resilience`.
#[derive(Debug)]
pub(super) struct Strangers {
    tokens: u32,
    since: Moment,
}

impl Strangers {
    pub(super) const fn new(now: Moment) -> Self {
        Self { tokens: BURST, since: now }
    }

    /// Asks leave for one stranger.
    pub(super) fn admit(&mut self, now: Moment) -> Result<(), Error> {
        let earned = now.since(self.since).as_micros() / INTERVAL.as_micros();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.tokens = self.tokens.saturating_add(earned).min(BURST);
        self.since = self.since + INTERVAL.saturating_mul(earned);
        self.tokens = self.tokens.checked_sub(1).ok_or(Error::Busy("strangers"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_ten_a_second() {
        let mut strangers = Strangers::new(Moment::START);

        let passed = (0..10_000u64)
            .filter(|milli| strangers.admit(Moment::from_micros(milli * 1_000)).is_ok());

        assert_eq!(passed.count(), 20 + 99);
    }
}
