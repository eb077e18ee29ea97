//! The commit rule: an output leaves only when every write before it is durable.
//!
//! One batch is on its way to the disk at a time; what is written meanwhile gathers in the next,
//! so that one fsync serves all that arrived during the one before it.

use std::collections::VecDeque;

use super::Output;
use crate::store::BatchId;

/// Outputs that wait, each behind the batch that it depends on.
#[derive(Debug)]
pub(super) struct Commit {
    free: VecDeque<Output>,
    waiting: VecDeque<(BatchId, Output)>,
    durable: BatchId,
}

impl Commit {
    pub(super) const fn new() -> Self {
        Self { free: VecDeque::new(), waiting: VecDeque::new(), durable: BatchId(0) }
    }

    /// Queues an output that depends on no write.
    pub(super) fn at_once(&mut self, output: Output) {
        self.free.push_back(output);
    }

    /// Queues an output behind a batch. Batches never decrease.
    pub(super) fn behind(&mut self, batch: BatchId, output: Output) {
        self.waiting.push_back((batch, output));
    }

    /// Every batch up to this one is on the disk.
    pub(super) fn persisted(&mut self, batch: BatchId) {
        self.durable = self.durable.max(batch);
    }

    /// What was to be written after this batch came to nothing: what waits for more need not.
    pub(super) fn nothing_written(&mut self, last: BatchId) {
        for (batch, _) in &mut self.waiting {
            *batch = last.min(*batch);
        }
    }

    /// The next output that may leave.
    pub(super) fn poll(&mut self) -> Option<Output> {
        if let Some(output) = self.free.pop_front() {
            return Some(output);
        }
        let (needs, _) = self.waiting.front()?;
        if *needs > self.durable {
            return None;
        }
        self.waiting.pop_front().map(|(_, output)| output)
    }

    /// Outputs that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.free.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::Fact;

    #[derive(Clone, Debug)]
    enum Step {
        Output,
        Seal,
        Persist,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![Just(Step::Output), Just(Step::Seal), Just(Step::Persist)]
    }

    proptest! {
        /// Whatever the interleaving, an output that left was preceded only by durable writes; and
        /// once all is durable, every output leaves in the order of its decision.
        #[test]
        fn an_output_leaves_only_when_every_earlier_write_is_durable(steps in prop::collection::vec(step(), 0..200)) {
            let mut commit = Commit::new();
            let (mut open, mut durable) = (1, 0);
            let mut needs = VecDeque::new();
            let check = |commit: &mut Commit, needs: &mut VecDeque<u64>, durable: u64| {
                while commit.poll().is_some() {
                    let need = needs.pop_front().expect("an output that was queued");
                    assert!(need <= durable, "left behind batch {need}, durable {durable}");
                }
            };
            for step in steps {
                match step {
                    Step::Output => {
                        commit.behind(BatchId(open), Output::Fact(Fact::Queued));
                        needs.push_back(open);
                    }
                    Step::Seal => open += 1,
                    Step::Persist => {
                        durable = open - 1;
                        commit.persisted(BatchId(durable));
                    }
                }
                check(&mut commit, &mut needs, durable);
            }
            commit.persisted(BatchId(open));
            check(&mut commit, &mut needs, open);
            prop_assert!(needs.is_empty());
        }
    }
}
