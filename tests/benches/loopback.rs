//! Two real daemons on loopback, encryption and durability on: messages a second and latency.
//!
//! Targets (`docs/PERFORMANCE.md`): sequential send to end-to-end receipt within three fsyncs and
//! 1 ms; 10,000 messages a second one way. The fsync of the same disk is measured in the same run,
//! because it decides both.
//!
//! `cargo bench -p bitchat-tests --bench loopback`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails loudly"
)]
#![allow(clippy::print_stdout, reason = "its report")]

#[allow(dead_code, reason = "shared with the other bench")]
#[path = "support/daemon.rs"]
mod daemon;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use daemon::{Daemon, fsync_times, report, run};

const SEQUENTIAL: usize = 500;
const FLOOD: usize = 20_000;
const FLOOD_COUNT: u32 = 20_000;
const CLIENTS: usize = 32;
const BACKLOG: usize = 10_000;

/// One connection to a daemon's control socket.
struct Control(BufReader<UnixStream>);

impl Control {
    fn open(home: &Path) -> Self {
        Self(BufReader::new(UnixStream::connect(home.join("bitchat.sock")).expect("a daemon")))
    }

    fn call(&mut self, method: &str, path: &str, body: &str) -> Value {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.get_mut().write_all(request.as_bytes()).expect("written");
        let mut length = 0;
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a reply");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a number");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("a body");
        serde_json::from_slice(&body).expect("JSON")
    }

    fn send(&mut self, to: &str, text: &str, wait: Option<&str>) -> Value {
        let body = json!({"to": to, "text": text, "wait": wait, "timeout_ms": 30_000}).to_string();
        let reply = self.call("POST", "/v1/messages", &body);
        assert!(reply.get("error").is_none(), "{reply}");
        reply
    }

    /// Messages in the inbox, counted through one reader.
    fn count(&mut self, so_far: &mut u64) -> u64 {
        loop {
            let path = format!("/v1/inbox?since={so_far}&max=1000");
            let page = self.call("GET", &path, "");
            match page["messages"].as_array().expect("messages").last() {
                Some(last) => *so_far = last["cursor"].as_u64().expect("a cursor"),
                None => return *so_far,
            }
        }
    }
}

struct Node {
    home: PathBuf,
    daemon: Daemon,
}

impl Node {
    fn start(home: &Path, listen: &str) -> Self {
        Self { home: home.to_owned(), daemon: Daemon::start(home, listen, "off") }
    }

    /// User and system time used so far; 100 ticks a second on Linux.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.daemon.child.id()))
            .expect("running");
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |field: usize| fields[field].parse::<u64>().expect("a number");
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }
}

fn pair(dir: &Path, listen: &str) -> [Node; 2] {
    let homes = ["alice", "bob"].map(|name| {
        let home = dir.join(name);
        run(&home, &["init", "--name", name, "--no-passphrase"]);
        home
    });
    let nodes = homes.each_ref().map(|home| Node::start(home, listen));
    let link = run(&homes[0], &["contact", "invite"]);
    run(&homes[1], &["contact", "add", &link]);
    nodes
}

fn sequential(bob: &Node) {
    let mut control = Control::open(&bob.home);
    control.send("alice", "first", Some("delivered"));
    let times = (0..SEQUENTIAL).map(|number| {
        let start = Instant::now();
        let reply = control.send("alice", &format!("sequential {number}"), Some("delivered"));
        assert_eq!(reply["reached"], true, "{reply}");
        start.elapsed()
    });
    report("  send to end-to-end receipt, one at a time", times.collect());
}

fn flood(alice: &Node, bob: &Node) {
    let mut inbox = Control::open(&alice.home);
    let mut cursor = 0;
    let before = inbox.count(&mut cursor);
    let cpu_before = [alice.cpu(), bob.cpu()];
    let start = Instant::now();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut control = Control::open(&bob.home);
                for number in 0..FLOOD / CLIENTS {
                    control.send(
                        "alice",
                        &format!("flood {client} {number} {}", "x".repeat(80)),
                        None,
                    );
                }
            });
        }
    });
    let queued = start.elapsed();
    while inbox.count(&mut cursor) - before < (FLOOD / CLIENTS * CLIENTS) as u64 {
        thread::sleep(Duration::from_millis(5));
    }
    let delivered = start.elapsed();
    let cpu = [alice.cpu() - cpu_before[0], bob.cpu() - cpu_before[1]].map(|cpu| cpu / FLOOD_COUNT);
    println!(
        "  {FLOOD} messages of 100 bytes from {CLIENTS} clients: {:.0}/s durable at the sender, {:.0}/s durable at both ends",
        FLOOD as f64 / queued.as_secs_f64(),
        FLOOD as f64 / delivered.as_secs_f64(),
    );
    println!(
        "  CPU a message: {:.0?} at the receiver, {:.0?} at the sender with its HTTP",
        cpu[0], cpu[1]
    );
}

fn drain(alice: Node, bob: &Node, listen: &str) {
    let home = alice.home.clone();
    let mut cursor = 0;
    let before = Control::open(&home).count(&mut cursor);
    drop(alice);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || {
                let mut control = Control::open(&bob.home);
                for number in 0..BACKLOG / CLIENTS {
                    control.send("alice", &format!("backlog {client} {number}"), None);
                }
            });
        }
    });
    let alice = Node::start(&home, listen);
    let ready = Instant::now();
    let mut inbox = Control::open(&alice.home);
    let total = (BACKLOG / CLIENTS * CLIENTS) as u64;
    while inbox.count(&mut cursor) - before < total {
        thread::sleep(Duration::from_millis(2));
    }
    println!(
        "  {total} queued messages: all there {:.2?} after the receiver was ready",
        ready.elapsed()
    );
}

fn main() {
    let dir =
        tempfile::tempdir_in(std::env::current_dir().expect("a directory")).expect("a directory");
    for (name, listen) in
        [("TCP", "/ip4/127.0.0.1/tcp/0"), ("QUIC", "/ip4/127.0.0.1/udp/0/quic-v1")]
    {
        println!("{name}");
        let stage = dir.path().join(name);
        std::fs::create_dir(&stage).expect("a directory");
        report("  fdatasync of 4 KiB on this disk", fsync_times(&stage));
        let [alice, bob] = pair(&stage, listen);
        sequential(&bob);
        flood(&alice, &bob);
        drain(alice, &bob, listen);
    }
}
