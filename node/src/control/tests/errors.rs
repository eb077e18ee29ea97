//! Refusals and faults: their shape, their headers, what they keep to themselves.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::routing::get as route_get;
use axum::{Json, Router};
use bitchat_protocol::engine::CommandError;
use serde_json::{Value, json};
use tracing_subscriber::layer::SubscriberExt;

use super::fake::{Fake, Replied, call, get, send};
use crate::control::{BODY_BYTES_MAX, framed};

#[tokio::test]
async fn every_error_has_one_shape_and_its_id_is_in_header_body_and_log() {
    let log = Log::default();
    // Without a subscriber for all threads, a test beside this one that meets a log line first
    // switches it off for the whole process.
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    let subscriber = tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().json().with_writer(log.writer()));
    let _guard = tracing::subscriber::set_default(subscriber);
    for (status, reply) in every_status().await {
        assert_eq!(reply.status, status, "{}", reply.text);
        let error = &reply.json["error"];
        let id = reply.header("x-request-id").to_owned();
        assert_eq!(id.len(), 16, "{id}");
        assert_eq!(error["correlation_id"], id.as_str());
        assert_eq!(reply.json["schema"], 1);
        for field in ["code", "category", "message", "hint"] {
            assert!(!error[field].as_str().unwrap().is_empty(), "{field} of {}", reply.text);
        }
        assert!(error["retryable"].is_boolean());
        assert!(log.text().lines().any(|line| line.contains(&id)), "{id} is not in the log");
    }
    for canary in ["nobody", "/secret/path", "canary-name"] {
        let told = log.text().lines().filter(|line| line.contains(canary)).count();
        assert_eq!(told, usize::from(canary == "/secret/path"), "{canary}"); // The one detail.
    }
}

/// One request for every status that the API knows.
async fn every_status() -> Vec<(StatusCode, Replied)> {
    let node = Fake::start();
    let router = node.router();
    let mut replies = vec![
        (StatusCode::BAD_REQUEST, call(&router, get("/v1/inbox?max=x")).await),
        (StatusCode::NOT_FOUND, call(&router, get("/v1/contacts/nobody")).await),
        (StatusCode::NOT_FOUND, call(&router, get("/canary-name")).await),
        (StatusCode::METHOD_NOT_ALLOWED, call(&router, with(Method::TRACE, "/v1/queue")).await),
    ];
    let mut foreign = get("/v1/status");
    foreign.headers_mut().insert("origin", "https://evil.test".parse().unwrap());
    replies.push((StatusCode::FORBIDDEN, call(&router, foreign).await));
    let long = json!({"to": "bob", "text": "x".repeat(BODY_BYTES_MAX)});
    let long = call(&router, send("POST", "/v1/messages", &long)).await;
    replies.push((StatusCode::PAYLOAD_TOO_LARGE, long));
    let plain = Request::post("/v1/messages").body(Body::from("{}")).unwrap();
    replies.push((StatusCode::UNSUPPORTED_MEDIA_TYPE, call(&router, plain).await));
    node.set(|fake| fake.failure = Some(CommandError::Store("/secret/path: denied".to_owned())));
    replies.push((StatusCode::INTERNAL_SERVER_ERROR, call(&router, get("/v1/queue")).await));
    node.set(|fake| fake.failure = Some(CommandError::OutboxFull(9)));
    replies.push((StatusCode::SERVICE_UNAVAILABLE, call(&router, get("/v1/queue")).await));
    replies
}

#[tokio::test]
async fn a_fault_keeps_paths_and_words_of_the_program_to_itself() {
    let node = Fake::start();
    node.set(|fake| fake.failure = Some(CommandError::Store("/secret/path: denied".to_owned())));
    let store = call(&node.router(), get("/v1/queue")).await;
    let panics = framed(Router::new().route("/v1/queue", route_get(panicking)), node.handle());

    let panic = call(&panics, get("/v1/queue")).await;

    assert_eq!(panic.json["error"]["code"], "internal");
    assert_eq!(store.json["error"]["code"], "store");
    for reply in [&panic, &store] {
        assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
        for word in ["panicked", "src/", "0x", "/secret", "Store(", "unlucky"] {
            assert!(!reply.text.contains(word), "{word} in {}", reply.text);
        }
    }
    assert!(node.metrics_text().contains("bitchat_panics_total 1\n"));
    node.set(|fake| fake.failure = None);
    assert_eq!(call(&node.router(), get("/v1/queue")).await.status, StatusCode::OK);
}

