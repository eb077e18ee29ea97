//! What others may ask of us, and what we ask of others: each frame is weighed before any cryptography.
//!
//! ```text
//!   frame ── message (KiB), fault of a contact ──┬─ founds a session ── handshake
//!                                                ├─ asks for keys ───── record (no contact), prekey
//!                                                └─ asks for a record ─ record
//!   our frame or question ── what a peer of this version allows, less a fifth
//! ```
//!
//! The quotas are in `policy`. What is owed for longer than a moment outlives the process: a restart
//! refills nobody. See docs/SPEC.md, "Rate limits".

mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_core::CryptoRng;

use super::timer::Reason;
use super::{Engine, Fact};
use crate::error::Error;
use crate::id::DeviceId;
use crate::resilience::{Class, Limited, Limiter, Prefix, SavedLimit, Side, Tier, Who};
use crate::store::{Key, Store, Table};
use crate::time::Now;

pub use policy::LimitSettings;

/// The longest wait that we tell; a peer that waits longer than this has given up.
const WAIT_MAX: Duration = Duration::from_secs(24 * 3600);

/// Between two writes of what is owed.
const SAVE_EVERY: Duration = Duration::from_secs(2);

/// Rows in one write: a flood of devices must not become a flood of writes.
const ROWS: usize = 512;

