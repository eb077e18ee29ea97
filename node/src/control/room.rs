//! A listener with room for so many connections, each for so long.
//!
//! The connections of a local listener take descriptors from the same table as the links to peers:
//! without a bound, any user of this machine could cut the node off.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// Accepts as many connections as there is room for; more wait in the kernel's queue.
pub(crate) struct Room<L> {
    listener: L,
    places: Arc<Semaphore>,
    lifetime: Option<Duration>,
    reserve: Option<Reserve>,
}

/// Places for when all others are taken, each for a short time.
struct Reserve {
    places: Arc<Semaphore>,
    lifetime: Duration,
}

impl<L> Room<L> {
    /// At most `connections` at once; with a `lifetime`, each is cut off after it.
    pub(crate) fn new(listener: L, connections: usize, lifetime: Option<Duration>) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections)), lifetime, reserve: None }
    }

    /// So many more, cut off after `lifetime`: what is answered at once passes while others wait long.
    pub(crate) fn with_reserve(self, connections: usize, lifetime: Duration) -> Self {
        let places = Arc::new(Semaphore::new(connections));
        Self { reserve: Some(Reserve { places, lifetime }), ..self }
    }

    /// A place, and how long it may be held.
    async fn place(&mut self) -> (Option<OwnedSemaphorePermit>, Option<Duration>) {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return (Some(place), self.lifetime);
        }
        tracing::warn!("every place for a local connection is taken");
        let place = Arc::clone(&self.places).acquire_owned();
        let Some(reserve) = &self.reserve else {
            return (place.await.ok(), self.lifetime); // Never `None`: nobody closes the semaphore.
        };
        tokio::select! {
            place = place => (place.ok(), self.lifetime),
            place = Arc::clone(&reserve.places).acquire_owned() => (place.ok(), Some(reserve.lifetime)),
        }
    }
}

impl<L: Listener> Listener for Room<L> {
    type Io = Guest<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, L::Addr) {
        let (place, lifetime) = self.place().await;
        let (stream, address) = self.listener.accept().await;
        let end = lifetime.map(|lifetime| Box::pin(sleep(lifetime)));
        (Guest { stream, end, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }
}

/// A connection and its place.
pub(crate) struct Guest<S> {
    stream: S,
    end: Option<Pin<Box<Sleep>>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl<S> Guest<S> {
    /// Whether its time is over; if not, the task is woken when it is.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.end.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guest<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guest<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn one_more_waits_until_a_place_is_free() {
        let (mut room, address) = room(1, None).await;
        let _first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();

        let (guest, _) = room.accept().await;
        assert!(timeout(Duration::from_millis(50), room.accept()).await.is_err());

        drop(guest);
        assert!(timeout(Duration::from_secs(5), room.accept()).await.is_ok());
    }

    #[tokio::test]
    async fn the_reserve_takes_one_more_and_not_for_long() {
        let (room, address) = room(1, None).await;
        let mut room = room.with_reserve(1, Duration::from_millis(20));
        let _first = TcpStream::connect(address).await.unwrap();
        let _second = TcpStream::connect(address).await.unwrap();
        let _third = TcpStream::connect(address).await.unwrap();

        let (mut guest, _) = room.accept().await;
        let (mut short, _) = timeout(Duration::from_secs(5), room.accept()).await.unwrap();
        assert!(timeout(Duration::from_millis(50), room.accept()).await.is_err());

        let cut = timeout(Duration::from_secs(5), short.read(&mut [0; 1])).await.unwrap();
        assert_eq!(cut.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(timeout(Duration::from_millis(50), guest.read(&mut [0; 1])).await.is_err());
        drop(short);
        assert!(timeout(Duration::from_secs(5), room.accept()).await.is_ok());
    }

    #[tokio::test]
    async fn a_connection_that_says_nothing_is_cut_off() {
        let (mut room, address) = room(1, Some(Duration::from_millis(20))).await;
        let _silent = TcpStream::connect(address).await.unwrap();
        let (mut guest, _) = room.accept().await;

        let read = timeout(Duration::from_secs(5), guest.read(&mut [0; 1])).await.unwrap();

        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    async fn room(
        connections: usize,
        lifetime: Option<Duration>,
    ) -> (Room<TcpListener>, std::net::SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (Room::new(listener, connections, lifetime), address)
    }
}
