//! The stream that carries our frames to one peer, and the fate of each of them.
//!
//! ```text
//!   waiting ──frame (or dialled by us)──> opening ──> conversing ──broken──> backing off ──> waiting
//! ```
//!
//! One task a connected peer. The queue is bounded in frames and bytes; the number of unaccepted
//! frames is bounded too. Bytes are flushed when the queue is empty, not for each frame. Writing
//! and reading do not wait for one another, so that two peers that write at once cannot lock up
//! (rust-libp2p 5410).

mod answers;
mod writer;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bitchat_proto::limits::FRAME_BYTES_MAX;
use bitchat_proto::stream::Kind;
use bitchat_protocol::engine::SendToken;
use bitchat_protocol::id::DeviceId;
use futures::AsyncReadExt as _;
use libp2p::{PeerId, Stream};
use libp2p_stream::{Control as Streams, OpenStreamError};
use tokio::pin;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::bytes::BytesMut;
use tokio_util::sync::CancellationToken;

use super::ledger::Ledger;
use super::swarm::MESSAGES;
use super::{Event, Limits, NetworkCounters};

use answers::Answers;
use writer::Writer;

/// A broken stream is opened again after this long, doubling up to the maximum.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// What the peer said before its stream broke is read for this long.
const LAST_ANSWERS: Duration = Duration::from_millis(100);

/// One frame on its way.
#[derive(Debug)]
struct Outgoing {
    token: SendToken,
    frame: Vec<u8>,
}

/// Bytes that wait: for this peer, and for all.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    own: Arc<AtomicUsize>,
    all: Arc<AtomicUsize>,
}

/// The hub's end of a link. Dropped: what is queued is sent, then the task ends.
#[derive(Debug)]
pub(super) struct LinkHandle {
    queue: mpsc::Sender<Outgoing>,
    budget: Budget,
    limits: Limits,
    gone: CancellationToken,
}

impl LinkHandle {
    /// Queues a frame.
    pub(super) fn offer(&self, token: SendToken, frame: Vec<u8>) -> Result<(), Unqueued> {
        let bytes = frame.len();
        if bytes > FRAME_BYTES_MAX || Kind::of(&frame) != Ok(Kind::Application) {
            return Err(Unqueued::Malformed);
        }
        if !self.budget.take(bytes, &self.limits) {
            return Err(Unqueued::Full);
        }
        self.queue.try_send(Outgoing { token, frame }).map_err(|_| {
            self.budget.give(bytes);
            Unqueued::Full
        })
    }

    /// The last connection is gone: everything fails now.
    pub(super) fn cut(self) {
        self.gone.cancel();
    }

    /// The node stops: what is queued is written and has a second to be accepted. Cancel what this
    /// returns to fail the rest.
    pub(super) fn finish(self) -> CancellationToken {
        self.gone
    }
}

/// Why a frame was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unqueued {
    /// No room for the peer or for all peers, or the link is ending.
    Full,
    /// Too long, or no application frame.
    Malformed,
}

impl Budget {
    /// A budget of its own within `all`.
    pub(super) fn within(all: &Arc<AtomicUsize>) -> Self {
        Self { own: Arc::default(), all: Arc::clone(all) }
    }

    fn take(&self, bytes: usize, limits: &Limits) -> bool {
        let own = self.own.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let all = self.all.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let fits = own <= limits.queue_bytes && all <= limits.queue_bytes_total;
        if !fits {
            self.give(bytes);
        }
        fits
    }

    fn give(&self, bytes: usize) {
        self.own.fetch_sub(bytes, Ordering::Relaxed);
        self.all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The task of one connected peer.
pub(super) struct Link {
    device: DeviceId,
    peer: PeerId,
    streams: Streams,
    queue: mpsc::Receiver<Outgoing>,
    budget: Budget,
    limits: Limits,
    gone: CancellationToken,
    events: mpsc::Sender<Event>,
    counters: Arc<NetworkCounters>,
    /// Whether the stream is opened before there is a frame: keeps a connection that we asked for.
    eager: bool,
}

/// What all links share.
#[derive(Clone)]
pub(super) struct LinkEnds {
    pub(super) streams: Streams,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) counters: Arc<NetworkCounters>,
    pub(super) limits: Limits,
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The hub dropped its end and nothing is left to say.
    Finished,
    /// The stream broke or the peer broke the protocol.
    Broken,
}

impl Link {
    /// A link and the hub's end of it.
    pub(super) fn new(
        device: DeviceId,
        peer: PeerId,
        eager: bool,
        budget: Budget,
        ends: LinkEnds,
    ) -> (Self, LinkHandle) {
        let LinkEnds { streams, events, counters, limits } = ends;
        let (offer, queue) = mpsc::channel(limits.queue_frames);
        let gone = CancellationToken::new();
        let handle =
            LinkHandle { queue: offer, budget: budget.clone(), limits, gone: gone.clone() };
        let link =
            Self { device, peer, streams, queue, budget, limits, gone, events, counters, eager };
        (link, handle)
    }

