//! Erasure in a store that only appends: old values stay in sled's files, their key does not.
//!
//! ```text
//!   add a key to the key file --> write under it --> move live rows, a portion a step --> take the
//!   (both slots, synced)          (first row: the    (each portion synced)                old key out
//!                                  sentinel)                                     (both slots, synced)
//! ```
//!
//! A stop between any two steps leaves both keys in the file, so every row opens; the next start
//! goes on. A chain that nothing was overwritten or deleted in since its last turn does not turn:
//! its old segments hold nothing but what lives. See docs/decisions/0016-erasure-by-key.md.
//!
//! # What this module does not do
//!
//! It erases no bytes: who copied the key file before may open what he copied before, and what the
//! disk keeps of an overwritten block is beyond a program.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bitchat_protocol::store::StoreError;
use bitchat_protocol::time::UnixMillis;
use zeroize::Zeroizing;

use super::SledStore;
use super::inner::{
    Health, Inner, KEY_GONE, PIECE_GONE, ROOM_MIN, Writer, io_error, store_error, unpanicked,
};
use super::keyring::{Chain, Ring};
use super::layout::{DAMAGED, ERASE, Head, Layout, Under};

/// Age of the oldest outdated value at which the hour chain turns: ten minutes are left to move
/// rows within the hour that is promised.
const HOUR: Duration = Duration::from_secs(50 * 60);

/// Age of the oldest outdated value that is worth a warning.
const OVERDUE: Duration = Duration::from_secs(60 * 60);

/// Age at which the long chain turns.
const LONG: Duration = Duration::from_secs(30 * 24 * 3600);

/// After a failure.
const RETRY: Duration = Duration::from_secs(60);

/// Rows that one step moves: about a millisecond, for which a commit may have to wait.
const PORTION_ROWS: usize = 64;
/// Bytes of their values, so that rows of large frames do not make long steps.
const PORTION_BYTES: usize = 128 * 1024;
/// Rows that one step looks at.
const PORTION_SEEN: usize = 2_048;

/// When keys turn. Not a setting: tests alone take other values than the default.
#[derive(Clone)]
pub struct Epochs {
    /// The wall clock.
    pub clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    /// How old an outdated value may get before the hour chain turns.
    pub hour: Duration,
}

/// How far the store is behind with forgetting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// Age of the key that seals ratchets, queue and contacts.
    pub epoch_age: Duration,
    /// Age of the oldest overwritten or deleted value whose key still exists.
    pub unerased_age: Duration,
    /// Whether that is more than was promised, while somebody was there to do it.
    pub is_overdue: bool,
    /// Rows moved to a newer key since the store was opened.
    pub moved: u64,
    /// Why it does not go on.
    pub failure: Option<String>,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "more may be due"]
pub enum Step {
    /// Nothing is due.
    Idle,
    /// Something; more is to be done.
    Working,
}

/// How far both chains are.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    hour: State,
    long: State,
    opened: UnixMillis,
    epoch: UnixMillis,
    moved: u64,
    failure: Option<(UnixMillis, String)>,
}

#[derive(Clone, Debug)]
struct State {
    /// Since when values of the current key may be outdated.
    outdated: Option<UnixMillis>,
    /// The same of the retiring key.
    retiring: Option<UnixMillis>,
    /// Turns now, whatever its age.
    wanted: bool,
    /// Where the next portion begins.
    from: Vec<u8>,
}

impl Default for Epochs {
    fn default() -> Self {
        Self { clock: Arc::new(system_clock), hour: HOUR }
    }
}

impl SledStore {
    /// Does the next step of what is due; a commit may have to wait for it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the store is closed by it, as a failed commit closes it. What fails before
    /// anything is written only waits: see [`Erasure::failure`].
    pub fn erase_step(&self) -> Result<Step, StoreError> {
        let inner = &*self.inner;
        let mut writer = inner.writer();
        let now = inner.now();
        if inner.health() != Health::Good || writer.progress.is_waiting(now) {
            return Ok(Step::Idle);
        }
        let step = unpanicked(|| inner.step(&mut writer, now));
        if let Err(error) = &step {
            writer.progress.failure = Some((now, error.to_string()));
        }
        inner.publish(&writer);
        match step {
            Err(error) if inner.health() != Health::Good => Err(error),
            Err(error) => {
                tracing::warn!(%error, "erasure waits");
                Ok(Step::Idle)
            }
            Ok(step) => Ok(step),
        }
    }

