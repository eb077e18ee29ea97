//! Nodes, links, clock and faults.

mod flush;
mod hosts;
mod keeper;
mod links;
mod mailboxes;
mod node;

use std::collections::BTreeMap;
use std::time::Duration;

#[cfg(feature = "ledger")]
use bitchat_protocol::crypto::Ledger;
use bitchat_protocol::engine::{
    Command, CommandError, CommandId, Event, Fact, Input, MessageView, Output, Reply,
};
use bitchat_protocol::id::{DeviceId, SendToken};
use bitchat_protocol::mailbox::host::{HostFact, HostInput};
use bitchat_protocol::mailbox::{Ask, RequestId};
use bitchat_protocol::store::Batch;
use bitchat_protocol::time::{Moment, Now, UnixMillis};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

use crate::disk::Disk;
use flush::Watch;
use keeper::Keeper;
use mailboxes::Asker;
use node::Node;

pub use flush::Owner;
pub use keeper::Keeping;
pub use mailboxes::MailboxId;

/// The wall clock when a world begins: 2026-01-01 00:00 UTC.
const EPOCH: u64 = 1_767_225_600_000;

/// Names a node of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// What goes wrong, and how slow things are.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Longest time of a frame on its way; the shortest is a tenth.
    pub latency: Duration,
    /// Longest time of a flush; the shortest is a tenth.
    pub flush: Duration,
    /// Of a thousand frames, how many break their link instead of arriving.
    pub breaks_per_mille: u32,
    /// Of a thousand flushes, how many end in a crash: half before, half after the disk has them.
    pub crashes_per_mille: u32,
}

/// Something that will happen.
#[derive(Debug)]
enum Step {
    /// An input reaches the engine that runs in this incarnation of the node.
    Input(NodeId, u32, Input),
    /// A flush ends.
    Flushed(NodeId, u32, Batch),
    /// A frame arrives over a link of this generation.
    Arrive { from: NodeId, to: NodeId, link: u64, token: SendToken, frame: Vec<u8> },
    /// A dial ends.
    Dialled(NodeId, NodeId),
    /// A question reaches a mailbox node.
    Asked(Asker, Box<Ask>),
    /// An input reaches the host that runs in this incarnation of a mailbox node.
    HostInput(usize, u32, HostInput),
    /// A flush of a mailbox node ends.
    HostFlushed(usize, u32, Batch),
    /// The time for an answer is up.
    TooLate(usize, DeviceId, RequestId),
    /// A link to a mailbox node breaks.
    HangUp(usize, DeviceId),
    /// A crashed mailbox node starts again.
    RestartHost(usize),
    /// A crashed node starts again.
    Restart(NodeId),
}

/// A network of engines in virtual time.
#[derive(Debug)]
pub struct World {
    nodes: Vec<Node>,
    keepers: Vec<Keeper>,
    /// Standing links, smaller node first, with a generation each.
    links: BTreeMap<(NodeId, NodeId), u64>,
    steps: BTreeMap<(u64, u64), Step>,
    micros: u64,
    serial: u64,
    faults: Faults,
    rng: ChaCha20Rng,
    hash: Sha256,
    replies: BTreeMap<CommandId, Result<Reply, CommandError>>,
    /// Who sent a frame, by the number that its receiver knows it by.
    arrived: BTreeMap<u64, (NodeId, SendToken)>,
    facts: BTreeMap<String, u64>,
    #[cfg(feature = "ledger")]
    ledger: Ledger,
    /// The ciphertext that each nonce was used for.
    nonces: BTreeMap<Vec<u8>, [u8; 32]>,
    reused: usize,
    watch: Watch,
}

impl World {
    /// A world without nodes.
    #[must_use]
    pub fn new(seed: u64, faults: Faults) -> Self {
        Self {
            nodes: Vec::new(),
            keepers: Vec::new(),
            links: BTreeMap::new(),
            steps: BTreeMap::new(),
            micros: 0,
            serial: 0,
            faults,
            rng: ChaCha20Rng::seed_from_u64(seed),
            hash: Sha256::new(),
            replies: BTreeMap::new(),
            arrived: BTreeMap::new(),
            facts: BTreeMap::new(),
            #[cfg(feature = "ledger")]
            ledger: Ledger::open(),
            nonces: BTreeMap::new(),
            reused: 0,
            watch: Watch::default(),
        }
    }

    /// Adds a node with a fresh identity; it runs at once.
    pub fn add(&mut self, nickname: &str) -> NodeId {
        let id = NodeId(self.nodes.len());
        let seed = self.rng.next_u64();
        self.nodes.push(Node::new(nickname, id, seed, self.now()));
        self.settle(id);
        id
    }

