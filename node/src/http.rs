//! Health and metrics on loopback: `/livez`, `/readyz`, `/metrics`, nothing else.
//!
//! Readable by every user of this machine, so it names checks and counts, never an address, a
//! contact or a text. `Host` must be a number or `localhost`: a web page whose name was made to
//! point here reads nothing.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bitchat_protocol::time::UnixMillis;
use tokio::net::TcpListener;
use tokio::sync::watch;

mod heartbeat;

pub use heartbeat::Heartbeat;

use crate::control::room::Room;
use crate::control::{NodeStatus, Warning, headers};
use crate::error::NodeError;
use crate::metrics::{Format, Metrics, WarningCode};

/// Where health and metrics are served if nobody says otherwise.
pub const LISTEN_DEFAULT: &str = "127.0.0.1:9464";

/// Connections at once: a scraper, a supervisor, a person, and some to spare.
const CONNECTIONS_MAX: usize = 64;

/// How long a connection lasts. Scrapers open another; whoever only holds a place loses it.
const LIFETIME: Duration = Duration::from_secs(60);

/// What health is judged by.
#[derive(Clone, Debug)]
pub struct Health {
    /// What the driver says about the node.
    pub status: watch::Receiver<NodeStatus>,
    /// Beats with every turn of the driver's loop.
    pub heartbeat: Heartbeat,
    /// What is served under `/metrics`.
    pub metrics: Metrics,
}

/// Listens at `address`, or at a free port beside it with a warning: two nodes on one machine
/// must not stop each other.
///
/// # Errors
///
/// [`NodeError::Listen`] when not even a free port can be had.
pub async fn bind(address: SocketAddr) -> Result<(TcpListener, Option<Warning>), NodeError> {
    let failed = |error: std::io::Error| NodeError::Listen {
        address: address.to_string(),
        reason: error.to_string(),
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok((listener, None)),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let listener =
                TcpListener::bind(SocketAddr::new(address.ip(), 0)).await.map_err(failed)?;
            let instead = listener.local_addr().map_err(failed)?;
            tracing::warn!(wanted = %address, %instead, "the metrics port is taken");
            Ok((listener, Some(taken(address, instead))))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Serves until `shutdown` resolves.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    shutdown: impl Future<Output = ()> + Send + 'static,
) {
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let signal = async move {
        shutdown.await;
        let _ = stopping.send(());
    };
    let room = Room::new(listener, CONNECTIONS_MAX, Some(LIFETIME));
    let server = axum::serve(room, router(health)).with_graceful_shutdown(signal).into_future();
    tokio::select! {
        _ = server => {}
        // Replies here take no time: whoever is still reading is not worth waiting for.
        _ = stopped => {}
    }
}

/// The routes.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(|| async { (StatusCode::NOT_FOUND, "not found\n") })
        .method_not_allowed_fallback(|| async {
            (StatusCode::METHOD_NOT_ALLOWED, "method not allowed\n")
        })
        .layer(from_fn(enclose))
        .with_state(health)
}

/// Refuses foreign hosts and adds the security headers.
async fn enclose(request: Request, next: Next) -> Response {
    let mut response = if is_local(request.headers()) {
        next.run(request).await
    } else {
        (StatusCode::FORBIDDEN, "unknown host\n").into_response()
    };
    headers::secure(response.headers_mut());
    response
}

/// Whether the request is addressed to a number or to `localhost`.
fn is_local(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else {
        return true; // HTTP/1.0, and no browser.
    };
    let Ok(host) = host.to_str() else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    host.parse::<SocketAddr>().is_ok()
        || name.parse::<std::net::IpAddr>().is_ok()
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
}

async fn livez(State(health): State<Health>) -> Response {
    if health.heartbeat.is_alive(Instant::now()) {
        (StatusCode::OK, "ok\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the loop is blocked\n").into_response()
    }
}

async fn readyz(State(health): State<Health>, RawQuery(query): RawQuery) -> Response {
    let checks = checks(&health);
    let is_ready = checks.iter().all(|(_, passed)| *passed);
    let verbose =
        query.is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
    let mut text = String::new();
    for (name, passed) in checks.iter().filter(|(_, passed)| verbose || !*passed) {
        text.push_str(if *passed { "[+] " } else { "[-] " });
        text.push_str(name);
        text.push('\n');
    }
    text.push_str(if is_ready { "ready\n" } else { "not ready\n" });
    let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, text).into_response()
}

/// Every check and whether it passes.
fn checks(health: &Health) -> [(&'static str, bool); 4] {
    let status = health.status.borrow();
    [
        ("loop", health.heartbeat.is_alive(Instant::now())),
        ("started", status.ready || status.draining),
        ("not_draining", !status.draining),
        ("storage", !status.storage_refuses),
    ]
}

async fn metrics(State(health): State<Health>, headers: HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = Format::accepted(accept);
    let standing: Vec<WarningCode> =
        health.status.borrow().warnings.iter().map(|warning| warning.code).collect();
    health.metrics.warnings(standing);
    health.metrics.degraded(&health.status.borrow().degraded());
    let text = health.metrics.encode(format, wall());
    ([(CONTENT_TYPE, format.content_type())], text).into_response()
}

fn wall() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn taken(wanted: SocketAddr, instead: SocketAddr) -> Warning {
    Warning {
        code: WarningCode::MetricsPort,
        message: format!("{wanted} is taken; health and metrics are served at {instead}"),
        hint: "give each node its own: `bitchat daemon --metrics 127.0.0.1:PORT`".to_owned(),
    }
}

#[cfg(test)]
mod tests;