    /// Does what is due until nothing is, or until `end`.
    ///
    /// # Errors
    ///
    /// As [`SledStore::erase_step`].
    pub fn erase_until(&self, end: Instant) -> Result<Step, StoreError> {
        loop {
            let step = self.erase_step()?;
            if step == Step::Idle || Instant::now() >= end {
                return Ok(step);
            }
        }
    }

    /// Makes both chains due now.
    pub fn want_erasure(&self) {
        let mut writer = self.inner.writer();
        writer.progress.want();
        self.inner.publish(&writer);
    }

    /// How far the store is behind with forgetting.
    #[must_use]
    pub fn erasure(&self) -> Erasure {
        let progress = self.inner.published();
        progress.shown(self.inner.now())
    }
}

impl Inner {
    fn step(&self, writer: &mut Writer, now: UnixMillis) -> Result<Step, StoreError> {
        let ring = self.ring();
        let unfinished = Chain::ALL.into_iter().find(|chain| ring.chain(*chain).retiring.is_some());
        let due = Chain::ALL.into_iter().find(|chain| {
            writer.progress.is_due(*chain, ring.chain(*chain).current.since, now, self.epochs.hour)
        });
        drop(ring);
        match (unfinished, due) {
            (Some(chain), _) => self.go_on(chain, writer)?,
            (None, Some(chain)) => self.begin(chain, writer, now)?,
            (None, None) => return Ok(Step::Idle),
        }
        writer.progress.failure = None;
        Ok(Step::Working)
    }

    /// Adds a key and writes under it from now on.
    fn begin(&self, chain: Chain, writer: &mut Writer, now: UnixMillis) -> Result<(), StoreError> {
        self.with_room()?;
        let next = self.ring().with_new(chain, now)?;
        writer.keys.write(&next).map_err(|error| io_error(&error))?;
        let mut batch = sled::Batch::default();
        self.layout.seal_sentinel(&next, &mut batch)?;
        if chain == Chain::Long {
            batch.remove(ERASE);
        }
        self.set_ring(next);
        self.write_or_close(batch)?;
        writer.progress.begun(chain, now);
        Ok(())
    }

    /// Moves a portion of rows; when none is left, takes the old key out.
    fn go_on(&self, chain: Chain, writer: &mut Writer) -> Result<(), StoreError> {
        let from = writer.progress.state(chain).from.clone();
        if Layout::chained(chain, &from).is_none() {
            let next = self.ring().without_retiring(chain);
            writer.keys.write(&next).map_err(|error| io_error(&error))?;
            self.set_ring(next);
            writer.progress.finished(chain);
            return Ok(());
        }
        self.with_room()?;
        let (batch, moved, from) = self.portion(&self.ring(), chain, from)?;
        if moved > 0 {
            self.write_or_close(batch)?;
        }
        writer.progress.moved += moved;
        writer.progress.state(chain).from = from;
        Ok(())
    }

    /// The next rows that are under an older key, sealed under the newest: how many, and where to
    /// go on.
    fn portion(
        &self,
        ring: &Ring,
        chain: Chain,
        mut from: Vec<u8>,
    ) -> Result<(sled::Batch, u64, Vec<u8>), StoreError> {
        let current = &ring.chain(chain).current;
        let under = Under { number: current.number, key: &current.key };
        let (mut batch, mut moved, mut bytes, mut seen) = (sled::Batch::default(), 0, 0, 0);
        while let Some(range) = Layout::chained(chain, &from) {
            from.clone_from(&range.end);
            for entry in self.tree.range(range) {
                let (row, head) = entry.map_err(store_error)?;
                seen += 1;
                if Head::parse(&head).is_ok_and(|head| head.number != current.number) {
                    match self.open_chained(ring, chain, &row, &head).map(Zeroizing::new) {
                        Ok(value) => {
                            self.layout.seal(under, &row, &value, &mut batch)?;
                            moved += 1;
                            bytes += value.len();
                        }
                        // It could not be read before either.
                        Err(lost) if [DAMAGED, PIECE_GONE, KEY_GONE].contains(&lost) => {
                            tracing::warn!("a damaged row stays under a key that goes");
                        }
                        Err(error) => return Err(error),
                    }
                }
                if moved >= PORTION_ROWS || bytes >= PORTION_BYTES || seen >= PORTION_SEEN {
                    let moved = u64::try_from(moved).unwrap_or(u64::MAX);
                    return Ok((batch, moved, [&row[..], &[0]].concat()));
                }
            }
        }
        Ok((batch, u64::try_from(moved).unwrap_or(u64::MAX), from))
    }

