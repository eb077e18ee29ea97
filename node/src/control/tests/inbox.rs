//! Reading, waiting for, acknowledging and following the inbox.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, StatusCode};
use bitchat_protocol::engine::{CommandError, DeliveryState, Event, KeyChangeView};
use bitchat_protocol::time::UnixMillis;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use super::fake::{Fake, account, call, delivery, device, get, send};

#[tokio::test]
async fn the_inbox_is_read_after_the_readers_cursor() {
    let node = Fake::start();
    (1..=3).for_each(|cursor| node.receive(cursor));
    let acknowledged = json!({"reader": "bot", "cursor": 1});
    let reply = call(&node.router(), send("POST", "/v1/inbox/ack", &acknowledged)).await;
    assert_eq!(reply.json, json!({"schema": 1}));

    let reply = call(&node.router(), get("/v1/inbox?reader=bot")).await;

    assert_eq!(cursors(&reply.json), [2, 3]);
    assert_eq!(reply.json["messages"][0]["text"], "hi\u{1b}[2J");
    assert_eq!(node.asked(), ["Acknowledge bot 1", "Inbox bot since=None"]);
}

#[tokio::test]
async fn reading_again_does_not_need_the_cursor() {
    let node = Fake::start();
    (1..=3).for_each(|cursor| node.receive(cursor));

    let reply = call(&node.router(), get("/v1/inbox?since=0&max=2")).await;

    assert_eq!(cursors(&reply.json), [1, 2]);
    assert_eq!(node.asked(), ["Inbox default since=Some(0)"]);
}

#[tokio::test]
async fn an_empty_inbox_answers_at_once_unless_asked_to_wait() {
    let node = Fake::start();

    assert_eq!(cursors(&call(&node.router(), get("/v1/inbox")).await.json), [0; 0]);
    assert_eq!(cursors(&call(&node.router(), get("/v1/inbox?wait_ms=30")).await.json), [0; 0]);
}

#[tokio::test]
async fn a_waiting_reader_gets_the_first_message_that_comes() {
    let node = Fake::start();
    let router = node.router();
    let reply = tokio::spawn(async move { call(&router, get("/v1/inbox?wait_ms=20000")).await });
    while node.asked().is_empty() {
        tokio::task::yield_now().await;
    }

    node.receive(5);

    let reply = timeout(Duration::from_secs(5), reply).await.unwrap().unwrap();
    assert_eq!(cursors(&reply.json), [5]);
}

#[tokio::test]
async fn a_stream_gives_what_is_there_and_then_what_comes() {
    let node = Fake::start();
    node.receive(1);
    let mut stream = follow(&node, "/v1/inbox/stream", None).await;

    let first = event(&mut stream).await;
    assert!(first.starts_with("id: 1\ndata: {"), "{first}");
    assert!(first.contains(r#""schema":1"#));
    assert!(!first.contains('\u{1b}'), "JSON escapes control characters");

    node.receive(2);
    assert!(event(&mut stream).await.starts_with("id: 2\n"));
}

#[tokio::test]
async fn a_reconnecting_client_goes_on_behind_its_last_message() {
    let node = Fake::start();
    (1..=3).for_each(|cursor| node.receive(cursor));

    let mut stream = follow(&node, "/v1/inbox/stream?since=0", Some("2")).await;

    assert!(event(&mut stream).await.starts_with("id: 3\n"));
}

#[tokio::test]
async fn a_stream_that_lost_events_misses_no_message() {
    let node = Fake::start();
    let mut stream = follow(&node, "/v1/inbox/stream", None).await;

    (1..=20).for_each(|cursor| node.receive(cursor)); // The channel holds four.

    for cursor in 1..=20 {
        assert!(event(&mut stream).await.starts_with(&format!("id: {cursor}\n")));
    }
}

#[tokio::test]
async fn a_stream_ends_when_the_node_stops() {
    let node = Fake::start();
    let mut stream = follow(&node, "/v1/inbox/stream", None).await;

    node.change(|status| status.draining = true);

    assert!(timeout(Duration::from_secs(5), stream.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_stream_that_cannot_begin_is_an_error_and_one_that_breaks_says_so() {
    let node = Fake::start();
    let mut stream = follow(&node, "/v1/inbox/stream", None).await;
    node.set(|fake| fake.failure = Some(CommandError::Store("/secret/path".to_owned())));

    node.receive(1);
    let last = event(&mut stream).await;
    assert!(last.starts_with("event: error\n"), "{last}");
    assert!(!last.contains("secret") && !last.contains(r#""correlation_id":"""#), "{last}");
    assert!(
        node.metrics_text().contains(r#"bitchat_errors_total{category="store",code="store"} 1"#)
    );
    assert!(stream.next().await.is_none());

    let reply = call(&node.router(), get("/v1/inbox/stream")).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
}

/// What a program must learn of although nobody types a command.
#[tokio::test]
async fn the_event_stream_tells_of_changed_keys_contacts_and_deliveries_and_ends_with_the_node() {
    let node = Fake::start();
    let mut stream = follow(&node, "/v1/events", None).await;

    let (account, name) = (account(2), "bob".to_owned());
    let at = UnixMillis(7);
    let device = device(3);
    node.tell(Event::KeyChange(KeyChangeView { account, name, device, blocked: true, at }));
    let told = event(&mut stream).await;
    assert!(told.starts_with("event: key_change\n"), "{told}");
    for field in [r#""schema":1"#, r#""name":"bob""#, r#""blocked":true"#, r#""at_ms":7"#] {
        assert!(told.contains(field), "{field} in {told}");
    }
    node.receive(1); // Has a stream of its own.
    node.tell(Event::Contact(account));
    assert!(event(&mut stream).await.starts_with("event: contact\n"));
    node.tell(Event::Delivery(delivery(DeliveryState::Rejected)));
    assert!(event(&mut stream).await.contains(r#""state":"rejected""#));
    (0..20).for_each(|_| node.tell(Event::Contact(account))); // The channel holds four.
    assert!(event(&mut stream).await.starts_with("event: lagged\n"));

    node.change(|status| status.draining = true);
    timeout(Duration::from_secs(5), async { while stream.next().await.is_some() {} })
        .await
        .unwrap();
}

async fn follow(node: &Fake, path: &str, last: Option<&str>) -> BodyDataStream {
    let mut request = Request::get(path);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = node.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.into_body().into_data_stream()
}

async fn event(stream: &mut BodyDataStream) -> String {
    let bytes = timeout(Duration::from_secs(5), stream.next()).await.unwrap().unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn cursors(reply: &Value) -> Vec<u64> {
    let messages = reply["messages"].as_array().unwrap();
    messages.iter().map(|message| message["cursor"].as_u64().unwrap()).collect()
}
