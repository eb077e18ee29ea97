//! Yamux with bounds: libp2p's own wrapper leaves the receive window of a connection at 1 GiB.
//!
//! A peer may have [`WINDOW`] bytes under way towards us, in at most [`STREAMS`] substreams; one
//! that opens more loses the connection. Substreams that nobody asked for yet wait in a queue of
//! [`ARRIVED_MAX`]; more of them are reset.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::iter::{Once, once};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo};
use yamux::{Config, Connection, ConnectionError, Mode, Stream};

/// Substreams of one connection: frames, identify, ping, and what is being replaced.
pub(super) const STREAMS: usize = 32;
/// Yamux gives every substream 256 KiB from the start; the other half may go where it is needed.
const WINDOW: usize = 2 * STREAMS * 256 * 1024;
/// Substreams that wait to be negotiated.
const ARRIVED_MAX: usize = 16;
/// Bytes in one frame of Yamux.
const SPLIT: usize = 16 * 1024;

/// The upgrade of an encrypted connection to one with substreams.
#[derive(Clone, Debug)]
pub(super) struct Bounded(Config);

impl Bounded {
    pub(super) fn new() -> Self {
        let mut config = Config::default();
        config.set_max_num_streams(STREAMS);
        config.set_max_connection_receive_window(Some(WINDOW));
        config.set_split_send_size(SPLIT);
        Self(config)
    }
}

impl UpgradeInfo for Bounded {
    type Info = &'static str;
    type InfoIter = Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        once("/yamux/1.0.0")
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> InboundConnectionUpgrade<C> for Bounded {
    type Output = Muxer<C>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_inbound(self, socket: C, _: Self::Info) -> Self::Future {
        ready(Ok(Muxer::new(Connection::new(socket, self.0, Mode::Server))))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> OutboundConnectionUpgrade<C> for Bounded {
    type Output = Muxer<C>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Infallible>>;

    fn upgrade_outbound(self, socket: C, _: Self::Info) -> Self::Future {
        ready(Ok(Muxer::new(Connection::new(socket, self.0, Mode::Client))))
    }
}

/// One connection. Yamux moves only while it is asked for inbound substreams, so `poll` asks too
/// and keeps what it gets for `poll_inbound`.
pub(super) struct Muxer<C> {
    connection: Connection<C>,
    arrived: VecDeque<Stream>,
    /// Who waits for an inbound substream.
    waiting: Option<Waker>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Muxer<C> {
    const fn new(connection: Connection<C>) -> Self {
        Self { connection, arrived: VecDeque::new(), waiting: None }
    }

    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stream, ConnectionError>> {
        self.connection
            .poll_next_inbound(cx)
            .map(|arrival| arrival.unwrap_or(Err(ConnectionError::Closed)))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> StreamMuxer for Muxer<C> {
    type Substream = Stream;
    type Error = ConnectionError;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, ConnectionError>> {
        if let Some(stream) = self.arrived.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let arrival = self.poll_arrival(cx);
        if arrival.is_pending() {
            self.waiting = Some(cx.waker().clone());
        }
        arrival
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Stream, ConnectionError>> {
        self.connection.poll_new_outbound(cx)
    }

    fn poll_close(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), ConnectionError>> {
        self.connection.poll_close(cx)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, ConnectionError>> {
        match self.poll_arrival(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(stream)) => {
                if self.arrived.len() < ARRIVED_MAX {
                    self.arrived.push_back(stream);
                    if let Some(waiting) = self.waiting.take() {
                        waiting.wake();
                    }
                }
                // There may be more to do; other tasks come first.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}