/// Every limit of the engine.
#[derive(Debug)]
pub(super) struct Limits {
    theirs: Limiter,
    ours: Limiter,
    /// Where the standing links come from.
    prefixes: BTreeMap<DeviceId, Prefix>,
    /// Devices that showed a standing invitation on their link.
    invited: BTreeSet<DeviceId>,
    told_keys: usize,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self {
            theirs: Limiter::new(policy::theirs(LimitSettings::default())),
            ours: Limiter::new(policy::ours()),
            prefixes: BTreeMap::new(),
            invited: BTreeSet::new(),
            told_keys: 0,
        }
    }

    pub(super) fn set(&mut self, settings: LimitSettings) {
        self.theirs.set_policy(policy::theirs(settings));
    }

    /// Takes over a row of an earlier process.
    pub(super) fn restore(&mut self, saved: &SavedLimit, now: Now) {
        let owed = saved.owed_at(now.wall);
        self.side(saved.side).restore(saved.key, &owed, now.mono);
    }

    pub(super) fn linked(&mut self, peer: DeviceId, prefix: Prefix) {
        self.prefixes.insert(peer, prefix);
    }

    pub(super) fn unlinked(&mut self, peer: &DeviceId) {
        self.prefixes.remove(peer);
        self.invited.remove(peer);
    }

    /// A device showed a standing invitation. Only a link of its own makes it more than unknown.
    pub(super) fn invited(&mut self, peer: DeviceId) {
        if self.prefixes.contains_key(&peer) {
            self.invited.insert(peer);
        }
    }

    const fn side(&mut self, side: Side) -> &mut Limiter {
        match side {
            Side::Theirs => &mut self.theirs,
            Side::Ours => &mut self.ours,
        }
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Asks leave for a frame, by its size; a contact whose frames often fail has to wait.
    pub(super) fn admit_frame(&mut self, peer: DeviceId, bytes: usize) -> Result<(), Error> {
        let who = self.who(peer);
        let faults = self.limits.theirs.check(&who, Class::Fault, 1, self.now.mono);
        self.limited(faults, Class::Fault)?;
        self.admit_class(peer, Class::Message, kibibytes(bytes))
    }

    /// Asks leave for a handshake.
    pub(super) fn admit_handshake(&mut self, peer: DeviceId) -> Result<(), Error> {
        self.admit_class(peer, Class::Handshake, 1)
    }

    /// Asks leave for a record, or for the look-up of an invitation.
    pub(super) fn admit_record(&mut self, peer: DeviceId) -> Result<(), Error> {
        self.admit_class(peer, Class::Record, 1)
    }

    /// Asks leave for one-time keys.
    pub(super) fn admit_prekeys(&mut self, peer: DeviceId) -> Result<(), Error> {
        self.admit_class(peer, Class::Prekey, 1)
    }

    fn admit_class(&mut self, peer: DeviceId, class: Class, cost: u32) -> Result<(), Error> {
        let (who, now) = (self.who(peer), self.now.mono);
        let decided = self.limits.theirs.admit(&who, class, cost, now);
        if self.limits.theirs.take_full(&who, now) {
            self.fact(Fact::BoundReached("rate limit keys"));
        }
        self.schedule_limits();
        self.limited(decided, class)
    }

    /// A frame failed. Frames of contacts are many, so what they may cost is what does not hold.
    pub(super) fn charge_fault(&mut self, peer: DeviceId, error: &Error) {
        let is_fault = match error {
            Error::Malformed(_)
            | Error::NotAuthentic(_)
            | Error::Stale(_)
            | Error::CounterJump { .. }
            | Error::Decrypt
            | Error::Spent => true,
            Error::Stranger
            | Error::Untrusted
            | Error::Busy { .. }
            | Error::Store(_)
            | Error::Bug(_) => false,
        };
        if is_fault {
            let who = self.who(peer);
            let _ = self.limits.theirs.admit(&who, Class::Fault, 1, self.now.mono);
            self.schedule_limits();
        }
    }

    /// Weighs a frame of ours. The error is the wait until the peer takes it for sure.
    pub(super) fn admit_own(
        &mut self,
        peer: DeviceId,
        bytes: usize,
    ) -> Result<Result<(), Duration>, Error> {
        // Before the first answer the peer may not know us.
        let is_new = self.sessions.is_unconfirmed(peer, &self.store)?;
        let tier = if is_new { Tier::Unknown } else { Tier::Contact };
        Ok(self.admit_ours(peer, tier, Class::Message, kibibytes(bytes)))
    }

    /// Whether a peer would answer a question for one-time prekeys now.
    pub(super) fn may_ask_prekeys(&mut self, peer: DeviceId) -> bool {
        let known =
            self.sessions.preferred(peer, &self.store).is_ok_and(|session| session.is_some());
        let tier = if known { Tier::Contact } else { Tier::Unknown };
        self.admit_ours(peer, tier, Class::Prekey, 1).is_ok()
    }

    fn admit_ours(
        &mut self,
        peer: DeviceId,
        tier: Tier,
        class: Class,
        cost: u32,
    ) -> Result<(), Duration> {
        let who = Who { peer, prefix: Prefix::Unknown, tier };
        let decided = self.limits.ours.admit(&who, class, cost, self.now.mono);
        self.schedule_limits();
        decided.map_err(|limited| limited.refused.retry_after(WAIT_MAX))
    }

    /// Writes what is owed, and says when to look again.
    pub(super) fn save_limits(&mut self) {
        let Now { mono, wall } = self.now;
        for side in [Side::Theirs, Side::Ours] {
            for (key, owed) in self.limits.side(side).save(mono, ROWS) {
                let row = Key::of(Table::Limiter, &SavedLimit::scope(side, key));
                if owed.is_empty() {
                    self.store.delete(row);
                } else {
                    let saved = SavedLimit { side, key, saved: wall, owed };
                    self.store.put(row, saved.encode());
                }
            }
        }
        let keys = self.limits.theirs.keys();
        if std::mem::replace(&mut self.limits.told_keys, keys) != keys {
            self.fact(Fact::LimitKeys(keys));
        }
        self.schedule_limits();
    }

    /// Sees to it that what is owed is written.
    pub(super) fn schedule_limits(&mut self) {
        let now = self.now.mono;
        let sides = [&self.limits.theirs, &self.limits.ours];
        let due = sides.into_iter().filter_map(|side| side.save_at(now)).min();
        if let Some(due) = due {
            self.timers.set_if_sooner(Reason::Limits, due.max(now + SAVE_EVERY));
        }
    }

    fn who(&self, peer: DeviceId) -> Who {
        let tier = if self.book.of_device(&peer).is_some() {
            Tier::Contact
        } else if self.limits.invited.contains(&peer) {
            Tier::Invited
        } else {
            Tier::Unknown
        };
        let prefix = self.limits.prefixes.get(&peer).copied().unwrap_or(Prefix::Unknown);
        Who { peer, prefix, tier }
    }

    /// Counts a refusal and turns it into what the peer is told.
    fn limited(&mut self, decided: Result<(), Limited>, class: Class) -> Result<(), Error> {
        decided.map_err(|Limited { scope, refused }| {
            self.fact(Fact::RateLimited { scope, class });
            Error::Busy { what: class.as_str(), retry_after: refused.retry_after(WAIT_MAX) }
        })
    }
}

/// What a frame costs: one for each KiB begun.
fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}
