//! The row of a limit: what a key owed at a time of the wall clock.
//!
//! See docs/SPEC.md, section "Rate limits".

use std::time::Duration;

use bitchat_proto::prost::Message;
use bitchat_proto::rest;

use super::Prefix;
use super::limiter::Key;
use super::policy::{Class, Scope, Tier};
use crate::error::Malformed;
use crate::id::DeviceId;
use crate::time::{UnixMillis, millis_up};

/// Who asks whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Others ask us.
    Theirs,
    /// We ask others, and keep within what they allow.
    Ours,
}

/// A saved limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedLimit {
    /// Who asks.
    pub side: Side,
    /// Whose.
    pub key: Key,
    /// When it was saved.
    pub saved: UnixMillis,
    /// What was owed then.
    pub owed: Vec<(Class, Duration)>,
}

impl SavedLimit {
    /// What is still owed. Only time that the wall clock shows to have passed pays; a clock that was
    /// set back pays nothing.
    #[must_use]
    pub fn owed_at(&self, wall: UnixMillis) -> Vec<(Class, Duration)> {
        let passed = wall.since(self.saved);
        let owed = self.owed.iter().map(|(class, wait)| (*class, wait.saturating_sub(passed)));
        owed.filter(|(_, wait)| !wait.is_zero()).collect()
    }

    /// Names the row.
    #[must_use]
    pub fn scope(side: Side, key: Key) -> Vec<u8> {
        [vec![u8::from(side == Side::Ours)], key.to_bytes()].concat()
    }

    /// The row. Waits are rounded up: never more generous than what is in memory.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let debts = self
            .owed
            .iter()
            .map(|(class, wait)| rest::Debt { class: *class as u32, wait_ms: millis_up(*wait) });
        let row = rest::Limit {
            key: self.key.to_bytes(),
            saved_ms: self.saved.0,
            ours: self.side == Side::Ours,
            debts: debts.collect(),
        };
        row.encode_to_vec()
    }

    /// Reads a row.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("limiter row");
        let row = rest::Limit::decode(bytes).map_err(|_| WRONG)?;
        let key = Key::from_bytes(&row.key).ok_or(WRONG)?;
        let debt = |debt: &rest::Debt| {
            let class = Class::ALL.into_iter().find(|class| *class as u32 == debt.class)?;
            Some((class, Duration::from_millis(debt.wait_ms)))
        };
        let owed = row.debts.iter().map(debt).collect::<Option<_>>().ok_or(WRONG)?;
        let side = if row.ours { Side::Ours } else { Side::Theirs };
        Ok(Self { side, key, saved: UnixMillis(row.saved_ms), owed })
    }
}

impl Key {
    fn to_bytes(self) -> Vec<u8> {
        let (kind, rest): (u8, Vec<u8>) = match self {
            Self::Global => (1, Vec::new()),
            Self::Tier(tier) => (2, vec![tier as u8]),
            Self::Rest(scope) => (3, vec![scope as u8]),
            Self::Overflow(prefix) => (4, prefix_bytes(prefix)),
            Self::Prefix(prefix) => (5, prefix_bytes(prefix)),
            Self::Contact(device) => (6, device.0.to_vec()),
            Self::Peer(device) => (7, device.0.to_vec()),
        };
        [vec![kind], rest].concat()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let number = || rest.first().copied().filter(|_| rest.len() == 1);
        let device = || rest.try_into().ok().map(DeviceId);
        match kind {
            1 => rest.is_empty().then_some(Self::Global),
            2 => Tier::ALL.into_iter().find(|t| Some(*t as u8) == number()).map(Self::Tier),
            3 => Scope::ALL.into_iter().find(|s| Some(*s as u8) == number()).map(Self::Rest),
            4 => prefix_of(rest).map(Self::Overflow),
            5 => prefix_of(rest).map(Self::Prefix),
            6 => device().map(Self::Contact),
            7 => device().map(Self::Peer),
            _ => None,
        }
    }
}

fn prefix_bytes(prefix: Prefix) -> Vec<u8> {
    match prefix {
        Prefix::Unknown => Vec::new(),
        Prefix::V4(bytes) => bytes.to_vec(),
        Prefix::V6(bytes) => bytes.to_vec(),
    }
}

fn prefix_of(bytes: &[u8]) -> Option<Prefix> {
    match bytes.len() {
        0 => Some(Prefix::Unknown),
        4 => bytes.try_into().ok().map(Prefix::V4),
        8 => bytes.try_into().ok().map(Prefix::V6),
        _ => None,
    }
}
