//! Reads what the peer says about our frames and tells the driver each fate.

use std::sync::Mutex;
use std::time::Duration;

use bitchat_proto::stream::{Control, Decoder};
use bitchat_protocol::engine::SendToken;
use bitchat_protocol::error::{Code, Malformed};
use bitchat_protocol::id::DeviceId;
use futures::AsyncRead;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tokio_util::compat::FuturesAsyncReadCompatExt as _;
use tokio_util::sync::CancellationToken;

use super::super::ledger::Ledger;
use super::super::{Event, Limits, NetworkCounters};
use super::lock;

/// Bytes asked for with each read: answers are small and coalesced.
const READ_BYTES: usize = 1_024;
/// A peer cannot ask for more patience than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Reads what the peer says about our frames.
pub(super) struct Answers<'a> {
    pub(super) device: &'a DeviceId,
    pub(super) limits: &'a Limits,
    pub(super) events: &'a mpsc::Sender<Event>,
    pub(super) counters: &'a NetworkCounters,
    pub(super) ledger: &'a Mutex<Ledger>,
    pub(super) room: &'a Notify,
    pub(super) stop: &'a CancellationToken,
}

impl Answers<'_> {
    /// Ends when the stream does, when the peer breaks the protocol or accepts nothing for too long,
    /// or when it is stopped; never while a fate is being told.
    pub(super) async fn run(self, input: impl AsyncRead + Unpin) {
        let mut input = input.compat();
        let mut decoder = Decoder::reading(READ_BYTES);
        let mut overdue = false;
        loop {
            if self.drain(&mut decoder).await.is_err() {
                return self.counters.streams_reset.one();
            }
            let patience =
                if decoder.is_partial() { self.limits.frame_time } else { self.limits.accept_time };
            let read = timeout(patience, input.read_buf(decoder.room()));
            let read = tokio::select! {
                () = self.stop.cancelled() => return,
                read = read => read,
            };
            match read {
                Ok(Ok(1..)) => overdue = false,
                Ok(Ok(0) | Err(_)) => return,
                Err(_) if decoder.is_partial() || overdue => {
                    return self.counters.streams_reset.one();
                }
                // The frames may be a moment old: they have one more period.
                Err(_) => overdue = lock(self.ledger).in_flight() > 0,
            }
        }
    }

    async fn drain(&self, decoder: &mut Decoder) -> Result<(), Malformed> {
        while let Some(frame) = decoder.next_frame()? {
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
