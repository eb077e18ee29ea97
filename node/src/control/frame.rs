//! The frame around every request: correlation id, checks, panics, headers, counters, one log line.
//!
//! ```text
//!   request ─> id, span ─> checks ─> handler ─> error body ─> headers ─> counters, log ─> response
//! ```
//!
//! Nothing of a request but its route and status is logged: names and texts stay out. The
//! correlation id never leaves this machine.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, ORIGIN, REFERER};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use rand::TryRng;
use tracing::Instrument;

use super::Handle;
use super::headers;
use super::problem::{self, Problem};
use super::request::BODY_BYTES_MAX;
use crate::error::{Category, NodeError};
use crate::metrics::label::Route;

/// Carries the correlation id in both directions.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Browsers set it on every request; nothing else does.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What a request may call this socket: the first stands in our own and in the document, the
/// second in most people's `curl`. A name that a web page could have is refused.
const HOSTS: [&str; 2] = ["bitchat", "localhost"];

/// Characters of a correlation id that a caller may choose.
const ID_CHARS_MAX: usize = 64;

/// The id of a request, for replies that go on after their status line.
#[derive(Clone, Debug)]
pub(super) struct Correlation(pub(super) String);

/// Serves one request inside the frame.
pub(super) async fn enclose(
    State(handle): State<Handle>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let route = route(request.method(), request.uri().path());
    let id = correlation(request.headers());
    request.extensions_mut().insert(Correlation(id.clone()));
    let span = tracing::info_span!("request", id = %id, route = route.as_str());
    let (mut response, problem) =
        answer(&handle, route, request, next).instrument(span.clone()).await;
    if let Some(error) = &problem {
        problem::render(&mut response, error, &id);
        handle.metrics().error(error);
    }
    headers::secure(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status();
    handle.metrics().request(route, status.as_u16(), started.elapsed());
    span.in_scope(|| log(status, problem.as_ref(), started));
    response
}

/// The handler's response, or what went wrong instead.
async fn answer(
    handle: &Handle,
    route: Route,
    request: Request,
    next: Next,
) -> (Response, Option<NodeError>) {
    if let Err(error) = check(handle, route, &request) {
        return (StatusCode::OK.into_response(), Some(error));
    }
    // A handler keeps nothing that its panic could leave half changed: it only holds senders.
    let Ok(mut response) = AssertUnwindSafe(next.run(request)).catch_unwind().await else {
        handle.metrics().panicked();
        return (StatusCode::OK.into_response(), Some(NodeError::bug("a handler panicked")));
    };
    let problem = response.extensions_mut().remove::<Problem>().map(|problem| problem.0);
    let unexplained = !response.status().is_success() && problem.is_none();
    let problem = if unexplained { Some(explain(response.status())) } else { problem };
    (response, problem)
}

/// An error for a status that the framework chose by itself.
fn explain(status: StatusCode) -> NodeError {
    match status {
        StatusCode::NOT_FOUND => NodeError::NoRoute,
        StatusCode::METHOD_NOT_ALLOWED => NodeError::NoMethod,
        StatusCode::PAYLOAD_TOO_LARGE => NodeError::TooLarge { limit: BODY_BYTES_MAX },
        status if status.is_client_error() => {
            NodeError::BadRequest { problem: "it cannot be read".to_owned() }
        }
        _ => NodeError::bug("a status without an error"),
    }
}

/// What every request must satisfy before anything is done for it.
fn check(handle: &Handle, route: Route, request: &Request) -> Result<(), NodeError> {
    let headers = request.headers();
    let from_page = [ORIGIN, REFERER, FETCH_SITE].iter().any(|name| headers.contains_key(name));
    if from_page || !is_for_us(headers) {
        return Err(NodeError::CrossSite);
    }
    let has_body = matches!(*request.method(), Method::POST | Method::PATCH | Method::PUT);
    if has_body && !is_json(headers) {
        return Err(NodeError::NotJson);
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > BODY_BYTES_MAX as u64) {
        return Err(NodeError::TooLarge { limit: BODY_BYTES_MAX });
    }
    // What was shown before the stop may still be acknowledged, or it would be shown again.
    let takes = !request.method().is_safe() && route != Route::InboxAck;
    if takes && handle.watch().borrow().draining {
        return Err(NodeError::Unavailable);
    }
    Ok(())
}

/// Whether the request names nobody else. Without a name it is no browser's.
fn is_for_us(headers: &HeaderMap) -> bool {
    headers.get_all(HOST).iter().all(|host| {
        let name = host.to_str().unwrap_or_default();
        HOSTS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
    })
}

/// Whether the body is declared as JSON. A page cannot declare that without a preflight.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(Ok(value)) = headers.get(CONTENT_TYPE).map(HeaderValue::to_str) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// The caller's correlation id if it is harmless, else 16 random digits.
fn correlation(headers: &HeaderMap) -> String {
    let harmless = |id: &&str| {
        (1..=ID_CHARS_MAX).contains(&id.len())
            && id.bytes().all(|c| c == b'-' || c.is_ascii_alphanumeric())
    };
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(harmless);
    given.map_or_else(fresh, str::to_owned)
}

fn fresh() -> String {
    // Zero if the system has no randomness: a worse label, but no reason to refuse a request.
    let number = rand::rngs::SysRng.try_next_u64().unwrap_or_default();
    format!("{number:016x}")
}

/// One line a request. The codes only: messages may hold what the caller typed.
fn log(status: StatusCode, problem: Option<&NodeError>, started: Instant) {
    let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = status.as_u16();
    let Some(error) = problem else {
        tracing::debug!(status, ms, "answered");
        return;
    };
    match error.detail() {
        Some(detail) => fault(status, error, detail),
        None => tracing::info!(status, ms, code = error.code(), "refused"),
    }
}

/// A fault of ours: here, and only here, the detail is told.
fn fault(status: u16, error: &NodeError, detail: &str) {
    if error.category() == Category::Internal {
        tracing::error!(status, code = error.code(), detail, "failed");
    } else {
        tracing::warn!(status, code = error.code(), detail, "failed");
    }
}

/// The label of a request; paths never become labels.
pub(super) fn route(method: &Method, path: &str) -> Route {
    let rest = path.strip_prefix("/v1/").unwrap_or_default();
    let (first, second) = rest.split_once('/').map_or((rest, None), |(a, b)| (a, Some(b)));
    match (method.as_str(), first, second) {
        ("GET", "identity", None) => Route::Identity,
        ("POST", "invitations", None) => Route::Invite,
        ("GET", "contacts", None) => Route::Contacts,
        ("POST", "contacts", None) => Route::ContactAdd,
        ("GET", "contacts", Some(_)) => Route::Contact,
        ("PATCH", "contacts", Some(_)) => Route::ContactChange,
        ("DELETE", "contacts", Some(_)) => Route::ContactRemove,
        ("POST", "contacts", Some(rest)) if rest.ends_with("/session") => Route::SessionReset,
        ("GET", "events", None) => Route::Events,
        ("POST", "messages", None) => Route::Send,
        ("GET", "messages", Some(_)) => Route::Delivery,
        ("GET", "inbox", None) => Route::Inbox,
        ("POST", "inbox", Some("ack")) => Route::InboxAck,
        ("GET", "inbox", Some("stream")) => Route::InboxStream,
        ("GET", "history", Some(_)) => Route::History,
        ("GET", "queue", None) => Route::Queue,
        ("GET", "queue", Some(_)) => Route::QueueShow,
        ("DELETE", "queue", Some(_)) => Route::QueueCancel,
        ("POST", "queue", Some(rest)) if rest.ends_with("/retry") => Route::QueueRetry,
        ("GET", "backup", None) => Route::Backup,
        ("DELETE", "warnings", Some(_)) => Route::WarningDismiss,
        ("POST", "envelopes", Some("export")) => Route::EnvelopesExport,
        ("POST", "envelopes", Some("import")) => Route::EnvelopesImport,
        ("GET", "mailboxes", None) => Route::Mailboxes,
        ("POST", "mailboxes", None) => Route::MailboxAdd,
        ("DELETE", "mailboxes", Some(_)) => Route::MailboxRemove,
        ("POST", "mailboxes", Some(rest)) if rest.ends_with("/test") => Route::MailboxTest,
        ("GET", "serving", None) => Route::Serving,
        ("GET", "peers", None) => Route::Peers,
        ("GET", "status", None) => Route::Status,
        ("GET", "alive", None) => Route::Alive,
        _ => Route::Other,
    }
}
