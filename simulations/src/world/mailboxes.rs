//! Questions to mailbox nodes and their way: latency, breaks, nodes that are down.

use std::time::Duration;

use bitchat_protocol::engine::{Command, Input};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::{Ask, RequestId, Unanswered};
use rand_chacha::rand_core::Rng;

use super::keeper::{Keeper, Keeping};
use super::{NodeId, Step, World};

/// How long a fetch waits.
const FETCH_WAIT: Duration = Duration::from_secs(60);

/// Names a mailbox node of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MailboxId(pub usize);

impl World {
    /// Adds a mailbox node; it runs at once.
    pub fn add_mailbox(&mut self, keeping: Keeping) -> MailboxId {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        self.keepers.push(Keeper::new(seed, keeping));
        MailboxId(self.keepers.len() - 1)
    }

    /// The device of a mailbox node.
    #[must_use]
    pub fn mailbox(&self, id: MailboxId) -> DeviceId {
        self.keepers.get(id.0).map_or(DeviceId([0; 32]), Keeper::device)
    }

    /// Rents at mailbox nodes for a node.
    pub fn rent(&mut self, node: NodeId, mailboxes: &[MailboxId]) {
        for id in mailboxes {
            let addresses = vec![format!("/memory/mailbox/{}", id.0)];
            let (mailbox, access) = (self.mailbox(*id), String::new());
            self.command(node, Command::MailboxAdd { node: mailbox, addresses, access });
        }
    }

    /// Takes a mailbox node down, or up again. What it holds it keeps.
    pub fn set_mailbox_up(&mut self, id: MailboxId, up: bool) {
        let Some(keeper) = self.keepers.get_mut(id.0) else { return };
        keeper.up = up;
        for waiting in std::mem::take(&mut keeper.waiting) {
            let why = Unanswered::Silent;
            let input = Input::Unanswered { request: waiting.request, why };
            self.later(Duration::ZERO, Step::Input(waiting.node, waiting.life, input));
        }
    }

    /// Work that a mailbox node asks for.
    pub fn set_mailbox_work(&mut self, id: MailboxId, bits: u32) {
        if let Some(keeper) = self.keepers.get_mut(id.0) {
            keeper.work_bits = bits;
        }
    }

    /// Changes how a mailbox node keeps its word.
    pub fn set_keeping(&mut self, id: MailboxId, keeping: Keeping) {
        if let Some(keeper) = self.keepers.get_mut(id.0) {
            keeper.keeping = keeping;
        }
    }

    /// A mailbox node loses everything.
    pub fn lose_mailbox(&mut self, id: MailboxId) {
        if let Some(keeper) = self.keepers.get_mut(id.0) {
            keeper.forget();
        }
    }

    /// Envelopes at a mailbox node, tags that let somebody in there, and fetches so far.
    #[must_use]
    pub fn mailbox_holds(&self, id: MailboxId) -> (usize, usize, u64) {
        let keeper = self.keepers.get(id.0);
        keeper.map_or((0, 0, 0), |keeper| (keeper.held(), keeper.tags(), keeper.fetches))
    }

    /// How long the other nodes of its owners take what a mailbox node passes on; for each of them.
    #[must_use]
    pub fn may_pass_on(&self, id: MailboxId) -> Vec<Duration> {
        let now = self.now().wall;
        let until = |tag| self.keepers.iter().find_map(|keeper| keeper.lets_in(tag));
        let fellows = self.keepers.get(id.0).into_iter().flat_map(Keeper::fellows);
        fellows.map(|tag| until(tag).map_or(Duration::ZERO, |until| until.since(now))).collect()
    }

    /// How often a mailbox node was asked to keep something by whom it lets in.
    #[must_use]
    pub fn mailbox_deposits(&self, id: MailboxId) -> u64 {
        self.keepers.get(id.0).map_or(0, |keeper| keeper.deposits)
    }

    /// Kills a node for good, or until [`World::wake`].
    pub fn sleep(&mut self, node: NodeId) {
        if let Some(sleeper) = self.nodes.get_mut(node.0) {
            sleeper.crash();
            self.cut_all(node);
        }
    }

    /// Starts a node that sleeps.
    pub fn wake(&mut self, node: NodeId) {
        self.later(Duration::ZERO, Step::Restart(node));
        self.run_for(Duration::from_millis(1));
    }

    /// An engine asks a mailbox node.
    pub(super) fn ask_mailbox(&mut self, from: NodeId, ask: Ask) {
        let life = self.nodes.get(from.0).map_or(0, super::Node::life);
        let wait = self.some_time(self.faults.latency);
        self.later(wait, Step::Asked(from, life, Box::new(ask)));
    }

    /// A question arrives.
    pub(super) fn asked(&mut self, from: NodeId, life: u32, ask: &Ask) {
        let request = ask.request;
        let index = self.keepers.iter().position(|keeper| keeper.device() == ask.node);
        let up = index.and_then(|index| self.keepers.get(index)).is_some_and(|keeper| keeper.up);
        let (Some(index), true) = (index, up) else {
            return self.unanswered(from, life, (request, Unanswered::Unreachable));
        };
        sha2::Digest::update(&mut self.hash, &ask.frame);
        if self.happens(self.faults.breaks_per_mille) {
            return self.unanswered(from, life, (request, Unanswered::Silent));
        }
        let wall = self.now().wall;
        let asker = ask.veil.device();
        let answer = self
            .keepers
            .get_mut(index)
            .and_then(|keeper| keeper.handle((from, life, asker), &ask.frame, wall));
        // The answer may be lost although the node did what was asked.
        if self.happens(self.faults.breaks_per_mille) {
            return self.unanswered(from, life, (request, Unanswered::Silent));
        }
        match answer {
            Some(frame) => self.answer_back(from, life, request, frame),
            None => self.later(FETCH_WAIT, Step::InVain(index, request)),
        }
        let woken = self.keepers.get_mut(index).map(Keeper::woken).unwrap_or_default();
        for (waiting, frame) in woken {
            self.answer_back(waiting.node, waiting.life, waiting.request, frame);
        }
    }

    /// A fetch has waited long enough.
    pub(super) fn waited_in_vain(&mut self, index: usize, request: RequestId) {
        let over = self.keepers.get_mut(index).and_then(|keeper| keeper.in_vain(request));
        if let Some((waiting, frame)) = over {
            self.answer_back(waiting.node, waiting.life, request, frame);
        }
    }

    fn answer_back(&mut self, to: NodeId, life: u32, request: RequestId, frame: Vec<u8>) {
        let back = self.some_time(self.faults.latency);
        self.later(back, Step::Input(to, life, Input::Answered { request, frame }));
    }

    fn unanswered(&mut self, to: NodeId, life: u32, (request, why): (RequestId, Unanswered)) {
        let back = self.some_time(self.faults.latency);
        self.later(back, Step::Input(to, life, Input::Unanswered { request, why }));
    }
}
