//! The driver: turns what happens into inputs and carries out the engine's outputs.
//!
//! ```text
//!   requests, network events, deadlines, Durable ──Input──> Engine ──Output──> committer, network,
//!                                                                             replies, events, metrics
//! ```
//!
//! One thread with a loop of its own: the engine's cryptography never delays the network's tasks.
//! While the engine is full nothing is read but proofs of durability, so every queue before it fills
//! up and pushes back. If a commit fails, the engine is dropped with all it withheld, and a new one
//! is built from the disk (an fsync is never repeated: after a failed one, success means nothing).

mod clock;
mod copies;
mod door;
mod effects;
mod factory;
mod mail;
mod report;

pub use clock::Clock;
pub use door::{Call, Door};
pub use factory::Factory;
pub use mail::Mail;

pub(crate) use door::{CALLS_MAX, token};

use std::collections::{BTreeMap, VecDeque};
use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitchat_protocol::engine::{Command, CommandError, CommandId, Engine, Event, Input, Reply};
use bitchat_protocol::store::{Durable, StoreError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::control::{NodeStatus, Request};
use crate::http::Heartbeat;
use crate::metrics::Metrics;
use crate::network;
use crate::profile::SystemRng;
use crate::store::{Committer, SledStore};
use crate::veil::Told;

/// How long a stopping node waits for its last writes.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Between attempts to open a store that failed.
const REOPEN_EVERY: Duration = Duration::from_secs(5);

/// When a peer may try again whose frame came while the disk is full.
const FULL_RETRY: Duration = Duration::from_secs(30);

/// The other ends of everything that the driver joins.
pub struct Ends {
    /// Commands of users and programs.
    pub requests: mpsc::Receiver<Request>,
    /// Events for them.
    pub events: broadcast::Sender<Event>,
    /// What the node is doing.
    pub status: watch::Sender<NodeStatus>,
    /// To the network.
    pub network: mpsc::Sender<network::Command>,
    /// From the network.
    pub heard: mpsc::Receiver<network::Event>,
    /// Standing links.
    pub peers: watch::Receiver<Vec<network::PeerInfo>>,
    /// Mailboxes, both ways.
    pub mail: Mail,
    /// What the network counted.
    pub counters: Arc<network::NetworkCounters>,
    /// What is counted.
    pub metrics: Metrics,
    /// Beats with every turn.
    pub heartbeat: Heartbeat,
    /// Ends the loop.
    pub stop: CancellationToken,
    /// Addresses that others see although we cannot.
    pub external: Vec<String>,
    /// Whether our own addresses count (a single command listens nowhere).
    pub listens: bool,
}

/// An engine and the thread that commits for it.
struct Running {
    engine: Engine<SledStore, SystemRng>,
    committer: Committer,
    store: SledStore,
}

/// The loop's state.
pub struct Driver {
    ends: Ends,
    factory: Factory,
    clock: Clock,
    running: Option<Running>,
    commits: mpsc::Receiver<Result<Vec<Durable>, StoreError>>,
    committed: mpsc::Sender<Result<Vec<Durable>, StoreError>>,
    outgoing: VecDeque<network::Command>,
    /// Questions that did not go, which the engine does not know yet.
    unasked: VecDeque<Told>,
    replies: BTreeMap<CommandId, oneshot::Sender<Result<Reply, CommandError>>>,
    next_command: u64,
    addresses: Vec<String>,
    /// The disk has no room: nothing that would write is taken.
    full: bool,
    /// Rows that the store had moved to newer keys when it was last asked.
    moved: u64,
    reopen_at: Instant,
    /// Contacts with changed keys that nobody has looked at, and those blocked for it.
    keys: (usize, usize),
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ends")
    }
}

impl Driver {
    /// Opens the store and builds the engine.
    ///
    /// # Errors
    ///
    /// [`crate::error::NodeError`] if the store does not open or a row cannot be read.
    pub fn new(ends: Ends, factory: Factory) -> Result<Self, crate::error::NodeError> {
        let (committed, commits) = mpsc::channel(16);
        let clock = Clock::start();
        let mut driver = Self {
            ends,
            factory,
            clock,
            running: None,
            commits,
            committed,
            outgoing: VecDeque::new(),
            unasked: VecDeque::new(),
            replies: BTreeMap::new(),
            next_command: 0,
            addresses: Vec::new(),
            full: false,
            moved: 0,
            reopen_at: Instant::now(),
            keys: (0, 0),
        };
        driver.running = Some(driver.build()?);
        driver.place();
        Ok(driver)
    }

