//! Debts by key in bounded memory, that a flood of keys cannot reset.
//!
//! Only a key whose every limit has its whole burst again is forgotten: it says what a fresh one
//! would say. One that owes something is never dropped for another. Ordered maps: the same inputs
//! give the same decisions in every process.
//!
//! See docs/SPEC.md, section "Rate limits".

use std::collections::{BTreeMap, BTreeSet};

use super::policy::Class;
use super::{Gcra, Quota, Refused};
use crate::time::Moment;

/// Idle keys forgotten for each new one: more than one, so that a flood's traces go away again.
const FORGOTTEN: usize = 2;

/// One limit for each class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Debts([Gcra; Class::ALL.len()]);

impl Debts {
    pub(super) fn of(&self, class: Class) -> Gcra {
        self.0.get(class.index()).copied().unwrap_or_default()
    }

    pub(super) fn set(&mut self, class: Class, limit: Gcra) {
        if let Some(place) = self.0.get_mut(class.index()) {
            *place = limit;
        }
    }

    /// When every burst is there again.
    pub(super) fn idle_at(&self) -> Moment {
        self.0.iter().map(Gcra::idle_at).max().unwrap_or(Moment::START)
    }
}

/// At most so many keys.
#[derive(Debug)]
pub(super) struct Places<K> {
    most: usize,
    debts: BTreeMap<K, Debts>,
    by_idle: BTreeSet<(Moment, K)>,
}

impl<K: Ord + Copy> Places<K> {
    pub(super) const fn new(most: usize) -> Self {
        Self { most, debts: BTreeMap::new(), by_idle: BTreeSet::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.debts.len()
    }

    pub(super) fn get(&self, key: &K) -> Option<&Debts> {
        self.debts.get(key)
    }

    /// Whether this key has a place or finds one.
    pub(super) fn takes(&self, key: &K, now: Moment) -> bool {
        self.debts.len() < self.most
            || self.debts.contains_key(key)
            || self.first_idle().is_some_and(|idle| idle <= now)
    }

    /// When a place is free at the latest.
    pub(super) fn first_idle(&self) -> Option<Moment> {
        self.by_idle.first().map(|(idle, _)| *idle)
    }

    /// Takes from one limit of a key that has a place or finds one.
    pub(super) fn admit(
        &mut self,
        key: K,
        class: Class,
        quota: &Quota,
        (now, cost): (Moment, u32),
    ) -> Result<(), Refused> {
        let mut debts = self.debts.get(&key).copied().unwrap_or_default();
        let mut limit = debts.of(class);
        let decided = limit.admit(quota, now, cost);
        if decided.is_ok() || limit != debts.of(class) {
            debts.set(class, limit);
            self.put(key, debts, now);
        }
        decided
    }

    /// Sets the debts of a key; without a place nothing is kept.
    pub(super) fn put(&mut self, key: K, debts: Debts, now: Moment) {
        let idle = debts.idle_at();
        match self.debts.get_mut(&key) {
            Some(place) => {
                let before = place.idle_at();
                *place = debts;
                if before != idle {
                    self.by_idle.remove(&(before, key));
                    self.by_idle.insert((idle, key));
                }
            }
            None => {
                self.forget_idle(now);
                if self.debts.len() < self.most {
                    self.debts.insert(key, debts);
                    self.by_idle.insert((idle, key));
                }
            }
        }
    }

    fn forget_idle(&mut self, now: Moment) {
        for _ in 0..FORGOTTEN {
            let Some(&(idle, key)) = self.by_idle.first() else { return };
            if idle > now {
                return;
            }
            self.by_idle.remove(&(idle, key));
            self.debts.remove(&key);
        }
    }
}
