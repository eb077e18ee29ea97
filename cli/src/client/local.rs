//! Requests to a node in this process: the router is called, no socket is opened.

use axum::Router;
use axum::body::Body;
use axum::http;
use http_body_util::{BodyExt, Limited};
use tower::ServiceExt;

use super::request::Request;
use super::socket::{ANSWER_BYTES_MAX, HOST};
use crate::error::UserError;

/// Sends one request; status and body of the answer.
pub(super) async fn send(router: &Router, request: Request) -> Result<(u16, Vec<u8>), UserError> {
    let (method, path, body) = request.parts();
    let mut builder =
        http::Request::builder().method(method).uri(path).header(http::header::HOST, HOST);
    if body.is_some() {
        builder = builder.header(http::header::CONTENT_TYPE, "application/json");
    }
    let request = builder
        .body(Body::from(body.unwrap_or_default()))
        .map_err(|_| UserError::internal("a request cannot be built"))?;
    let Ok(answer) = router.clone().oneshot(request).await;
    let status = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|_| UserError::internal("the answer of the node broke off"))?;
    Ok((status, body.to_bytes().to_vec()))
}
