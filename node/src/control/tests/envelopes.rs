//! Envelopes go out and in as base64, page by page.

use axum::http::StatusCode;
use serde_json::json;

use super::fake::{Fake, account, call, send};

const EXPORT: &str = "/v1/envelopes/export";
const IMPORT: &str = "/v1/envelopes/import";

#[tokio::test]
async fn an_export_says_where_its_next_page_begins() {
    let node = Fake::start();
    let next = format!("{}.9", account(2));

    let first = call(&node.router(), send("POST", EXPORT, &json!({}))).await;
    let second = call(&node.router(), send("POST", EXPORT, &json!({"after": next}))).await;
    let id = "07".repeat(16);
    let one = call(&node.router(), send("POST", EXPORT, &json!({"id": id, "after": null}))).await;

    assert_eq!(
        first.json,
        json!({
            "schema": 1, "envelopes": ["AQID", "BA=="], "messages": 1, "receipts": 7,
            "no_keys": 2, "held_back": 3, "next": next,
        })
    );
    assert_eq!((second.status, one.status), (StatusCode::OK, StatusCode::OK));
    let asked = node.asked();
    assert_eq!(asked[0], "All { after: None }");
    assert!(asked[1].starts_with("All { after: Some((AccountId(") && asked[1].ends_with(", 9)) }"));
    assert_eq!(asked[2], "One(MessageId(0707..))");
}

#[tokio::test]
async fn an_import_tells_what_became_of_each() {
    let node = Fake::start();

    let reply =
        call(&node.router(), send("POST", IMPORT, &json!({"envelopes": ["AQID", "BA=="]}))).await;

    assert_eq!(
        reply.json,
        json!({
            "schema": 1, "delivered": 1, "receipts": 0, "duplicates": 0, "not_for_us": 0,
            "refused": 0, "busy": [1],
        })
    );
    assert_eq!(node.asked(), ["Import [3, 1]"]);
}

#[tokio::test]
async fn a_strange_wish_is_refused_before_the_engine_sees_it() {
    let node = Fake::start();
    let many = vec!["AA=="; 257];
    for (path, body) in [
        (EXPORT, json!({"id": "x"})),
        (EXPORT, json!({"after": "x"})),
        (EXPORT, json!({"after": format!("{}.-1", account(2))})),
        (EXPORT, json!({"id": "07".repeat(16), "after": format!("{}.1", account(2))})),
        (EXPORT, json!({"all": true})),
        (IMPORT, json!({})),
        (IMPORT, json!({"envelopes": ["?"]})),
        (IMPORT, json!({"envelopes": many})),
    ] {
        let reply = call(&node.router(), send("POST", path, &body)).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path} {body}");
    }
    assert!(node.asked().is_empty());
}
