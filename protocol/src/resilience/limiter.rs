//! Limits of everybody who asks, composed: a request passes when all agree and takes from all, or none.
//!
//! ```text
//!   request (who, class, cost) --> peer --> prefix --> tier --> global      all agree: each is charged
//!                                   │         │
//!                          no place: bucket of the prefix --> one bucket for the rest
//! ```
//!
//! A refusal names the limit with the longest wait. That wait is exact as long as nothing else is
//! admitted in between: the same request passes then, and not a nanosecond earlier.
//!
//! # Bounds
//!
//! [`KEYS_MAX`] keys in all. Contacts, other devices, prefixes and buckets have places of their own,
//! so that a flood of one kind takes none from another. A device without a place draws on the bucket
//! of its prefix, which allows what one device may have; it never shuts out who has a place.
//!
//! See docs/SPEC.md, section "Rate limits", and decision 23.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::places::{Debts, Places};
use super::policy::{Class, Policy, Scope, Tier, Who};
use super::{Gcra, Prefix, Quota, Refused};
use crate::id::DeviceId;
use crate::time::Moment;

/// Keys told apart, about 250 bytes each.
pub const KEYS_MAX: usize = CONTACTS + PEERS + PREFIXES + OVERFLOWS;

/// As many as a book has contacts.
const CONTACTS: usize = 10_000;
/// Other devices: anybody can make any number.
const PEERS: usize = 31_000;
/// Prefixes of those.
const PREFIXES: usize = 8_000;
/// Buckets for prefixes whose devices find no place.
const OVERFLOWS: usize = 1_000;

/// A debt that is paid sooner is not worth a write: a restart takes as long.
const WORTH: Duration = Duration::from_secs(1);

/// Whose limits. In the order in which they are saved: what holds a flood comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Everybody.
    Global,
    /// All of a tier.
    Tier(Tier),
    /// Devices or prefixes that have neither a place nor a bucket.
    Rest(Scope),
    /// Devices of a prefix that have no place.
    Overflow(Prefix),
    /// A prefix.
    Prefix(Prefix),
    /// A contact.
    Contact(DeviceId),
    /// Another device.
    Peer(DeviceId),
}

/// A refusal: by which limit, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limited {
    /// The limit with the longest wait.
    pub scope: Scope,
    /// The wait.
    pub refused: Refused,
}

/// One limit that a request must pass.
#[derive(Clone, Copy)]
struct Rule {
    scope: Scope,
    /// Whose it is.
    own: Key,
    /// Where it is counted.
    slot: Key,
    quota: Quota,
}

/// Every limit of one party.
#[derive(Debug)]
pub struct Limiter {
    policy: Policy,
    contacts: Places<Key>,
    peers: Places<Key>,
    prefixes: Places<Key>,
    overflows: Places<Key>,
    fixed: Places<Key>,
    is_full: bool,
    times_full: u64,
    /// Charged since they were saved.
    dirty: BTreeSet<Key>,
    /// Rows on the disk, and when what they say is paid.
    rows: BTreeMap<Key, Moment>,
    rows_by_idle: BTreeSet<(Moment, Key)>,
}

