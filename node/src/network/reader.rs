//! One stream of a peer: its frames go to the driver, acknowledgements and refusals go back.
//!
//! A frame is acknowledged after the driver's channel took it. Acknowledgements are coalesced:
//! one when the bytes read so far are used up, and one at the latest every [`ACCEPT_EVERY`] frames.
//! While the channel is full nothing is read, so that the peer stops writing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bitchat_proto::stream::{Control, Decoder, Kind, Malformed};
use bitchat_protocol::error::Code;
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::time::millis_up;
use futures::{AsyncReadExt as _, io::ReadHalf, io::WriteHalf};
use libp2p::Stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::bytes::BytesMut;
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _, FuturesAsyncWriteCompatExt as _};

use super::{Event, NetworkCounters};

/// Frames that wait for an acknowledgement at most.
const ACCEPT_EVERY: u64 = 64;
/// Bytes asked for with each read: a frame of Yamux.
const READ_BYTES: usize = 16 * 1024;
/// Refusals that wait to be written; more are dropped, and the peer's own time-out stands in.
const REFUSALS_MAX: usize = 256;
/// Bits of a frame's number within its stream; the stream's number stands above.
const NUMBER_BITS: u32 = 40;

/// The stream that a frame came on. Never reused by one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamNumber(u64);

impl StreamNumber {
    /// The stream after this one.
    pub(super) const fn next(self) -> Self {
        Self((self.0 + 1) & ((1 << (64 - NUMBER_BITS)) - 1))
    }

    /// The first stream.
    pub(super) const FIRST: Self = Self(0);

    /// What the driver calls frame `number` of this stream.
    const fn name(self, number: u64) -> u64 {
        self.0 << NUMBER_BITS | number & ((1 << NUMBER_BITS) - 1)
    }

    /// The stream and the frame's number on it.
    pub(super) const fn parse(name: u64) -> (Self, u64) {
        (Self(name >> NUMBER_BITS), name & ((1 << NUMBER_BITS) - 1))
    }
}

/// Refusals on their way to the peer.
pub(super) fn refusals() -> (mpsc::Sender<Control>, mpsc::Receiver<Control>) {
    mpsc::channel(REFUSALS_MAX)
}

/// The words of a refusal.
pub(super) fn refusal(number: u64, code: Code, retry_after: Duration) -> Control {
    Control::Refusal { number, code: code as u32, retry_after_ms: millis_up(retry_after) }
}

/// The task of one inbound stream.
pub(super) struct Reader {
    pub(super) device: DeviceId,
    pub(super) stream: StreamNumber,
    pub(super) refusals: mpsc::Receiver<Control>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) counters: Arc<NetworkCounters>,
    /// From a frame's first byte to its last.
    pub(super) frame_time: Duration,
    /// One of the streams that are read at once.
    pub(super) permit: OwnedSemaphorePermit,
}

/// Why a stream ended.
enum End {
    /// The peer or its connection is gone, or the driver is.
    Closed,
    /// The peer broke the protocol or let a frame hang.
    Violation,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

impl From<Malformed> for End {
    fn from(_: Malformed) -> Self {
        Self::Violation
    }
}

impl Reader {
    /// Reads until the stream ends; dropping the stream resets it.
    pub(super) async fn run(mut self, stream: Stream) {
        let (input, output) = stream.split();
        let mut talk = Talk {
            input: input.compat(),
            output: output.compat_write(),
            decoder: Decoder::reading(READ_BYTES),
            words: BytesMut::new(),
            read: 0,
            accepted: 0,
        };
        if matches!(self.converse(&mut talk).await, End::Violation) {
            self.counters.streams_reset.one();
            tracing::trace!(device = ?self.device, "stream reset");
        }
        drop(self.permit);
    }

    async fn converse(&mut self, talk: &mut Talk) -> End {
        let mut deadline = None;
        loop {
            match self.hand_over(talk).await {
                Ok(progress) => deadline = self.deadline(talk, deadline, progress),
                Err(end) => return end,
            }
            let step = tokio::select! {
                refusal = self.refusals.recv() => talk.refuse(refusal),
                read = talk.input.read_buf(talk.decoder.room()) => match read {
                    Ok(0) | Err(_) => Err(End::Closed),
                    Ok(_) => Ok(()),
                },
                () = late(deadline) => Err(End::Violation),
            };
            if let Err(end) = step {
                return end;
            }
            while let Ok(refusal) = self.refusals.try_recv() {
                refusal.put(&mut talk.words);
            }
        }
    }

    /// Gives every whole frame to the driver, then writes what the peer is to know. Says whether a
    /// frame was completed.
    async fn hand_over(&self, talk: &mut Talk) -> Result<bool, End> {
        let before = talk.read;
        while let Some(bytes) = talk.decoder.next_frame()? {
            if Kind::of(&bytes)? != Kind::Application {
                return Err(End::Violation);
            }
            talk.read += 1;
            let event =
                Event::Frame { peer: self.device, number: self.stream.name(talk.read), bytes };
            self.events.send(event).await.map_err(|_| End::Closed)?;
            self.counters.frames_in.one();
            if talk.read - talk.accepted >= ACCEPT_EVERY {
                talk.accept().await?;
            }
        }
        talk.accept().await?;
        Ok(talk.read > before)
    }

    /// When the frame that is under way must be whole.
    fn deadline(&self, talk: &Talk, old: Option<Instant>, progress: bool) -> Option<Instant> {
        if !talk.decoder.is_partial() {
            return None;
        }
        old.filter(|_| !progress).or_else(|| Some(Instant::now() + self.frame_time))
    }
}

/// The stream and what is known about it.
struct Talk {
    input: Compat<ReadHalf<Stream>>,
    output: Compat<WriteHalf<Stream>>,
    decoder: Decoder,
    /// Control frames that are not written yet.
    words: BytesMut,
    /// Frames handed over.
    read: u64,
    /// Frames acknowledged.
    accepted: u64,
}

impl Talk {
    /// Writes what is new: an acknowledgement, refusals, or nothing.
    async fn accept(&mut self) -> Result<(), End> {
        if self.read > self.accepted {
            self.accepted = self.read;
            Control::Accepted { upto: self.read }.put(&mut self.words);
        }
        if !self.words.is_empty() {
            self.output.write_all_buf(&mut self.words).await?;
            self.output.flush().await?;
        }
        Ok(())
    }

    fn refuse(&mut self, refusal: Option<Control>) -> Result<(), End> {
        refusal.ok_or(End::Closed)?.put(&mut self.words);
        Ok(())
    }
}

/// Passes at the deadline; without one, never.
async fn late(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frames_name_holds_its_stream_and_its_number() {
        let second = StreamNumber::FIRST.next();

        assert_eq!(StreamNumber::parse(second.name(7)), (second, 7));
        assert_ne!(second.name(7), StreamNumber::FIRST.name(7));
        assert_eq!(StreamNumber(0xFF_FFFF).next(), StreamNumber::FIRST);
    }

    #[test]
    fn a_wait_is_told_in_whole_milliseconds_and_never_too_short() {
        for (nanos, millis) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
            let told = refusal(1, Code::Busy, Duration::from_nanos(nanos));

            assert!(
                matches!(told, Control::Refusal { retry_after_ms, .. } if retry_after_ms == millis),
                "{nanos}"
            );
        }
    }
}