    /// Changes what goes wrong from now on.
    pub const fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Gives a command to a node and returns what to ask [`World::reply`] for. A command to a node
    /// that is down is lost, as it is for a user whose daemon is down.
    pub fn command(&mut self, node: NodeId, command: Command) -> CommandId {
        self.serial += 1;
        let id = CommandId(self.serial);
        self.feed(node, Input::Command { id, command });
        id
    }

    /// The reply to a command, once.
    pub fn reply(&mut self, id: CommandId) -> Option<Result<Reply, CommandError>> {
        self.replies.remove(&id)
    }

    /// Gives a command and runs until its reply; `None` if a crash swallowed it.
    pub fn ask(&mut self, node: NodeId, command: Command) -> Option<Result<Reply, CommandError>> {
        let id = self.command(node, command);
        let end = self.micros + 10_000_000;
        while self.micros < end && self.step() {
            if let Some(reply) = self.reply(id) {
                return Some(reply);
            }
        }
        None
    }

    /// Everything in a node's inbox, as its user reads it.
    pub fn inbox(&mut self, node: NodeId) -> Vec<MessageView> {
        let mut messages: Vec<MessageView> = Vec::new();
        loop {
            let since = messages.last().map_or(0, |last| last.cursor);
            let command =
                Command::Inbox { reader: "default".to_owned(), since: Some(since), max: 500 };
            match self.ask(node, command) {
                Some(Ok(Reply::Messages(page))) if !page.is_empty() => messages.extend(page),
                _ => return messages,
            }
        }
    }

    /// How often an engine reported a fact of this kind.
    #[must_use]
    pub fn fact(&self, name: &str) -> u64 {
        self.facts.get(name).copied().unwrap_or(0)
    }

    /// How often an engine started a session anew because something did not open.
    #[must_use]
    pub fn heals(&self) -> u64 {
        let healed = self.facts.iter().filter(|(name, _)| name.starts_with("healed "));
        healed.map(|(_, count)| count).sum()
    }

    /// Kills a node between two of its outputs; it starts again after `down`.
    pub fn crash(&mut self, node: NodeId, down: Duration) {
        if let Some(crashed) = self.nodes.get_mut(node.0) {
            crashed.crash();
            self.cut_all(node);
            self.later(down, Step::Restart(node));
        }
    }

    /// The disk of a node, as it is now.
    #[must_use]
    pub fn snapshot(&self, node: NodeId) -> Disk {
        self.nodes.get(node.0).map(|node| node.disk().copy()).unwrap_or_default()
    }

    /// A node dies and starts again after `down` on a disk that was changed meanwhile.
    pub fn meddle(&mut self, node: NodeId, down: Duration, change: impl FnOnce(&Disk)) {
        self.crash(node, down);
        if let Some(node) = self.nodes.get(node.0) {
            change(node.disk());
        }
    }

    /// Header nonces that were used for two different ciphertexts.
    #[must_use]
    pub const fn reused_nonces(&self) -> usize {
        self.reused
    }

    /// Runs for some virtual time.
    pub fn run_for(&mut self, time: Duration) {
        let end = self.micros + u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        while self.next_at().is_some_and(|at| at <= end) && self.step() {}
        self.micros = end;
    }

    /// Virtual time since the beginning.
    #[must_use]
    pub const fn elapsed(&self) -> Duration {
        Duration::from_micros(self.micros)
    }

    /// How many texts the engines have sealed; each under a key and nonce of its own, or the world
    /// would have ended.
    #[cfg(feature = "ledger")]
    #[must_use]
    pub fn seals(&self) -> u64 {
        self.ledger.seals()
    }

