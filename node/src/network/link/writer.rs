//! Writes queued frames in batches; flushes when the queue is empty.

use std::sync::Mutex;
use std::time::Duration;

use bitchat_proto::stream::put_frame;
use futures::AsyncWrite;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::bytes::BytesMut;
use tokio_util::compat::FuturesAsyncWriteCompatExt as _;

use super::super::ledger::Ledger;
use super::super::{Limits, NetworkCounters};
use super::{Budget, End, Outgoing, lock};

/// Bytes gathered for one write.
const BATCH_BYTES: usize = 64 * 1024;
/// A batch that grew beyond this is given back when the queue is empty.
const IDLE_BYTES_MAX: usize = 16 * 1024;
/// What was queued when the node stops has this long to be accepted.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Writes queued frames. Dropping it at any await loses no token: each is in the queue or the ledger.
pub(super) struct Writer<'a> {
    pub(super) queue: &'a mut mpsc::Receiver<Outgoing>,
    pub(super) budget: &'a Budget,
    pub(super) limits: &'a Limits,
    pub(super) counters: &'a NetworkCounters,
    pub(super) ledger: &'a Mutex<Ledger>,
    pub(super) room: &'a Notify,
}

impl Writer<'_> {
    /// Writes `batch`, then the queue. Ends when the stream breaks, or when the hub is done with the
    /// peer and the peer with what it was sent.
    pub(super) async fn run(mut self, output: impl AsyncWrite + Unpin, mut batch: BytesMut) -> End {
        let mut output = output.compat_write();
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
            if batch.capacity() > IDLE_BYTES_MAX {
                batch = BytesMut::new();
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

    /// Moves one frame to `batch` and to the ledger.
    pub(super) fn put(&self, batch: &mut BytesMut, Outgoing { token, frame }: Outgoing) {
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