    /// Tells the engine where its profile lives.
    fn place(&mut self) {
        if let Some(place) = self.factory.place {
            self.feed(Input::Place(place));
        }
    }

    fn build(&self) -> Result<Running, crate::error::NodeError> {
        let metrics = self.ends.metrics.clone();
        let report =
            move |stats: crate::store::CommitStats| metrics.flushed(stats.took, stats.batches);
        let committed = self.committed.clone();
        let done = move |result| drop(committed.blocking_send(result));
        let (engine, store) = self.factory.build(self.clock.now())?;
        let committer = Committer::start(store.clone(), 16, done, report)
            .map_err(|error| crate::error::NodeError::StoreFailed { reason: error.to_string() })?;
        Ok(Running { engine, committer, store })
    }

    /// Runs until told to stop and everything written is durable.
    pub async fn run(mut self) {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.settle();
        let (stop, network) = (self.ends.stop.clone(), self.ends.network.clone());
        let mut peers = self.ends.peers.clone();
        loop {
            self.ends.heartbeat.beat(Instant::now());
            let open = self.running.as_ref().is_some_and(|running| !running.engine.is_full());
            let deadline = self.deadline();
            tokio::select! {
                biased;
                Some(result) = self.commits.recv() => self.committed(result),
                () = stop.cancelled() => break,
                Ok(permit) = network.reserve(), if !self.outgoing.is_empty() => {
                    if let Some(command) = self.outgoing.pop_front() {
                        permit.send(command);
                    }
                }
                _ = second.tick() => self.every_second(),
                Ok(()) = peers.changed() => self.report(),
                () = sleep_until(deadline.into()), if open => self.feed(Input::Timeout),
                Some(told) = self.ends.mail.told.recv(), if open || self.running.is_none() => self.told(told),
                () = ready(()), if open && !self.unasked.is_empty() => {
                    if let Some(told) = self.unasked.pop_front() {
                        self.told(told);
                    }
                }
                Some(event) = self.ends.heard.recv(), if open || self.running.is_none() => self.hear(event),
                Some(request) = self.ends.requests.recv(), if open || self.running.is_none() => {
                    self.request(request);
                }
            }
        }
        self.drain().await;
    }

    /// The engine's next deadline, at most a minute ahead.
    fn deadline(&self) -> Instant {
        let engine = self.running.as_ref().map(|running| &running.engine);
        let at = engine.and_then(Engine::poll_timeout).map(|(at, _)| self.clock.instant(at));
        let latest = Instant::now() + Duration::from_secs(60);
        at.map_or(latest, |at| at.min(latest))
    }

    fn feed(&mut self, input: Input) {
        let now = self.clock.now();
        if let Some(running) = self.running.as_mut() {
            running.engine.handle(input, now);
        }
        self.settle();
    }

    fn committed(&mut self, result: Result<Vec<Durable>, StoreError>) {
        match result {
            Ok(proofs) => proofs.into_iter().for_each(|proof| self.feed(Input::Persisted(proof))),
            Err(error) => {
                tracing::error!(%error, "commit failed; the engine starts anew from the disk");
                self.abandon(&error.to_string());
            }
        }
    }

    /// Drops the engine with all it withheld. Whoever waits for a reply gets an error.
    fn abandon(&mut self, why: &str) {
        self.running = None;
        self.outgoing.clear();
        self.unasked.clear();
        self.reopen_at = Instant::now() + REOPEN_EVERY;
        for (_, reply) in std::mem::take(&mut self.replies) {
            drop(reply.send(Err(CommandError::Store(why.to_owned()))));
        }
        while self.commits.try_recv().is_ok() {} // Proofs of the engine that is gone.
        self.report();
    }

    /// Tries to build a new engine after a failure, and tells it what stands.
    fn reopen(&mut self) {
        if self.running.is_some() || Instant::now() < self.reopen_at {
            return;
        }
        match self.build() {
            Ok(running) => {
                tracing::info!("the store is open again");
                self.running = Some(running);
                self.place();
                self.feed(Input::Addresses(self.addresses.clone()));
                let peers = self.ends.peers.borrow().clone();
                peers.iter().for_each(|peer| self.feed(Input::Connected { peer: peer.device }));
            }
            Err(error) => {
                tracing::warn!(%error, "the store does not open yet");
                self.reopen_at = Instant::now() + REOPEN_EVERY;
            }
        }
    }

