//! How often anybody may ask: looked at before any cryptography and before the store is read.
//!
//! An asking device is made for the purpose and costs nothing, so a limit for each keeps only the honest
//! polite; those over all keep the node alive.
//!
//! See docs/SPEC.md, section "What a node gives".

use std::time::Duration;

use super::super::QueueKey;
use crate::id::DeviceId;
use crate::resilience::{Gcra, Keyed, Quota, Refused};
use crate::time::Moment;

/// The longest wait that is told.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Devices that are told apart, for each class.
const DEVICES: usize = 4_096;

/// Kinds of requests; using up one leaves the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Deposit,
    Order,
    Prekeys,
}

struct Pair {
    each: Keyed<DeviceId>,
    quota: Quota,
    all: Gcra,
}

pub(super) struct Limits {
    deposit: Pair,
    order: Pair,
    prekeys: Pair,
    /// Prekeys of a queue that are handed to strangers.
    strangers: Keyed<QueueKey>,
}

impl Class {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Order => "order",
            Self::Prekeys => "prekeys",
        }
    }
}

impl Pair {
    const fn new(each: Quota, all: Quota) -> Self {
        Self { each: Keyed::new(each, DEVICES), quota: all, all: Gcra::new() }
    }

    fn admit(&mut self, peer: DeviceId, now: Moment) -> Result<(), Refused> {
        let all = self.all.check(&self.quota, now, 1);
        match (self.each.check(peer, now, 1), all) {
            (Ok(()), Ok(())) => {
                self.all.admit(&self.quota, now, 1)?;
                self.each.admit(peer, now, 1)
            }
            (Err(each), Err(all)) => Err(each.longer(all)),
            (Err(refused), Ok(())) | (Ok(()), Err(refused)) => Err(refused),
        }
    }
}

impl Limits {
    pub(super) const fn new() -> Self {
        let (second, milli) = (Duration::from_secs(1), Duration::from_millis(1));
        Self {
            deposit: Pair::new(
                Quota::of(1_024, Duration::from_millis(10)),
                Quota::of(20_000, Duration::from_micros(100)),
            ),
            order: Pair::new(Quota::of(128, Duration::from_millis(50)), Quota::of(4_000, milli)),
            prekeys: Pair::new(Quota::of(16, second), Quota::of(1_000, Duration::from_millis(10))),
            strangers: Keyed::new(Quota::of(8, Duration::from_secs(3_600)), DEVICES),
        }
    }

    /// Takes one request of a device, or says when it would pass.
    pub(super) fn admit(
        &mut self,
        class: Class,
        peer: DeviceId,
        now: Moment,
    ) -> Result<(), Duration> {
        let pair = match class {
            Class::Deposit => &mut self.deposit,
            Class::Order => &mut self.order,
            Class::Prekeys => &mut self.prekeys,
        };
        pair.admit(peer, now).map_err(|refused| refused.retry_after(WAIT_MAX))
    }

    /// Takes one draw of a queue's prekeys by a stranger.
    pub(super) fn stranger(&mut self, queue: QueueKey, now: Moment) -> Result<(), Duration> {
        let admitted = self.strangers.admit(queue, now, 1);
        admitted.map_err(|refused| refused.retry_after(WAIT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_used_up_leaves_the_others_and_other_devices() {
        let (mut limits, now) = (Limits::new(), Moment::START);
        let one = DeviceId([1; 32]);
        let passed = (0..2_000).filter(|_| limits.admit(Class::Order, one, now).is_ok()).count();

        assert_eq!(passed, 128);
        assert_eq!(limits.admit(Class::Order, one, now), Err(Duration::from_millis(50)));
        assert_eq!(limits.admit(Class::Order, DeviceId([2; 32]), now), Ok(()));
        assert_eq!(limits.admit(Class::Deposit, one, now), Ok(()));
    }
}
