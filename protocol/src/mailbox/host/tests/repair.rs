//! Fellow nodes: who is dead, who copies where, and that nothing is delivered twice by it.

use super::*;
use crate::mailbox::{Fellow, Unanswered};

const HOUR: Duration = Duration::from_secs(3_600);

/// Nodes of one owner (number 1), their ranks their places; all let in the same contact (token 7),
/// and one another.
struct Net {
    nodes: Vec<Node>,
    dead: Vec<usize>,
}

/// What lets `from` in at `to`.
fn pass(from: usize, to: usize) -> Token {
    let (from, to) = (u8::try_from(from).expect("few"), u8::try_from(to).expect("few"));
    Token::new([from, to].repeat(16).try_into().expect("32 bytes"))
}

impl Net {
    fn new(count: usize) -> Self {
        let number = |place: usize| u8::try_from(200 + place).expect("few");
        let mut nodes: Vec<_> = (0..count).map(|at| Node::new(number(at), settings())).collect();
        let devices: Vec<_> = nodes.iter().map(Node::device).collect();
        for (to, node) in nodes.iter_mut().enumerate() {
            node.rent(1, None);
            let froms = || (0..count).filter(|from| *from != to);
            let mut add: Vec<_> = froms().map(|from| pass(from, to).tag()).collect();
            add.push(token(7).tag());
            let add = add.into_iter().map(|tag| (tag, node.later(DAY * 35))).collect();
            node.order(1, &Order::Tags { add, remove: Vec::new() });
            let fellow = |other: usize| Fellow {
                rank: u32::try_from(other).expect("few"),
                device: devices[other],
                addresses: vec!["/ip4/203.0.113.1/tcp/1".to_owned()],
                token: pass(to, other),
            };
            let rank = u32::try_from(to).expect("few");
            node.order(1, &Order::Fellows { rank, fellows: froms().map(fellow).collect() });
        }
        Self { nodes, dead: Vec::new() }
    }

    /// Carries every question to its node, under the identity of its veil.
    fn carry(&mut self) {
        loop {
            let asks: Vec<_> = self
                .nodes
                .iter_mut()
                .enumerate()
                .flat_map(|(at, node)| {
                    std::mem::take(&mut node.asks).into_iter().map(move |a| (at, a))
                })
                .collect();
            if asks.is_empty() {
                return;
            }
            for (from, ask) in asks {
                let to = self.nodes.iter().position(|node| node.device() == ask.node);
                let to = to.filter(|to| !self.dead.contains(to) && !self.dead.contains(&from));
                let request = ask.request;
                let input = match to {
                    None => HostInput::Unanswered { request, why: Unanswered::Unreachable },
                    Some(to) => {
                        let peer = ask.veil.device();
                        self.nodes[to].feed(HostInput::Request { peer, bytes: ask.frame });
                        self.nodes[to].settle();
                        let answer = self.nodes[to].answer(request).expect("an answer");
                        let frame = Response { id: request, answer }.encode();
                        HostInput::Answered { request, frame }
                    }
                };
                self.nodes[from].feed(input);
                self.nodes[from].settle();
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        let step = Duration::from_secs(300);
        for _ in 0..time.as_secs() / step.as_secs() {
            for node in &mut self.nodes {
                node.pass(step);
            }
            self.carry();
        }
    }

    fn deposit(&mut self, at: &[usize], seal: &[u8]) {
        for at in at {
            let until = self.nodes[*at].later(DAY * 10);
            let answer = self.nodes[*at].deposit(7, until, seal);
            assert!(matches!(answer, Answer::Custody(_)));
        }
    }

    fn seals(&mut self, at: usize) -> Vec<Vec<u8>> {
        self.nodes[at].fetch(1, 0).into_iter().map(|(_, seal)| seal).collect()
    }
}

#[test]
fn the_living_active_before_a_dead_one_copies_what_it_holds_to_the_standby_once() {
    let mut net = Net::new(7);
    net.deposit(&[0, 1, 2], b"before");
    net.pass(HOUR * 2);
    assert!(net.seals(5).is_empty(), "all live");

    net.dead.push(2);
    net.pass(HOUR * 4);
    assert_eq!(net.seals(5), [b"before"]);
    assert!(net.seals(6).is_empty());
    assert_eq!(net.nodes[1].host.view().copied, 1, "node 1 stands before node 2");
    assert_eq!(net.nodes[1].host.view().fellows.1, 1);

    net.deposit(&[0, 1], b"meanwhile");
    net.nodes[1].restart();
    net.pass(HOUR * 5);
    assert_eq!(net.seals(5), [b"before".to_vec(), b"meanwhile".to_vec()]);
    assert_eq!(net.nodes[1].host.view().copied, 1, "what it copied before the restart it knows");
    assert_eq!((0..7).map(|at| net.nodes[at].host.view().copied).sum::<u64>(), 1);

    net.dead.clear();
    net.pass(HOUR * 2);
    assert_eq!(net.nodes[1].host.view().fellows.1, 0, "it is back");
    assert_eq!(net.seals(5).len(), 2, "the standby keeps");
}

#[test]
fn two_dead_actives_get_a_standby_each_and_a_dead_standby_is_passed_over() {
    let mut net = Net::new(8);
    net.deposit(&[0, 3], b"seal");
    net.dead = vec![1, 4, 5];
    net.pass(HOUR * 5);

    assert_eq!(net.seals(6), [b"seal"], "0 stands before 1");
    assert_eq!(net.seals(7), [b"seal"], "3 stands before 4");
    assert!(net.seals(5).is_empty());
}

#[test]
fn two_nodes_without_a_standby_ask_and_copy_nothing() {
    let mut net = Net::new(2);
    net.deposit(&[0], b"seal");
    net.dead.push(1);
    net.pass(HOUR * 5);

    assert_eq!(net.nodes[0].host.view().copied, 0);
    assert_eq!(net.nodes[0].host.view().fellows, (1, 1));
}

#[test]
fn every_question_has_a_fresh_identity_and_comes_at_its_pace() {
    let mut net = Net::new(5);
    let mut veils = std::collections::BTreeSet::new();
    let mut asked = 0;
    for _ in 0..12 * 10 {
        net.nodes[0].pass(Duration::from_secs(300));
        for ask in std::mem::take(&mut net.nodes[0].asks) {
            asked += 1;
            assert!(veils.insert(ask.veil.device()));
            let answer = Answer::Offer(crate::mailbox::Offer::default());
            let frame = Response { id: ask.request, answer }.encode();
            net.nodes[0].feed(HostInput::Answered { request: ask.request, frame });
            net.nodes[0].settle();
        }
    }
    assert!((36..=48).contains(&asked), "{asked} questions to 4 nodes in 10 hours");
}

#[test]
fn a_standby_asks_nobody() {
    let mut net = Net::new(7);
    net.nodes[6].pass(DAY);
    assert!(net.nodes[6].asks.is_empty());
}
