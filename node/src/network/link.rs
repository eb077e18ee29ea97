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

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bitchat_proto::limits::FRAME_BYTES_MAX;
use bitchat_protocol::engine::SendToken;
use bitchat_protocol::error::{Code, Malformed};
use bitchat_protocol::id::DeviceId;
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use libp2p::{PeerId, Stream};
use libp2p_stream::{Control as Streams, OpenStreamError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::pin;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::bytes::BytesMut;
use tokio_util::compat::{FuturesAsyncReadCompatExt as _, FuturesAsyncWriteCompatExt as _};
use tokio_util::sync::CancellationToken;

use super::codec::{Control, Decoder, Kind, put_frame};
use super::ledger::Ledger;
use super::swarm::MESSAGES;
use super::{Event, Limits, NetworkCounters};

/// Bytes gathered for one write.
const BATCH_BYTES: usize = 64 * 1024;
/// A broken stream is opened again after this long, doubling up to the maximum.
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// What was queued when the node stops has this long to be accepted.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// A peer cannot ask for more patience than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

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
    pub(super) fn offer(&self, token: SendToken, frame: Vec<u8>) -> Result<(), Full> {
        let bytes = frame.len();
        if bytes > FRAME_BYTES_MAX || Kind::of(&frame) != Ok(Kind::Application) {
            return Err(Full::Never);
        }
        if !self.budget.take(bytes, &self.limits) {
            return Err(Full::Now);
        }
        self.queue.try_send(Outgoing { token, frame }).map_err(|_| {
            self.budget.give(bytes);
            Full::Now
        })
    }

    /// The last connection is gone: everything fails now.
    pub(super) fn cut(self) {
        self.gone.cancel();
    }

    /// The node stops: what is queued has [`LAST_WORDS`] from when it is written. Cancel what this
    /// returns to fail the rest.
    pub(super) fn finish(self) -> CancellationToken {
        self.gone
    }
}

/// Why a frame was not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The queue has no room.
    Now,
    /// The frame is too long or no application frame.
    Never,
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
            backoff = if opened.elapsed() > BACKOFF_MAX {
                BACKOFF_MIN
            } else {
                (backoff * 2).min(BACKOFF_MAX)
            };
            tokio::select! {
                () = gone.cancelled() => break,
                () = sleep(backoff) => {}
            }
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
        let room = Notify::new();
        let stop = CancellationToken::new();
        let Self { device, queue, budget, limits, gone, events, counters, .. } = self;
        let writer = Writer { queue, budget, limits, counters, ledger, room: &room };
        let reader = Reader { device, limits, events, counters, ledger, room: &room, stop: &stop };
        let (reading, writing) = (reader.run(input), writer.run(output, first));
        pin!(reading);
        let end = tokio::select! {
            () = &mut reading => return End::Broken,
            end = writing => end,
            () = gone.cancelled() => End::Broken,
        };
        // The reader may be telling fates right now: it ends between two frames, never within one.
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

/// Writes queued frames. Dropping it at any await loses no token: each is in the queue or the ledger.
struct Writer<'a> {
    queue: &'a mut mpsc::Receiver<Outgoing>,
    budget: &'a Budget,
    limits: &'a Limits,
    counters: &'a NetworkCounters,
    ledger: &'a Mutex<Ledger>,
    room: &'a Notify,
}

