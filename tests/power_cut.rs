//! The shipped store through power cuts: everything that it writes is logged, the directory is
//! rebuilt as a cut at any point could leave it, and the store must open there with every
//! acknowledged batch whole.
//!
//! `kill -9` shows nothing of this: the kernel keeps what was written. See
//! docs/decisions/0002-sled-with-fdatasync.md for what the test found.

#![cfg(test)] // Lints then know that helpers may panic.

#[path = "power-cut/daemon.rs"]
mod daemon;
#[path = "power-cut/disk.rs"]
mod disk;
#[path = "power-cut/log.rs"]
mod log;
#[path = "power-cut/workload.rs"]
mod workload;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bitchat_node::store::Fsck;
use bitchat_protocol::store::{Key, Store};

use disk::{Chance, Disk, Model};
use log::{Event, Record};

/// Batches that the writer commits: sled fills and reuses a dozen segments, starting eight times.
const BATCHES: u64 = 600;

/// Cuts of each model.
const POINTS: usize = 28;

/// The writer's run.
struct Run {
    /// Holds all files of the test.
    dir: tempfile::TempDir,
    /// The logged directory.
    root: PathBuf,
    records: Vec<Record>,
}

/// The logger, compiled; `None`, with the reason printed, where no C compiler is.
fn shim(at: &Path) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/power-cut/powerlog.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(at).args([source, "-ldl", "-lpthread"]);
    match compiler.status() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            println!("skipped: needs cc");
            return None;
        }
        status => assert!(status.expect("cc runs").success(), "powerlog.c does not compile"),
    }
    Some(at.to_owned())
}

/// Runs the writer under the logger; `None`, with the reason printed, where no C compiler is.
fn run(session: u64, full_after: Option<u64>) -> Option<Run> {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().canonicalize().expect("exists");
    let (log, root) = (path.join("log"), path.join("root"));
    let shim = shim(&path.join("powerlog.so"))?;
    fs::create_dir(&root).expect("makes");
    let mut writer = Command::new(env!("CARGO_BIN_EXE_power-cut-writer"));
    writer
        .arg(root.join("data"))
        .arg(BATCHES.to_string())
        .arg(session.to_string())
        .stdout(Stdio::null());
    writer.env("LD_PRELOAD", &shim).env("POWERLOG_DIR", &root).env("POWERLOG_FILE", &log);
    if let Some(bytes) = full_after {
        writer.env("POWERLOG_FULL", bytes.to_string());
    }
    writer.status().expect("the writer runs");
    let records = log::parse(&fs::read(log).expect("a log"));
    Some(Run { dir, root, records })
}

/// The batch that a record acknowledges.
fn acked(record: &Record) -> Option<u64> {
    let Event::Ack(line) = &record.event else { return None };
    line.trim().parse().ok()
}

/// Where to cut: a quarter of the points right behind an acknowledgement, where nothing may be
/// pending that matters; a quarter while sled starts, the creation of the store included; a quarter
/// around writes to the key file; the others anywhere.
fn points(records: &[Record], chance: &mut Chance) -> Vec<usize> {
    let at = |wanted: fn(&Record) -> bool| -> Vec<usize> {
        (0..records.len()).filter(|at| wanted(&records[*at])).collect()
    };
    let acks = at(|record| acked(record).is_some());
    let starts = at(|record| matches!(record.event, Event::Create(_)));
    let turns = key_writes(records);
    assert!(turns.len() > 50, "{} writes to the key file", turns.len());
    let mut points: Vec<usize> = (0..POINTS)
        .map(|number| match number % 4 {
            0 => acks[chance.below(acks.len())] + 1,
            1 => (starts[chance.below(starts.len())] + chance.below(16)).min(records.len()),
            2 => (turns[chance.below(turns.len())] + chance.below(4)).min(records.len()),
            _ => chance.below(records.len()),
        })
        .collect();
    points.sort_unstable();
    points
}

/// Writes to the file of the store's keys.
fn key_writes(records: &[Record]) -> Vec<usize> {
    let mut files = BTreeSet::new();
    let mut writes = Vec::new();
    for (at, record) in records.iter().enumerate() {
        if matches!(&record.event, Event::Path(path) if path.ends_with("/data/keys")) {
            files.insert(record.file);
        } else if matches!(record.event, Event::Write(..)) && files.contains(&record.file) {
            writes.push(at);
        }
    }
    writes
}

/// What is wrong with the store in `dir`, of which `acked` was acknowledged.
fn fault(dir: &Path, acked: u64) -> Option<String> {
    resumed(dir).err().or_else(|| fault_of(dir, acked))
}

/// Finishes the turn of keys that was interrupted, and begins none: what it leaves must open.
fn resumed(dir: &Path) -> Result<(), String> {
    let store = workload::open(dir).map_err(|error| format!("does not open: {error}"))?;
    let end = Instant::now() + Duration::from_secs(60);
    store.erase_until(end).map(drop).map_err(|error| format!("does not resume: {error}"))
}

