//! What the host of a mailbox node is fed and what it gives out.

use bitchat_protocol::mailbox::host::{HostInput, HostOutput};
use bitchat_protocol::store::Batch;

use super::flush::Owner;
use super::keeper::Keeper;
use super::mailboxes::{Asker, MailboxId};
use super::{Step, World};

impl World {
    pub(super) fn feed_host(&mut self, index: usize, input: HostInput) {
        let now = self.now();
        if let Some(keeper) = self.keepers.get_mut(index) {
            keeper.handle(input, now);
        }
        self.settle_host(index);
    }

    /// Carries out every output of a host.
    pub(super) fn settle_host(&mut self, index: usize) {
        while let Some(output) = self.keepers.get_mut(index).and_then(Keeper::poll) {
            let life = self.keepers.get(index).map_or(0, Keeper::life);
            match output {
                HostOutput::Persist(batch) => {
                    let flush = self.some_time(self.faults.flush);
                    self.later(flush, Step::HostFlushed(index, life, batch));
                }
                HostOutput::Respond { peer, frame } => self.answer_back(index, peer, frame),
                HostOutput::Ask(ask) => self.ask_mailbox(Asker::Host(index, life), ask),
                HostOutput::Fact(fact) => self.count_host(&fact),
            }
        }
    }

    pub(super) fn host_lives(&self, index: usize, life: u32) -> bool {
        self.keepers.get(index).is_some_and(|keeper| keeper.lives(life))
    }

    pub(super) fn host_flushed(&mut self, index: usize, life: u32, batch: &Batch) {
        if !self.host_lives(index, life) {
            return;
        }
        let fate = self.fate(Owner::Mailbox(MailboxId(index)));
        if fate.is_kept() {
            self.hash_batch(batch);
            let durable = self.keepers.get(index).map(|keeper| keeper.disk().commit(batch));
            if let Some(durable) = durable.filter(|_| !fate.is_crash()) {
                self.feed_host(index, HostInput::Persisted(durable));
            }
        }
        if fate.is_crash() {
            self.crash_mailbox(MailboxId(index), super::flush::DOWN);
        }
    }

    pub(super) fn start_host(&mut self, index: usize) {
        let now = self.now();
        if let Some(keeper) = self.keepers.get_mut(index).filter(|keeper| !keeper.is_up()) {
            keeper.start(now);
        }
        self.settle_host(index);
    }

    /// Everybody who waits for an answer learns that there is none.
    pub(super) fn kill_host(&mut self, index: usize) {
        let Some(keeper) = self.keepers.get_mut(index) else { return };
        let life = keeper.life();
        keeper.crash();
        let peers: Vec<_> = keeper.waiting.keys().map(|(peer, _)| *peer).collect();
        for peer in peers {
            self.hang_up(index, peer);
        }
        self.hang_up_all(Asker::Host(index, life));
    }
}
