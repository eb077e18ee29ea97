//! Links between nodes: dialled, in order, broken with everything that was on the way.

use std::time::Duration;

use bitchat_protocol::engine::Input;
use bitchat_protocol::envelope::Frame;
use bitchat_protocol::error::Code;
use bitchat_protocol::id::{DeviceId, SendToken};
use bitchat_protocol::resilience::Prefix;

use super::mailboxes::Asker;
use super::{NodeId, Step, World};

/// Frames whose refusal still finds its sender.
const ARRIVED_MAX: usize = 10_000;

fn pair(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    if a < b { (a, b) } else { (b, a) }
}

impl World {
    /// Breaks the link between two nodes, if one stands.
    pub fn cut(&mut self, a: NodeId, b: NodeId) {
        if self.links.remove(&pair(a, b)).is_none() {
            return;
        }
        for (node, peer) in [(a, b), (b, a)] {
            let device = self.device(peer);
            self.input_later(node, Duration::ZERO, Input::Disconnected { peer: device });
        }
    }

    pub(super) fn cut_all(&mut self, node: NodeId) {
        let ends: Vec<_> =
            self.links.keys().filter(|(a, b)| *a == node || *b == node).copied().collect();
        for (a, b) in ends {
            self.cut(a, b);
        }
        let life = self.nodes.get(node.0).map_or(0, super::Node::life);
        self.hang_up_all(Asker::Node(node, life));
    }

    fn device(&self, node: NodeId) -> DeviceId {
        self.nodes.get(node.0).map_or(DeviceId([0; 32]), super::Node::device)
    }

    fn node_of(&self, device: DeviceId) -> Option<NodeId> {
        self.nodes.iter().position(|node| node.device() == device).map(NodeId)
    }

    fn input_later(&mut self, node: NodeId, wait: Duration, input: Input) {
        let life = self.nodes.get(node.0).map_or(0, super::Node::life);
        self.later(wait, Step::Input(node, life, input));
    }

    pub(super) fn connect(&mut self, from: NodeId, peer: DeviceId) {
        let Some(to) = self.node_of(peer) else { return };
        let wait = self.some_time(self.faults.latency);
        self.later(wait, Step::Dialled(from, to));
    }

    pub(super) fn dialled(&mut self, from: NodeId, to: NodeId) {
        if self.links.contains_key(&pair(from, to)) {
            return;
        }
        let up =
            [from, to].iter().all(|node| self.nodes.get(node.0).is_some_and(super::Node::is_up));
        if !up {
            let peer = self.device(to);
            self.input_later(from, Duration::ZERO, Input::Disconnected { peer });
            return;
        }
        self.serial += 1;
        self.links.insert(pair(from, to), self.serial);
        for (node, peer) in [(from, to), (to, from)] {
            let peer = self.device(peer);
            self.input_later(
                node,
                Duration::ZERO,
                Input::Connected { peer, prefix: Prefix::Unknown },
            );
        }
    }

    pub(super) fn send(&mut self, from: NodeId, peer: DeviceId, token: SendToken, frame: Vec<u8>) {
        self.note_nonce(&frame);
        let to = self.node_of(peer);
        let link = to.and_then(|to| self.links.get(&pair(from, to)).copied());
        let (Some(to), Some(link)) = (to, link) else {
            self.input_later(from, Duration::ZERO, Input::SendFailed { peer, token });
            return;
        };
        // A stream keeps order: nothing overtakes what was sent before.
        let soonest = self.some_time(self.faults.latency);
        let same = |step: &Step| matches!(step, Step::Arrive { from: f, to: t, .. } if (*f, *t) == (from, to));
        let last = self.steps.iter().rev().find(|(_, step)| same(step)).map(|((at, _), _)| *at);
        let behind = Duration::from_micros(last.unwrap_or(0).saturating_sub(self.micros));
        self.later(soonest.max(behind), Step::Arrive { from, to, link, token, frame });
    }

    /// A nonce belongs to one ciphertext, whatever became of the disk in between.
    fn note_nonce(&mut self, frame: &[u8]) {
        let Ok(Frame::Envelope(envelope)) = Frame::decode(frame) else { return };
        let nonce = envelope.sealed.header.iter().take(24).copied().collect();
        let before = self.nonces.insert(nonce, envelope.digest());
        self.reused += usize::from(before.is_some_and(|digest| digest != envelope.digest()));
    }

    /// A refusal goes back over the link, if that still stands.
    pub(super) fn refuse(&mut self, by: NodeId, number: u64, code: Code, retry_after: Duration) {
        let Some((from, token)) = self.arrived.remove(&number) else { return };
        if self.links.contains_key(&pair(from, by)) {
            let (peer, back) = (self.device(by), self.some_time(self.faults.latency));
            self.input_later(from, back, Input::Refused { peer, token, code, retry_after });
        }
    }

    pub(super) fn arrive(
        &mut self,
        (from, to): (NodeId, NodeId),
        link: u64,
        token: SendToken,
        frame: Vec<u8>,
    ) {
        let peer = self.device(to);
        if self.links.get(&pair(from, to)) != Some(&link) {
            self.input_later(from, Duration::ZERO, Input::SendFailed { peer, token });
            return;
        }
        if self.happens(self.faults.breaks_per_mille) {
            self.cut(from, to);
            self.input_later(from, Duration::ZERO, Input::SendFailed { peer, token });
            return;
        }
        sha2::Digest::update(&mut self.hash, &frame);
        let back = self.some_time(self.faults.latency);
        self.input_later(from, back, Input::Accepted { peer, token });
        let sender = self.device(from);
        self.serial += 1;
        let number = self.serial;
        self.arrived.insert(number, (from, token));
        while self.arrived.len() > ARRIVED_MAX {
            self.arrived.pop_first();
        }
        self.input_later(to, Duration::ZERO, Input::Frame { peer: sender, number, bytes: frame });
    }
}
