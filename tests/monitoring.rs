//! What an operator sees of a running daemon, and what he must not see.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::harness::{Profile, Stage, TCP, eventually};

/// GET over plain HTTP/1.1: status code and body.
pub(crate) fn get(profile: &Profile, path: &str) -> (u16, String) {
    let status = &profile.json(&["status"])[0];
    let address = status["metrics"].as_str().expect("metrics are served").to_owned();
    let mut stream = TcpStream::connect(&address).expect("a listener");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("written");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    let code = reply.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    (code, reply.split_once("\r\n\r\n").expect("a body").1.to_owned())
}

/// The sample of a family whose line begins so.
pub(crate) fn sample(exposition: &str, begin: &str) -> f64 {
    let line = exposition.lines().find(|line| line.starts_with(begin));
    let value = line.and_then(|line| line.rsplit(' ').next());
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no sample {begin}"))
}

#[test]
fn a_daemon_is_alive_and_ready_and_counts_a_conversation() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);
    let sent = bob.run(&["send", "alice", "hi", "--wait", "delivered", "--timeout", "30s"]);
    assert_eq!(sent.code, 0, "{sent:?}");

    assert_eq!((get(&bob, "/livez").0, get(&bob, "/readyz").0), (200, 200));
    assert_eq!(get(&bob, "/anything").0, 404);
    let (_, at_bob) = get(&bob, "/metrics");
    let (_, at_alice) = get(&alice, "/metrics");

    assert!(sample(&at_bob, "bitchat_messages_total{direction=\"outbound\"") >= 1.0);
    assert!(sample(&at_alice, "bitchat_messages_total{direction=\"inbound\"") >= 1.0);
    assert!(sample(&at_bob, "bitchat_delivery_seconds_count{stage=\"delivered\"") >= 1.0);
    assert!(sample(&at_bob, "bitchat_store_flush_seconds_count") >= 1.0);
    assert!(sample(&at_bob, "bitchat_outbox_messages") < 0.5);
    eventually("the link is counted", || {
        let links = get(&bob, "/metrics").1;
        let tcp = |direction: &str| {
            sample(
                &links,
                &format!("bitchat_connections{{transport=\"tcp\",direction=\"{direction}\"}}"),
            )
        };
        tcp("inbound") + tcp("outbound") >= 1.0
    });
}

/// A metric that named a contact would publish the contact graph.
#[test]
fn metrics_and_health_name_no_contact_no_account_and_no_address() {
    let stage = Stage::new();
    let [(alice, at_alice), (bob, _b)] = stage.acquainted(TCP);
    bob.run(&["send", "alice", "hi", "--wait", "delivered", "--timeout", "30s"]);

    let (_, exposition) = get(&bob, "/metrics");
    let (_, readiness) = get(&bob, "/readyz?verbose");

    for profile in [&alice, &bob] {
        let id = &profile.json(&["id"])[0];
        for secret in ["account", "device", "name"].map(|key| id[key].as_str().unwrap_or("alice")) {
            assert!(!exposition.contains(secret) && !readiness.contains(secret), "{secret}");
        }
    }
    assert!(!exposition.contains(&at_alice.addresses[0]));
}
