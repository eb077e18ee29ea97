//! The one task that owns the swarm: turns commands and swarm events into links, readers and events.
//!
//! It never waits for the driver. What the driver is to know is put into `backlog`; while the
//! backlog is full the hub takes no command and lets the swarm rest.

mod connections;
mod shutdown;
mod start;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use bitchat_protocol::engine::SendToken;
use bitchat_protocol::error::Code;
use bitchat_protocol::id::DeviceId;
use futures::StreamExt as _;
use libp2p::{PeerId, Stream, Swarm};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::address::{AddressBook, Guard, device_of};
use super::link::{LinkEnds, Unqueued};
use super::peer::{InboundStream, Peer};
use super::reader::{Reader, StreamNumber, refusal, refusals};
use super::swarm::Behaviour;
use super::{Command, Event, NetworkCounters, PeerInfo};

/// Events that wait for room in the driver's channel.
const BACKLOG_MAX: usize = 1_024;
/// Commands taken in one go, so that a burst does not poll the swarm for each.
const COMMANDS_AT_ONCE: usize = 64;
/// The peers' snapshot is at most this old.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(250);

/// The hub's ends of what the driver holds.
pub(super) struct Ends {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) peers: watch::Sender<Vec<PeerInfo>>,
    pub(super) stop: CancellationToken,
}

/// The task's state.
pub(super) struct Hub {
    swarm: Swarm<Behaviour>,
    ends: Ends,
    links: LinkEnds,
    guard: Guard,
    /// Streams that peers opened, from the loop that only accepts.
    arrivals: mpsc::Receiver<(PeerId, Stream)>,
    backlog: VecDeque<Item>,
    peers: BTreeMap<DeviceId, Peer>,
    book: AddressBook,
    listening: Vec<String>,
    stream: StreamNumber,
    streams: Arc<Semaphore>,
    queued_bytes: Arc<AtomicUsize>,
    tasks: JoinSet<()>,
    accepting: AbortHandle,
    /// When the peers' snapshot is due; `None`: it is fresh.
    snapshot: Option<Instant>,
}

/// What waits for the driver, in order.
enum Item {
    Event(Event),
    /// Read from here on: its frames must not overtake the `Connected` before it.
    Stream(DeviceId, Stream),
}

/// The driver dropped its events.
struct DriverGone;

impl Hub {
    /// Runs until it is stopped or the driver is gone.
    pub(super) async fn run(mut self) {
        while self.step().await {}
        self.shut_down().await;
    }

    /// Waits for one thing and does it. False: the end.
    async fn step(&mut self) -> bool {
        let (waits, room) = (!self.backlog.is_empty(), self.backlog.len() < BACKLOG_MAX);
        let due = self.snapshot.unwrap_or_else(Instant::now);
        tokio::select! {
            biased;
            () = self.ends.stop.cancelled() => return false,
            delivered = deliver(&self.ends.events, &mut self.backlog), if waits => {
                match delivered {
                    Ok(Some((device, stream))) => self.read(device, stream),
                    Ok(None) => {}
                    Err(DriverGone) => return false,
                }
            }
            // Before the streams: whose connection is not told yet must not be read yet.
            event = self.swarm.select_next_some(), if room => {
                self.on_swarm(event);
                self.catch_up();
            }
            Some((peer, stream)) = self.arrivals.recv(), if room => self.on_stream(peer, stream),
            Some(ended) = self.tasks.join_next() => reap(&ended),
            () = sleep_until(due), if self.snapshot.is_some() => self.publish(),
            command = self.ends.commands.recv(), if room => {
                let Some(command) = command else { return false };
                self.on_command(command);
                self.on_more_commands();
            }
        }
        true
    }

