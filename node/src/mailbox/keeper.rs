//! The loop: what happens becomes inputs of the host, its outputs are carried out.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bitchat_protocol::crypto::{Secret, SigningSecret};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::host::{Host, HostInput, HostOutput, HostSettings, HostSetup};
use bitchat_protocol::mailbox::{Answer, RefusalCode, Response, request_id};
use bitchat_protocol::store::{Durable, StoreError};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use super::counted::Counted;
use super::room;
use crate::control::{NodeStatus, Serving, Terms};
use crate::driver::{Call, Clock, token};
use crate::error::NodeError;
use crate::keystore::StoreKeys;
use crate::metrics::Metrics;
use crate::network;
use crate::profile::SystemRng;
use crate::store::{CommitStats, Committer, Refused, Room, SledStore};
use crate::veil::{Asker, Told};

/// Batches of the host on their way to the disk.
const COMMITS_MAX: usize = 16;

/// Answers that wait for the network; beyond, no question is taken.
const OUTGOING_MAX: usize = 1_024;

/// Between attempts to open a store that failed.
const REOPEN_EVERY: Duration = Duration::from_secs(5);

/// How long a stopping node waits for its last writes.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// The other ends of everything that the keeper joins.
pub struct Ends {
    /// Questions of peers, and who went.
    pub calls: mpsc::Receiver<Call>,
    /// Asks other nodes.
    pub asker: Asker,
    /// What became of these questions.
    pub told: mpsc::Receiver<Told>,
    /// To the network.
    pub network: mpsc::Sender<network::Command>,
    /// What the node is doing.
    pub status: watch::Sender<NodeStatus>,
    /// What is counted.
    pub metrics: Metrics,
    /// Ends the loop.
    pub stop: CancellationToken,
}

/// Everything that a host is built from.
#[derive(Debug)]
pub struct Factory {
    /// The store's directory.
    pub dir: PathBuf,
    /// Keys of the store.
    pub keys: StoreKeys,
    /// Seed of the device, which signs custody.
    pub device: Secret<32>,
    /// What is offered.
    pub settings: HostSettings,
}

/// A host and the thread that commits for it.
struct Running {
    host: Host<SledStore, SystemRng>,
    committer: Committer,
    store: SledStore,
}

/// The loop's state.
pub struct Keeper {
    ends: Ends,
    factory: Factory,
    clock: Clock,
    us: DeviceId,
    running: Option<Running>,
    commits: mpsc::Receiver<Result<Vec<Durable>, StoreError>>,
    committed: mpsc::Sender<Result<Vec<Durable>, StoreError>>,
    outgoing: VecDeque<network::Command>,
    /// Questions that did not go, which the host does not know yet.
    unasked: VecDeque<Told>,
    answers: u64,
    /// What the disk has room for.
    room: Room,
    reopen_at: Instant,
    counted: Counted,
}

impl Keeper {
    /// Opens the store, or makes it, and builds the host.
    ///
    /// # Errors
    ///
    /// [`NodeError`] if the store does not open or a row cannot be read.
    pub fn new(ends: Ends, factory: Factory) -> Result<Self, NodeError> {
        let (committed, commits) = mpsc::channel(COMMITS_MAX);
        let us = DeviceId(SigningSecret::from_seed(factory.device.duplicate()).public());
        let serving = Serving { terms: terms(&factory.settings), ..Serving::default() };
        let mut keeper = Self {
            counted: Counted::new(ends.status.clone(), ends.metrics.clone(), serving),
            ends,
            factory,
            clock: Clock::system(),
            us,
            running: None,
            commits,
            committed,
            outgoing: VecDeque::new(),
            unasked: VecDeque::new(),
            answers: 0,
            room: Room::Ample,
            reopen_at: Instant::now(),
        };
        keeper.running = Some(keeper.build()?);
        keeper.report();
        Ok(keeper)
    }

