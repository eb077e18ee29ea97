//! Requests to a daemon over its Unix socket: HTTP/1.1, one connection for each request.
//!
//! A connection costs some ten microseconds; reusing one would need a pool, because requests that
//! wait for a message stand beside others.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use axum::http;
use bitchat_node::error::NodeError;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use super::request::Request;
use crate::error::{UserError, reason};

/// Largest answer: 1,000 messages of 64 KiB, escaped.
pub(super) const ANSWER_BYTES_MAX: usize = 512 * 1024 * 1024;

/// Whatever stands in the `Host` header; nobody resolves it.
pub(super) const HOST: &str = "bitchat";

/// The socket of a daemon.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    path: PathBuf,
}

impl Socket {
    /// The daemon behind `path`; `None` if nobody listens there.
    pub(crate) async fn find(path: &Path) -> Result<Option<Self>, UserError> {
        match UnixStream::connect(path).await {
            Ok(_) => Ok(Some(Self { path: path.to_owned() })),
            Err(error) if is_nobody(error.kind()) => Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidInput => Err(too_long(path)),
            // Its queue is full, and it takes nobody.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                Err(NodeError::LockHeld { pid: None }.into())
            }
            Err(error) => Err(gone(&reason(&error))),
        }
    }

    /// The process that listens, if the system says so.
    pub(super) async fn pid(&self) -> Option<u32> {
        let stream = UnixStream::connect(&self.path).await.ok()?;
        stream.peer_cred().ok()?.pid()?.try_into().ok()
    }

    /// Sends one request; status and body of the answer.
    pub(super) async fn send(&self, request: Request) -> Result<(u16, Vec<u8>), UserError> {
        let stream =
            UnixStream::connect(&self.path).await.map_err(|error| gone(&reason(&error)))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| broken())?;
        let driver = tokio::spawn(connection);
        let answer = exchange(&mut sender, request).await;
        driver.abort();
        answer
    }
}

/// Whether an error of connecting means that no daemon runs: no socket, or one that was left behind.
const fn is_nobody(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::NotADirectory)
}

async fn exchange(
    sender: &mut http1::SendRequest<Full<Bytes>>,
    request: Request,
) -> Result<(u16, Vec<u8>), UserError> {
    let (method, path, body) = request.parts();
    let mut builder =
        http::Request::builder().method(method).uri(path).header(http::header::HOST, HOST);
    if body.is_some() {
        builder = builder.header(http::header::CONTENT_TYPE, "application/json");
    }
    let request = builder
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|_| UserError::internal("a request cannot be built"))?;
    let answer = sender.send_request(request).await.map_err(|_| broken())?;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    Ok((status, body.map_err(|_| broken())?.to_bytes().to_vec()))
}

/// The system has 108 bytes for the path of a socket.
fn too_long(path: &Path) -> UserError {
    let message = format!("the path {} is too long for a socket", path.display());
    UserError::usage("path_too_long", message, "choose a shorter `--home DIR`")
}

fn broken() -> UserError {
    gone("the connection broke off")
}

fn gone(reason: &str) -> UserError {
    NodeError::DaemonGone { reason: reason.to_owned() }.into()
}
