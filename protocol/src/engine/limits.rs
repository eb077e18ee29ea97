//! What others may ask of us, and how often. Each limit is asked before any cryptography.
//!
//! ```text
//!   handshakes of strangers   for each device, then all together
//! ```
//!
//! A request passes when every limit on it agrees, and takes from all of them or from none; the wait
//! that a refusal tells is the longest of theirs, which is exact. See docs/SPEC.md, "Rate limits".

use std::num::NonZeroU32;
use std::time::Duration;

use rand_core::CryptoRng;

use super::{Engine, Fact};
use crate::error::Error;
use crate::id::DeviceId;
use crate::resilience::{Gcra, Keyed, Quota, Refused};
use crate::store::Store;
use crate::time::Moment;

/// All strangers together: 10 handshakes a second cost less than 1 % of a core.
const STRANGERS: Quota = quota(20, Duration::from_millis(100));

/// One stranger: a new contact that sends some messages before the first is answered, and a little
/// more, so that one device alone never uses up what there is for all.
const STRANGER: Quota = quota(5, Duration::from_secs(2));

/// Strangers told apart, about 200 bytes each. Devices cost nothing, so a flood fills any number; the
/// limit on all of them is what holds then.
const STRANGERS_MAX: usize = 1_024;

/// The longest wait that we tell; a peer that waits longer than this has given up.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

const fn quota(burst: u32, interval: Duration) -> Quota {
    let burst = match NonZeroU32::new(burst) {
        Some(burst) => burst,
        None => NonZeroU32::MIN,
    };
    Quota::new(burst, interval)
}

/// What a refusal is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateClass {
    /// Handshakes of one stranger.
    Stranger,
    /// Handshakes of all strangers.
    Strangers,
}

impl RateClass {
    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Strangers => "strangers",
        }
    }
}

/// A refusal: which limit, and until when.
type Limited = (RateClass, Refused);

/// Every limit of the engine.
#[derive(Debug)]
pub(super) struct Limits {
    stranger: Keyed<DeviceId>,
    strangers: Gcra,
    /// Of [`Keyed::times_full`], what was told.
    told_full: u64,
}

impl Limits {
    pub(super) const fn new() -> Self {
        Self { stranger: Keyed::new(STRANGER, STRANGERS_MAX), strangers: Gcra::new(), told_full: 0 }
    }

    /// Asks leave for one handshake of a stranger.
    fn stranger(&mut self, peer: DeviceId, now: Moment) -> Result<(), Limited> {
        let one = self.stranger.check(peer, now, 1).map_err(|wait| (RateClass::Stranger, wait));
        let all = self.strangers.check(&STRANGERS, now, 1);
        both(one, all.map_err(|wait| (RateClass::Strangers, wait)))?;
        self.stranger.admit(peer, now, 1).map_err(|wait| (RateClass::Stranger, wait))?;
        self.strangers.admit(&STRANGERS, now, 1).map_err(|wait| (RateClass::Strangers, wait))
    }

    /// Whether a bound on the keys was reached since this was asked last.
    fn take_full(&mut self) -> bool {
        let times = self.stranger.times_full();
        std::mem::replace(&mut self.told_full, times) != times
    }
}

/// Neither refuses, or the first that does, with the longer of both waits.
fn both(one: Result<(), Limited>, other: Result<(), Limited>) -> Result<(), Limited> {
    match (one, other) {
        (Err((class, wait)), Err((_, also))) => Err((class, wait.longer(also))),
        (Err(limited), Ok(())) | (Ok(()), Err(limited)) => Err(limited),
        (Ok(()), Ok(())) => Ok(()),
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Asks leave for a handshake; contacts have it.
    pub(super) fn admit_handshake(&mut self, peer: DeviceId) -> Result<(), Error> {
        if self.book.of_device(&peer).is_some() {
            return Ok(());
        }
        let decided = self.limits.stranger(peer, self.now.mono);
        self.limited(decided)
    }

    /// Counts a refusal and turns it into what the peer is told.
    fn limited(&mut self, decided: Result<(), Limited>) -> Result<(), Error> {
        if self.limits.take_full() {
            self.fact(Fact::BoundReached("rate limit keys"));
        }
        decided.map_err(|(class, refused)| {
            self.fact(Fact::RateLimited(class));
            Error::Busy { what: class.as_str(), retry_after: refused.retry_after(WAIT_MAX) }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u32) -> DeviceId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        DeviceId(bytes)
    }

    fn at(millis: u64) -> Moment {
        Moment::from_micros(millis * 1_000)
    }

    #[test]
    fn strangers_together_get_a_burst_and_then_ten_a_second() {
        let mut limits = Limits::new();

        // Each millisecond another stranger.
        let passed = (0..10_000u32)
            .filter(|milli| limits.stranger(device(*milli), at(u64::from(*milli))).is_ok());

        assert_eq!(passed.count(), 20 + 99);
    }

    #[test]
    fn one_stranger_cannot_use_up_what_there_is_for_all() {
        let mut limits = Limits::new();
        let mut served = 0;
        for milli in 0..60_000 {
            let _ = limits.stranger(device(0), at(milli));
            if milli % 1_000 == 0 {
                let honest = device(1 + u32::try_from(milli).expect("small"));
                served += u32::from(limits.stranger(honest, at(milli)).is_ok());
            }
        }

        assert_eq!(served, 60);
        let refused = limits.stranger(device(0), at(59_999));
        assert!(matches!(refused, Err((RateClass::Stranger, _))), "{refused:?}");
    }

    #[test]
    fn a_refusal_takes_nothing_from_any_limit_and_its_wait_is_the_longest() {
        let mut limits = Limits::new();
        for _ in 0..5 {
            limits.stranger(device(0), at(0)).expect("a burst");
        }
        for other in 1..16 {
            limits.stranger(device(other), at(0)).expect("a burst");
        }
        let refused = limits.stranger(device(0), at(0));
        for _ in 0..1_000 {
            assert_eq!(limits.stranger(device(0), at(0)), refused);
        }

        let wait = Refused::Later(Duration::from_secs(2));
        assert_eq!(refused, Err((RateClass::Stranger, wait)), "100 ms of all, 2 s of its own");
        assert!(limits.stranger(device(0), at(1_999)).is_err());
        assert_eq!(limits.stranger(device(0), at(2_000)), Ok(()));
    }
}
