//! The Unix socket: mode 0600 in a 0700 directory, and only our own user gets through.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::sleep;

use super::room::Room;
use crate::error::NodeError;

/// Connections at once, which may wait for long. Beyond them and the reserve, new ones wait in the
/// kernel's queue.
const CONNECTIONS_MAX: usize = 256;

/// Connections beyond that, for what is answered at once: else a node whose places are all taken by
/// those who wait could not say that it lives.
const RESERVE: usize = 16;

/// How long a connection of the reserve stands.
const RESERVE_FOR: Duration = Duration::from_secs(1);

/// How long open requests may take to end when the node stops.
const DRAIN_FOR: Duration = Duration::from_secs(5);

/// What to do with a socket file that is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stale {
    /// The caller holds the profile's lock: nobody can be behind it.
    Replace,
    /// Somebody may be behind it.
    Refuse,
}

/// Listens at `path`.
///
/// The socket is made under another name, closed to others, and then moved into place: at `path`
/// there is never one with a loose mode, and a stale one is replaced in one step.
///
/// # Errors
///
/// [`NodeError::Listen`] when the path is taken (with [`Stale::Refuse`]), too long for a socket
/// (107 bytes), or cannot be written.
pub fn bind(path: &Path, stale: Stale) -> Result<UnixListener, NodeError> {
    let failed = |error: io::Error| NodeError::Listen {
        address: path.display().to_string(),
        reason: error.to_string(),
    };
    if stale == Stale::Refuse && path.symlink_metadata().is_ok() {
        return Err(failed(io::ErrorKind::AddrInUse.into()));
    }
    let fresh = path.with_extension("new");
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&fresh).map_err(failed)?;
    std::fs::set_permissions(&fresh, Permissions::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&fresh, path).map_err(failed)?;
    Ok(listener)
}

/// Serves until `shutdown` resolves, then lets open requests end, for at most 5 s.
pub async fn serve(
    listener: UnixListener,
    router: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let (stopping, stopped) = tokio::sync::oneshot::channel();
    let signal = async move {
        shutdown.await;
        let _ = stopping.send(()); // The other end is this function: gone only if it is.
    };
    // No lifetime: a wait may take a day.
    let room = Room::new(Own(listener), CONNECTIONS_MAX, None).with_reserve(RESERVE, RESERVE_FOR);
    let server = axum::serve(room, router).with_graceful_shutdown(signal).into_future();
    let limit = async {
        let _ = stopped.await;
        sleep(DRAIN_FOR).await;
    };
    tokio::select! {
        _ = server => {}
        () = limit => tracing::info!("requests still open at shutdown were dropped"),
    }
}

/// Accepts connections of our own user only.
struct Own(UnixListener);

impl Listener for Own {
    type Io = UnixStream;
    type Addr = ();

    async fn accept(&mut self) -> (UnixStream, ()) {
        loop {
            match self.0.accept().await {
                Ok((stream, _)) if is_ours(&stream) => return (stream, ()),
                Ok(_) => tracing::warn!("a connection from another user was closed"),
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    sleep(Duration::from_millis(100)).await; // Out of descriptors: let some go.
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether the process behind the stream runs as us, or as root, which can do anything anyway.
fn is_ours(stream: &UnixStream) -> bool {
    let ours = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| admits(ours, peer.uid()))
}

const fn admits(ours: u32, peer: u32) -> bool {
    peer == ours || peer == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_user_and_root_are_admitted() {
        assert!(admits(1_000, 1_000));
        assert!(admits(1_000, 0));
        assert!(!admits(1_000, 1_001));
        assert!(!admits(0, 1_000));
    }
}