impl Limiter {
    /// Nobody owes anything.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            contacts: Places::new(CONTACTS),
            peers: Places::new(PEERS),
            prefixes: Places::new(PREFIXES),
            overflows: Places::new(OVERFLOWS),
            fixed: Places::new(usize::MAX),
            is_full: false,
            times_full: 0,
            dirty: BTreeSet::new(),
            rows: BTreeMap::new(),
            rows_by_idle: BTreeSet::new(),
        }
    }

    /// Other quotas from now on. What was taken stays taken, at most a burst of the new ones.
    pub const fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// Takes `cost` units of every limit on the request if all have them.
    ///
    /// # Errors
    ///
    /// [`Limited`] if one has not; nothing is taken from any then.
    pub fn admit(
        &mut self,
        who: &Who,
        class: Class,
        cost: u32,
        now: Moment,
    ) -> Result<(), Limited> {
        let rules = self.rules(who, class, now);
        let decided = self.decide(&rules, class, cost, now);
        for rule in rules.into_iter().flatten() {
            // Who would agree is left alone when another refuses. Who refuses is told so, which takes
            // nothing and lets it remember a clock that went back.
            let refuses = decided.is_err() && self.verdict(&rule, class, cost, now).is_err();
            if decided.is_ok() || refuses {
                let part = self.part_mut(rule.slot);
                let taken = part.admit(rule.slot, class, &rule.quota, (now, cost));
                if taken.is_ok() && self.dirty.len() < KEYS_MAX {
                    self.dirty.insert(rule.slot);
                }
            }
        }
        decided
    }

    /// What [`Limiter::admit`] would say, without taking.
    ///
    /// # Errors
    ///
    /// As [`Limiter::admit`].
    pub fn check(&self, who: &Who, class: Class, cost: u32, now: Moment) -> Result<(), Limited> {
        self.decide(&self.rules(who, class, now), class, cost, now)
    }

    /// Keys that are told apart now, at most [`KEYS_MAX`].
    #[must_use]
    pub fn keys(&self) -> usize {
        let parts = [&self.contacts, &self.peers, &self.prefixes, &self.overflows];
        parts.iter().map(|part| part.len()).sum()
    }

    /// How often a key found no place where the one before it did.
    #[must_use]
    pub const fn times_full(&self) -> u64 {
        self.times_full
    }

    fn rules(&self, who: &Who, class: Class, now: Moment) -> [Option<Rule>; Scope::ALL.len()] {
        Scope::ALL.map(|scope| {
            let quota = self.policy.quota(scope, who, class)?;
            let own = match (scope, who.tier) {
                (Scope::Peer, Tier::Contact) => Key::Contact(who.peer),
                (Scope::Peer, Tier::Invited | Tier::Unknown) => Key::Peer(who.peer),
                (Scope::Prefix, _) => Key::Prefix(who.prefix),
                (Scope::Tier, tier) => Key::Tier(tier),
                (Scope::Global, _) => Key::Global,
            };
            let slot = self.slot(scope, own, who.prefix, now);
            Some(Rule { scope, own, slot, quota })
        })
    }

    /// Where a key is counted: its own place, the bucket of its prefix, the bucket of the rest.
    fn slot(&self, scope: Scope, own: Key, prefix: Prefix, now: Moment) -> Key {
        if self.part(own).takes(&own, now) {
            return own;
        }
        let bucket = Key::Overflow(prefix);
        let has_bucket = scope == Scope::Peer && prefix != Prefix::Unknown;
        if has_bucket && self.overflows.takes(&bucket, now) {
            return bucket;
        }
        Key::Rest(scope)
    }

    fn decide(
        &self,
        rules: &[Option<Rule>],
        class: Class,
        cost: u32,
        now: Moment,
    ) -> Result<(), Limited> {
        let mut worst: Option<Limited> = None;
        for rule in rules.iter().flatten() {
            let Err(refused) = self.verdict(rule, class, cost, now) else { continue };
            let longest = worst.map_or(refused, |worst| worst.refused.longer(refused));
            if worst.is_none_or(|worst| worst.refused != longest) {
                worst = Some(Limited { scope: rule.scope, refused: longest });
            }
        }
        worst.map_or(Ok(()), Err)
    }

    fn verdict(&self, rule: &Rule, class: Class, cost: u32, now: Moment) -> Result<(), Refused> {
        let debts = self.part(rule.slot).get(&rule.slot).copied().unwrap_or_default();
        let refused = match debts.of(class).check(&rule.quota, now, cost) {
            Err(Refused::Later(wait)) => wait,
            decided => return decided,
        };
        // A place that is free sooner serves as well.
        let mut waits = vec![refused];
        if rule.slot != rule.own {
            let overflows = matches!(rule.slot, Key::Rest(Scope::Peer)).then_some(&self.overflows);
            let parts = [Some(self.part(rule.own)), overflows];
            let free = parts.into_iter().flatten().filter_map(Places::first_idle);
            waits.extend(free.map(|free| free.since(now)));
        }
        Err(Refused::Later(waits.into_iter().min().unwrap_or(refused)))
    }

    /// Counts a bound that was reached; to be called after each request.
    pub fn take_full(&mut self, who: &Who, now: Moment) -> bool {
        let own = match who.tier {
            Tier::Contact => Key::Contact(who.peer),
            Tier::Invited | Tier::Unknown => Key::Peer(who.peer),
        };
        let prefix = Key::Prefix(who.prefix);
        let has_prefix = who.prefix != Prefix::Unknown && who.tier != Tier::Contact;
        let full =
            !self.part(own).takes(&own, now) || (has_prefix && !self.prefixes.takes(&prefix, now));
        let reached = full && !self.is_full;
        self.times_full = self.times_full.saturating_add(u64::from(reached));
        self.is_full = full;
        reached
    }

    const fn part(&self, key: Key) -> &Places<Key> {
        match key {
            Key::Contact(_) => &self.contacts,
            Key::Peer(_) => &self.peers,
            Key::Prefix(_) => &self.prefixes,
            Key::Overflow(_) => &self.overflows,
            Key::Global | Key::Tier(_) | Key::Rest(_) => &self.fixed,
        }
    }

    const fn part_mut(&mut self, key: Key) -> &mut Places<Key> {
        match key {
            Key::Contact(_) => &mut self.contacts,
            Key::Peer(_) => &mut self.peers,
            Key::Prefix(_) => &mut self.prefixes,
            Key::Overflow(_) => &mut self.overflows,
            Key::Global | Key::Tier(_) | Key::Rest(_) => &mut self.fixed,
        }
    }
}

