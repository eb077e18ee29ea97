//! What others may ask of us, and how often. Each limit is asked before any cryptography.
//!
//! ```text
//!   handshakes of strangers          for each device, and all together
//!   handshakes of contacts           for each device
//!   one-time keys for strangers      for each device, and all together
//!   one-time keys for contacts       for each device, and all together
//! ```
//!
//! A request passes when every limit on it agrees, and takes from all of them or from none; the wait
//! that a refusal tells is the longest of theirs, which is exact. See docs/SPEC.md, "Rate limits".

use std::num::NonZeroU32;
use std::time::Duration;

use rand_core::CryptoRng;

use super::{Engine, Fact};
use crate::contact::CONTACTS_MAX;
use crate::error::Error;
use crate::id::DeviceId;
use crate::prekey::HandTo;
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

/// One contact: each session costs a handshake and the encryption of what waits; an honest contact
/// needs one after a loss.
const CONTACT: Quota = quota(16, Duration::from_secs(10));

/// One-time keys of one contact: some sessions at once after both lost theirs, then two a day. Each holds
/// 78 at most before the first of them expires, so it takes 128 contacts to use up what can be out.
const CONTACT_KEYS: Quota = quota(4, Duration::from_secs(12 * 3_600));

/// One-time keys of all contacts: each costs two signatures, an ML-KEM key and a flush.
const CONTACTS_KEYS: Quota = quota(256, Duration::from_millis(250));

/// One-time keys of one stranger: it founds one session and is a contact then.
const STRANGER_KEYS: Quota = quota(2, Duration::from_secs(3_600));

/// One-time keys of all strangers, apart from those of contacts: who found an invitation in public
/// takes none from them.
const STRANGERS_KEYS: Quota = quota(20, Duration::from_secs(1));

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
    /// Handshakes of one contact.
    Contact,
    /// One-time keys for one device.
    Prekeys,
    /// One-time keys for all contacts, or all strangers.
    AllPrekeys,
}

impl RateClass {
    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stranger => "stranger",
            Self::Strangers => "strangers",
            Self::Contact => "contact",
            Self::Prekeys => "prekeys",
            Self::AllPrekeys => "all_prekeys",
        }
    }
}

/// A refusal: which limit, and until when.
type Limited = (RateClass, Refused);

/// A limit for each device beside one for all.
#[derive(Debug)]
struct Pair {
    one: (RateClass, Keyed<DeviceId>),
    all: (RateClass, Quota, Gcra),
}

impl Pair {
    /// Asks leave of both. One that would agree is left alone when the other refuses; one that refuses
    /// is told so, which takes nothing and lets it remember a clock that went back.
    fn admit(&mut self, peer: DeviceId, now: Moment) -> Result<(), Limited> {
        let ((class, one), (all_class, quota, all)) = (&mut self.one, &mut self.all);
        let agree = (one.check(peer, now, 1).is_ok(), all.check(quota, now, 1).is_ok());
        let one = if agree == (true, false) { Ok(()) } else { one.admit(peer, now, 1) };
        let all = if agree == (false, true) { Ok(()) } else { all.admit(quota, now, 1) };
        match (one, all) {
            (Err(refused), Err(also)) => Err((*class, refused.longer(also))),
            (Err(refused), Ok(())) => Err((*class, refused)),
            (Ok(()), Err(refused)) => Err((*all_class, refused)),
            (Ok(()), Ok(())) => Ok(()),
        }
    }
}

/// Every limit of the engine.
#[derive(Debug)]
pub(super) struct Limits {
    handshakes: Pair,
    contacts: Keyed<DeviceId>,
    contact_keys: Pair,
    stranger_keys: Pair,
    /// Of [`Keyed::times_full`], what was told.
    told_full: u64,
}

impl Limits {
    pub(super) const fn new() -> Self {
        Self {
            handshakes: Pair {
                one: (RateClass::Stranger, Keyed::new(STRANGER, STRANGERS_MAX)),
                all: (RateClass::Strangers, STRANGERS, Gcra::new()),
            },
            contacts: Keyed::new(CONTACT, CONTACTS_MAX),
            contact_keys: Pair {
                one: (RateClass::Prekeys, Keyed::new(CONTACT_KEYS, CONTACTS_MAX)),
                all: (RateClass::AllPrekeys, CONTACTS_KEYS, Gcra::new()),
            },
            stranger_keys: Pair {
                one: (RateClass::Prekeys, Keyed::new(STRANGER_KEYS, STRANGERS_MAX)),
                all: (RateClass::AllPrekeys, STRANGERS_KEYS, Gcra::new()),
            },
            told_full: 0,
        }
    }