    fn request(&mut self, request: Request) {
        let refusal = match &self.running {
            None => Some("the store failed and is being reopened"),
            Some(_) if self.full && writes(&request.command) => Some("no space left on the disk"),
            Some(_) => None,
        };
        if let Some(why) = refusal {
            drop(request.reply.send(Err(CommandError::Store(why.to_owned()))));
            return;
        }
        self.next_command = self.next_command.saturating_add(1);
        let id = CommandId(self.next_command);
        self.replies.insert(id, request.reply);
        self.feed(Input::Command { id, command: request.command });
    }

    fn hear(&mut self, event: network::Event) {
        let Some(event) = self.at_the_door(event) else { return };
        let input = match event {
            network::Event::Frame { peer, number, .. } if self.full || self.running.is_none() => {
                // Refused before any ratchet step: the sender keeps it and comes again.
                let code = bitchat_protocol::error::Code::Busy;
                self.outgoing.push_back(network::Command::Refuse {
                    peer,
                    number,
                    code,
                    retry_after: FULL_RETRY,
                });
                return;
            }
            network::Event::Frame { peer, number, bytes } => Input::Frame { peer, number, bytes },
            network::Event::Connected { peer } => Input::Connected { peer },
            network::Event::Disconnected { peer } => Input::Disconnected { peer },
            network::Event::Discovered { peer, addresses } => Input::Discovered { peer, addresses },
            network::Event::Accepted { peer, token } => Input::Accepted { peer, token },
            network::Event::SendFailed { peer, token } => Input::SendFailed { peer, token },
            network::Event::Refused { peer, token, code, retry_after } => {
                Input::Refused { peer, token, code, retry_after }
            }
            network::Event::Listening(mut addresses) => {
                if !self.ends.listens {
                    return;
                }
                addresses.extend(self.ends.external.iter().cloned());
                self.addresses.clone_from(&addresses);
                Input::Addresses(addresses)
            }
        };
        self.feed(input);
        self.report_addresses();
    }

    /// Waits for the last writes, so that what was acknowledged is on the disk.
    async fn drain(&mut self) {
        self.ends.status.send_modify(|status| {
            status.draining = true;
            status.ready = false;
        });
        self.feed(Input::Timeout); // What waits for company in a batch goes now.
        let (end, network) = (Instant::now() + DRAIN_MAX, self.ends.network.clone());
        while self.running.as_ref().is_some_and(|running| !running.engine.is_settled()) {
            tokio::select! {
                Some(result) = self.commits.recv() => self.committed(result),
                Ok(permit) = network.reserve(), if !self.outgoing.is_empty() => {
                    if let Some(command) = self.outgoing.pop_front() {
                        permit.send(command);
                    }
                }
                () = sleep_until(end.into()) => break,
            }
        }
        while let Some(command) = self.outgoing.pop_front() {
            if self.ends.network.try_send(command).is_err() {
                break;
            }
        }
    }
}

/// Whether a command would write.
const fn writes(command: &Command) -> bool {
    match command {
        Command::Identity
        | Command::Contacts
        | Command::Contact(_)
        | Command::Delivery(_)
        | Command::Track(_)
        | Command::Inbox { .. }
        | Command::History { .. }
        | Command::BackupPage { .. }
        | Command::MailboxList
        | Command::MailboxTest(_)
        | Command::Queue => false,
        Command::Invite { .. }
        | Command::AddContact { .. }
        | Command::Rename { .. }
        | Command::Verify { .. }
        | Command::Remove { .. }
        | Command::VerifyScanned { .. }
        | Command::SetPolicy { .. }
        | Command::Trust(_)
        | Command::ResetSession(_)
        | Command::Send { .. }
        | Command::SendOnce { .. }
        | Command::Cancel(_)
        | Command::RetryNow(_)
        | Command::SetReadReceipts { .. }
        | Command::AcceptCopy
        | Command::Acknowledge { .. }
        | Command::Export(_)
        | Command::MailboxAdd { .. }
        | Command::MailboxRemove(_)
        | Command::Import(_) => true,
    }
}
