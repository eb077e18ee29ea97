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
mod ends;
mod factory;
mod mail;
mod rejected;
mod report;
mod room;
mod trace;

pub use clock::Clock;
pub use door::{Call, Door};
pub use ends::Ends;
pub use factory::Factory;
pub use mail::Mail;

pub(crate) use door::{CALLS_MAX, token};

use std::collections::{BTreeMap, VecDeque};
use std::future::ready;
use std::time::{Duration, Instant};

use bitchat_protocol::engine::{CommandError, CommandId, Engine, Input, Reply};
use bitchat_protocol::store::{Durable, StoreError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use crate::control::Request;
use crate::network;
use crate::profile::SystemRng;
use crate::store::{Committer, Room, SledStore};
use crate::veil::Told;

use rejected::Rejected;
use room::{FULL_RETRY, HELD_MAX};
use trace::Traces;

/// How long a stopping node waits for its last writes.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Between attempts to open a store that failed.
const REOPEN_EVERY: Duration = Duration::from_secs(2);

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
    running: Option<Running>,
    commits: mpsc::Receiver<Result<Vec<Durable>, StoreError>>,
    committed: mpsc::Sender<Result<Vec<Durable>, StoreError>>,
    outgoing: VecDeque<network::Command>,
    /// Questions that did not go, which the engine does not know yet.
    unasked: VecDeque<Told>,
    replies: BTreeMap<CommandId, oneshot::Sender<Result<Reply, CommandError>>>,
    next_command: u64,
    addresses: Vec<String>,
    /// What the disk has room for.
    room: Room,
    /// By how much the wall clock is off what it said before it was set.
    skew_ms: i64,
    traces: Traces,
    /// What the network told while nothing could be written.
    held: VecDeque<network::Event>,
    /// Rows that the store had moved to newer keys when it was last asked.
    moved: u64,
    reopen_at: Instant,
    /// Contacts with changed keys that nobody has looked at, and those blocked for it.
    keys: (usize, usize),
    /// Refusals by rate limits in the last minute.
    rejected: Rejected,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
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
        let mut driver = Self {
            ends,
            factory,
            running: None,
            commits,
            committed,
            outgoing: VecDeque::new(),
            unasked: VecDeque::new(),
            replies: BTreeMap::new(),
            next_command: 0,
            addresses: Vec::new(),
            room: Room::Ample,
            skew_ms: 0,
            traces: Traces::default(),
            held: VecDeque::new(),
            moved: 0,
            reopen_at: Instant::now(),
            keys: (0, 0),
            rejected: Rejected::default(),
        };
        driver.look_at_room();
        driver.running = Some(driver.build()?);
        driver.set_up();
        Ok(driver)
    }

    /// Tells a new engine its thresholds and where its profile lives.
    fn set_up(&mut self) {
        let settings = *self.ends.settings.borrow_and_update();
        self.feed(Input::Settings(settings));
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
        let (engine, store) = self.factory.build(self.ends.clock.now())?;
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
        let (mut peers, mut settings) = (self.ends.peers.clone(), self.ends.settings.clone());
        loop {
            self.ends.heartbeat.beat(Instant::now());
            let open = self.is_open();
            let takes = self.held.len() < HELD_MAX;
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
                Ok(()) = settings.changed() => {
                    let changed = *settings.borrow_and_update();
                    self.feed(Input::Settings(changed));
                }
                () = sleep_until(deadline.into()), if open && self.may_write() => {
                    self.feed(Input::Timeout);
                }
                Some(told) = self.ends.mail.told.recv(), if self.may_take_answers(open) => {
                    self.told(told);
                }
                () = ready(()), if self.may_take_answers(open) && !self.unasked.is_empty() => {
                    if let Some(told) = self.unasked.pop_front() {
                        self.told(told);
                    }
                }
                Some(event) = self.ends.heard.recv(), if takes && (open || self.running.is_none()) => {
                    self.hear(event);
                }
                Some(request) = self.ends.requests.recv(), if open || self.running.is_none() => {
                    self.request(request);
                }
            }
        }
        self.drain().await;
    }

    /// Whether there is an engine, and it takes more.
    fn is_open(&self) -> bool {
        self.running.as_ref().is_some_and(|running| !running.engine.is_full())
    }

    /// The engine's next deadline, at most a minute ahead.
    fn deadline(&self) -> Instant {
        let engine = self.running.as_ref().map(|running| &running.engine);
        let at = engine.and_then(Engine::poll_timeout).map(|(at, _)| self.ends.clock.instant(at));
        let latest = Instant::now() + Duration::from_secs(60);
        at.map_or(latest, |at| at.min(latest))
    }

    fn feed(&mut self, input: Input) {
        let now = self.ends.clock.now();
        if let Some(running) = self.running.as_mut() {
            running.engine.handle(input, now);
        }
        self.settle();
    }

    /// As [`Self::feed`], with the lines of the log in this span.
    fn feed_in(&mut self, span: &tracing::Span, input: Input) {
        self.traces.handled(span);
        span.in_scope(|| self.feed(input));
    }

    fn committed(&mut self, result: Result<Vec<Durable>, StoreError>) {
        match result {
            Ok(proofs) => proofs.into_iter().for_each(|proof| {
                self.traces.durable(proof.batch());
                let span = tracing::trace_span!("batch", number = proof.batch().0);
                span.in_scope(|| self.feed(Input::Persisted(proof)));
            }),
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
        self.traces.abandoned();
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
        let waits = Instant::now() < self.reopen_at || !self.room.takes_new();
        if self.running.is_some() || waits {
            return;
        }
        match self.build() {
            Ok(running) => {
                tracing::info!("the store is open again");
                self.running = Some(running);
                self.set_up();
                self.feed(Input::Addresses(self.addresses.clone()));
                let peers = self.ends.peers.borrow().clone();
                for peer in peers {
                    self.feed(Input::Connected { peer: peer.device, prefix: peer.prefix });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the store does not open yet");
                self.reopen_at = Instant::now() + REOPEN_EVERY;
            }
        }
    }

    fn request(&mut self, request: Request) {
        if let Some(refusal) = self.refusal(&request.command) {
            drop(request.reply.send(Err(refusal)));
            return;
        }
        self.next_command = self.next_command.saturating_add(1);
        let id = CommandId(self.next_command);
        self.replies.insert(id, request.reply);
        self.feed_in(&request.span, Input::Command { id, command: request.command });
    }

    fn hear(&mut self, event: network::Event) {
        let Some(event) = self.at_the_door(event) else { return };
        let Some(event) = self.unless_held(event) else { return };
        let input = match event {
            network::Event::Frame { peer, number, .. } if self.storage_refuses() => {
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
            network::Event::Frame { peer, number, bytes } => {
                return self.feed_in(&trace::frame(), Input::Frame { peer, number, bytes });
            }
            network::Event::Connected { peer, prefix } => Input::Connected { peer, prefix },
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
        self.feed(Input::Stop); // What waits for company in a batch goes now.
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

#[cfg(test)]
mod tests;