    fn build(&self) -> Result<Running, NodeError> {
        let Factory { dir, keys, device, settings } = &self.factory;
        let store = SledStore::open(dir, keys.duplicate())
            .map_err(|error| unusable(dir, &error.to_string()))?;
        let device = SigningSecret::from_seed(device.duplicate());
        let setup = HostSetup { device, settings: settings.clone() };
        let host = Host::start(setup, store.clone(), UnwrapErr(SysRng), self.clock.now());
        let host = host.map_err(|error| unusable(dir, &error.to_string()))?;
        let metrics = self.ends.metrics.mailbox().clone();
        let report = move |stats: CommitStats| metrics.flushed(stats.took);
        let committed = self.committed.clone();
        let done = move |result| drop(committed.blocking_send(result));
        let committer = Committer::start(store.clone(), COMMITS_MAX, done, report)
            .map_err(|error| NodeError::StoreFailed { reason: error.to_string() })?;
        Ok(Running { host, committer, store })
    }

    /// Runs until told to stop and everything written is durable.
    pub async fn run(mut self) {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.settle();
        let (stop, network) = (self.ends.stop.clone(), self.ends.network.clone());
        loop {
            let is_full = self.running.as_ref().is_some_and(|running| running.host.is_full());
            let open = !is_full && self.outgoing.len() < OUTGOING_MAX;
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
                () = sleep_until(deadline.into()), if open && self.room >= Room::Reserve => {
                    self.feed(HostInput::Timeout);
                }
                Some(told) = self.ends.told.recv(), if open => self.told(told),
                () = std::future::ready(()), if open && !self.unasked.is_empty() => {
                    if let Some(told) = self.unasked.pop_front() {
                        self.told(told);
                    }
                }
                Some(call) = self.ends.calls.recv(), if open => self.call(call),
            }
        }
        self.drain().await;
    }

    /// The host's next deadline, at most a minute ahead.
    fn deadline(&self) -> Instant {
        let host = self.running.as_ref().map(|running| &running.host);
        let at = host.and_then(Host::poll_timeout).map(|(at, _)| self.clock.instant(at));
        let latest = Instant::now() + Duration::from_secs(60);
        at.map_or(latest, |at| at.min(latest))
    }

    fn call(&mut self, call: Call) {
        match call {
            Call::Request { peer, bytes } if self.running.is_none() => {
                self.refuse(peer, &bytes, RefusalCode::Internal, REOPEN_EVERY);
            }
            Call::Request { peer, bytes } if self.room < room::needs(&bytes, self.us, peer) => {
                self.refuse(peer, &bytes, RefusalCode::Busy, room::RETRY);
            }
            Call::Request { peer, bytes } => self.feed(HostInput::Request { peer, bytes }),
            Call::Gone(peer) => self.feed(HostInput::Gone { peer }),
        }
    }

    /// Answers in the host's place. What has no number is no question.
    fn refuse(&mut self, peer: DeviceId, bytes: &[u8], code: RefusalCode, retry_after: Duration) {
        let Some(id) = request_id(bytes) else { return };
        self.counted.refused(code);
        let answer = Answer::Refused { code, retry_after, work_bits: 0 };
        self.respond(peer, Response { id, answer }.encode());
    }

    fn told(&mut self, Told { request, result }: Told) {
        self.feed(match result {
            Ok(frame) => HostInput::Answered { request, frame },
            Err(why) => HostInput::Unanswered { request, why },
        });
    }

    fn feed(&mut self, input: HostInput) {
        let now = self.clock.now();
        if let Some(running) = self.running.as_mut() {
            running.host.handle(input, now);
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(output) =
            self.running.as_mut().and_then(|running| running.host.poll_output())
        {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: HostOutput) {
        match output {
            HostOutput::Persist(batch) => {
                let submitted =
                    self.running.as_ref().map(|Running { committer, .. }| committer.submit(batch));
                if let Some(Err(Refused::Busy(batch) | Refused::Stopped(batch))) = submitted {
                    tracing::error!(batch = batch.id.0, "the store of mailboxes takes no batch");
                    self.abandon();
                }
            }
            HostOutput::Respond { peer, frame } => self.respond(peer, frame),
            HostOutput::Ask(ask) => {
                if let Err(told) = self.ends.asker.ask(ask) {
                    self.unasked.push_back(told);
                }
            }
            HostOutput::Fact(fact) => self.counted.fact(fact),
        }
    }

    fn respond(&mut self, peer: DeviceId, frame: Vec<u8>) {
        self.answers = self.answers.wrapping_add(1);
        let token = token(self.answers);
        self.outgoing.push_back(network::Command::Send { peer, token, frame });
    }

    fn committed(&mut self, result: Result<Vec<Durable>, StoreError>) {
        match result {
            Ok(proofs) => {
                for proof in proofs {
                    self.feed(HostInput::Persisted(proof));
                }
            }
            Err(error) => {
                tracing::error!(%error, "commit failed; mailboxes start anew from the disk");
                self.abandon();
            }
        }
    }

    /// Drops the host with all it withheld: whoever waits for custody asks again.
    fn abandon(&mut self) {
        self.running = None;
        self.unasked.clear();
        self.reopen_at = Instant::now() + REOPEN_EVERY;
        while self.commits.try_recv().is_ok() {} // Proofs of the host that is gone.
        self.counted.report(None, false);
    }

    fn every_second(&mut self) {
        self.reopen();
        let room = match &self.running {
            Some(running) => running.store.room_for(),
            None => Room::at(&self.factory.dir),
        };
        if room != self.room {
            tracing::warn!(?room, "room on the disk for mailboxes");
            self.room = room;
        }
        self.report();
    }

    /// Tries to build a new host after a failure.
    fn reopen(&mut self) {
        let waits = Instant::now() < self.reopen_at || !self.room.takes_new();
        if self.running.is_some() || waits {
            return;
        }
        match self.build() {
            Ok(running) => {
                tracing::info!("the store of mailboxes is open again");
                self.running = Some(running);
                self.settle();
            }
            Err(error) => {
                tracing::warn!(%error, "the store of mailboxes does not open yet");
                self.reopen_at = Instant::now() + REOPEN_EVERY;
            }
        }
    }

    fn report(&mut self) {
        let view = self.running.as_ref().map(|running| running.host.view());
        self.counted.report(view, self.running.is_some() && self.room.takes_new());
    }

    /// Waits for the last writes, so that the custody that was given is on the disk.
    async fn drain(&mut self) {
        let (end, network) = (Instant::now() + DRAIN_MAX, self.ends.network.clone());
        self.feed(HostInput::Timeout);
        let settled =
            |running: &Option<Running>| running.as_ref().is_none_or(|it| it.host.is_settled());
        while !settled(&self.running) {
            tokio::select! {
                Some(result) = self.commits.recv() => self.committed(result),
                () = sleep_until(end.into()) => break,
            }
        }
        while let Some(command) = self.outgoing.pop_front() {
            if network.try_send(command).is_err() {
                break;
            }
        }
    }
}

/// What is offered, as it is shown.
fn terms(settings: &HostSettings) -> Terms {
    Terms {
        rentals_max: u64::try_from(settings.rentals_max).unwrap_or(u64::MAX),
        bytes_max: settings.queue_bytes_max,
        envelopes_max: settings.queue_envelopes_max,
        keep: settings.keep_max,
        work_bits: settings.work_bits,
        needs_access: !settings.access.is_empty(),
    }
}

/// Not the profile's own store, so none of what helps there.
fn unusable(dir: &Path, what: &str) -> NodeError {
    NodeError::Config {
        problem: format!("mailbox.enabled: the mailboxes in {} do not open: {what}", dir.display()),
        hint: "make room, or set mailbox.enabled to false, or move that directory away: what it keeps \
               for others is lost then"
            .to_owned(),
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keeper")
    }
}

impl std::fmt::Debug for Ends {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ends")
    }
}
