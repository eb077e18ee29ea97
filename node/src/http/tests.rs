//! Health and metrics, in process and over a real listener.

use std::path::PathBuf;

use axum::body::Body;
use axum::http::{HeaderMap, Method};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tower::ServiceExt;

use super::*;

#[tokio::test]
async fn a_node_is_live_while_its_loop_turns() {
    let node = Node::start();
    assert_eq!(node.get("/livez").await.0, StatusCode::OK);

    let blocked = Node::blocked();
    assert_eq!(blocked.get("/livez").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(blocked.get("/readyz").await.1, "[-] loop\nnot ready\n");
}

#[tokio::test]
async fn a_node_is_ready_when_every_check_passes() {
    let node = Node::start();

    let (status, text, _) = node.get("/readyz?verbose").await;

    assert_eq!(status, StatusCode::OK);
    assert_eq!(text, "[+] loop\n[+] started\n[+] not_draining\n[+] storage\nready\n");
    assert_eq!(node.get("/readyz").await.1, "ready\n");
}

#[tokio::test]
async fn a_node_that_is_not_ready_names_the_check_and_stays_live() {
    type Change = fn(&mut NodeStatus);
    let cases: [(&str, Change); 3] = [
        ("started", |status| status.ready = false),
        ("not_draining", |status| (status.draining, status.ready) = (true, false)),
        ("storage", |status| status.storage_refuses = true),
    ];
    for (check, change) in cases {
        let node = Node::start();
        node.status.send_modify(change);

        let (status, text, _) = node.get("/readyz").await;

        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, format!("[-] {check}\nnot ready\n"));
        assert_eq!(node.get("/livez").await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn health_tells_no_address() {
    let node = Node::start();
    for path in ["/livez", "/readyz?verbose", "/metrics"] {
        let text = node.get(path).await.1;
        assert!(!text.contains("10.1.2.3") && !text.contains("/ip4"), "{text}");
    }
}

#[tokio::test]
async fn metrics_come_in_the_form_that_is_accepted() {
    let node = Node::start();
    let open = "application/openmetrics-text; version=1.0.0";

    let (_, classic, headers) = node.get("/metrics").await;
    assert_eq!(headers[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    assert!(classic.contains("# TYPE bitchat_retries_total counter\n"));
    assert!(classic.contains("bitchat_warning{code=\"disk_low\"} 1\n"));

    let (_, text, headers) = node.ask(Method::GET, "/metrics", &[("accept", open)]).await;
    assert!(headers[CONTENT_TYPE].to_str().unwrap().starts_with(open));
    assert!(text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn there_is_nothing_else_here_and_every_reply_is_useless_to_a_page() {
    let node = Node::start();
    for (method, path, expected) in [
        (Method::GET, "/livez", StatusCode::OK),
        (Method::GET, "/", StatusCode::NOT_FOUND),
        (Method::GET, "/v1/identity", StatusCode::NOT_FOUND),
        (Method::POST, "/livez", StatusCode::METHOD_NOT_ALLOWED),
        (Method::TRACE, "/metrics", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let (status, _, headers) = node.ask(method, path, &[]).await;
        assert_eq!(status, expected, "{path}");
        assert_eq!(headers["x-frame-options"], "DENY");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert!(!headers.contains_key("server"));
        assert!(headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    }
}

/// DNS rebinding: the page's own name points here, and the browser says so in `Host`.
#[tokio::test]
async fn a_host_that_is_a_name_is_refused() {
    let node = Node::start();
    for (host, allowed) in [
        ("127.0.0.1:9464", true),
        ("127.0.0.1", true),
        ("[::1]:9464", true),
        ("[::1]", true),
        ("localhost:9464", true),
        ("LOCALHOST", true),
        ("evil.test:9464", false),
        ("evil.test", false),
        ("localhost.evil.test", false),
        ("127.0.0.1.evil.test:80", false),
        ("", false),
    ] {
        let (status, ..) = node.ask(Method::GET, "/metrics", &[("host", host)]).await;
        assert_eq!(status == StatusCode::OK, allowed, "{host}");
    }
}

#[tokio::test]
async fn a_taken_port_is_replaced_with_a_warning_and_both_listeners_serve() {
    let (first, none) = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let taken = first.local_addr().unwrap();

    let (second, warning) = bind(taken).await.unwrap();

    assert_eq!(none, None);
    let warning = warning.unwrap();
    let address = second.local_addr().unwrap();
    assert_eq!(warning.code, WarningCode::MetricsPort);
    assert!(warning.message.contains(&address.to_string()));
    assert_ne!(address, taken);
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(second, Node::start().health(), async {
        let _ = stopped.await;
    }));

    let reply =
        fetch(address, "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    let reply = reply.await;

    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.ends_with("ok\n"));
    stop.send(()).unwrap();
    timeout(Duration::from_secs(3), server).await.expect("the server goes on").unwrap();
}

#[tokio::test]
async fn an_address_of_another_machine_is_an_error() {
    let error = bind("192.0.2.1:9464".parse().unwrap()).await.unwrap_err();

    assert_eq!(error.code(), "listen");
}

async fn fetch(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

/// A ready node with one warning and one address.
struct Node {
    status: watch::Sender<NodeStatus>,
    heartbeat: Heartbeat,
    metrics: Metrics,
}

impl Node {
    fn start() -> Self {
        Self::with_heart(Heartbeat::new(Instant::now()))
    }

    /// Its loop has not turned for 11 s.
    fn blocked() -> Self {
        let long_ago = Instant::now().checked_sub(Duration::from_secs(11)).unwrap();
        Self::with_heart(Heartbeat::new(long_ago))
    }

    fn with_heart(heartbeat: Heartbeat) -> Self {
        let mut status = NodeStatus::starting(PathBuf::new(), Instant::now());
        status.ready = true;
        status.addresses = vec!["/ip4/10.1.2.3/tcp/1".to_owned()];
        status.warnings = vec![Warning {
            code: WarningCode::DiskLow,
            message: "low".to_owned(),
            hint: "make room".to_owned(),
        }];
        let metrics = Metrics::new(UnixMillis(0));
        Self { status: watch::Sender::new(status), heartbeat, metrics }
    }

    fn health(&self) -> Health {
        Health {
            status: self.status.subscribe(),
            heartbeat: self.heartbeat.clone(),
            metrics: self.metrics.clone(),
        }
    }

    async fn get(&self, path: &str) -> (StatusCode, String, HeaderMap) {
        self.ask(Method::GET, path, &[]).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, String, HeaderMap) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (parts, body) = router(self.health()).oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status, String::from_utf8(bytes.to_vec()).unwrap(), parts.headers)
    }
}
