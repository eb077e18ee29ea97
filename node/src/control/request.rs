//! What a request says, read strictly: bounded, no unknown field, errors in our shape.

use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use bitchat_protocol::engine::Who;
use bitchat_protocol::id::MessageId;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::problem::Problem;
use crate::error::NodeError;

/// Bytes of a request body. The longest text is 64 KiB; JSON may need twice as much for it.
pub const BODY_BYTES_MAX: usize = 6 * bitchat_proto::limits::TEXT_BYTES_MAX + 4 * 1024;

/// Characters of a name or id in a path: an account id has 64.
const WHO_CHARS_MAX: usize = 256;

/// A JSON body.
pub(super) struct Body<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let limited = Limited::new(request.into_body(), BODY_BYTES_MAX);
        let bytes = match limited.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(NodeError::TooLarge { limit: BODY_BYTES_MAX }.into());
            }
            Err(_) => return Err(bad("the body broke off".to_owned())),
        };
        serde_json::from_slice(&bytes).map(Self).map_err(|error| bad(error.to_string()))
    }
}

/// A query string.
pub(super) struct Params<T>(pub(super) T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(value) =
            Query::try_from_uri(&parts.uri).map_err(|rejection| bad(rejection.body_text()))?;
        Ok(Self(value))
    }
}

/// A contact in the path.
pub(super) struct Named(pub(super) Who);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = segment(parts, state).await?;
        if name.chars().count() > WHO_CHARS_MAX {
            return Err(bad("the name is too long".to_owned()));
        }
        Ok(Self(Who(name)))
    }
}

/// A message in the path.
pub(super) struct Numbered(pub(super) MessageId);

impl<S: Send + Sync> FromRequestParts<S> for Numbered {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let id = segment(parts, state).await?;
        id.parse()
            .map(Self)
            .map_err(|_| bad("a message id has 32 digits of 0-9 and a-f".to_owned()))
    }
}

/// The one variable segment of the path, percent-decoded.
async fn segment<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, Problem> {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map(|Path(segment)| segment).map_err(|_| bad("the path is not UTF-8".to_owned()))
}

/// A request that makes no sense.
pub(super) fn bad(problem: String) -> Problem {
    Problem(NodeError::BadRequest { problem })
}

/// `value`, unless it is above `limit`.
pub(super) fn at_most(what: &str, value: u64, limit: u64) -> Result<u64, Problem> {
    if value <= limit { Ok(value) } else { Err(bad(format!("{what} is above {limit}"))) }
}
