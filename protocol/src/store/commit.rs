//! The commit rule: an output leaves only when every write before it is durable.
//!
//! One batch is on its way to the disk at a time; what is written meanwhile gathers in the next,
//! so that one fsync serves all that arrived during the one before it.

use std::collections::VecDeque;

use super::BatchId;

/// Outputs that wait, each behind the batch that it depends on.
#[derive(Debug)]
pub struct Commit<T> {
    free: VecDeque<T>,
    waiting: VecDeque<(BatchId, T)>,
    durable: BatchId,
}

impl<T> Commit<T> {
    /// Nothing waits.
    #[must_use]
    pub const fn new() -> Self {
        Self { free: VecDeque::new(), waiting: VecDeque::new(), durable: BatchId(0) }
    }

    /// Queues an output that depends on no write.
    pub fn at_once(&mut self, output: T) {
        self.free.push_back(output);
    }

    /// Queues an output behind a batch. Batches never decrease.
    pub fn behind(&mut self, batch: BatchId, output: T) {
        self.waiting.push_back((batch, output));
    }

    /// Every batch up to this one is on the disk.
    pub fn persisted(&mut self, batch: BatchId) {
        self.durable = self.durable.max(batch);
    }

    /// What was to be written after this batch came to nothing: what waits for more need not.
    pub fn nothing_written(&mut self, last: BatchId) {
        for (batch, _) in &mut self.waiting {
            *batch = last.min(*batch);
        }
    }

    /// The next output that may leave.
    pub fn poll(&mut self) -> Option<T> {
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
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len().saturating_add(self.free.len())
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Default for Commit<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            let check = |commit: &mut Commit<()>, needs: &mut VecDeque<u64>, durable: u64| {
                while commit.poll().is_some() {
                    let need = needs.pop_front().expect("an output that was queued");
                    assert!(need <= durable, "left behind batch {need}, durable {durable}");
                }
            };
            for step in steps {
                match step {
                    Step::Output => {
                        commit.behind(BatchId(open), ());
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