    /// What a flood of swarm events must not hold up.
    fn catch_up(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            reap(&ended);
        }
        if self.snapshot.is_some_and(|due| due <= Instant::now()) {
            self.publish();
        }
        self.on_more_commands();
    }

    fn on_more_commands(&mut self) {
        for _ in 1..COMMANDS_AT_ONCE {
            if self.backlog.len() >= BACKLOG_MAX {
                return;
            }
            let Ok(command) = self.ends.commands.try_recv() else { return };
            self.on_command(command);
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Send { peer, token, frame } => self.send(peer, token, frame),
            Command::Refuse { peer, number, code, retry_after } => {
                self.refuse(peer, number, code, retry_after);
            }
            Command::Connect { peer, addresses } => self.connect(peer, &addresses),
        }
    }

    fn send(&mut self, device: DeviceId, token: SendToken, frame: Vec<u8>) {
        let link = self.peers.get(&device).and_then(|peer| peer.link.as_ref());
        match link.map(|link| link.offer(token, frame)) {
            Some(Ok(())) => return,
            Some(Err(Unqueued::Full)) => self.counters().queue_full.one(),
            Some(Err(Unqueued::Malformed)) | None => {}
        }
        self.counters().sends_failed.one();
        self.tell(Event::SendFailed { peer: device, token });
    }

    fn refuse(&self, device: DeviceId, name: u64, code: Code, retry_after: Duration) {
        let (stream, number) = StreamNumber::parse(name);
        let refusals = self.peers.get(&device).and_then(|peer| peer.refusals_of(stream));
        let sent = refusals
            .is_some_and(|refusals| refusals.try_send(refusal(number, code, retry_after)).is_ok());
        let counters = self.counters();
        if sent { counters.refusals_out.one() } else { counters.refusals_dropped.one() }
    }

    /// A peer opened a stream. Its connection is known: the swarm said so before the stream could come.
    fn on_stream(&mut self, peer: PeerId, stream: Stream) {
        let device = device_of(&peer).filter(|device| self.peers.contains_key(device));
        match device {
            Some(device) => self.backlog.push_back(Item::Stream(device, stream)),
            None => self.counters().streams_dropped.one(),
        }
    }

    fn read(&mut self, device: DeviceId, stream: Stream) {
        let counters = Arc::clone(self.counters());
        let limits = self.links.limits;
        let Some(peer) = self.peers.get_mut(&device) else { return counters.streams_dropped.one() };
        let replaced = peer.make_room(limits.streams_per_peer);
        counters.streams_dropped.more(u64::try_from(replaced).unwrap_or(u64::MAX));
        let Ok(permit) = Arc::clone(&self.streams).try_acquire_owned() else {
            return counters.streams_dropped.one();
        };
        counters.streams_accepted.one();
        let (sender, receiver) = refusals();
        let number = self.stream;
        self.stream = number.next();
        let reader = Reader {
            device,
            stream: number,
            refusals: receiver,
            events: self.ends.events.clone(),
            counters,
            frame_time: limits.frame_time,
            permit,
        };
        let task = self.tasks.spawn(reader.run(stream));
        peer.streams.push(InboundStream { number, refusals: sender, task });
    }

    fn publish(&mut self) {
        self.snapshot = None;
        let infos = self.peers.iter().filter_map(|(device, peer)| peer.info(*device)).collect();
        self.ends.peers.send_replace(infos);
    }

    /// The snapshot is out of date.
    fn touch(&mut self) {
        self.snapshot.get_or_insert_with(|| Instant::now() + SNAPSHOT_EVERY);
    }

    fn tell(&mut self, event: Event) {
        self.backlog.push_back(Item::Event(event));
    }

    const fn counters(&self) -> &Arc<NetworkCounters> {
        &self.links.counters
    }
}

/// A task ended; only a defect makes it panic.
fn reap(ended: &Result<(), JoinError>) {
    if ended.as_ref().is_err_and(JoinError::is_panic) {
        tracing::error!("a task of the network panicked");
    }
}

/// Moves events of the backlog to the driver, as many as it has room for, but at least one. A
/// stream whose turn has come is handed back. Dropped while it waits, it has moved nothing.
async fn deliver(
    events: &mpsc::Sender<Event>,
    backlog: &mut VecDeque<Item>,
) -> Result<Option<(DeviceId, Stream)>, DriverGone> {
    let mut permit = events.reserve().await.map_err(|_| DriverGone)?;
    while let Some(item) = backlog.pop_front() {
        match item {
            Item::Event(event) => permit.send(event),
            Item::Stream(device, stream) => return Ok(Some((device, stream))),
        }
        let Ok(next) = events.try_reserve() else { break };
        permit = next;
    }
    Ok(None)
}
