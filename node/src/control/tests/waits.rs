//! Sending and waiting: what ends a wait, and that nothing is missed.

use std::time::Duration;

use axum::http::StatusCode;
use bitchat_protocol::engine::{DeliveryState, Event, WithheldView};
use bitchat_protocol::resilience::breaker::Operation;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::fake::{Fake, Replied, call, delivery, get, message, send};

/// Longer than any of these tests takes; a wait that ends by this is a failed test.
const LONG_MS: u64 = 20_000;

#[tokio::test]
async fn without_a_wait_the_reply_comes_as_soon_as_the_text_is_durable() {
    let node = Fake::start();
    let body = json!({"to": "bob", "text": "hello", "expires_ms": 1000});

    let reply = call(&node.router(), send("POST", "/v1/messages", &body)).await;

    assert_eq!(
        reply.json,
        json!({
            "schema": 1, "id": "07".repeat(16), "to": "bob", "state": "queued",
            "evidence": "outbox row", "at_ms": 5, "reached": true, "withheld": null,
        })
    );
    assert_eq!(node.asked(), ["Send 5 bytes expires=Some(1s)"]);
}

#[tokio::test]
async fn a_wait_ends_when_the_state_is_reached() {
    let node = Fake::start();
    let reply = wait_for(&node, "sent", LONG_MS).await;

    node.tell(Event::Received(message(1, false)));
    node.tell(Event::Delivery(delivery(DeliveryState::Sent)));

    let reply = finish(reply).await;
    assert_eq!(reply["state"], "sent");
    assert_eq!(reply["reached"], true);
}

#[tokio::test]
async fn a_later_state_satisfies_an_earlier_one() {
    let node = Fake::start();
    let reply = wait_for(&node, "stored", LONG_MS).await;

    node.tell(Event::Delivery(delivery(DeliveryState::Delivered)));

    assert_eq!(finish(reply).await["reached"], true);
}

#[tokio::test]
async fn a_wait_ends_when_the_message_failed_for_good() {
    let node = Fake::start();
    let reply = wait_for(&node, "delivered", LONG_MS).await;

    node.tell(Event::Delivery(delivery(DeliveryState::Sent)));
    node.tell(Event::Delivery(delivery(DeliveryState::Rejected)));

    let reply = finish(reply).await;
    assert_eq!(reply["state"], "rejected");
    assert_eq!(reply["reached"], false);
}

#[tokio::test]
async fn when_time_is_up_the_last_known_state_is_told() {
    let node = Fake::start();
    let reply = wait_for(&node, "delivered", 50).await;

    node.tell(Event::Delivery(delivery(DeliveryState::Sent)));

    let reply = finish(reply).await;
    assert_eq!(reply["state"], "sent");
    assert_eq!(reply["reached"], false);
}

/// A breaker is the reason only if nothing was tried since the wait began.
#[tokio::test]
async fn when_time_is_up_a_breaker_that_alone_was_in_the_way_is_named() {
    let node = Fake::start();
    let (operation, retry_after) = (Operation::Dial, Duration::from_secs(9));
    for (untried_for, named) in
        [(None, true), (Some(Duration::from_secs(60)), true), (Some(Duration::ZERO), false)]
    {
        let view = WithheldView { operation, retry_after, untried_for };
        node.set(|fake| fake.withheld = Some(view));

        let reply = finish(wait_for(&node, "delivered", 50).await).await;

        let expected = json!({"operation": "dial", "retry_after_ms": 9_000});
        assert_eq!(reply["withheld"], if named { expected } else { Value::Null });
    }
}

/// More events than the channel holds come at once: the one that matters is lost.
#[tokio::test]
async fn a_wait_that_lost_events_looks_instead() {
    let node = Fake::start();
    let reply = wait_for(&node, "delivered", LONG_MS).await;
    node.set(|fake| fake.state = Some(DeliveryState::Delivered));

    node.tell(Event::Delivery(delivery(DeliveryState::Delivered)));
    for cursor in 0..16 {
        node.tell(Event::Received(message(cursor, false)));
    }

    assert_eq!(finish(reply).await["reached"], true);
    assert!(node.asked().contains(&"Delivery".to_owned()));
}

/// The event is there before the handler looks at all: it must have been listening already.
#[tokio::test]
async fn an_event_between_queueing_and_waiting_is_not_missed() {
    let (node, mut requests) = Fake::silent(1);
    let router = node.router();
    let body = json!({"to": "bob", "text": "hi", "wait": "sent", "timeout_ms": LONG_MS});
    let call =
        tokio::spawn(async move { call(&router, send("POST", "/v1/messages", &body)).await });
    let request = requests.recv().await.unwrap();

    node.tell(Event::Delivery(delivery(DeliveryState::Sent)));
    let queued = bitchat_protocol::engine::Reply::Delivery(delivery(DeliveryState::Queued));
    request.reply.send(Ok(queued)).unwrap();

    assert_eq!(finish(call).await["state"], "sent");
}

#[tokio::test]
async fn a_wait_ends_when_the_node_stops() {
    let node = Fake::start();
    let reply = wait_for(&node, "delivered", LONG_MS).await;

    node.change(|status| status.draining = true);

    assert_eq!(finish(reply).await["reached"], false);
}

/// The message is durable: an engine that ends meanwhile must not make an error of that.
#[tokio::test]
async fn a_wait_whose_engine_is_gone_still_says_where_the_message_is() {
    let (node, mut requests) = Fake::silent(1);
    let router = node.router();
    let body = json!({"to": "bob", "text": "hi", "wait": "sent", "timeout_ms": 50});
    let call =
        tokio::spawn(async move { call(&router, send("POST", "/v1/messages", &body)).await });
    let request = requests.recv().await.unwrap();
    let queued = bitchat_protocol::engine::Reply::Delivery(delivery(DeliveryState::Queued));
    request.reply.send(Ok(queued)).unwrap();
    drop(requests);

    let reply = finish(call).await;

    assert_eq!((&reply["state"], &reply["reached"]), (&json!("queued"), &json!(false)));
}

#[tokio::test]
async fn a_message_is_found_by_its_id() {
    let node = Fake::start();
    node.set(|fake| fake.state = Some(DeliveryState::Stored));

    let reply = call(&node.router(), get(&format!("/v1/messages/{}", "07".repeat(16)))).await;

    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json["state"], "stored");
    assert_eq!(reply.json.get("reached"), None);
}

/// Starts a send that waits, and returns once it does.
async fn wait_for(node: &Fake, state: &str, timeout_ms: u64) -> JoinHandle<Replied> {
    let router = node.router();
    let body = json!({"to": "bob", "text": "hi", "wait": state, "timeout_ms": timeout_ms});
    let reply =
        tokio::spawn(async move { call(&router, send("POST", "/v1/messages", &body)).await });
    while node.asked().is_empty() || node.listeners() == 0 {
        tokio::task::yield_now().await;
    }
    reply
}

/// The reply, which must come long before the wait's own end.
async fn finish(reply: JoinHandle<Replied>) -> Value {
    timeout(Duration::from_secs(5), reply).await.expect("the wait goes on").unwrap().json
}
