//! Flushes: when they end in a crash, by chance or because a test wants exactly that one.

use std::collections::BTreeMap;
use std::time::Duration;

use bitchat_protocol::engine::{DeliveryState, DeliveryView, Input};
use bitchat_protocol::id::MessageId;
use bitchat_protocol::store::Batch;
use sha2::Digest;

use super::{MailboxId, NodeId, World};

/// How long a crashed node is down.
pub(super) const DOWN: Duration = Duration::from_millis(500);

/// Whoever has a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A node.
    Node(NodeId),
    /// A mailbox node.
    Mailbox(MailboxId),
}

/// How a flush ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The disk has it, and whoever wrote it is told.
    Done,
    /// The disk has it; nobody is told.
    Kept,
    /// The disk does not have it.
    Lost,
}

impl Fate {
    pub(super) fn is_kept(self) -> bool {
        self != Self::Lost
    }

    pub(super) fn is_crash(self) -> bool {
        self != Self::Done
    }
}

/// What is counted of flushes and of the states of messages.
#[derive(Debug, Default)]
pub(super) struct Watch {
    flushes: BTreeMap<Owner, u64>,
    kills: BTreeMap<(Owner, u64), Fate>,
    states: BTreeMap<(NodeId, MessageId), DeliveryState>,
    back: usize,
}

impl World {
    /// Flushes that ended so far, however.
    #[must_use]
    pub fn flushes(&self, owner: Owner) -> u64 {
        self.watch.flushes.get(&owner).copied().unwrap_or(0)
    }

    /// This flush, counted from the beginning of the world, ends in a crash: after the disk has it, or before.
    pub fn kill_at(&mut self, owner: Owner, flush: u64, kept: bool) {
        let fate = if kept { Fate::Kept } else { Fate::Lost };
        self.watch.kills.insert((owner, flush), fate);
    }

    /// Wanted crashes that are still to come.
    #[must_use]
    pub fn kills_due(&self) -> usize {
        self.watch.kills.len()
    }

    /// How often a user was told of a state below one that was told before.
    #[must_use]
    pub const fn states_back(&self) -> usize {
        self.watch.back
    }

    pub(super) fn watch_state(&mut self, node: NodeId, view: &DeliveryView) {
        let before = self.watch.states.insert((node, view.id), view.state);
        self.watch.back += usize::from(before.is_some_and(|before| before > view.state));
    }

    pub(super) fn fate(&mut self, owner: Owner) -> Fate {
        let flush = self.watch.flushes.entry(owner).or_default();
        *flush += 1;
        if let Some(fate) = self.watch.kills.remove(&(owner, *flush)) {
            return fate;
        }
        if !self.happens(self.faults.crashes_per_mille) {
            return Fate::Done;
        }
        if self.happens(500) { Fate::Lost } else { Fate::Kept }
    }

    pub(super) fn hash_batch(&mut self, batch: &Batch) {
        for (key, value) in batch.writes.iter() {
            self.hash.update(&key.scope);
            self.hash.update(&key.order);
            self.hash.update(value.as_deref().unwrap_or_default());
        }
    }

    pub(super) fn flushed(&mut self, node: NodeId, life: u32, batch: &Batch) {
        if !self.nodes.get(node.0).is_some_and(|n| n.lives(life)) {
            return;
        }
        let fate = self.fate(Owner::Node(node));
        if fate.is_kept() {
            self.hash_batch(batch);
            let durable = self.nodes.get(node.0).map(|n| n.disk().commit(batch));
            if let Some(durable) = durable.filter(|_| !fate.is_crash()) {
                self.feed(node, Input::Persisted(durable));
            }
        }
        if fate.is_crash() {
            self.crash(node, DOWN);
        }
    }
}