async fn panicking() -> Json<Value> {
    panic!("unlucky at /secret/path");
}

#[tokio::test]
async fn a_harmless_id_of_the_caller_is_kept_and_any_other_replaced() {
    let router = Fake::start().router();
    let long = "a".repeat(65);
    for (given, kept) in [
        ("abc-DEF-1", true),
        (&"a".repeat(64), true),
        (&long, false),
        ("", false),
        ("a b", false),
        ("a\tb", false),
        ("a;b", false),
    ] {
        let mut request = get("/v1/queue");
        request.headers_mut().insert("x-request-id", given.parse().unwrap());

        let reply = call(&router, request).await;

        assert_eq!(reply.header("x-request-id") == given, kept, "{given}");
    }
}

/// A page in a browser can reach no state, even where it reaches the listener.
#[tokio::test]
async fn requests_on_behalf_of_web_pages_change_nothing() {
    let node = Fake::start();
    let body = json!({"to": "bob", "text": "hi"});
    for (name, value) in [
        ("origin", "https://evil.test"),
        ("origin", "null"),
        ("referer", "https://evil.test/x"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "none"),
        ("host", "evil.test"),
        ("host", "bitchat.evil.test"),
        ("host", "localhost.evil.test:80"),
        ("host", ""),
    ] {
        let mut request = send("POST", "/v1/messages", &body);
        request.headers_mut().insert(name, value.parse().unwrap());
        let reply = call(&node.router(), request).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert!(!reply.headers.contains_key("set-cookie"));
        assert!(reply.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
        let mut request = send("POST", "/v1/messages", &body);
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        let reply = call(&node.router(), request).await;
        assert_eq!(reply.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    assert!(node.asked().is_empty());
}

#[tokio::test]
async fn a_host_is_one_of_ours_or_missing() {
    let router = Fake::start().router();
    for host in ["bitchat", "localhost", "LocalHost"] {
        let mut request = get("/v1/identity");
        request.headers_mut().insert("host", host.parse().unwrap());
        assert_eq!(call(&router, request).await.status, StatusCode::OK, "{host}");
    }
    let mut two = get("/v1/identity");
    two.headers_mut().append("host", "bitchat".parse().unwrap());
    two.headers_mut().append("host", "evil.test".parse().unwrap());
    assert_eq!(call(&router, two).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn json_may_name_its_encoding() {
    let mut request = send("POST", "/v1/messages", &json!({"to": "bob", "text": "hi"}));
    let kind = "Application/JSON; charset=utf-8";
    request.headers_mut().insert("content-type", kind.parse().unwrap());

    assert_eq!(call(&Fake::start().router(), request).await.status, StatusCode::OK);
}

#[tokio::test]
async fn every_reply_has_the_security_headers() {
    let router = Fake::start().router();
    for request in [
        get("/v1/identity"),
        get("/v1/contacts/nobody"),
        get("/nowhere"),
        with(Method::TRACE, "/v1/identity"),
        with(Method::OPTIONS, "/v1/identity"),
        with(Method::HEAD, "/v1/identity"),
    ] {
        let reply = call(&router, request).await;
        assert_eq!(
            reply.header("content-security-policy"),
            "default-src 'none'; frame-ancestors 'none'"
        );
        assert_eq!(reply.header("x-frame-options"), "DENY");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert_eq!(reply.header("referrer-policy"), "no-referrer");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert!(!reply.headers.contains_key("server"));
    }
}

#[tokio::test]
async fn a_body_is_read_strictly() {
    let node = Fake::start();
    let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for body in [
        "",
        "{",
        "[]",
        "null",
        "{\"to\":\"bob\"}",
        "{\"to\":\"bob\",\"text\":7}",
        "{\"to\":\"bob\",\"text\":\"hi\",\"colour\":\"red\"}",
        "{\"to\":\"bob\",\"text\":\"hi\",\"wait\":\"forever\"}",
        "{\"to\":\"bob\",\"text\":\"hi\",\"timeout_ms\":-1}",
        "{\"to\":\"bob\",\"text\":\"hi\",\"timeout_ms\":99999999999}",
        "{\"to\":\"bob\",\"to\":\"eve\",\"text\":\"hi\"}",
        &deep,
    ] {
        let mut request = send("POST", "/v1/messages", &Value::Null);
        *request.body_mut() = Body::from(body.to_owned());
        let reply = call(&node.router(), request).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{body:.80}");
        assert_eq!(reply.json["error"]["code"], "bad_request");
    }
    assert!(node.asked().is_empty());
}

/// A field that we do not know may be one that the caller relies on.
#[tokio::test]
async fn an_unknown_field_is_refused_on_every_route_that_has_fields() {
    let router = Fake::start().router();
    for (method, path, mut body) in [
        ("POST", "/v1/invitations", json!({"once": true})),
        ("POST", "/v1/contacts", json!({"link": "bitchat:x", "name": "bob"})),
        ("PATCH", "/v1/contacts/bob", json!({"name": "rob"})),
        ("POST", "/v1/messages", json!({"to": "bob", "text": "hi"})),
        ("POST", "/v1/inbox/ack", json!({"cursor": 1})),
    ] {
        assert_eq!(call(&router, send(method, path, &body)).await.status, StatusCode::OK, "{path}");
        body["colour"] = json!("red");
        let refused = call(&router, send(method, path, &body)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
    }
    for path in ["/v1/inbox", "/v1/inbox/stream", "/v1/history/bob"] {
        let refused = call(&router, get(&format!("{path}?colour=red"))).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}");
    }
}

#[tokio::test]
async fn a_query_is_read_strictly() {
    let router = Fake::start().router();
    for path in [
        "/v1/inbox?colour=red",
        "/v1/inbox?max=-1",
        "/v1/inbox?since=x",
        "/v1/inbox?wait_ms=600001",
        "/v1/history/bob?before=",
        "/v1/messages/xyz",
        "/v1/messages/ABABABABABABABABABABABABABABABAB",
        "/v1/contacts/%FF",
    ] {
        let reply = call(&router, get(path)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}: {}", reply.text);
    }
}

/// Without a declared length the limit holds while the body is read.
#[tokio::test]
async fn a_long_body_is_refused_whether_or_not_it_says_so() {
    let router = Fake::start().router();
    let mut declared = send("POST", "/v1/messages", &Value::Null);
    let length = (BODY_BYTES_MAX + 1).to_string();
    declared.headers_mut().insert("content-length", length.parse().unwrap());
    let chunks = futures::stream::repeat_with(|| Ok::<_, io::Error>(vec![b' '; 1024]));
    let mut endless = send("POST", "/v1/messages", &Value::Null);
    *endless.body_mut() = Body::from_stream(chunks);

    for request in [declared, endless] {
        let reply = call(&router, request).await;
        assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(reply.json["error"]["code"], "too_large");
    }
}

#[tokio::test]
async fn a_full_queue_is_busy_and_says_when_to_come_back() {
    let (node, _requests) = Fake::silent(1);
    let router = node.router();
    let waiting = router.clone();
    let first = tokio::spawn(async move { call(&waiting, get("/v1/queue")).await });
    while node.handle().has_room() {
        tokio::task::yield_now().await;
    }

    let reply = call(&router, get("/v1/queue")).await;

    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reply.json["error"]["code"], "busy");
    assert_eq!(reply.json["error"]["retry_after_ms"], 500);
    assert_eq!(reply.header("retry-after"), "1");
    first.abort();
}

#[tokio::test]
async fn a_draining_node_answers_questions_and_takes_nothing_new() {
    let node = Fake::start();
    node.change(|status| status.draining = true);

    let sent = send("POST", "/v1/messages", &json!({"to": "bob", "text": "hi"}));

    assert_eq!(call(&node.router(), sent).await.json["error"]["code"], "unavailable");
    assert_eq!(call(&node.router(), get("/v1/queue")).await.status, StatusCode::OK);
    assert!(node.asked().is_empty());
    let acknowledged = send("POST", "/v1/inbox/ack", &json!({"cursor": 3}));
    assert_eq!(call(&node.router(), acknowledged).await.status, StatusCode::OK);
}

fn with(method: Method, path: &str) -> Request<Body> {
    Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn writer(&self) -> impl Fn() -> Self + use<> {
        let log = self.clone();
        move || log.clone()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
