//! One message of the queue: looked at, taken back, tried again, sent once.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use bitchat_protocol::engine::{DeliveryState, TrackView};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::outbox::{CustodyReceipt, Delivery};
use bitchat_protocol::time::UnixMillis;
use serde_json::{Value, json};

use super::fake::{Fake, account, call, delivery as view, get, send};

const ID: &str = "07070707070707070707070707070707";

#[tokio::test]
async fn a_message_is_shown_with_its_steps_and_the_receipts_of_mailboxes_as_they_came() {
    let node = Fake::start();

    let reply = call(&node.router(), get(&format!("/v1/queue/{ID}"))).await;

    let shown = reply.json;
    assert_eq!((&shown["id"], &shown["state"]), (&json!(ID), &json!("stored")));
    assert_eq!(
        shown["steps"][0],
        json!({"state": "queued", "at_ms": 10, "evidence": "on this disk"})
    );
    assert_eq!(shown["steps"][1]["state"], "stored");
    let custody = &shown["custody"][0];
    assert_eq!((&custody["receipt"], &custody["until_ms"]), (&json!("BQY="), &json!(90)));
    assert_eq!(custody["envelope"], "04".repeat(32));
    assert_eq!([&shown["late_receipt_ms"], &shown["waits"]], [&Value::Null, &Value::Null]);
}

#[tokio::test]
async fn what_was_accepted_is_not_taken_back_and_a_retry_wishes_for_nothing() {
    let node = Fake::start();
    let router = node.router();
    let path = format!("/v1/queue/{ID}");

    let delete = Request::delete(&path).body(Body::empty()).unwrap();
    let cancelled = call(&router, delete).await;
    let retried = call(&router, send("POST", &format!("{path}/retry"), &json!({}))).await;
    let wish = call(&router, send("POST", &format!("{path}/retry"), &json!({"now": true}))).await;

    assert_eq!(cancelled.status, StatusCode::CONFLICT);
    assert_eq!(cancelled.json["error"]["code"], "accepted");
    assert_eq!((retried.status, wish.status), (StatusCode::OK, StatusCode::BAD_REQUEST));
}

#[tokio::test]
async fn an_id_asks_for_one_message_and_an_acknowledgement_may_be_for_one_contact() {
    let node = Fake::start();
    let router = node.router();

    let body = json!({"to": "bob", "text": "hi", "id": "order 7"});
    let sent = call(&router, send("POST", "/v1/messages", &body)).await;
    let body = json!({"cursor": 3, "contact": "bob"});
    let acknowledged = call(&router, send("POST", "/v1/inbox/ack", &body)).await;

    assert_eq!((sent.status, acknowledged.status), (StatusCode::OK, StatusCode::OK));
    assert_eq!(node.asked(), ["SendOnce order 7 2 bytes", "Acknowledge default 3 only bob"]);
}

/// What the stand-in knows of every message.
pub(super) fn track() -> TrackView {
    let (mailbox, envelope) = (DeviceId([3; 32]), [4; 32]);
    let (until, at, bytes) = (UnixMillis(90), UnixMillis(11), vec![5, 6]);
    let mut delivery = Delivery::begin(account(2), UnixMillis(10));
    delivery.reach(DeliveryState::Stored, "receipts", UnixMillis(11));
    TrackView {
        delivery: view(DeliveryState::Stored),
        steps: delivery.steps().cloned().collect(),
        custody: vec![CustodyReceipt { mailbox, envelope, until, bytes, at }],
        late: None,
        waits: None,
    }
}
