//! Work that a node asks for, done in slices: the engine never stands still for it.
//!
//! See docs/SPEC.md, section "The client".

use std::time::Duration;

use rand_core::CryptoRng;

use super::super::timer::Reason;
use super::super::{Engine, Fact};
use super::depot::Cargo;
use crate::error::Error;
use crate::id::{AccountId, DeviceId};
use crate::mailbox::{Admission, Tag, find_work};
use crate::store::Store;
use crate::time::UnixMillis;

/// Zero bits that we work for at most: some seconds.
pub(super) const WORK_BITS_MAX: u32 = 24;

/// Numbers tried at a time: about a millisecond.
const SLICE: u64 = 4_096;

/// Between two slices.
const PAUSE: Duration = Duration::from_millis(1);

/// Jobs that wait.
const JOBS_MAX: usize = 64;

/// One search.
#[derive(Debug)]
pub(super) struct Job {
    node: DeviceId,
    subject: [u8; 32],
    bits: u32,
    next: u64,
    goal: Goal,
}

/// What is paid with it.
#[derive(Debug)]
enum Goal {
    Rental,
    Deposit { account: AccountId, cargo: Cargo, tag: Tag, seal: Vec<u8>, until: UnixMillis },
}

impl Job {
    pub(super) const fn for_rental(node: DeviceId, subject: [u8; 32], bits: u32) -> Self {
        Self { node, subject, bits, next: 1, goal: Goal::Rental }
    }

    pub(super) fn for_deposit(
        node: DeviceId,
        subject: [u8; 32],
        bits: u32,
        (account, cargo, tag, seal, until): (AccountId, Cargo, Tag, Vec<u8>, UnixMillis),
    ) -> Self {
        let goal = Goal::Deposit { account, cargo, tag, seal, until };
        Self { node, subject, bits, next: 1, goal }
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Says whether there is room for it.
    pub(super) fn add_job(&mut self, job: Job) -> bool {
        let has_room = self.mail.jobs.len() < JOBS_MAX;
        if has_room {
            self.mail.jobs.push_back(job);
            self.timers.set_if_none(Reason::Work, self.now.mono);
        } else {
            self.fact(Fact::BoundReached("mailbox work"));
        }
        has_room
    }

    /// One slice of the oldest job.
    pub(in crate::engine) fn work_on(&mut self) -> Result<(), Error> {
        let Some(mut job) = self.mail.jobs.pop_front() else { return Ok(()) };
        self.timers.set(Reason::Work, self.now.mono + PAUSE);
        match find_work(job.node, &job.subject, (job.next, SLICE), job.bits) {
            Some(work) => self.work_done(job, work),
            None => {
                job.next = job.next.saturating_add(SLICE);
                self.mail.jobs.push_front(job);
                Ok(())
            }
        }
    }

    fn work_done(&mut self, job: Job, work: u64) -> Result<(), Error> {
        match job.goal {
            Goal::Rental => {
                let Some(rent) = self.mail.rents.get_mut(&job.node) else { return Ok(()) };
                rent.working = false;
                rent.work = work;
                self.run_rental(job.node)
            }
            Goal::Deposit { account, cargo, tag, seal, until } => {
                if !self.is_wanted((account, job.node), cargo) {
                    self.landed(account, job.node, cargo);
                    return Ok(());
                }
                let admission = Admission::Work { tag, work };
                self.fly((account, job.node), cargo, (admission, seal, until));
                Ok(())
            }
        }
    }
}
