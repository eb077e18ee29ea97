//! Our one-time prekeys: made ahead, handed out once, gone with the session that they found.
//!
//! ```text
//!   ready --hand_out, durable before the answer leaves--> handed --founds a session--> deleted, in its batch
//!                                                           \---- 37 days ----------> deleted
//! ```
//!
//! Memory holds ids and times; each secret is a row of its own and is read when it is needed.
//!
//! # Invariants
//!
//! - An id is given once, whatever was deleted: the counter is a row of its own.
//! - Only a key that was handed out founds a session; nothing but a session or its time deletes it.
//! - Bounded: [`READY`] keys of a kind are ready, [`HANDED_MAX`] are handed out.
//!
//! See docs/SPEC.md, section "One-time prekeys".

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use self::record::{Row, row_key};
use super::one_time::{Algorithm, ONE_TIME_VALIDITY, Offer, OneTimeSecrets, SignedPrekey};
use super::{DAY, RETENTION};
use crate::crypto::{DhSecret, KemSecret, Secret};
use crate::error::Error;
use crate::identity::Device;
use crate::store::{Key, Overlay, Store, StoreError, Table};
use crate::time::UnixMillis;

/// Keys of a kind that are made ahead: each founds one session, and a busy account founds some ten a
/// day.
pub const READY: usize = 100;

/// Below this many new ones are made.
const LOW: usize = READY / 3;

/// Keys of a kind made for one input, so that none takes long.
const PORTION: usize = 25;

/// Keys of a kind that are handed out and found nothing yet; then only last-resort keys are left.
/// About 2 MB of rows.
pub const HANDED_MAX: usize = 10_000;

/// Strangers get none when so many are out: they never use up what contacts need.
const HANDED_MAX_STRANGERS: usize = HANDED_MAX / 2;

/// A key is kept for a message that was started with it at the last moment and then waited as long as
/// any message does.
const KEPT: Duration = ONE_TIME_VALIDITY.saturating_add(RETENTION);

/// Keys forgotten at a time.
const EXPIRED_MAX: usize = 500;

/// Rows read at a time.
const PAGE: usize = 1_000;

/// To whom a key is handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandTo {
    /// Somebody we know.
    Contact,
    /// Somebody with an invitation.
    Stranger,
}

/// Keys that can be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// X25519 keys.
    pub x25519: usize,
    /// ML-KEM keys.
    pub ml_kem: usize,
}

/// All one-time prekeys of this device.
#[derive(Debug)]
pub struct Pool {
    last: u32,
    x25519: Shelf,
    ml_kem: Shelf,
}

/// Those of one kind.
#[derive(Debug)]
struct Shelf {
    algorithm: Algorithm,
    ready: BTreeSet<u32>,
    /// When each is gone.
    handed: BTreeMap<u32, UnixMillis>,
}

impl Pool {
    /// What lies in the store.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if a row cannot be read.
    pub fn load(store: &impl Store) -> Result<Self, StoreError> {
        let last =
            store.get(&counter_key())?.map_or(Ok(0), |value| record::read_counter(&value))?;
        let mut pool = Self {
            last,
            x25519: Shelf::new(Algorithm::X25519),
            ml_kem: Shelf::new(Algorithm::MlKem1024),
        };
        let mut after = None;
        loop {
            let (values, next) = store.walk(Table::OneTimePrekey, after.as_ref(), PAGE)?;
            for value in values {
                pool.admit(&Row::decode(Zeroizing::new(value).as_slice())?)?;
            }
            match next {
                Some(cursor) => after = Some(cursor),
                None => return Ok(pool),
            }
        }
    }

    fn admit(&mut self, row: &Row) -> Result<(), StoreError> {
        if row.id > self.last {
            return Err(StoreError::Corrupt("one-time prekey counter"));
        }
        let shelf = self.shelf_mut(row.algorithm);
        match row.until {
            None => drop(shelf.ready.insert(row.id)),
            Some(until) => drop(shelf.handed.insert(row.id, until)),
        }
        Ok(())
    }

    const fn shelf_mut(&mut self, algorithm: Algorithm) -> &mut Shelf {
        match algorithm {
            Algorithm::X25519 => &mut self.x25519,
            Algorithm::MlKem1024 => &mut self.ml_kem,
        }
    }

    /// Keys that can be handed out to a contact.
    #[must_use]
    pub fn remaining(&self) -> Remaining {
        Remaining { x25519: self.x25519.remaining(), ml_kem: self.ml_kem.remaining() }
    }

    /// Whether new keys should be made.
    #[must_use]
    pub fn is_low(&self) -> bool {
        self.x25519.ready.len() < LOW || self.ml_kem.ready.len() < LOW
    }

    /// Whether as many are handed out as may be.
    #[must_use]
    pub fn is_bound_reached(&self) -> bool {
        self.x25519.handed.len() >= HANDED_MAX || self.ml_kem.handed.len() >= HANDED_MAX
    }

    /// Makes one portion of new keys; says whether it was not the last.
    pub fn refill<S: Store>(&mut self, store: &mut Overlay<S>, rng: &mut impl CryptoRng) -> bool {
        let before = self.last;
        for _ in 0..PORTION {
            for algorithm in [Algorithm::X25519, Algorithm::MlKem1024] {
                if self.shelf_mut(algorithm).ready.len() >= READY {
                    continue;
                }
                // Four thousand million keys from now on, only last-resort keys are left.
                let Some(id) = self.last.checked_add(1) else { break };
                self.last = id;
                let secret = match algorithm {
                    Algorithm::X25519 => secret_of(Secret::<32>::random(rng).expose()),
                    Algorithm::MlKem1024 => secret_of(Secret::<64>::random(rng).expose()),
                };
                let row = Row { algorithm, id, secret, until: None };
                store.put(row_key(algorithm, id), row.encode());
                self.shelf_mut(algorithm).ready.insert(id);
            }
        }
        if self.last != before {
            store.put(counter_key(), record::counter(self.last));
        }
        let missing = self.x25519.ready.len().min(self.ml_kem.ready.len()) < READY;
        missing && self.last != before
    }