    fn write_or_close(&self, batch: sled::Batch) -> Result<(), StoreError> {
        unpanicked(|| self.write(batch)).inspect_err(|_| self.set_health(Health::Broken))
    }

    fn with_room(&self) -> Result<(), StoreError> {
        if self.room()? < ROOM_MIN { Err(StoreError::Full) } else { Ok(()) }
    }

    /// Replaces the ring while nobody reads: a reader that has a row of the old key may not find
    /// that key gone.
    fn set_ring(&self, ring: Ring) {
        let _alone = self.health.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        *self.ring.write().unwrap_or_else(std::sync::PoisonError::into_inner) = ring;
    }

    pub(super) fn now(&self) -> UnixMillis {
        (self.epochs.clock)()
    }
}

impl Progress {
    /// Of a store that was just opened. What was overwritten before is not known, so all may be.
    pub(super) fn opened(ring: &Ring, wanted: bool, now: UnixMillis) -> Self {
        let state = |chain| {
            let links = ring.chain(chain);
            State {
                outdated: Some(links.current.since),
                retiring: links.retiring.as_ref().map(|retiring| retiring.since),
                wanted,
                from: Vec::new(),
            }
        };
        let epoch = ring.chain(Chain::Hour).current.since;
        let (hour, long) = (state(Chain::Hour), state(Chain::Long));
        Self { hour, long, opened: now, epoch, moved: 0, failure: None }
    }

    /// After a commit that overwrote or deleted rows of `chains`.
    pub(super) fn committed(&mut self, chains: &[Chain], erased: bool, now: UnixMillis) {
        for chain in chains {
            self.state(*chain).outdated.get_or_insert(now);
        }
        if erased {
            self.want();
        }
    }

    fn want(&mut self) {
        (self.hour.wanted, self.long.wanted) = (true, true);
    }

    fn state(&mut self, chain: Chain) -> &mut State {
        match chain {
            Chain::Hour => &mut self.hour,
            Chain::Long => &mut self.long,
        }
    }

    fn is_due(&mut self, chain: Chain, since: UnixMillis, now: UnixMillis, hour: Duration) -> bool {
        let state = self.state(chain);
        let (from, length) = match chain {
            Chain::Hour => (state.outdated, hour),
            Chain::Long => (state.outdated.map(|_| since), LONG),
        };
        // A time to come is that of a clock that was wrong: waiting for it could take years.
        state.wanted || from.is_some_and(|from| now < from || now.since(from) >= length)
    }

    fn is_waiting(&self, now: UnixMillis) -> bool {
        self.failure.as_ref().is_some_and(|(at, _)| now >= *at && now.since(*at) < RETRY)
    }

    fn begun(&mut self, chain: Chain, now: UnixMillis) {
        if chain == Chain::Hour {
            self.epoch = now;
        }
        let state = self.state(chain);
        let retiring = state.outdated.or(Some(now));
        *state = State { outdated: None, retiring, wanted: false, from: Vec::new() };
    }

    fn finished(&mut self, chain: Chain) {
        let state = self.state(chain);
        (state.retiring, state.from) = (None, Vec::new());
    }

    fn shown(&self, now: UnixMillis) -> Erasure {
        let oldest = self.hour.retiring.or(self.hour.outdated);
        Erasure {
            epoch_age: now.since(self.epoch),
            unerased_age: oldest.map_or(Duration::ZERO, |oldest| now.since(oldest)),
            // A start after a long rest is no fault.
            is_overdue: oldest.is_some_and(|oldest| now.since(oldest.max(self.opened)) > OVERDUE),
            moved: self.moved,
            failure: self.failure.as_ref().map(|(_, why)| why.clone()),
        }
    }
}

fn system_clock() -> UnixMillis {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixMillis(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

impl std::fmt::Debug for Epochs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Epochs({:?})", self.hour)
    }
}
