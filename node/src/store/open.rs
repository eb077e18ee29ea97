//! Creating a database so that a power cut leaves all of it or nothing, and opening one.
//!
//! ```text
//!   data.new/ made, filled, synced --rename--> data/ --sync parent--> exists
//! ```
//!
//! A `data.new` that is found is the leftover of an interrupted creation: nobody was ever told
//! that it exists, so it is removed. A `data` that is found is opened or refused.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use bitchat_protocol::store::StoreError;
use bitchat_protocol::time::UnixMillis;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::error::{StoreOpenError, is_full};
use super::keyfile::{self, Fault, KeyFile};
use super::keyring::{Chain, Ring};
use super::layout::{Head, Layout, SENTINEL};
use super::mark::{COMMITS, Mark};
use crate::home::disk;
use crate::keystore::StoreKeys;

/// Memory for sled's pages. sled takes several times as much as it counts.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// How often sled's own thread collects garbage. Durability does not depend on it.
const HOUSEKEEPING_MS: u64 = 1_000;

/// How long the threads of a database that was just dropped may keep its lock.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// An open database, its keys, and our handle on its log.
pub(super) struct Opened {
    pub(super) db: sled::Db,
    pub(super) log: File,
    pub(super) keys: KeyFile,
    pub(super) ring: Ring,
    pub(super) mark: Mark,
}

/// Opens the database in `dir`; makes it first, at `now`, if `dir` does not exist.
pub(super) fn open(
    dir: &Path,
    keys: &StoreKeys,
    now: UnixMillis,
) -> Result<Opened, StoreOpenError> {
    let failed = |source| io_error(dir, source);
    match dir.symlink_metadata() {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => create(dir, keys, now)?,
        Err(source) => return Err(failed(source)),
    }
    remove_leftover(dir).map_err(failed)?;
    let log = open_log(dir)?;
    await_unlocked(dir, &log)?;
    let (mut keys, ring) = open_keys(dir, keys)?;
    remove_half_snapshots(dir).map_err(failed)?;
    let db = open_sled(dir, dir)?;
    let is_newest = check_sentinel(dir, &db, &ring)?;
    let mark = open_mark(dir, &db)?;
    // A key store that a rotation renamed just before it was stopped may not be durable; once the
    // key file is settled no other one opens it.
    disk::sync_dir(&disk::parent(dir)).map_err(failed)?;
    keys.settle(&ring).map_err(failed)?;
    if !is_newest {
        // A stop between the key file and the sentinel. Whoever goes on destroys the key that this
        // one is under, so it comes first, as in every turn.
        write_sentinel(&db, &ring).and_then(|()| log.sync_data()).map_err(failed)?;
    }
    // The modes of what sled made depend on the umask; its snapshot's name is not durable yet.
    settle(dir).and_then(|()| disk::sync_dir(&disk::parent(dir))).map_err(failed)?;
    Ok(Opened { db, log, keys, ring, mark })
}

/// Opens the key file in `dir` and writes nothing.
pub(super) fn open_keys(dir: &Path, keys: &StoreKeys) -> Result<(KeyFile, Ring), StoreOpenError> {
    KeyFile::open(dir, keys).map_err(|fault| match fault {
        Fault::Missing => wrong_keys(dir, "is missing"),
        Fault::Damaged(how) => wrong_keys(dir, how),
        Fault::WrongKey => StoreOpenError::WrongKey { dir: dir.to_owned() },
        Fault::Io(source) => io_error(dir, source),
    })
}

fn wrong_keys(dir: &Path, fault: &'static str) -> StoreOpenError {
    StoreOpenError::Keys { file: keyfile::path(dir), fault }
}

fn create(dir: &Path, keys: &StoreKeys, now: UnixMillis) -> Result<(), StoreOpenError> {
    let failed = |source| io_error(dir, source);
    let other = |error: StoreError| failed(io::Error::other(error));
    remove_leftover(dir).map_err(failed)?;
    let new = disk::beside(dir);
    disk::create_private_dir(&new).map_err(failed)?;
    let ring = Ring::random(now).map_err(other)?;
    KeyFile::create(&new, keys, &ring).map_err(failed)?;
    {
        let db = open_sled(&new, dir)?;
        write_sentinel(&db, &ring).map_err(failed)?;
        settle(&new).map_err(failed)?;
    }
    fs::rename(&new, dir).map_err(failed)?;
    disk::sync_dir(&disk::parent(dir)).map_err(failed)
}