    /// Whether a bound on the keys was reached since this was asked last.
    fn take_full(&mut self) -> bool {
        let pairs = [&self.handshakes, &self.contact_keys, &self.stranger_keys];
        let times: u64 = pairs.iter().map(|pair| pair.one.1.times_full()).sum();
        let times = times.saturating_add(self.contacts.times_full());
        std::mem::replace(&mut self.told_full, times) != times
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Asks leave for a handshake.
    pub(super) fn admit_handshake(&mut self, peer: DeviceId) -> Result<(), Error> {
        let decided = if self.book.of_device(&peer).is_some() {
            let decided = self.limits.contacts.admit(peer, self.now.mono, 1);
            decided.map_err(|refused| (RateClass::Contact, refused))
        } else {
            self.limits.handshakes.admit(peer, self.now.mono)
        };
        self.limited(decided)
    }

    /// Asks leave for one-time keys.
    pub(super) fn admit_prekeys(&mut self, peer: DeviceId, to: HandTo) -> Result<(), Error> {
        let pair = match to {
            HandTo::Contact => &mut self.limits.contact_keys,
            HandTo::Stranger => &mut self.limits.stranger_keys,
        };
        let decided = pair.admit(peer, self.now.mono);
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
            .filter(|milli| limits.handshakes.admit(device(*milli), at(u64::from(*milli))).is_ok());

        assert_eq!(passed.count(), 20 + 99);
    }

    #[test]
    fn a_contact_founds_a_burst_of_sessions_and_then_one_in_ten_seconds() {
        let mut limits = Limits::new();
        let passed = (0..1_000u64)
            .filter(|second| limits.contacts.admit(device(0), at(second * 1_000), 1).is_ok());

        assert_eq!(passed.count(), 16 + 99);
    }

    #[test]
    fn one_stranger_cannot_use_up_what_there_is_for_all() {
        let mut limits = Limits::new();
        let mut served = 0;
        for milli in 0..60_000 {
            let _ = limits.handshakes.admit(device(0), at(milli));
            if milli % 1_000 == 0 {
                let honest = device(1 + u32::try_from(milli).expect("small"));
                served += u32::from(limits.handshakes.admit(honest, at(milli)).is_ok());
            }
        }

        assert_eq!(served, 60);
        let refused = limits.handshakes.admit(device(0), at(59_999));
        assert!(matches!(refused, Err((RateClass::Stranger, _))), "{refused:?}");
    }

    #[test]
    fn a_refusal_takes_nothing_from_any_limit_and_its_wait_is_the_longest() {
        let mut limits = Limits::new();
        for _ in 0..5 {
            limits.handshakes.admit(device(0), at(0)).expect("a burst");
        }
        for other in 1..16 {
            limits.handshakes.admit(device(other), at(0)).expect("a burst");
        }
        let refused = limits.handshakes.admit(device(0), at(0));
        for _ in 0..1_000 {
            assert_eq!(limits.handshakes.admit(device(0), at(0)), refused);
        }

        let wait = Refused::Later(Duration::from_secs(2));
        assert_eq!(refused, Err((RateClass::Stranger, wait)), "100 ms of all, 2 s of its own");
        assert!(limits.handshakes.admit(device(0), at(1_999)).is_err());
        assert_eq!(limits.handshakes.admit(device(0), at(2_000)), Ok(()));
    }

    #[test]
    fn a_wait_is_true_on_a_clock_that_went_back() {
        let mut limits = Limits::new();
        for other in 0..20 {
            limits.handshakes.admit(device(other), at(3_600_000)).expect("a burst");
        }

        let refused = limits.handshakes.admit(device(99), at(0));

        let wait = Duration::from_millis(100);
        assert_eq!(refused, Err((RateClass::Strangers, Refused::Later(wait))));
        assert_eq!(limits.handshakes.admit(device(99), at(100)), Ok(()));
    }
}
