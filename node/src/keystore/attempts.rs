//! Wrong passphrases make the next one wait: 5 are free, then 1 s, 2 s, 4 s, .. 900 s.
//!
//! ```text
//!   lock ─> paused? ──yes──> refused, with the time left
//!             └──no──> counted on disk ─> Argon2 ─┬─> wrong: the pause begins
//!                                                 └─> right: forgotten
//! ```
//!
//! Counted *before* the work, so that a killed attempt counts as well, and under a lock of its own, so
//! that many processes at once get no more tries than one. It slows down whoever sits at the program;
//! whoever has the disk is slowed down by Argon2 alone. The room for counting is taken when the key
//! store is made: a full disk does not keep the owner out, and what cannot be counted is not tried.
//!
//! # Clocks
//!
//! While the machine runs, its uptime counts, which nobody can set. After a restart the wall clock
//! does: one that was set back starts the pause anew, which so never lasts longer than itself; one
//! that was set forward ends the present pause, and the next attempt starts one in the new time.

mod slots;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use slots::{Content, Slots};

use super::KeystoreError;

/// Wrong passphrases that cost nothing: typing errors.
const FREE: u32 = 5;

/// The pause after the last free one, in seconds; it doubles with each further one.
const FIRST_SECONDS: u64 = 1;

/// The longest pause, in seconds: an honest owner waits a quarter of an hour, never for ever.
const LONGEST_SECONDS: u64 = 900;

/// How long another process may have the lock: it computes one Argon2.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Leave to try one passphrase. Held until the outcome is known, so tries never overlap.
#[derive(Debug)]
#[must_use = "an attempt ends as wrong or right"]
pub(super) struct Attempt {
    path: PathBuf,
    record: Record,
    slots: Slots,
    _lock: File,
}

/// What is kept in `keystore.attempts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// Wrong passphrases since the last right one.
    failures: u32,
    /// When the last one was.
    at: Reading,
}

/// The clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    /// Milliseconds since 1970.
    wall_ms: u64,
    /// Milliseconds since the machine started, and which start that was; none where the system
    /// does not say.
    uptime: Option<(u64, String)>,
}

/// What a record says about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Free,
    /// Not before this has passed.
    Wait(Duration),
    /// The clock stands before the last failure: the pause begins again.
    Again,
}

impl Attempt {
    /// Asks leave to try a passphrase on the key store at `keystore`.
    pub(super) fn admit(keystore: &Path) -> Result<Self, KeystoreError> {
        let lock = lock(&keystore.with_extension("lock"))?;
        let path = keystore.with_extension("attempts");
        let now = Reading::now();
        let (slots, record) = read(&path, &now)?;
        let mut attempt = Self { path, record, slots, _lock: lock };
        match attempt.record.verdict(&now) {
            Verdict::Free => Ok(attempt),
            Verdict::Wait(retry_after) => Err(KeystoreError::Paused { retry_after }),
            Verdict::Again => {
                attempt.record.at = now;
                attempt.write()?;
                Err(KeystoreError::Paused { retry_after: pause(attempt.record.failures) })
            }
        }
    }

    /// Takes the room on disk that counting needs, if it is not taken yet.
    pub(super) fn prepare(keystore: &Path) -> Result<(), KeystoreError> {
        let lock = lock(&keystore.with_extension("lock"))?;
        let path = keystore.with_extension("attempts");
        match Slots::read(&path).map_err(|source| failed(&path, source))? {
            (slots, Content::Missing) => {
                let record = Record { failures: 0, at: Reading::now() };
                Self { path, record, slots, _lock: lock }.write()
            }
            _ => Ok(()),
        }
    }

    /// Counts it, durable when this returns: to be called before the passphrase is looked at.
    pub(super) fn count(&mut self) -> Result<(), KeystoreError> {
        self.record.failures = self.record.failures.saturating_add(1);
        self.record.at = Reading::now();
        self.write()
    }

