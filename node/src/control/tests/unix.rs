//! The real socket: modes, stale files, a round trip, an end.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::fake::Fake;
use crate::control::socket::{Stale, bind, serve};

#[tokio::test]
async fn a_request_crosses_the_socket_and_the_server_ends_when_told() {
    let (_dir, path) = place();
    let node = Fake::start();
    let listener = bind(&path, Stale::Refuse).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, node.router(), async {
        let _ = stopped.await;
    }));

    let reply =
        exchange(&path, "GET /v1/identity HTTP/1.1\r\nHost: bitchat\r\nConnection: close\r\n\r\n");
    let reply = reply.await;
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n"), "{reply}");
    assert!(reply.contains("x-request-id: "));
    assert!(reply.contains(r#""nickname":"me""#));

    stop.send(()).unwrap();
    timeout(Duration::from_secs(3), server).await.expect("the server goes on").unwrap();
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_the_server_up() {
    let (_dir, path) = place();
    let listener = bind(&path, Stale::Refuse).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, Fake::start().router(), async {
        let _ = stopped.await;
    }));
    let _idle = UnixStream::connect(&path).await.unwrap();

    stop.send(()).unwrap();

    timeout(Duration::from_secs(3), server).await.expect("the server goes on").unwrap();
}

#[tokio::test]
async fn the_socket_is_for_its_owner_only() {
    let (_dir, path) = place();

    let _listener = bind(&path, Stale::Refuse).unwrap();

    assert_eq!(path.metadata().unwrap().mode() & 0o7777, 0o600);
    assert!(!path.with_extension("new").exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_only_by_whoever_holds_the_lock() {
    let (_dir, path) = place();
    drop(StdListener::bind(&path).unwrap());

    assert_eq!(bind(&path, Stale::Refuse).unwrap_err().code(), "listen");
    let _listener = bind(&path, Stale::Replace).unwrap();

    assert!(UnixStream::connect(&path).await.is_ok());
}

#[tokio::test]
async fn a_path_that_no_socket_can_have_is_an_error_with_its_cause() {
    let (_dir, path) = place();
    let long = path.with_file_name("x".repeat(120));

    let error = bind(&long, Stale::Refuse).unwrap_err();

    assert_eq!(error.code(), "listen");
}

#[tokio::test]
async fn a_node_whose_places_are_taken_can_say_that_it_lives() {
    let (_dir, path) = place();
    let listener = bind(&path, Stale::Refuse).unwrap();
    let server = tokio::spawn(serve(listener, Fake::start().router(), std::future::pending()));
    let mut silent = Vec::new();
    for _ in 0..256 {
        silent.push(UnixStream::connect(&path).await.unwrap());
    }

    let request = "GET /v1/identity HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let asked = timeout(Duration::from_secs(10), exchange(&path, request)).await;

    assert!(asked.unwrap().starts_with("HTTP/1.1 200"));
    server.abort();
}

/// Needs root to become somebody else, and Python to be somebody small.
#[tokio::test]
async fn another_user_is_closed_out_even_where_the_modes_let_it_in() {
    if !rustix::process::geteuid().is_root() || !has_python() {
        println!("skipped: needs root and python3");
        return;
    }
    let (dir, path) = place();
    let listener = bind(&path, Stale::Refuse).unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
    let server = tokio::spawn(serve(listener, Fake::start().router(), std::future::pending()));

    let address = path.clone();
    let reply = tokio::task::spawn_blocking(move || as_nobody(&address)).await.unwrap();

    assert_eq!(reply, "");
    server.abort();
}

/// Asks as uid 65534, in a process of its own; what came back.
fn as_nobody(path: &std::path::Path) -> String {
    use std::os::unix::process::CommandExt;
    let script = "import socket,sys\n\
        s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(5)\n\
        try:\n s.sendall(b'GET /v1/identity HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n'); print(s.recv(99).decode())\n\
        except OSError: pass\n";
    let output = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn has_python() -> bool {
    std::process::Command::new("python3").arg("--version").output().is_ok()
}

async fn exchange(path: &std::path::Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.unwrap();
    reply
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bitchat.sock");
    (dir, path)
}
