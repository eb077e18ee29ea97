//! The control API over a stand-in engine at the other end of the handle.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::http::StatusCode;
use bitchat_protocol::engine::BreakerView;
use bitchat_protocol::resilience::breaker::{Operation, State};
use bitchat_protocol::time::UnixMillis;
use serde_json::{Value, json};
use tower::ServiceExt;

mod envelopes;
mod errors;
mod fake;
mod inbox;
mod queue;
mod unix;
mod waits;

use super::handle::PrekeyStatus;
use crate::metrics::label::Route;
use fake::{Fake, account, call, get, send};

#[tokio::test]
async fn identity_shows_account_and_peer_id() {
    let node = Fake::start();

    let reply = call(&node.router(), get("/v1/identity")).await;

    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(
        reply.json,
        json!({
            "schema": 1,
            "account": account(1).to_string(),
            "device": super::peer_id::text(&fake::device(1)),
            "nickname": "me",
            "addresses": ["/ip4/127.0.0.1/tcp/1"],
        })
    );
}

#[tokio::test]
async fn an_invitation_has_both_forms_and_its_end() {
    let node = Fake::start();

    let reply = call(
        &node.router(),
        send("POST", "/v1/invitations", &json!({"once": true, "expires_ms": 5})),
    )
    .await;

    assert_eq!(
        reply.json,
        json!({"schema": 1, "link": "bitchat:once=true", "short": "bitchat:s", "expires_ms": 5})
    );
}

#[tokio::test]
async fn contacts_are_added_listed_shown_changed_and_removed() {
    let node = Fake::start();
    let router = node.router();

    let added =
        call(&router, send("POST", "/v1/contacts", &json!({"link": "bitchat:x", "name": "bob"})));
    let added = added.await;
    assert_eq!(added.json["known"], true);
    assert_eq!(added.json["name"], "bob");

    let listed = call(&router, get("/v1/contacts")).await;
    assert_eq!(listed.json["contacts"][0]["name"], "bob");

    let shown = call(&router, get("/v1/contacts/b%C3%B6b%2F%20x")).await;
    assert_eq!(shown.json["name"], "böb/ x");
    assert_eq!(shown.json["prekeys"], "last_resort");
    assert_eq!(shown.json.as_object().unwrap().keys().collect::<Vec<_>>(), CONTACT);

    let renamed = send("PATCH", "/v1/contacts/bob", &json!({"name": "rob"}));
    assert_eq!(call(&router, renamed).await.json["name"], "rob");

    let verified = send("PATCH", "/v1/contacts/bob", &json!({"verified": true}));
    assert_eq!(call(&router, verified).await.json["verified"], true);

    let strict = send("PATCH", "/v1/contacts/bob", &json!({"policy": "verified"}));
    assert_eq!(call(&router, strict).await.json["policy"], "verified");

    for body in [json!({"scanned": "bitchat-safety:y"}), json!({"trusted": true})] {
        let changed = call(&router, send("PATCH", "/v1/contacts/bob", &body)).await;
        assert_eq!(changed.json["name"], "bob");
    }
    let reset = send("POST", "/v1/contacts/bob/session", &Value::Null);
    assert_eq!(call(&router, reset).await.json["name"], "bob");
    assert_eq!(node.asked(), ["VerifyScanned bitchat-safety:y", "Trust", "ResetSession"]);

    let removed = call(&router, send("DELETE", "/v1/contacts/bob", &Value::Null)).await;
    assert_eq!(removed.json, json!({"schema": 1}));
}

/// The fields of a contact, in the order of the alphabet.
const CONTACT: [&str; 15] = [
    "account",
    "addresses",
    "connected",
    "device",
    "fingerprint",
    "key_change",
    "name",
    "nickname",
    "policy",
    "prekeys",
    "read_receipts",
    "safety_code",
    "safety_number",
    "schema",
    "verified",
];

