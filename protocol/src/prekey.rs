//! Prekeys of this device: what lets others start a session while we sleep.
//!
//! One signed X25519 prekey and one last-resort ML-KEM key are current; older ones stay for a while,
//! because somebody may hold a record that names them. One-time keys of both kinds come beside them:
//! [`Pool`] holds ours, [`Offer`] is what one initiator gets.
//!
//! # Invariants
//!
//! - At most [`KEPT_MAX`] keys of each kind exist; the oldest goes first.
//! - Ids rise by one with each rotation and are never 0.
//!
//! See docs/SPEC.md, section "Prekeys".

mod one_time;
mod pool;
mod record;

pub use one_time::{
    Algorithm, ONE_TIME_VALIDITY, Offer, OneTimeKeys, OneTimeSecrets, PrekeyUse, SignedPrekey,
};
pub use pool::{HANDED_MAX, HandTo, Pool, READY, Remaining};

use std::time::Duration;

use rand_core::CryptoRng;

use crate::crypto::{DhSecret, KemSecret};
use crate::error::Error;
use crate::time::UnixMillis;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A current key is replaced when it is this old: what a thief of the device can read of sessions
/// that nobody answered yet.
pub const ROTATION: Duration = DAY.saturating_mul(7);

/// A replaced key is kept this long for records that are still under way.
pub const RETENTION: Duration = DAY.saturating_mul(30);

/// Age at which a replaced key goes in any case: a device that was off for months replaces its keys late.
/// Less than initial messages are remembered (`handshake`), so that none can found a session twice.
pub const AGE_MAX: Duration = DAY.saturating_mul(70);

/// Keys of one kind, the current one included. A week's rotation and 30 days of retention need 6; the
/// rest is for clocks that jump.
pub const KEPT_MAX: usize = 8;

/// A key created later than this from now was created under a wrong clock.
const SKEW: Duration = Duration::from_secs(10 * 60);

/// One secret prekey.
#[derive(Debug)]
pub struct Prekey<S> {
    id: u32,
    secret: S,
    created: UnixMillis,
}

/// All prekeys of this device and the sequence of its contact record.
#[derive(Debug)]
pub struct Prekeys {
    signed: Ring<DhSecret>,
    kem: Ring<KemSecret>,
    sequence: u64,
}

/// The current key and those it replaced, newest first.
#[derive(Debug)]
struct Ring<S> {
    current: Prekey<S>,
    previous: Vec<Prekey<S>>,
}

impl<S> Prekey<S> {
    /// What a record or an initial message calls it.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The secret key.
    #[must_use]
    pub const fn secret(&self) -> &S {
        &self.secret
    }
}

impl Prekeys {
    /// The first prekeys of a device.
    pub fn generate(rng: &mut impl CryptoRng, now: UnixMillis) -> Self {
        Self {
            signed: Ring::new(DhSecret::random(rng), now),
            kem: Ring::new(KemSecret::random(rng), now),
            sequence: 0,
        }
    }

    /// The signed prekey that new records name.
    #[must_use]
    pub const fn signed(&self) -> &Prekey<DhSecret> {
        &self.signed.current
    }

    /// The ML-KEM key that new records name.
    #[must_use]
    pub const fn kem(&self) -> &Prekey<KemSecret> {
        &self.kem.current
    }

    /// A signed prekey, current or kept.
    #[must_use]
    pub fn signed_by_id(&self, id: u32) -> Option<&Prekey<DhSecret>> {
        self.signed.find(id)
    }

    /// An ML-KEM key, current or kept.
    #[must_use]
    pub fn kem_by_id(&self, id: u32) -> Option<&Prekey<KemSecret>> {
        self.kem.find(id)
    }

    /// Whether [`Prekeys::rotate`] has something to do.
    #[must_use]
    pub fn is_due(&self, now: UnixMillis) -> bool {
        self.signed.is_old(now)
            || self.kem.is_old(now)
            || self.signed.has_outlived(now)
            || self.kem.has_outlived(now)
    }

    /// Replaces the current keys if they are a week old and forgets those replaced 30 days ago.
    /// A new record must be published after it.
    pub fn rotate(&mut self, rng: &mut impl CryptoRng, now: UnixMillis) {
        if self.signed.is_old(now) {
            self.signed.replace(DhSecret::random(rng), now);
        }
        if self.kem.is_old(now) {
            self.kem.replace(KemSecret::random(rng), now);
        }
        self.signed.forget(now);
        self.kem.forget(now);
    }

    /// The sequence of the next contact record: above every earlier one, even if the store was set
    /// back to an old copy, as long as the clock was not.
    ///
    /// # Errors
    ///
    /// [`Error::Bug`] if the numbers are used up; they never wrap.
    pub fn next_sequence(&mut self, now: UnixMillis) -> Result<u64, Error> {
        let next = self.sequence.checked_add(1).ok_or(Error::Bug("record sequence overflows"))?;
        self.sequence = next.max(now.0);
        Ok(self.sequence)
    }
}

