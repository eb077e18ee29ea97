//! Who is limited in what, and how much is allowed.
//!
//! See docs/SPEC.md, section "Rate limits".

use std::num::NonZeroU32;
use std::time::Duration;

use super::{Prefix, Quota};
use crate::id::DeviceId;

/// What is asked for. Separate: exhausting one leaves the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Class {
    /// Founding a session.
    Handshake = 0,
    /// Envelopes, by KiB.
    Message = 1,
    /// One-time prekeys.
    Prekey = 2,
    /// Envelopes to keep for others, by KiB.
    Deposit = 3,
    /// Envelopes kept for the asker.
    Fetch = 4,
    /// Work for others.
    Task = 5,
    /// Contact records.
    Record = 6,
    /// Frames of a contact that did not hold.
    Fault = 7,
}

/// How well we know who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Tier {
    /// In the book.
    Contact = 0,
    /// Showed a standing invitation on this link.
    Invited = 1,
    /// Anybody.
    Unknown = 2,
}

/// Which limit refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Scope {
    /// Of one device.
    Peer = 0,
    /// Of all devices of one address prefix that are no contacts.
    Prefix = 1,
    /// Of all devices that are as well known.
    Tier = 2,
    /// Of everybody.
    Global = 3,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Who {
    /// Proven by the link.
    pub peer: DeviceId,
    /// Where the link comes from.
    pub prefix: Prefix,
    /// How well we know it.
    pub tier: Tier,
}

/// The quotas of one class; `None` limits nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// One device, by tier.
    pub peer: [Option<Quota>; Tier::ALL.len()],
    /// All devices of a prefix but contacts.
    pub prefix: Option<Quota>,
    /// All devices of a tier.
    pub tier: [Option<Quota>; Tier::ALL.len()],
    /// Everybody.
    pub global: Option<Quota>,
}

/// The rules of every class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// In the order of [`Class::ALL`].
    pub rules: [Rules; Class::ALL.len()],
}

impl Class {
    /// Every class, in the order of its number.
    pub const ALL: [Self; 8] = [
        Self::Handshake,
        Self::Message,
        Self::Prekey,
        Self::Deposit,
        Self::Fetch,
        Self::Task,
        Self::Record,
        Self::Fault,
    ];

    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Message => "message",
            Self::Prekey => "prekey",
            Self::Deposit => "deposit",
            Self::Fetch => "fetch",
            Self::Task => "task",
            Self::Record => "record",
            Self::Fault => "fault",
        }
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

impl Tier {
    /// Every tier, in the order of its number.
    pub const ALL: [Self; 3] = [Self::Contact, Self::Invited, Self::Unknown];
}

impl Scope {
    /// Every scope, in the order of its number.
    pub const ALL: [Self; 4] = [Self::Peer, Self::Prefix, Self::Tier, Self::Global];

    /// One word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Prefix => "prefix",
            Self::Tier => "tier",
            Self::Global => "global",
        }
    }
}

impl Policy {
    /// The quota of one limit. A contact is answerable by itself: who shares its address must not
    /// shut it out.
    pub(super) fn quota(&self, scope: Scope, who: &Who, class: Class) -> Option<Quota> {
        let rules = self.rules.get(class.index())?;
        let tier = who.tier as usize;
        match scope {
            Scope::Peer => rules.peer.get(tier).copied().flatten(),
            Scope::Prefix if who.tier == Tier::Contact || who.prefix == Prefix::Unknown => None,
            Scope::Prefix => rules.prefix,
            Scope::Tier => rules.tier.get(tier).copied().flatten(),
            Scope::Global => rules.global,
        }
    }
}

impl Quota {
    /// `burst` units at once (0 counts as 1), and one more for each `interval`.
    #[must_use]
    pub const fn of(burst: u32, interval: Duration) -> Self {
        match NonZeroU32::new(burst) {
            Some(burst) => Self::new(burst, interval),
            None => Self::new(NonZeroU32::MIN, interval),
        }
    }
}