    /// Hash over every byte that crossed a link or reached a disk.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.hash.clone().finalize().into()
    }

    const fn now(&self) -> Now {
        Now {
            mono: Moment::from_micros(self.micros),
            wall: UnixMillis(EPOCH + self.micros / 1_000),
        }
    }

    fn later(&mut self, wait: Duration, step: Step) {
        self.serial += 1;
        let at = self.micros + u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
        self.steps.insert((at, self.serial), step);
    }

    /// A time between a tenth of `longest` and `longest`.
    fn some_time(&mut self, longest: Duration) -> Duration {
        let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX).max(10);
        Duration::from_micros(longest / 10 + self.rng.next_u64() % (longest - longest / 10))
    }

    fn happens(&mut self, per_mille: u32) -> bool {
        self.rng.next_u32() % 1_000 < per_mille
    }

    fn next_at(&self) -> Option<u64> {
        let step = self.steps.keys().next().map(|(at, _)| *at);
        let timers = self.nodes.iter().filter_map(Node::timeout);
        let hosts = self.keepers.iter().filter_map(Keeper::timeout);
        let timer = timers.chain(hosts).map(Moment::as_micros).min();
        match (step, timer) {
            (Some(step), Some(timer)) => Some(step.min(timer.max(self.micros))),
            (step, timer) => step.or(timer.map(|at| at.max(self.micros))),
        }
    }

    /// Lets the next thing happen; `false` if nothing ever will.
    fn step(&mut self) -> bool {
        let Some(at) = self.next_at() else { return false };
        self.micros = at;
        match self.steps.first_key_value() {
            Some(((due, _), _)) if *due <= at => {
                if let Some((_, step)) = self.steps.pop_first() {
                    self.take(step);
                }
            }
            _ => self.ring(at),
        }
        true
    }

    /// The next timer that is due.
    fn ring(&mut self, at: u64) {
        let due = |timer: Option<Moment>| timer.is_some_and(|timer| timer.as_micros() <= at);
        if let Some(index) = self.nodes.iter().position(|node| due(node.timeout())) {
            self.feed(NodeId(index), Input::Timeout);
        } else if let Some(index) = self.keepers.iter().position(|host| due(host.timeout())) {
            self.feed_host(index, HostInput::Timeout);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Input(node, life, input) => {
                if self.nodes.get(node.0).is_some_and(|n| n.lives(life)) {
                    self.feed(node, input);
                }
            }
            Step::Flushed(node, life, batch) => self.flushed(node, life, &batch),
            Step::Arrive { from, to, link, token, frame } => {
                self.arrive((from, to), link, token, frame)
            }
            Step::Dialled(from, to) => self.dialled(from, to),
            Step::Asked(from, ask) => self.asked(from, ask),
            Step::HostInput(host, life, input) if self.host_lives(host, life) => {
                self.feed_host(host, input);
            }
            Step::HostInput(..) => {}
            Step::HostFlushed(host, life, batch) => self.host_flushed(host, life, &batch),
            Step::TooLate(host, peer, request) => self.too_late(host, peer, request),
            Step::HangUp(host, peer) => self.hang_up(host, peer),
            Step::RestartHost(host) => self.start_host(host),
            Step::Restart(node) => {
                let now = self.now();
                if let Some(down) = self.nodes.get_mut(node.0) {
                    down.start(now);
                }
                self.settle(node);
            }
        }
    }

    fn feed(&mut self, node: NodeId, input: Input) {
        let now = self.now();
        if let Some(fed) = self.nodes.get_mut(node.0) {
            fed.handle(input, now);
        }
        self.settle(node);
    }

    /// Carries out every output of a node.
    fn settle(&mut self, node: NodeId) {
        while let Some(output) = self.nodes.get_mut(node.0).and_then(Node::poll) {
            match output {
                Output::Persist(batch) => {
                    let flush = self.some_time(self.faults.flush);
                    let life = self.nodes.get(node.0).map_or(0, Node::life);
                    self.later(flush, Step::Flushed(node, life, batch));
                }
                Output::Send { peer, token, frame } => self.send(node, peer, token, frame),
                Output::Connect { peer, .. } => self.connect(node, peer),
                Output::Reply { id, reply } => drop(self.replies.insert(id, reply)),
                Output::Fact(fact) => self.count(&fact),
                Output::Refuse { number, code, retry_after, .. } => {
                    self.refuse(node, number, code, retry_after);
                }
                Output::Ask(ask) => {
                    let life = self.nodes.get(node.0).map_or(0, Node::life);
                    self.ask_mailbox(Asker::Node(node, life), ask);
                }
                Output::Event(Event::Delivery(view)) => self.watch_state(node, &view),
                Output::Event(_) => {}
            }
        }
    }

    fn count(&mut self, fact: &Fact) {
        let text = format!("{fact:?}");
        let name = if let Fact::Refused(label) = fact {
            format!("refused {label}")
        } else if let Fact::SessionHealed(reason) = fact {
            format!("healed {reason}")
        } else {
            text.split([' ', '(', '{']).next().unwrap_or_default().to_owned()
        };
        *self.facts.entry(name).or_default() += 1;
    }

    fn count_host(&mut self, fact: &HostFact) {
        *self.facts.entry(format!("host {fact:?}")).or_default() += 1;
    }
}