    /// Runs until the hub drops its end or cuts the link; then every token has its fate.
    pub(super) async fn run(mut self) {
        let gone = self.gone.clone();
        let mut backoff = BACKOFF_MIN;
        loop {
            let first = if self.eager {
                None
            } else {
                let next = tokio::select! {
                    () = gone.cancelled() => None,
                    next = self.queue.recv() => next,
                };
                let Some(next) = next else { break };
                Some(next)
            };
            let opened = Instant::now();
            if self.attempt(first).await == End::Finished || gone.is_cancelled() {
                break;
            }
            self.fail_queued().await;
            if opened.elapsed() > BACKOFF_MAX {
                backoff = BACKOFF_MIN;
            }
            tokio::select! {
                () = gone.cancelled() => break,
                () = sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
        self.queue.close();
        self.fail_queued().await;
    }

    /// Opens a stream and converses on it; what it leaves unaccepted fails.
    async fn attempt(&mut self, first: Option<Outgoing>) -> End {
        let gone = self.gone.clone();
        let ledger = Mutex::new(Ledger::default());
        let opened = tokio::select! {
            () = gone.cancelled() => Err(None),
            opened = self.streams.open_stream(self.peer, MESSAGES) => opened.map_err(Some),
        };
        let end = match opened {
            Ok(stream) => {
                self.counters.streams_opened.one();
                self.converse(stream, first, &ledger).await
            }
            Err(cause) => {
                // A peer without our protocol is asked again only when there is something to say.
                self.eager &= !matches!(cause, Some(OpenStreamError::UnsupportedProtocol(_)));
                if let Some(Outgoing { token, frame }) = first {
                    self.budget.give(frame.len());
                    self.fail(token).await;
                }
                End::Broken
            }
        };
        let left = lock(&ledger).fail();
        for token in left {
            self.fail(token).await;
        }
        end
    }

    async fn converse(
        &mut self,
        stream: Stream,
        first: Option<Outgoing>,
        ledger: &Mutex<Ledger>,
    ) -> End {
        let (input, output) = stream.split();
        let (room, stop) = (Notify::new(), CancellationToken::new());
        let Self { device, queue, budget, limits, gone, events, counters, .. } = self;
        let writer = Writer { queue, budget, limits, counters, ledger, room: &room };
        let answers =
            Answers { device, limits, events, counters, ledger, room: &room, stop: &stop };
        // In the ledger before anything can end the conversation.
        let mut batch = BytesMut::new();
        if let Some(frame) = first {
            writer.put(&mut batch, frame);
        }
        let (reading, writing) = (answers.run(input), writer.run(output, batch));
        pin!(reading);
        let end = tokio::select! {
            () = &mut reading => return End::Broken,
            end = writing => end,
            () = gone.cancelled() => End::Broken,
        };
        if end == End::Broken && timeout(LAST_ANSWERS, &mut reading).await.is_ok() {
            return End::Broken;
        }
        // It may be telling a fate right now: it ends between two, never within one.
        stop.cancel();
        reading.await;
        end
    }

    async fn fail_queued(&mut self) {
        while let Ok(Outgoing { token, frame }) = self.queue.try_recv() {
            self.budget.give(frame.len());
            self.fail(token).await;
        }
    }

    async fn fail(&self, token: SendToken) {
        self.counters.sends_failed.one();
        let _ = self.events.send(Event::SendFailed { peer: self.device, token }).await;
    }
}

/// Both ends live in one task; the lock is never held across an await.
fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
