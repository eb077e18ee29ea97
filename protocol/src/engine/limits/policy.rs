//! The quotas, and why these.
//!
//! See docs/SPEC.md, section "Rate limits".

use std::time::Duration;

use crate::resilience::{Class, Policy, Quota, Rules};

/// What an operator may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSettings {
    /// KiB, or smaller frames, a second from one contact.
    pub contact_messages: u32,
    /// Handshakes a second of all devices that are no contacts, and as many records.
    pub stranger_handshakes: u32,
}

impl Default for LimitSettings {
    /// 20,000 is twice what two nodes on one machine reach; ten handshakes a second cost less than
    /// 1 % of a core.
    fn default() -> Self {
        Self { contact_messages: 20_000, stranger_handshakes: 10 }
    }
}

const HALF_DAY: Duration = Duration::from_secs(12 * 3_600);
const HOUR: Duration = Duration::from_secs(3_600);

const fn some(burst: u32, interval: Duration) -> Option<Quota> {
    Some(Quota::of(burst, interval))
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// One each second, so many times over.
fn per_second(rate: u32) -> Duration {
    seconds(1) / rate.max(1)
}

/// What peers may ask of us.
pub(super) fn theirs(settings: LimitSettings) -> Policy {
    Policy {
        rules: Class::ALL.map(|class| match class {
            Class::Handshake => handshake(settings.stranger_handshakes),
            Class::Message => message(settings.contact_messages),
            Class::Prekey => PREKEY,
            Class::Deposit => DEPOSIT,
            Class::Fetch => FETCH,
            Class::Task => TASK,
            Class::Record => record(settings.stranger_handshakes),
            Class::Fault => FAULT,
        }),
    }
}

/// One contact: each session costs a handshake and the encryption of what waits; an honest contact
/// needs one after a loss. One stranger: a new contact that sends some messages before the first is
/// answered, so that one device alone never uses up what there is for all.
fn handshake(strangers: u32) -> Rules {
    let all = some(strangers.saturating_mul(2), per_second(strangers));
    Rules {
        peer: [some(16, seconds(10)), some(5, seconds(2)), some(5, seconds(2))],
        prefix: some(10, millis(500)),
        tier: [None, all, all],
        // More than all tiers of strangers together, so that they never shut out a contact.
        global: some(
            strangers.saturating_mul(4).saturating_add(256),
            per_second(strangers.saturating_mul(2).saturating_add(20)),
        ),
    }
}

/// A frame of 256 KiB passes in every tier. Bursts of a contact: what 3 s of the rate are.
fn message(rate: u32) -> Rules {
    let burst = rate.saturating_mul(3).max(1_024);
    let strangers = some(8_192, millis(1));
    Rules {
        peer: [some(burst, per_second(rate)), some(1_024, millis(10)), some(512, millis(20))],
        prefix: some(4_096, millis(5)),
        tier: [None, strangers, strangers],
        global: some(
            burst.saturating_mul(4).saturating_add(16_384),
            per_second(rate.saturating_mul(4).saturating_add(4_000)),
        ),
    }
}

/// Some sessions at once after both sides lost theirs, then two a day: each contact holds 78 at most before
/// the first of them expires, so it takes 128 contacts to use up what can be out. A stranger founds one
/// session and is a contact then; who found an invitation in public takes none from contacts.
const PREKEY: Rules = Rules {
    peer: [some(4, HALF_DAY), some(2, HOUR), some(2, HOUR)],
    prefix: some(20, seconds(60)),
    tier: [some(256, millis(250)), some(20, seconds(1)), some(20, seconds(1))],
    global: some(296, millis(160)),
};

/// Deposits come over throw-away identities: the prefix is what tells their senders apart.
const DEPOSIT: Rules = Rules {
    peer: [some(65_536, micros(50)), some(16_384, micros(200)), some(16_384, micros(200))],
    prefix: some(65_536, micros(100)),
    tier: [None, None, some(262_144, micros(25))],
    global: some(524_288, micros(12)),
};

const FETCH: Rules = Rules {
    peer: [some(1_024, millis(1)), some(256, millis(10)), some(256, millis(10))],
    prefix: some(1_024, millis(2)),
    tier: [None, None, some(4_096, micros(500))],
    global: some(8_192, micros(250)),
};

const TASK: Rules = Rules {
    peer: [some(32, seconds(1)), some(2, seconds(60)), some(2, seconds(60))],
    prefix: some(4, seconds(30)),
    tier: [None, some(16, seconds(1)), some(16, seconds(1))],
    global: some(256, millis(100)),
};

fn record(strangers: u32) -> Rules {
    Rules { tier: handshake(strangers).tier, ..handshake(strangers) }
}

/// After a lost session all that was under way fails at once, 2,000 frames and as many again; then
/// a hundred a second, which costs less than 1 % of a core.
const FAULT: Rules = Rules {
    peer: [some(4_096, millis(10)), None, None],
    prefix: None,
    tier: [None; 3],
    global: None,
};

/// What we ask of one peer: less than a peer of this version with its defaults allows, so that an
/// honest node is not refused by another, whatever the clocks and buffers between them do.
pub(super) fn ours() -> Policy {
    let peer = |peer| Rules { peer, ..Rules::default() };
    Policy {
        rules: Class::ALL.map(|class| match class {
            Class::Message => peer([some(48_000, micros(63)), None, some(400, millis(25))]),
            Class::Prekey => peer([some(3, HOUR * 13), None, some(2, HOUR * 2)]),
            Class::Handshake
            | Class::Deposit
            | Class::Fetch
            | Class::Task
            | Class::Record
            | Class::Fault => Rules::default(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::DeviceId;
    use crate::resilience::{Limiter, Prefix, Tier, Who};
    use crate::time::Moment;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// Frames leave when we allow them and arrive up to half a second later, in bunches.
        #[test]
        fn what_we_allow_ourselves_a_peer_never_refuses(
            seed in any::<u64>(),
            tier in prop_oneof![Just(Tier::Contact), Just(Tier::Unknown)],
        ) {
            let who = Who { peer: DeviceId([1; 32]), prefix: Prefix::Unknown, tier };
            let mut ours_here = Limiter::new(ours());
            let mut theirs_there = Limiter::new(theirs(LimitSettings::default()));
            let (mut sent, mut arrived, mut state) = (Moment::START, Moment::START, seed);
            let mut held = 0;
            for _ in 0..6_000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
                let cost = 1 + u32::try_from(state >> 60).expect("small") * 15;
                if let Err(limited) = ours_here.admit(&who, Class::Message, cost, sent) {
                    held += 1;
                    sent = sent + limited.refused.retry_after(seconds(60));
                    ours_here.admit(&who, Class::Message, cost, sent).expect("a true wait");
                }
                let delay = if state >> 40 & 1 == 0 { Duration::ZERO } else { millis(500) };
                arrived = arrived.max(sent + delay);
                let taken = theirs_there.admit(&who, Class::Message, cost, arrived);
                prop_assert!(taken.is_ok(), "{taken:?}");
            }
            prop_assert!(held > 100, "{held}: it is the load that is limited");
        }
    }

    #[test]
    fn strangers_together_never_use_up_what_is_for_everybody() {
        for settings in [
            LimitSettings::default(),
            LimitSettings { contact_messages: 100, stranger_handshakes: 1_000 },
            LimitSettings { contact_messages: 1_000_000, stranger_handshakes: 1 },
        ] {
            let mut limiter = Limiter::new(theirs(settings));
            for number in 0..40_000u32 {
                let mut peer = [0; 32];
                peer[..4].copy_from_slice(&number.to_be_bytes());
                let tier = if number % 2 == 0 { Tier::Unknown } else { Tier::Invited };
                let who = Who { peer: DeviceId(peer), prefix: Prefix::Unknown, tier };
                for class in [Class::Handshake, Class::Message, Class::Prekey, Class::Record] {
                    let _ = limiter.admit(&who, class, 1, Moment::START);
                }
            }
            let who = Who { peer: DeviceId([9; 32]), prefix: Prefix::Unknown, tier: Tier::Contact };
            for class in [Class::Handshake, Class::Message, Class::Prekey, Class::Record] {
                assert_eq!(limiter.admit(&who, class, 4, Moment::START), Ok(()), "{class:?}");
            }
        }
    }
}