impl<S> Ring<S> {
    const fn new(secret: S, now: UnixMillis) -> Self {
        Self { current: Prekey { id: 1, secret, created: now }, previous: Vec::new() }
    }

    fn find(&self, id: u32) -> Option<&Prekey<S>> {
        self.iter().find(|key| key.id == id)
    }

    fn iter(&self) -> impl Iterator<Item = &Prekey<S>> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    fn is_old(&self, now: UnixMillis) -> bool {
        let created = self.current.created;
        now.since(created) >= ROTATION || created > now.plus(SKEW)
    }

    /// When each key was replaced: as its successor was created.
    fn has_outlived(&self, now: UnixMillis) -> bool {
        self.iter()
            .zip(&self.previous)
            .any(|(successor, key)| is_over(successor.created, key.created, now))
    }

    fn replace(&mut self, secret: S, now: UnixMillis) {
        let id = self.current.id.wrapping_add(1).max(1);
        let replaced = std::mem::replace(&mut self.current, Prekey { id, secret, created: now });
        self.previous.insert(0, replaced);
        self.previous.truncate(KEPT_MAX.saturating_sub(1));
    }

    fn forget(&mut self, now: UnixMillis) {
        let mut replaced = self.current.created;
        self.previous.retain(|key| {
            let keep = !is_over(replaced, key.created, now);
            replaced = key.created;
            keep
        });
    }
}

fn is_over(replaced: UnixMillis, created: UnixMillis, now: UnixMillis) -> bool {
    now.since(replaced) >= RETENTION || now.since(created) >= AGE_MAX
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    #[test]
    fn keys_are_replaced_weekly_and_kept_30_days_after_that() {
        let (mut prekeys, mut rng) = prekeys();
        let rotated = NOW.plus(ROTATION);
        let just_before = UnixMillis(rotated.0 - 1);

        assert!(!prekeys.is_due(just_before));
        prekeys.rotate(&mut rng, just_before);
        assert_eq!(prekeys.signed().id(), 1);
        assert!(prekeys.is_due(rotated));
        prekeys.rotate(&mut rng, rotated);
        assert_eq!((prekeys.signed().id(), prekeys.kem().id()), (2, 2));

        prekeys.rotate(&mut rng, UnixMillis(rotated.plus(RETENTION).0 - 1));
        assert!(prekeys.signed_by_id(1).is_some() && prekeys.kem_by_id(1).is_some());
        prekeys.rotate(&mut rng, rotated.plus(RETENTION));
        assert!(prekeys.signed_by_id(1).is_none() && prekeys.kem_by_id(1).is_none());
        assert!(prekeys.signed_by_id(2).is_some() && prekeys.kem_by_id(2).is_some());
    }

    #[test]
    fn a_device_that_was_off_for_months_keeps_no_key_that_its_memory_of_replays_does_not_cover() {
        let (mut prekeys, mut rng) = prekeys();

        prekeys.rotate(&mut rng, NOW.plus(DAY * 69));
        assert!(prekeys.signed_by_id(1).is_some() && prekeys.kem_by_id(1).is_some());
        prekeys.rotate(&mut rng, NOW.plus(DAY * 70));

        assert!(prekeys.signed_by_id(1).is_none() && prekeys.kem_by_id(1).is_none());
    }

    #[test]
    fn an_outlived_key_is_a_reason_to_rotate() {
        let (mut prekeys, mut rng) = prekeys();
        prekeys.rotate(&mut rng, NOW.plus(ROTATION));
        for day in 8..37 {
            prekeys.rotate(&mut rng, NOW.plus(DAY * day));
            assert!(prekeys.signed_by_id(1).is_some(), "day {day}");
        }

        let end = NOW.plus(ROTATION).plus(RETENTION);

        assert!(prekeys.is_due(end));
        prekeys.rotate(&mut rng, end);
        assert!(prekeys.signed_by_id(1).is_none());
        assert!(!prekeys.is_due(end));
    }

    #[test]
    fn a_clock_that_jumps_never_piles_up_keys() {
        let (mut prekeys, mut rng) = prekeys();
        for round in 0..20 {
            prekeys.rotate(&mut rng, NOW.plus(ROTATION));
            prekeys.rotate(&mut rng, NOW);

            assert_eq!(prekeys.signed().id(), 3 + 2 * round, "a key from the future is replaced");
            assert!(prekeys.signed.iter().count() <= KEPT_MAX);
            assert!(prekeys.kem.iter().count() <= KEPT_MAX);
        }
    }

    #[test]
    fn the_sequence_rises_without_a_clock_and_never_wraps() {
        let (mut prekeys, _) = prekeys();

        assert_eq!(prekeys.next_sequence(NOW).ok(), Some(NOW.0));
        assert_eq!(prekeys.next_sequence(UnixMillis(0)).ok(), Some(NOW.0 + 1));
        prekeys.sequence = u64::MAX;
        assert!(matches!(prekeys.next_sequence(NOW), Err(Error::Bug(_))));
    }

    fn prekeys() -> (Prekeys, ChaCha20Rng) {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        (Prekeys::generate(&mut rng, NOW), rng)
    }
}