/// What outlives the process.
impl Limiter {
    /// Rows to write, at most so many: what each key still owes, by class, and nothing for a row that
    /// is to be deleted. The rest comes with the next call.
    pub fn save(&mut self, now: Moment, most: usize) -> Vec<(Key, Vec<(Class, Duration)>)> {
        let mut saved = Vec::new();
        // Rows whose time is over first, so that they never pile up.
        while saved.len() < most {
            let Some(&(idle, key)) = self.rows_by_idle.first().filter(|row| row.0 <= now) else {
                break;
            };
            self.rows_by_idle.remove(&(idle, key));
            self.rows.remove(&key);
            self.dirty.remove(&key);
            saved.push((key, self.note_row(key, now)));
        }
        while saved.len() < most {
            let Some(key) = self.dirty.pop_first() else { break };
            let owed = self.note_row(key, now);
            if !owed.is_empty() {
                saved.push((key, owed));
            }
        }
        saved
    }

    /// When [`Limiter::save`] has something to do: at once, later, or never.
    #[must_use]
    pub fn save_at(&self, now: Moment) -> Option<Moment> {
        let row = self.rows_by_idle.first().map(|(idle, _)| *idle);
        if self.dirty.is_empty() { row } else { Some(now) }
    }

    /// Takes over what a key owed before a restart.
    pub fn restore(&mut self, key: Key, owed: &[(Class, Duration)], now: Moment) {
        let mut debts = self.part(key).get(&key).copied().unwrap_or_default();
        for (class, wait) in owed {
            debts.set(*class, Gcra::idle_from(now + *wait));
        }
        self.part_mut(key).put(key, debts, now);
        let idle = now + owed.iter().map(|(_, wait)| *wait).max().unwrap_or_default();
        self.set_row(key, idle);
    }

    fn owed(&self, key: Key, now: Moment) -> Vec<(Class, Duration)> {
        let debts: Debts = self.part(key).get(&key).copied().unwrap_or_default();
        let wait = |class: Class| debts.of(class).idle_at().since(now);
        let classes = Class::ALL.into_iter().map(|class| (class, wait(class)));
        classes.filter(|(_, wait)| *wait >= WORTH).collect()
    }

    /// What a key owes, and remembers that there is a row that says so.
    fn note_row(&mut self, key: Key, now: Moment) -> Vec<(Class, Duration)> {
        let owed = self.owed(key, now);
        if let Some(longest) = owed.iter().map(|(_, wait)| *wait).max() {
            self.set_row(key, now + longest);
        }
        owed
    }

    fn set_row(&mut self, key: Key, idle: Moment) {
        if let Some(before) = self.rows.insert(key, idle) {
            self.rows_by_idle.remove(&(before, key));
        }
        self.rows_by_idle.insert((idle, key));
    }
}

#[cfg(test)]
mod tests;
