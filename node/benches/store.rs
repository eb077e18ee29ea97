//! Durable batches a second; budget: 500 ms for an accepted and durable send (own target 50), so a
//! flush must stay far below 10 ms at p99 on this class of disk (ADR-0002).
//!
//! Plain timing instead of divan, which knows no p99. The raw line writes and syncs as many bytes
//! to a file beside the store: what lies above it is ours and sled's, what lies in it is the disk's.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a bench prints, and may stop")]

use std::error::Error;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use bitchat_node::keystore::StoreKeys;
use bitchat_node::store::{Committer, SledStore, Step};
use bitchat_protocol::crypto::Secret;
use bitchat_protocol::store::{Batch, BatchId, Durable, Key, Table};

/// Flushes a line.
const FLUSHES: u64 = 2_000;
/// A received message: ratchet, history, inbox; about 600 bytes each.
const ROWS: u64 = 3;
const ROW_BYTES: usize = 600;
/// A long queue of messages that wait.
const MOVED: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir_in(".")?;
    println!("{:<28} {:>10} {:>10} {:>10} {:>10}", "", "batches/s", "p50 ms", "p99 ms", "most ms");
    raw(dir.path())?;
    let store =
        SledStore::open(&dir.path().join("data"), StoreKeys::derive(&Secret::take(&mut [1; 32])))?;
    for merged in [1, 16] {
        let mut next = 0;
        let times = measure(|| {
            let batches: Vec<_> = (next..next + merged).map(batch).collect();
            next += merged;
            store.commit(&batches).map(drop).map_err(Into::into)
        })?;
        print(&format!("{merged} batch(es) a flush"), merged, times);
    }
    drop(store);
    erasure(dir.path())?;
    history(dir.path())
}

/// Deletes a conversation of so many messages in one batch, as the engine does.
fn history(dir: &Path) -> Result<(), Box<dyn Error>> {
    let keys = StoreKeys::derive(&Secret::take(&mut [1; 32]));
    let store = SledStore::open(&dir.join("history"), keys)?;
    let rows = |first, last, value: Option<Vec<u8>>| {
        let pair = move |index| {
            let message = Key::numbered(Table::Message, b"bob", index);
            [message, Key::numbered(Table::Inbox, b"", index)].map(|key| (key, value.clone()))
        };
        Batch { id: BatchId(first), writes: Arc::new((first..last).flat_map(pair).collect()) }
    };
    for first in (0..MOVED).step_by(1_000) {
        drop(store.commit(&[rows(first, first + 1_000, Some(vec![1; 100]))])?);
    }
    let started = Instant::now();
    drop(store.commit(&[rows(0, MOVED, None)])?);
    println!("{MOVED} messages deleted in {:.0} ms", started.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

/// Moves rows to a new key: at once, then a step at a time while others commit.
fn erasure(dir: &Path) -> Result<(), Box<dyn Error>> {
    let keys = StoreKeys::derive(&Secret::take(&mut [1; 32]));
    let store = SledStore::open(&dir.join("queue"), keys)?;
    for first in (0..MOVED).step_by(1_000) {
        let row = |number| (Key::numbered(Table::Outbox, b"bob", number), Some(vec![1; ROW_BYTES]));
        let writes = Arc::new((first..first + 1_000).map(row).collect());
        drop(store.commit(&[Batch { id: BatchId(first), writes }])?);
    }
    store.want_erasure();
    let started = Instant::now();
    let mut steps = Vec::new();
    loop {
        let step = Instant::now();
        if store.erase_step()? == Step::Idle {
            break;
        }
        steps.push(step.elapsed());
    }
    let (took, moved) = (started.elapsed(), store.erasure().moved);
    println!("{moved} rows moved in {:.0} ms, {} steps", took.as_secs_f64() * 1e3, steps.len());
    print("steps of it", 1, steps);
    for erasing in [false, true] {
        let (told, heard) = channel();
        let done = move |result: Result<Vec<Durable>, _>| {
            let _ = told.send(result.is_ok());
        };
        let committer = Committer::start(store.clone(), 16, done, |_| {})?;
        let mut next = 0;
        let times = measure(|| {
            if erasing {
                store.want_erasure();
            }
            next += 1;
            committer.submit(batch(next)).map_err(|_| "the store takes no batch")?;
            heard.recv()?.then_some(()).ok_or("a commit failed".into())
        })?;
        print(if erasing { "commits while rows move" } else { "commits alone" }, 1, times);
    }
    Ok(())
}

/// Overwrites and syncs, in a file that already has its length, as many bytes as a batch has.
fn raw(dir: &Path) -> Result<(), Box<dyn Error>> {
    let bytes = vec![1; ROW_BYTES * 3];
    let mut file = File::create(dir.join("raw"))?;
    file.write_all(&vec![0; 1 << 20])?;
    file.sync_all()?;
    let times = measure(|| {
        file.seek(SeekFrom::Start(0))?;
        file.write_all(&bytes)?;
        Ok(file.sync_data()?)
    })?;
    print("raw write and fdatasync", 1, times);
    Ok(())
}

fn batch(number: u64) -> Batch {
    let row = |row: u64| {
        let key = Key::numbered(Table::Message, &row.to_be_bytes(), number % 5_000);
        (key, Some(vec![number.to_le_bytes()[0]; ROW_BYTES]))
    };
    Batch { id: BatchId(number), writes: Arc::new((0..ROWS).map(row).collect()) }
}

fn measure(
    mut action: impl FnMut() -> Result<(), Box<dyn Error>>,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    (0..FLUSHES)
        .map(|_| {
            let started = Instant::now();
            action()?;
            Ok(started.elapsed())
        })
        .collect()
}

fn print(what: &str, batches: u64, mut times: Vec<Duration>) {
    times.sort();
    let total: Duration = times.iter().sum();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or_default();
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    let rate = times.len() as f64 * batches as f64 / total.as_secs_f64();
    let most = times.last().copied().unwrap_or_default();
    let [half, most_of, most] = [at(50), at(99), most].map(millis);
    println!("{what:<28} {rate:>10.0} {half:>10.3} {most_of:>10.3} {most:>10.3}");
}