    /// The passphrase was wrong: the pause begins now and not before Argon2 had run.
    pub(super) fn wrong(mut self) {
        self.record.at = Reading::now();
        if let Err(error) = self.write() {
            tracing::warn!(%error, "a wrong passphrase is counted from its beginning");
        }
    }

    /// The passphrase was right: nothing is held against the next one.
    pub(super) fn right(mut self) {
        self.record.failures = 0;
        if let Err(error) = self.write() {
            tracing::warn!(%error, "wrong passphrases are not forgotten");
        }
    }

    fn write(&mut self) -> Result<(), KeystoreError> {
        let text = serde_json::to_string(&self.record);
        let text = text.map_err(|_| KeystoreError::Bug("attempts do not serialise"))?;
        self.slots.write(&text).map_err(|source| failed(&self.path, source))
    }
}

impl Record {
    fn verdict(&self, now: &Reading) -> Verdict {
        let pause = pause(self.failures);
        if pause.is_zero() {
            return Verdict::Free;
        }
        match now.since(&self.at) {
            Some(passed) if passed >= pause => Verdict::Free,
            Some(passed) => Verdict::Wait(pause - passed),
            None => Verdict::Again,
        }
    }
}

impl Reading {
    fn now() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { wall_ms: millis(wall), uptime: uptime() }
    }

    /// How long ago `earlier` was; `None` if a clock says that it is still to come.
    fn since(&self, earlier: &Self) -> Option<Duration> {
        let passed = match (&self.uptime, &earlier.uptime) {
            (Some((now, boot)), Some((then, same))) if boot == same => now.checked_sub(*then),
            _ => self.wall_ms.checked_sub(earlier.wall_ms),
        };
        passed.map(Duration::from_millis)
    }
}

/// How long to wait after so many wrong passphrases.
fn pause(failures: u32) -> Duration {
    let Some(doublings) = failures.checked_sub(FREE) else {
        return Duration::ZERO;
    };
    let seconds = 2_u64.checked_pow(doublings).and_then(|factor| factor.checked_mul(FIRST_SECONDS));
    Duration::from_secs(seconds.unwrap_or(LONGEST_SECONDS).min(LONGEST_SECONDS))
}

/// Linux tells both in files. `/proc/uptime` goes on while the machine sleeps.
fn uptime() -> Option<(u64, String)> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split(' ').next()?.parse().ok()?;
    Some((millis(Duration::try_from_secs_f64(seconds).ok()?), boot.trim().to_owned()))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The record on disk. One that says nothing sensible stands for the first pause: it must neither
/// free nor lock anybody.
fn read(path: &Path, now: &Reading) -> Result<(Slots, Record), KeystoreError> {
    // A time far ahead is what `Verdict::Again` mends.
    let unknown = Reading { wall_ms: u64::MAX, uptime: None };
    let nonsense = Record { failures: FREE, at: unknown };
    let (slots, content) = Slots::read(path).map_err(|source| failed(path, source))?;
    let record = match content {
        Content::Missing => Record { failures: 0, at: now.clone() },
        Content::Damaged => nonsense,
        Content::Text(text) => serde_json::from_str(&text).unwrap_or(nonsense),
    };
    Ok((slots, record))
}

/// Takes the lock. It lies beside the record, which is replaced when it is damaged.
fn lock(path: &Path) -> Result<File, KeystoreError> {
    lock_within(path, LOCK_PATIENCE)
}

fn lock_within(path: &Path, patience: Duration) -> Result<File, KeystoreError> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(path);
    let file = file.map_err(|source| failed(path, source))?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if started.elapsed() < patience => {
                thread::sleep(Duration::from_millis(10));
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(KeystoreError::Contended);
            }
            Err(errno) => return Err(failed(path, errno.into())),
        }
    }
}

fn failed(path: &Path, source: io::Error) -> KeystoreError {
    KeystoreError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
pub(super) mod tests;
