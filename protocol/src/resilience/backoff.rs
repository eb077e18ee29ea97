//! Full-jitter exponential back-off: attempt `n` waits a uniform time in `[0, min(cap, base * 2^n)]`.
//!
//! Full jitter spreads the retries of many senders best, at the price of now and then a short wait.

use std::time::Duration;

use rand_core::CryptoRng;

/// How long to wait before attempt `n`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
}

impl Backoff {
    /// `base` doubles with each attempt up to `cap`.
    #[must_use]
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap }
    }

    /// The longest wait before the attempt after `failures` failures.
    #[must_use]
    pub fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }

    /// A wait before the attempt after `failures` failures.
    pub fn wait(&self, failures: u32, rng: &mut impl CryptoRng) -> Duration {
        let ceiling = u64::try_from(self.ceiling(failures).as_micros()).unwrap_or(u64::MAX);
        // The bias of the remainder is below 2^-24 for any wait under two weeks.
        Duration::from_micros(rng.next_u64() % ceiling.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    #[test]
    fn every_wait_lies_below_its_ceiling_and_the_ceiling_stops_at_the_cap() {
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(600));
        let mut rng = ChaCha20Rng::seed_from_u64(7);

        for failures in 0..200 {
            let ceiling = backoff.ceiling(failures);
            assert!(backoff.wait(failures, &mut rng) <= ceiling);
            assert!(ceiling <= Duration::from_secs(600));
        }
        assert_eq!(backoff.ceiling(3), Duration::from_secs(8));
        assert_eq!(backoff.ceiling(90), Duration::from_secs(600));
    }
}
