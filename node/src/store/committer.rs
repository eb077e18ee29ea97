//! The thread that commits: whatever waits goes into one flush. In between it erases, a step at a
//! time, so that no commit waits for more than one step. While the disk has no room batches wait.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use bitchat_protocol::store::{Batch, Durable, StoreError};

use super::inner::ROOM_MIN;
use super::{SledStore, Step};

/// How much longer than it worked erasure rests: it takes at most a fifth of the thread's time.
const RESTS: u32 = 4;

/// Between looks whether anything is to be erased.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a store that closes may go on erasing: what a command left would else never end where
/// nobody runs a daemon.
const FINISH_WITHIN: Duration = Duration::from_secs(2);

/// How often a full disk is looked at while a batch waits for room.
const ROOM_EVERY: Duration = Duration::from_millis(100);

/// Batches in one flush. More would only make the first of them wait.
const MERGED_MAX: usize = 256;

/// Feeds batches to a [`SledStore`] from a thread of its own. Dropping it commits what waits
/// and finishes, within two seconds, what is being erased.
#[derive(Debug)]
pub struct Committer {
    queue: Option<SyncSender<Batch>>,
    thread: Option<JoinHandle<()>>,
}

/// What one flush did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitStats {
    /// How long it took, writing and syncing.
    pub took: Duration,
    /// Batches in it.
    pub batches: usize,
    /// Writes in these.
    pub writes: usize,
}

/// Why a batch was not taken. It comes back.
#[derive(Debug)]
pub enum Refused {
    /// As many batches wait as may; try again after the next flush.
    Busy(Batch),
    /// A commit failed, or the thread is gone.
    Stopped(Batch),
}

impl Committer {
    /// Starts the thread. At most `capacity` batches wait for it. `done` gets the proofs of each
    /// flush in order, or the error after which nothing more comes; `report` gets its figures. Both
    /// run on the thread, and must not wait for whoever drops the committer.
    ///
    /// # Errors
    ///
    /// What the system says if it gives no thread.
    pub fn start(
        store: SledStore,
        capacity: usize,
        done: impl FnMut(Result<Vec<Durable>, StoreError>) + Send + 'static,
        report: impl Fn(CommitStats) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (queue, batches) = sync_channel(capacity);
        let thread = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || run(&store, batches, done, report))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues a batch without waiting.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the batch.
    pub fn submit(&self, batch: Batch) -> Result<(), Refused> {
        let Some(queue) = &self.queue else {
            return Err(Refused::Stopped(batch));
        };
        queue.try_send(batch).map_err(|error| match error {
            TrySendError::Full(batch) => Refused::Busy(batch),
            TrySendError::Disconnected(batch) => Refused::Stopped(batch),
        })
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.thread.take().map(JoinHandle::join);
        if let Some(Err(_)) = ended {
            tracing::error!("the store's thread panicked");
        }
    }
}

fn run(
    store: &SledStore,
    batches: Receiver<Batch>,
    mut done: impl FnMut(Result<Vec<Durable>, StoreError>),
    report: impl Fn(CommitStats),
) {
    let mut next_step = Instant::now();
    loop {
        let rest = next_step.saturating_duration_since(Instant::now());
        let result = match batches.recv_timeout(rest) {
            Ok(first) => commit(store, first, &batches, &report).map(|proofs| done(Ok(proofs))),
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        let result = result.and_then(|()| {
            if Instant::now() >= next_step {
                next_step = Instant::now() + erase(store)?;
            }
            Ok(())
        });
        if let Err(error) = result {
            // Before the error is told, so that whoever knows it is refused.
            drop(batches);
            return done(Err(error));
        }
    }
    if let Err(error) = store.erase_until(Instant::now() + FINISH_WITHIN) {
        tracing::error!(%error, "erasure closed the store");
    }
}

/// Commits a batch with all that wait behind it.
fn commit(
    store: &SledStore,
    first: Batch,
    batches: &Receiver<Batch>,
    report: &impl Fn(CommitStats),
) -> Result<Vec<Durable>, StoreError> {
    let mut group = vec![first];
    await_room(store, batches, &mut group)?;
    group.extend(batches.try_iter().take(MERGED_MAX.saturating_sub(group.len())));
    let started = Instant::now();
    let result = store.commit(&group);
    report(CommitStats {
        took: started.elapsed(),
        batches: group.len(),
        writes: group.iter().map(|batch| batch.writes.len()).sum(),
    });
    result
}

/// Waits until the disk takes a batch. Nothing of it was written, so nothing is tried twice; who
/// closes the store meanwhile gets an error instead.
fn await_room(
    store: &SledStore,
    batches: &Receiver<Batch>,
    group: &mut Vec<Batch>,
) -> Result<(), StoreError> {
    while store.room()? < ROOM_MIN {
        match batches.recv_timeout(ROOM_EVERY) {
            Ok(batch) => group.push(batch),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(StoreError::Full),
        }
    }
    Ok(())
}

/// Does a step and returns how long to rest.
fn erase(store: &SledStore) -> Result<Duration, StoreError> {
    let started = Instant::now();
    Ok(match store.erase_step()? {
        Step::Working => started.elapsed() * RESTS,
        Step::Idle => LOOK_EVERY,
    })
}