impl Writer<'_> {
    async fn run(mut self, output: impl AsyncWrite + Unpin, first: Option<Outgoing>) -> End {
        let mut output = output.compat_write();
        let mut batch = BytesMut::with_capacity(BATCH_BYTES);
        if let Some(frame) = first {
            self.put(&mut batch, frame);
        }
        loop {
            let more = self.gather(&mut batch);
            if !batch.is_empty() {
                let written = output.write_all_buf(&mut batch).await;
                if written.is_err() {
                    return End::Broken;
                }
                continue;
            }
            if output.flush().await.is_err() {
                return End::Broken;
            }
            match more {
                More::Full => self.room.notified().await,
                More::Never => return self.linger(output).await,
                More::Later => match self.queue.recv().await {
                    Some(frame) => self.put(&mut batch, frame),
                    None => return self.linger(output).await,
                },
            }
        }
    }

    /// Moves what is queued to `batch`, as far as the bounds allow.
    fn gather(&mut self, batch: &mut BytesMut) -> More {
        while batch.len() < BATCH_BYTES {
            if lock(self.ledger).in_flight() >= self.limits.in_flight {
                return More::Full;
            }
            match self.queue.try_recv() {
                Ok(frame) => self.put(batch, frame),
                Err(TryRecvError::Empty) => return More::Later,
                Err(TryRecvError::Disconnected) => return More::Never,
            }
        }
        More::Later
    }

    fn put(&self, batch: &mut BytesMut, Outgoing { token, frame }: Outgoing) {
        self.budget.give(frame.len());
        lock(self.ledger).push(token);
        put_frame(batch, &frame);
        self.counters.frames_out.one();
    }

    /// The hub is done with this peer: waits a little for the last acceptances.
    async fn linger(&self, mut output: impl tokio::io::AsyncWrite + Unpin) -> End {
        let deadline = Instant::now() + LAST_WORDS;
        while lock(self.ledger).in_flight() > 0 {
            if timeout_at(deadline, self.room.notified()).await.is_err() {
                break;
            }
        }
        let _ = timeout_at(deadline, output.shutdown()).await;
        End::Finished
    }
}

/// Whether more frames can be written.
enum More {
    /// Once one is queued.
    Later,
    /// Once the peer accepts some.
    Full,
    /// No: the hub dropped its end.
    Never,
}

/// Reads what the peer says about our frames.
struct Reader<'a> {
    device: &'a DeviceId,
    limits: &'a Limits,
    events: &'a mpsc::Sender<Event>,
    counters: &'a NetworkCounters,
    ledger: &'a Mutex<Ledger>,
    room: &'a Notify,
    stop: &'a CancellationToken,
}

impl Reader<'_> {
    /// Ends when the stream does, when the peer breaks the protocol, or when it is stopped.
    async fn run(self, input: impl AsyncRead + Unpin) {
        let mut input = input.compat();
        let mut decoder = Decoder::default();
        loop {
            match self.drain(&mut decoder).await {
                Ok(()) => {}
                Err(Malformed(_)) => return self.counters.streams_reset.one(),
            }
            let partial = decoder.is_partial();
            let read = input.read_buf(decoder.room());
            let read = async {
                if partial { timeout(self.limits.frame_time, read).await } else { Ok(read.await) }
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                read = read => match read {
                    Ok(Ok(1..)) => {}
                    Ok(Ok(0) | Err(_)) => return,
                    Err(_) => return self.counters.streams_reset.one(),
                },
            }
        }
    }

    async fn drain(&self, decoder: &mut Decoder) -> Result<(), Malformed> {
        while let Some(frame) = decoder.next()? {
            match Control::parse(&frame)? {
                Control::Accepted { upto } => {
                    let tokens = lock(self.ledger).accept(upto)?;
                    self.room.notify_one();
                    for token in tokens {
                        self.counters.frames_accepted.one();
                        self.tell(Event::Accepted { peer: *self.device, token }).await;
                    }
                }
                Control::Refusal { number, code, retry_after_ms } => {
                    let token = lock(self.ledger).refuse(number)?;
                    self.refused(token, code, retry_after_ms).await;
                }
            }
        }
        Ok(())
    }

    async fn refused(&self, token: Option<SendToken>, code: u32, retry_after_ms: u64) {
        let Some(token) = token else { return self.counters.refusals_dropped.one() };
        self.counters.refusals_in.one();
        let retry_after = Duration::from_millis(retry_after_ms).min(RETRY_AFTER_MAX);
        let code = Code::from_wire(code);
        self.tell(Event::Refused { peer: *self.device, token, code, retry_after }).await;
    }

    async fn tell(&self, event: Event) {
        let _ = self.events.send(event).await;
    }
}

/// Both ends live in one task; the lock is never held across an await.
fn lock(ledger: &Mutex<Ledger>) -> std::sync::MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
