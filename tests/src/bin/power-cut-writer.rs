//! `power-cut-writer DIR BATCHES SESSION`: commits numbered batches through the shipped store and
//! names each on standard output once it is durable; starts the store anew after SESSION commits.
//! Between commits the keys turn, a step at a time. Run by the power-cut test under its write logger.

use std::env::args;
use std::error::Error;
use std::io::{Write, stdout};
use std::path::Path;

use bitchat_protocol::store::StoreError;

/// Commits from one turn of the keys to the next.
const TURN_EVERY: u64 = 15;

#[path = "../../power-cut/workload.rs"]
#[allow(dead_code, reason = "the checker uses the other half")]
mod workload;

fn main() -> Result<(), Box<dyn Error>> {
    let [dir, batches, session] =
        args().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "usage")?;
    let (batches, session): (u64, u64) = (batches.parse()?, session.parse()?);
    let (mut next, mut commits) = (1, 0);
    let mut store = workload::open(Path::new(&dir))?;
    while next <= batches {
        // One to five batches share a flush.
        let group: Vec<_> = (next..next + 1 + next % 5).map(workload::batch).collect();
        if commits % TURN_EVERY == 0 {
            store.want_erasure();
        }
        match store.erase_step().and_then(|_| store.commit(&group)) {
            Ok(proofs) => {
                let last = proofs.last().ok_or("no proof")?.batch().0;
                // One line is one write(2): it is logged as the acknowledgement.
                writeln!(stdout(), "{last}")?;
                next = last + 1;
            }
            Err(error) => {
                let again = store.commit(&group).is_err();
                writeln!(stdout(), "failed full={} closed={again}", error == StoreError::Full)?;
                break;
            }
        }
        commits += 1;
        if commits % session == 0 {
            drop(store);
            store = workload::open(Path::new(&dir))?;
        }
    }
    // No farewell: what is not durable now must not become so by a tidy end.
    std::process::abort()
}