fn remove_leftover(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(disk::beside(dir)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes snapshots that sled was still writing when the power went. sled 0.34 would take the
/// newest for a finished one and refuse to open for ever; the one before is still there, and
/// without any sled reads its whole log.
fn remove_half_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Our handle on sled's log. What sled would quietly make anew when it is missing is demanded here.
fn open_log(dir: &Path) -> Result<File, StoreOpenError> {
    let damaged = |what: &str| StoreOpenError::Corrupt { dir: dir.to_owned(), detail: what.into() };
    for (name, missing) in [("conf", "conf is missing"), ("blobs", "blobs is missing")] {
        if dir.join(name).symlink_metadata().is_err() {
            return Err(damaged(missing));
        }
    }
    let log = match File::open(dir.join("db")) {
        Ok(log) => log,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(damaged("db is missing")),
        Err(source) => return Err(io_error(dir, source)),
    };
    match log.metadata() {
        Ok(metadata) if metadata.len() == 0 => Err(damaged("db is empty")),
        Ok(_) => Ok(log),
        Err(source) => Err(io_error(dir, source)),
    }
}

/// Waits until nobody holds sled's lock. sled would report one with all other errors.
fn await_unlocked(dir: &Path, log: &File) -> Result<(), StoreOpenError> {
    let started = Instant::now();
    loop {
        match flock(log, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if started.elapsed() < LOCK_PATIENCE => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(Errno::WOULDBLOCK) => return Err(StoreOpenError::Locked { dir: dir.to_owned() }),
            Err(errno) => return Err(io_error(dir, errno.into())),
        }
    }
    flock(log, FlockOperation::Unlock).map_err(|errno| io_error(dir, errno.into()))
}

/// Opens sled in `at`; errors speak of `dir`.
fn open_sled(at: &Path, dir: &Path) -> Result<sled::Db, StoreOpenError> {
    let corrupt = |detail: String| StoreOpenError::Corrupt { dir: dir.to_owned(), detail };
    let config = sled::Config::new()
        .path(at)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(Some(HOUSEKEEPING_MS));
    // sled panics on some damage.
    match catch_unwind(AssertUnwindSafe(|| config.open())) {
        Ok(Ok(db)) => Ok(db),
        // What the kernel refused has a number; what sled dislikes has none.
        Ok(Err(sled::Error::Io(error))) if is_full(&error) || error.raw_os_error().is_some() => {
            Err(io_error(dir, error))
        }
        Ok(Err(error)) => Err(corrupt(error.to_string())),
        Err(_) => Err(corrupt("sled panicked".to_owned())),
    }
}

fn write_sentinel(db: &sled::Db, ring: &Ring) -> io::Result<()> {
    let mut batch = sled::Batch::default();
    let sealed = Layout::new(&ring.scopes).seal_sentinel(ring, &mut batch);
    sealed.map_err(io::Error::other)?;
    let written = catch_unwind(AssertUnwindSafe(|| {
        db.apply_batch(batch).and_then(|()| db.flush()).map_err(io::Error::other)
    }));
    written.unwrap_or_else(|_| Err(io::Error::other("sled panicked"))).map(drop)
}

/// Checks that the database and the ring are of one time: the sentinel names the keys that were
/// newest when anything was last written under a new one. Returns whether they still are.
fn check_sentinel(dir: &Path, db: &sled::Db, ring: &Ring) -> Result<bool, StoreOpenError> {
    let found = catch_unwind(AssertUnwindSafe(|| db.get(SENTINEL)));
    let corrupt = |detail: String| StoreOpenError::Corrupt { dir: dir.to_owned(), detail };
    let head = match found {
        Ok(Ok(Some(head))) => head,
        Ok(Ok(None)) => return Err(StoreOpenError::Foreign { dir: dir.to_owned() }),
        Ok(Err(error)) => return Err(corrupt(error.to_string())),
        Err(_) => return Err(corrupt("sled panicked".to_owned())),
    };
    let Ok(head) = Head::parse(&head) else {
        return Err(StoreOpenError::Foreign { dir: dir.to_owned() });
    };
    let age = |chain: Chain, number: u32| match ring.key(chain, number) {
        Some(_) => Ok(()),
        None if number > ring.chain(chain).current.number => Err("is older than the store"),
        None => Err("is newer than the store"),
    };
    let wrong = |fault| wrong_keys(dir, fault);
    age(Chain::Hour, head.number).map_err(wrong)?;
    let secret = ring.key(Chain::Hour, head.number);
    // sled's checksum holds, so it is not damage.
    let long = secret.and_then(|secret| Layout::open_sentinel(secret, &head));
    let long = long.ok_or_else(|| wrong("belongs to another store"))?;
    age(Chain::Long, long).map_err(wrong)?;
    let newest = Chain::ALL.map(|chain| ring.chain(chain).current.number);
    Ok(newest == [head.number, long])
}

/// Checks that the log holds every commit that it should.
fn open_mark(dir: &Path, db: &sled::Db) -> Result<Mark, StoreOpenError> {
    let corrupt = |detail: String| StoreOpenError::Corrupt { dir: dir.to_owned(), detail };
    let found = catch_unwind(AssertUnwindSafe(|| db.get(COMMITS)));
    let found = found.unwrap_or_else(|_| Err(sled::Error::ReportableBug("panicked".to_owned())));
    let row = found.map_err(|error| corrupt(error.to_string()))?;
    let number = row.map_or(Ok(0), |row| row.as_ref().try_into().map(u64::from_be_bytes));
    let commits = number.map_err(|_| corrupt("the number of commits is none".to_owned()))?;
    match Mark::open(dir, commits) {
        Ok(Ok(mark)) => Ok(mark),
        Ok(Err(marked)) => Err(corrupt(format!("it ends after commit {commits} of {marked}"))),
        Err(source) => Err(io_error(dir, source)),
    }
}

/// Makes everything in a database's directory private and durable.
fn settle(dir: &Path) -> io::Result<()> {
    fs::set_permissions(dir, Permissions::from_mode(0o700))?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            settle(&entry.path())?;
        } else if kind.is_file() {
            let file = File::open(entry.path())?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.sync_all()?;
        }
    }
    disk::sync_dir(dir)
}

fn io_error(dir: &Path, source: io::Error) -> StoreOpenError {
    let dir = dir.to_owned();
    if is_full(&source) { StoreOpenError::Full { dir } } else { StoreOpenError::Io { dir, source } }
}
