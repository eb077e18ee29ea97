//! Questions to mailbox nodes and their way: latency, breaks, nodes that are down.

use std::time::Duration;

use bitchat_protocol::engine::{Command, Input};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::host::HostInput;
use bitchat_protocol::mailbox::{Ask, RequestId, Response, Unanswered};
use rand_chacha::rand_core::Rng;
use sha2::Digest;

use super::keeper::{Keeper, Keeping};
use super::{NodeId, Step, World};
use crate::disk::Disk;

/// How long a question stays on the wire before a node that takes no more looks at it again.
const FULL_WAIT: Duration = Duration::from_millis(10);

/// Who asked a mailbox node: an engine or a host, in this incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    Node(NodeId, u32),
    Host(usize, u32),
}

/// Names a mailbox node of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MailboxId(pub usize);

impl World {
    /// Adds a mailbox node; it runs at once.
    pub fn add_mailbox(&mut self, keeping: Keeping) -> MailboxId {
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let now = self.now();
        self.keepers.push(Keeper::new(seed, keeping, now));
        self.settle_host(self.keepers.len() - 1);
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

    /// Takes a mailbox node down, or up again. What is on its disk stays.
    pub fn set_mailbox_up(&mut self, id: MailboxId, up: bool) {
        self.kill_host(id.0);
        if up {
            self.start_host(id.0);
        }
    }

    /// Kills a mailbox node between two of its outputs; it starts again after `down`.
    pub fn crash_mailbox(&mut self, id: MailboxId, down: Duration) {
        self.kill_host(id.0);
        self.later(down, Step::RestartHost(id.0));
    }

    /// Work that a mailbox node asks for.
    pub fn set_mailbox_work(&mut self, id: MailboxId, bits: u32) {
        let now = self.now();
        if let Some(keeper) = self.keepers.get_mut(id.0) {
            keeper.set(None, Some(bits), now);
        }
    }

    /// Changes how a mailbox node keeps its word.
    pub fn set_keeping(&mut self, id: MailboxId, keeping: Keeping) {
        let now = self.now();
        if let Some(keeper) = self.keepers.get_mut(id.0) {
            keeper.set(Some(keeping), None, now);
        }
    }

    /// A mailbox node loses everything.
    pub fn lose_mailbox(&mut self, id: MailboxId) {
        self.kill_host(id.0);
        if let Some(keeper) = self.keepers.get_mut(id.0) {
            keeper.forget();
        }
        self.start_host(id.0);
    }

    /// Envelopes at a mailbox node, tags that let somebody in there, and fetches so far.
    #[must_use]
    pub fn mailbox_holds(&self, id: MailboxId) -> (usize, usize, u64) {
        let keeper = self.keepers.get(id.0);
        keeper.map_or((0, 0, 0), |keeper| (keeper.held(), keeper.tags(), keeper.fetches))
    }

    /// How often a mailbox node was asked to keep something.
    #[must_use]
    pub fn mailbox_deposits(&self, id: MailboxId) -> u64 {
        self.keepers.get(id.0).map_or(0, |keeper| keeper.deposits)
    }

    /// What lies on the disk of a mailbox node now.
    #[must_use]
    pub fn mailbox_disk(&self, id: MailboxId) -> Disk {
        self.keepers.get(id.0).map(|keeper| keeper.disk().copy()).unwrap_or_default()
    }

    /// How often a host met what should not be: an impossible case, a failed read, a frame that is no request.
    #[must_use]
    pub fn host_faults(&self) -> u64 {
        let bad = ["host Bug", "host StoreFailed", "host Malformed"];
        let faults = self.facts.iter().filter(|(name, _)| bad.iter().any(|b| name.starts_with(b)));
        faults.map(|(_, count)| count).sum()
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

    /// Somebody asks a mailbox node.
    pub(super) fn ask_mailbox(&mut self, from: Asker, ask: Ask) {
        let wait = self.some_time(self.faults.latency);
        self.later(wait, Step::Asked(from, Box::new(ask)));
    }

    /// A question arrives.
    pub(super) fn asked(&mut self, from: Asker, ask: Box<Ask>) {
        let (request, peer) = (ask.request, ask.veil.device());
        let index = self.keepers.iter().position(|keeper| keeper.device() == ask.node);
        let is_up = |index: &usize| self.keepers.get(*index).is_some_and(Keeper::is_up);
        let Some(index) = index.filter(is_up) else {
            return self.unanswered(from, request, Unanswered::Unreachable);
        };
        if self.keepers.get(index).is_some_and(Keeper::is_full) {
            return self.later(FULL_WAIT, Step::Asked(from, ask));
        }
        Digest::update(&mut self.hash, &ask.frame);
        if self.happens(self.faults.breaks_per_mille) {
            self.unanswered(from, request, Unanswered::Silent);
            return self.hang_up(index, peer);
        }
        self.later(ask.within, Step::TooLate(index, peer, request));
        let Some(keeper) = self.keepers.get_mut(index) else { return };
        keeper.waiting.insert((peer, request), from);
        match keeper.lie(peer, &ask.frame) {
            Some(frame) => self.answer_back(index, peer, frame),
            None => self.feed_host(index, HostInput::Request { peer, bytes: ask.frame }),
        }
    }

    /// An answer leaves; it may be lost although the node did what was asked.
    pub(super) fn answer_back(&mut self, index: usize, peer: DeviceId, frame: Vec<u8>) {
        let Ok(Response { id: request, .. }) = Response::decode(&frame) else { return };
        let keeper = self.keepers.get_mut(index);
        let Some(asker) = keeper.and_then(|keeper| keeper.waiting.remove(&(peer, request))) else {
            return;
        };
        if self.happens(self.faults.breaks_per_mille) {
            self.unanswered(asker, request, Unanswered::Silent);
            return self.later(Duration::ZERO, Step::HangUp(index, peer));
        }
        Digest::update(&mut self.hash, &frame);
        let back = self.some_time(self.faults.latency);
        self.later(
            back,
            match asker {
                Asker::Node(node, life) => {
                    Step::Input(node, life, Input::Answered { request, frame })
                }
                Asker::Host(index, life) => {
                    Step::HostInput(index, life, HostInput::Answered { request, frame })
                }
            },
        );
    }

    fn unanswered(&mut self, to: Asker, request: RequestId, why: Unanswered) {
        let back = self.some_time(self.faults.latency);
        self.later(
            back,
            match to {
                Asker::Node(node, life) => {
                    Step::Input(node, life, Input::Unanswered { request, why })
                }
                Asker::Host(index, life) => {
                    Step::HostInput(index, life, HostInput::Unanswered { request, why })
                }
            },
        );
    }

    /// The time for an answer is up.
    pub(super) fn too_late(&mut self, index: usize, peer: DeviceId, request: RequestId) {
        let keeper = self.keepers.get_mut(index);
        if let Some(asker) = keeper.and_then(|keeper| keeper.waiting.remove(&(peer, request))) {
            self.unanswered(asker, request, Unanswered::Silent);
        }
    }

    /// A link of this identity breaks, with every question that waits on it.
    pub(super) fn hang_up(&mut self, index: usize, peer: DeviceId) {
        let Some(keeper) = self.keepers.get_mut(index) else { return };
        let silent: Vec<_> = keeper.waiting.extract_if(.., |(by, _), _| *by == peer).collect();
        for ((_, request), asker) in silent {
            self.unanswered(asker, request, Unanswered::Silent);
        }
        self.feed_host(index, HostInput::Gone { peer });
    }

    /// Whoever asked is dead: its links are gone everywhere.
    pub(super) fn hang_up_all(&mut self, of: Asker) {
        let mut gone = Vec::new();
        for (index, keeper) in self.keepers.iter().enumerate() {
            let waiting = keeper.waiting.iter().filter(|(_, asker)| **asker == of);
            gone.extend(waiting.map(|((peer, _), _)| (index, *peer)));
        }
        gone.dedup();
        for (index, peer) in gone {
            self.hang_up(index, peer);
        }
    }
}
