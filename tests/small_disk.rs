//! A disk that can be full, and a store on it.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use bitchat_node::keystore::StoreKeys;
use bitchat_node::store::{Committer, SledStore};
use bitchat_protocol::crypto::Secret;
use bitchat_protocol::store::{Batch, BatchId, Key, Store, Table};

use crate::harness::Stage;

/// A file system of its own, in memory; unmounted with this value.
pub(crate) struct SmallDisk {
    pub(crate) at: PathBuf,
}

impl SmallDisk {
    /// `None`, with the reason printed, where this user may not mount.
    pub(crate) fn mount(at: PathBuf, mib: u64) -> Option<Self> {
        std::fs::create_dir(&at).expect("a directory");
        let size = format!("size={mib}m,mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&at);
        if !mount.output().is_ok_and(|done| done.status.success()) {
            eprintln!("skipped: needs to mount a tmpfs");
            return None;
        }
        Some(Self { at })
    }

    fn free(&self) -> u64 {
        let output = Command::new("df").args(["--output=avail", "-B1"]).arg(&self.at).output();
        let output = String::from_utf8(output.expect("df runs").stdout).expect("UTF-8");
        output.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a number")
    }

    /// Fills the disk until so many bytes are free.
    pub(crate) fn fill(&self, left: u64) {
        let mut file =
            File::options().create(true).append(true).open(self.filler()).expect("opens");
        let mut more = self.free().saturating_sub(left);
        let block = vec![0x55; 64 * 1024];
        while more > 0 {
            let part = block.len().min(usize::try_from(more).expect("fits"));
            match file.write(&block[..part]) {
                Ok(written) => more -= written as u64,
                Err(_) => return, // Full is what was asked for.
            }
        }
    }

    pub(crate) fn empty(&self) {
        std::fs::remove_file(self.filler()).expect("removes");
    }

    pub(crate) fn filler(&self) -> PathBuf {
        self.at.join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.at).status());
    }
}

/// The driver looks at the room each second; what is on its way to the disk then is not lost either.
#[test]
fn a_batch_that_finds_no_room_waits_for_it_and_is_durable_once() {
    let stage = Stage::new();
    let Some(disk) = SmallDisk::mount(stage.path("small"), 32) else { return };
    let keys = StoreKeys::derive(&Secret::take(&mut [7; 32]));
    let store = SledStore::open(&disk.at.join("data"), keys).expect("opens");
    let (done, results) = std::sync::mpsc::channel();
    let tell = move |result: Result<Vec<_>, _>| drop(done.send(result.map(|proofs| proofs.len())));
    let committer = Committer::start(store.clone(), 4, tell, drop).expect("a thread");
    let row = Key::of(Table::Meta, b"row");
    let batch = |id| Batch {
        id: BatchId(id),
        writes: std::sync::Arc::new([(row.clone(), Some(vec![7; 100]))].into()),
    };

    disk.fill(0);
    committer.submit(batch(1)).expect("it takes one");
    let early = results.recv_timeout(Duration::from_millis(500));
    assert!(early.is_err() && store.get(&row) == Ok(None), "{early:?}");

    disk.empty();
    assert_eq!(results.recv_timeout(Duration::from_secs(5)), Ok(Ok(1)));
    assert_eq!(store.get(&row), Ok(Some(vec![7; 100])));
}
