//! Errors as HTTP: status and JSON body.
//!
//! A handler returns [`Problem`]; the status is decided here, the body is written by the frame
//! around every request, which knows the correlation id.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bitchat_protocol::engine::CommandError;
use serde_json::json;

use super::view::SCHEMA;
use crate::error::NodeError;

/// A failed request. Renders as a bare status; [`body`] adds the rest.
#[derive(Clone, Debug)]
pub(super) struct Problem(pub(super) NodeError);

impl From<NodeError> for Problem {
    fn from(error: NodeError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = status(&self.0).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The status that belongs to an error.
pub(super) const fn status(error: &NodeError) -> StatusCode {
    match error {
        NodeError::BadRequest { .. }
        | NodeError::NoProfile { .. }
        | NodeError::ProfileExists { .. }
        | NodeError::LooseModes { .. }
        | NodeError::NoPassphrase
        | NodeError::WrongPassphrase
        | NodeError::WrongFactors
        | NodeError::NoKeyFile
        | NodeError::KeyFile { .. }
        | NodeError::WeakPassphrase { .. }
        | NodeError::BadPhrase { .. }
        | NodeError::NotABackup
        | NodeError::BackupVersion { .. }
        | NodeError::BackupPassphrase
        | NodeError::BackupDamaged { .. }
        | NodeError::FileExists { .. }
        | NodeError::Config { .. } => StatusCode::BAD_REQUEST,
        NodeError::CrossSite => StatusCode::FORBIDDEN,
        NodeError::NoRoute => StatusCode::NOT_FOUND,
        NodeError::NoMethod => StatusCode::METHOD_NOT_ALLOWED,
        NodeError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        NodeError::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        NodeError::HomeUnwritable { .. }
        | NodeError::BackupIo { .. }
        | NodeError::LockHeld { .. }
        | NodeError::StoreCorrupt { .. }
        | NodeError::StoreVersion { .. }
        | NodeError::StoreFailed { .. }
        | NodeError::RotationUnfinished { .. }
        | NodeError::KeystoreCorrupt { .. }
        | NodeError::KdfDowngrade
        | NodeError::Listen { .. }
        | NodeError::Network { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        NodeError::Busy { .. }
        | NodeError::PassphrasePause { .. }
        | NodeError::PassphraseContended
        | NodeError::Unavailable
        | NodeError::NoAnswer
        | NodeError::DaemonGone { .. } => StatusCode::SERVICE_UNAVAILABLE,
        NodeError::WaitTimedOut
        | NodeError::PeerUnavailable(_)
        | NodeError::Expired
        | NodeError::Undeliverable
        | NodeError::Rejected => StatusCode::CONFLICT,
        NodeError::Protocol(error) => command_status(error),
    }
}

const fn command_status(error: &CommandError) -> StatusCode {
    match error {
        CommandError::UnknownContact(_)
        | CommandError::AmbiguousContact { .. }
        | CommandError::UnknownMessage(_)
        | CommandError::UnknownMailbox(_)
        | CommandError::NotWaiting(_) => StatusCode::NOT_FOUND,
        CommandError::NameTaken(_)
        | CommandError::BadName(_)
        | CommandError::BadLink(_)
        | CommandError::BadCode(_)
        | CommandError::LinkExpired
        | CommandError::OwnLink
        | CommandError::TextEmpty
        | CommandError::OutOfRange(_) => StatusCode::BAD_REQUEST,
        CommandError::TextTooLong { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        CommandError::KeyChanged
        | CommandError::KeyUnproven
        | CommandError::SafetyMismatch
        | CommandError::Accepted(_)
        | CommandError::IdTaken(_) => StatusCode::CONFLICT,
        CommandError::OutboxFull(_) | CommandError::IdsFull(_) | CommandError::DiskFull => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        CommandError::Store(_) | CommandError::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The body of an error. `correlation` is what the log of this machine has, too.
pub(super) fn body(error: &NodeError, correlation: &str) -> String {
    let retry_after_ms =
        error.retry_after().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
    json!({
        "schema": SCHEMA,
        "error": {
            "code": error.code(),
            "category": error.category().as_str(),
            "message": error.message(),
            "hint": error.hint(),
            "retryable": error.is_retryable(),
            "retry_after_ms": retry_after_ms,
            "correlation_id": correlation,
        },
    })
    .to_string()
}

/// Puts an error's body and headers into its response.
pub(super) fn render(response: &mut Response, error: &NodeError, correlation: &str) {
    *response.status_mut() = status(error);
    *response.body_mut() = Body::from(body(error, correlation));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.remove(axum::http::header::CONTENT_LENGTH);
    if let Some(wait) = error.retry_after() {
        // Rounded up: whoever waits this long is not early.
        let seconds = wait.as_millis().div_ceil(1_000);
        if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
            headers.insert(RETRY_AFTER, value);
        }
    }
}