    /// Takes one key of each kind out of what is ready and signs it. What is written must be durable
    /// before the offer leaves.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if a row cannot be read; nothing is handed out then.
    pub fn hand_out<S: Store>(
        &mut self,
        store: &mut Overlay<S>,
        device: &Device,
        to: HandTo,
        now: UnixMillis,
    ) -> Result<Offer, Error> {
        let x25519 = self.x25519.next(store, to)?;
        let ml_kem = self.ml_kem.next(store, to)?;
        let mut offer = Offer::default();
        if let Some(row) = x25519 {
            let key = DhSecret::from_secret(row.secret()?).public();
            offer.x25519 = Some(self.x25519.hand(store, device, row, key.as_bytes(), now));
        }
        if let Some(row) = ml_kem {
            let key = KemSecret::from_seed(row.secret()?);
            offer.ml_kem = Some(self.ml_kem.hand(store, device, row, key.public().as_bytes(), now));
        }
        Ok(offer)
    }

    /// The secrets of the keys with these ids; 0 names none.
    ///
    /// # Errors
    ///
    /// [`Error::Spent`] if a key was never handed out or is gone, [`Error::Store`] if its row cannot be
    /// read.
    pub fn secrets<S: Store>(
        &self,
        store: &Overlay<S>,
        x25519: u32,
        ml_kem: u32,
    ) -> Result<OneTimeSecrets, Error> {
        let mut secrets = OneTimeSecrets::default();
        if x25519 != 0 {
            let row = self.x25519.handed_row(store, x25519)?;
            secrets.x25519 = Some((x25519, DhSecret::from_secret(row.secret()?)));
        }
        if ml_kem != 0 {
            let row = self.ml_kem.handed_row(store, ml_kem)?;
            secrets.ml_kem = Some((ml_kem, KemSecret::from_seed(row.secret()?)));
        }
        Ok(secrets)
    }

    /// Deletes the keys with these ids, in the batch of the session that they found.
    pub fn spend<S: Store>(&mut self, store: &mut Overlay<S>, x25519: u32, ml_kem: u32) {
        self.x25519.delete(store, x25519);
        self.ml_kem.delete(store, ml_kem);
    }

    /// Forgets keys that were handed out and founded nothing, and those handed out by a clock far ahead
    /// of this one; says whether there may be more.
    pub fn expire<S: Store>(&mut self, store: &mut Overlay<S>, now: UnixMillis) -> bool {
        let mut expired = 0;
        for shelf in [&mut self.x25519, &mut self.ml_kem] {
            let latest = now.plus(KEPT).plus(DAY);
            let over = shelf.handed.iter().filter(|(_, until)| **until <= now || **until > latest);
            let over: Vec<u32> = over.map(|(id, _)| *id).take(EXPIRED_MAX).collect();
            expired = expired.max(over.len());
            over.into_iter().for_each(|id| shelf.delete(store, id));
        }
        expired == EXPIRED_MAX
    }
}

impl Shelf {
    const fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, ready: BTreeSet::new(), handed: BTreeMap::new() }
    }

    fn remaining(&self) -> usize {
        self.ready.len().min(HANDED_MAX.saturating_sub(self.handed.len()))
    }

    /// The row of the next key to hand out.
    fn next<S: Store>(&self, store: &Overlay<S>, to: HandTo) -> Result<Option<Row>, Error> {
        let bound = match to {
            HandTo::Contact => HANDED_MAX,
            HandTo::Stranger => HANDED_MAX_STRANGERS,
        };
        if self.handed.len() >= bound {
            return Ok(None);
        }
        self.ready.first().map(|id| self.row(store, *id)).transpose()
    }

    fn row<S: Store>(&self, store: &Overlay<S>, id: u32) -> Result<Row, Error> {
        const LOST: StoreError = StoreError::Corrupt("one-time prekey row");
        let value = Zeroizing::new(store.get(&row_key(self.algorithm, id))?.ok_or(LOST)?);
        let row = Row::decode(&value)?;
        let is_it = row.id == id && row.algorithm == self.algorithm;
        if is_it { Ok(row) } else { Err(LOST.into()) }
    }

    fn handed_row<S: Store>(&self, store: &Overlay<S>, id: u32) -> Result<Row, Error> {
        if !self.handed.contains_key(&id) {
            return Err(Error::Spent);
        }
        self.row(store, id)
    }

    fn hand<S: Store>(
        &mut self,
        store: &mut Overlay<S>,
        device: &Device,
        row: Row,
        key: &[u8],
        now: UnixMillis,
    ) -> SignedPrekey {
        let (id, until) = (row.id, now.plus(KEPT));
        let row = Row { until: Some(until), ..row };
        store.put(row_key(self.algorithm, id), row.encode());
        self.ready.remove(&id);
        self.handed.insert(id, until);
        SignedPrekey::issue(device, self.algorithm, id, key, now.plus(ONE_TIME_VALIDITY))
    }

    fn delete<S: Store>(&mut self, store: &mut Overlay<S>, id: u32) {
        if self.handed.remove(&id).is_some() {
            store.delete(row_key(self.algorithm, id));
        }
    }
}

fn secret_of(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(bytes.to_vec())
}

fn counter_key() -> Key {
    Key::of(Table::Meta, b"one-time prekeys")
}

#[cfg(test)]
mod tests;
