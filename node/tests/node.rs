//! Two whole nodes in one process: real libp2p, real store, real control API.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use bitchat_node::config::{Config, Sources};
use bitchat_node::home::Home;
use bitchat_node::{Credentials, Mode, NewProfile, Node, NodeOptions, create_profile};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

fn profile(dir: &tempfile::TempDir, name: &str) -> Home {
    let home = Home::at(dir.path().join(name));
    let request = NewProfile {
        name: name.to_owned(),
        credentials: Credentials::default(),
        allow_no_passphrase: true,
        recover: None,
    };
    create_profile(&home, request).expect("a fresh profile");
    home
}

async fn start(home: &Home, listen: &str) -> Node {
    let flags = [("network.listen", listen), ("metrics.listen", "off"), ("network.mdns", "false")];
    let sources = Sources { flags: &flags, ..Sources::default() };
    let config = Config::load(&sources).expect("good flags");
    let options = NodeOptions {
        home: home.clone(),
        credentials: Credentials::default(),
        config,
        mode: Mode::Daemon,
    };
    Node::start(options).await.expect("a start")
}

async fn call(node: &Node, method: &str, path: &str, body: Option<Value>) -> Value {
    let request =
        Request::builder().method(method).uri(path).header("content-type", "application/json");
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let reply = node.router().oneshot(request.body(body).unwrap()).await.unwrap();
    let bytes = reply.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).expect("JSON")
}

async fn chat_over(listen: &str) {
    let dir = tempfile::tempdir().unwrap();
    let (alice, bob) = (profile(&dir, "alice"), profile(&dir, "bob"));
    let (alice, bob) = (start(&alice, listen).await, start(&bob, listen).await);

    let invitation = call(&alice, "POST", "/v1/invitations", Some(json!({"once": true}))).await;
    let link = invitation["link"].as_str().expect("a link").to_owned();
    let added = call(&bob, "POST", "/v1/contacts", Some(json!({"link": link}))).await;
    assert_eq!(added["name"], "alice");
    let message =
        json!({"to": "alice", "text": "meet at nine", "wait": "delivered", "timeout_ms": 10000});
    let sent = call(&bob, "POST", "/v1/messages", Some(message)).await;
    let inbox = call(&alice, "GET", "/v1/inbox?wait_ms=5000", None).await;

    assert_eq!((&sent["state"], &sent["reached"]), (&json!("delivered"), &json!(true)), "{sent}");
    assert_eq!(inbox["messages"][0]["text"], "meet at nine", "{inbox}");
    assert_eq!(inbox["messages"][0]["from"], "bob");
    let reply = json!({"to": "bob", "text": "yes", "wait": "delivered", "timeout_ms": 10000});
    assert_eq!(call(&alice, "POST", "/v1/messages", Some(reply)).await["state"], "delivered");
    tokio::time::timeout(Duration::from_secs(10), alice.shutdown()).await.unwrap().unwrap();
    bob.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_chat_over_tcp() {
    chat_over("/ip4/127.0.0.1/tcp/0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_chat_over_quic() {
    chat_over("/ip4/127.0.0.1/udp/0/quic-v1").await;
}