fn fault_of(dir: &Path, acked: u64) -> Option<String> {
    let store = match workload::open(dir) {
        Ok(store) => store,
        Err(error) => return Some(format!("does not open: {error}")),
    };
    let last = match store.get(&workload::counter()) {
        Ok(row) => row.map_or(0, |row| u64::from_be_bytes(row.try_into().unwrap_or_default())),
        Err(error) => return Some(format!("does not read: {error}")),
    };
    if last < acked {
        return Some(format!("lost: {acked} was acknowledged, {last} is there"));
    }
    let expected = workload::state(last);
    let wrong =
        |(key, value): &(&Key, &Vec<u8>)| store.get(key).as_ref() != Ok(&Some((*value).clone()));
    if let Some((key, _)) = expected.iter().find(wrong) {
        return Some(format!("batch {last} is not whole: {key:?}"));
    }
    match store.fsck() {
        Ok(Fsck { rows, corrupt: 0, orphans: 0, .. }) if rows == expected.len() as u64 => {}
        found => return Some(format!("batch {last} is not alone: {found:?}")),
    }
    store.want_erasure();
    if let Err(error) = store.erase_until(Instant::now() + Duration::from_secs(60)) {
        return Some(format!("does not turn its keys: {error}"));
    }
    if let Some((key, _)) = expected.iter().find(wrong) {
        return Some(format!("batch {last} is not whole after new keys: {key:?}"));
    }
    match store.commit(&[workload::batch(last + 1)]) {
        Ok(_) => None,
        Err(error) => Some(format!("does not go on: {error}")),
    }
}

/// The faults at the points of one model.
fn faults(run: &Run, model: Model) -> Vec<String> {
    let root = run.root.to_str().expect("UTF-8");
    let mut chance = Chance::seeded(42);
    let mut disk = Disk::new(root, model);
    let (mut done, mut last, mut faults) = (0, 0, Vec::new());
    for (number, point) in points(&run.records, &mut chance).into_iter().enumerate() {
        for record in &run.records[done..point.max(done)] {
            disk.apply(record);
            last = acked(record).unwrap_or(last);
        }
        done = point.max(done);
        let image = run.dir.path().join(format!("{model:?}-{number}"));
        disk.cut(&mut chance, &image).expect("the image is written");
        let data = image.join("data");
        // The second look is at what the first one's recovery and commit have left.
        let fault = fault(&data, last).or_else(|| fault(&data, last + 1));
        faults.extend(fault.map(|fault| format!("{model:?} at record {point}: {fault}")));
        fs::remove_dir_all(image).expect("removes");
    }
    faults
}

#[test]
fn every_acknowledged_batch_survives_a_power_cut_and_none_is_half_there() {
    let Some(run) = run(25, None) else { return };
    let acks = run.records.iter().filter_map(acked).max();
    assert!(acks.is_some_and(|last| last >= BATCHES), "the writer stopped at {acks:?}");

    for model in [Model::Drop, Model::Random, Model::Range, Model::Names] {
        let faults = faults(&run, model);
        println!("{model:?}: {} of {POINTS} points survive", POINTS - faults.len());
        assert!(faults.is_empty(), "{} faults, first: {}", faults.len(), faults[0]);
    }
}

/// kill -9 instead of a power cut: the kernel keeps what was written, the process leaves whatever
/// step it was in. Its keys turn every 15 commits.
#[test]
fn a_writer_that_is_killed_while_its_keys_turn_leaves_a_whole_store() {
    let mut chance = Chance::seeded(7);
    for round in 0..4 {
        let dir = tempfile::tempdir().expect("temporary directory");
        let data = dir.path().join("data");
        let mut writer = Command::new(env!("CARGO_BIN_EXE_power-cut-writer"));
        writer.arg(&data).args(["1000000", "1000000"]).stdout(Stdio::piped());
        let mut child = writer.spawn().expect("the writer runs");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let until = 40 + chance.below(150);
        let mut last = 0;
        while last < until {
            last = lines.next().expect("it goes on").expect("a line").parse().expect("a number");
        }
        std::thread::sleep(Duration::from_micros(chance.below(20_000) as u64));
        child.kill().expect("kill -9");
        child.wait().expect("it ends");
        // What it said before the kill counts too.
        let said = lines.map_while(Result::ok).filter_map(|line| line.parse().ok()).max();
        let last = said.unwrap_or(last);

        assert_eq!(fault(&data, last as u64), None, "round {round}, killed after {last}");
    }
}

#[test]
fn a_disk_that_fills_up_costs_no_acknowledged_batch_and_closes_the_store() {
    let Some(run) = run(u64::MAX, Some(3_000_000)) else { return };
    let last = run.records.iter().filter_map(acked).max().expect("some room was there");

    let last_line = |record: &Record| {
        let Event::Ack(line) = &record.event else { return None };
        Some(line.trim().to_owned())
    };
    let end = run.records.iter().rev().find_map(last_line);

    assert_eq!(end.as_deref(), Some("failed full=true closed=true"));
    assert!(last < BATCHES);
    assert_eq!(fault(&run.root.join("data"), last), None);
}

#[test]
fn nothing_that_the_store_makes_is_open_to_others() {
    let Some(run) = run(25, None) else { return };

    let mut paths = vec![run.root.join("data")];
    while let Some(path) = paths.pop() {
        let metadata = path.metadata().expect("exists");
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
        if metadata.is_dir() {
            paths.extend(
                fs::read_dir(path).expect("lists").map(|entry| entry.expect("entry").path()),
            );
        }
    }
}