#[tokio::test]
async fn a_change_of_two_things_or_of_none_is_refused() {
    let node = Fake::start();

    for body in [
        json!({}),
        json!({"name": "x", "verified": true}),
        json!({"policy": "verified", "trusted": true}),
        json!({"policy": "strict"}),
        json!({"trusted": false}),
    ] {
        let reply = call(&node.router(), send("PATCH", "/v1/contacts/bob", &body)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    }
}

#[tokio::test]
async fn a_contact_goes_alone_or_with_its_history_and_nothing_else_is_understood() {
    let node = Fake::start();
    let router = node.router();
    let delete = |query: &str| {
        call(&router, send("DELETE", &format!("/v1/contacts/bob{query}"), &json!({})))
    };

    for query in ["", "?history=false", "?history=true"] {
        assert_eq!(delete(query).await.status, StatusCode::OK, "{query}");
    }
    for query in ["?history=yes", "?histroy=true"] {
        assert_eq!(delete(query).await.status, StatusCode::BAD_REQUEST, "{query}");
    }

    assert_eq!(node.asked(), ["Remove Contact", "Remove Contact", "Remove History"]);
}

#[tokio::test]
async fn history_tells_direction_and_state() {
    let node = Fake::start();

    let reply = call(&node.router(), get("/v1/history/bob?max=2&before=9")).await;

    let messages = &reply.json["messages"];
    assert_eq!(messages[0]["direction"], "in");
    assert_eq!(messages[0]["state"], Value::Null);
    assert_eq!([&messages[0]["from"], &messages[0]["contact"]], ["bob", "bob"]);
    assert_eq!(messages[1]["from"], account(9).to_string());
    assert_eq!(messages[1]["contact"], "bob");
    assert_eq!(messages[1]["direction"], "out");
    assert_eq!(messages[1]["state"], "delivered");
    assert_eq!(node.asked(), ["History before=Some(9) max=2"]);
}

#[tokio::test]
async fn the_queue_lists_what_is_not_delivered() {
    let node = Fake::start();

    let reply = call(&node.router(), get("/v1/queue")).await;

    let row = &reply.json["messages"][0];
    assert_eq!(row["state"], "sent");
    assert_eq!(row["attempts"], 3);
    assert_eq!(row["expires_ms"], 20);
}

#[tokio::test]
async fn peers_carry_the_name_of_their_contact() {
    let node = Fake::start();
    node.change(|status| status.peers = vec![fake::peer(2), fake::peer(9)]);

    let reply = call(&node.router(), get("/v1/peers")).await;

    assert_eq!(reply.json["peers"][0]["contact"], "bob");
    assert_eq!(reply.json["peers"][1]["contact"], Value::Null);
    assert_eq!(reply.json["peers"][0]["rtt_ms"], 7);
    assert_eq!(reply.json["peers"][0]["breakers"], json!([]));
}

/// Also of a peer without a link: that is the one that somebody asks about.
#[tokio::test]
async fn peers_show_whom_a_breaker_holds_and_why() {
    let node = Fake::start();
    node.change(|status| status.peers = vec![fake::peer(9)]);
    let open = BreakerView {
        device: fake::device(2),
        operation: Operation::Dial,
        state: State::Open,
        failures: 0,
        cause: "why",
        until: Some(UnixMillis(77)),
        retry_after: Some(Duration::from_millis(5)),
    };
    let closed = |number| BreakerView {
        device: fake::device(number),
        state: State::Closed,
        failures: 2,
        until: None,
        retry_after: None,
        ..open.clone()
    };
    node.set(|fake| fake.breakers = vec![open.clone(), closed(9), closed(5)]);
    node.change(|status| status.breakers[0] = [2, 0, 1]);

    let peers = call(&node.router(), get("/v1/peers")).await.json["peers"].clone();

    assert_eq!(
        peers.as_array().unwrap().len(),
        2,
        "one that is closed and not connected is no news"
    );
    assert_eq!((&peers[0]["connected"], &peers[1]["connected"]), (&json!(true), &json!(false)));
    assert_eq!((&peers[1]["contact"], &peers[1]["path"]), (&json!("bob"), &Value::Null));
    assert_eq!(peers[0]["breakers"][0]["failures"], 2);
    let expected = json!([{"operation": "dial", "state": "open", "failures": 0, "cause": "why",
        "until_ms": 77, "retry_after_ms": 5}]);
    assert_eq!(peers[1]["breakers"], expected);
    let status = call(&node.router(), get("/v1/status")).await.json;
    assert_eq!(status["breakers"], json!({"closed": 2, "half_open": 0, "open": 1}));
}

#[tokio::test]
async fn status_sums_the_node_up() {
    let node = Fake::start();
    node.change(|status| {
        status.ready = true;
        status.metrics = Some("127.0.0.1:9464".parse().unwrap());
        status.outbox.rows = 4;
        status.prekeys = PrekeyStatus { x25519: 90, ml_kem: 80, last_resort_sessions: 2 };
        status.warnings = vec![fake::warning()];
    });

    let reply = call(&node.router(), get("/v1/status")).await;

    assert_eq!(reply.json["ready"], true);
    assert_eq!(reply.json["contacts"], 1);
    assert_eq!(reply.json["metrics"], "127.0.0.1:9464");
    assert_eq!(reply.json["outbox"], json!({"rows": 4, "oldest_ms": null}));
    let prekeys = json!({"x25519": 90, "ml_kem": 80, "last_resort_sessions": 2});
    assert_eq!(reply.json["prekeys"], prekeys);
    assert_eq!(reply.json["warnings"][0]["code"], "disk_low");
    assert_eq!(reply.json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(reply.json["pid"], std::process::id());
}

/// Status is asked for when things hang: it must not hang with them.
#[tokio::test]
async fn status_answers_although_the_engine_is_gone() {
    let node = Fake::gone();

    let reply = call(&node.router(), get("/v1/status")).await;

    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json["account"], Value::Null);
    assert_eq!(reply.json["ready"], false);
    let alive = call(&node.router(), get("/v1/alive")).await;
    assert_eq!(alive.json, json!({"schema": 1, "pid": std::process::id()}));
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status_without_a_name() {
    let node = Fake::start();
    call(&node.router(), get("/v1/contacts/bob")).await;
    call(&node.router(), get("/v1/contacts/nobody")).await;
    call(&node.router(), get("/elsewhere")).await;

    let text = node.metrics_text();

    assert!(text.contains(r#"bitchat_control_requests_total{route="contact",status="200"} 1"#));
    assert!(text.contains(r#"bitchat_control_requests_total{route="contact",status="404"} 1"#));
    assert!(text.contains(r#"bitchat_control_requests_total{route="other",status="404"} 1"#));
    assert!(
        text.contains(r#"bitchat_errors_total{category="not_found",code="unknown_contact"} 1"#)
    );
    assert!(!text.contains("bob"));
}

/// Only what a person can judge may be dismissed, and a backup goes on where it stopped.
#[tokio::test]
async fn pages_of_a_backup_and_a_dismissed_warning_reach_the_engine() {
    let node = Fake::start();
    let next = format!("/v1/backup?history=true&cursor=messages/{}/7", account(2));

    let first = call(&node.router(), get("/v1/backup")).await;
    let later = call(&node.router(), get(&next)).await;
    let strange = call(&node.router(), get("/v1/backup?cursor=x")).await;
    let other = call(&node.router(), send("DELETE", "/v1/warnings/disk_low", &json!({}))).await;
    let path = "/v1/warnings/copied_datadir";
    let dismissed = call(&node.router(), send("DELETE", path, &json!({}))).await;

    assert_eq!((first.json["items"].as_str(), &first.json["next"]), (Some("AQID"), &Value::Null));
    let codes = [first.status, later.status, strange.status, other.status, dismissed.status];
    assert_eq!(codes.map(|code| code.as_u16()), [200, 200, 400, 400, 200]);
    let asked = [
        "Export contacts history=false".to_owned(),
        format!("Export messages/{}/7 history=true", account(2)),
        "AcceptCopy".to_owned(),
    ];
    assert_eq!(node.asked(), asked);
}

/// `docs/API.md` is what programs are written against.
#[tokio::test]
async fn every_route_stands_in_the_document_and_answers() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/API.md");
    let document = std::fs::read_to_string(&path).unwrap();
    let node = Fake::start();
    let mut routes = BTreeSet::new();
    for line in document.lines().filter_map(|line| line.strip_prefix("### ")) {
        let (method, path) = line.split_once(' ').unwrap();
        let path = path.replace("{who}", "bob").replace("{id}", &"07".repeat(16));
        let path = path.replace("{code}", "copied_datadir");

        // The body stays unread: that of a stream has no end.
        let reply = node.router().oneshot(send(method, &path, &json!({}))).await.unwrap();

        let refused = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        assert!(!refused.contains(&reply.status()), "{line}: {}", reply.status());
        routes.insert(super::frame::route(&method.parse().unwrap(), &path));
    }
    let known: BTreeSet<Route> =
        Route::ALL.iter().copied().filter(|r| *r != Route::Other).collect();
    assert_eq!(routes, known);
}
