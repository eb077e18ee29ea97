//! Deposits into a real daemon that keeps mailboxes: custody a second, each after its flush.
//!
//! Target (`docs/PERFORMANCE.md`): 5,000 a second. The fsync of the same disk and the daemon's own flushes
//! are measured in the same run, because they decide it. A part asks under one new link identity for each
//! deposit, which is what dialling costs.
//!
//! `cargo bench -p bitchat-tests --bench mailbox`

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a bench fails loudly"
)]
#![allow(clippy::print_stdout, reason = "its report")]

#[allow(dead_code, reason = "shared with the tests")]
#[path = "../mailbox/asker.rs"]
mod asker;
#[path = "support/daemon.rs"]
mod daemon;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::thread;
use std::time::Instant;

use bitchat_protocol::mailbox::Order;

use asker::{Asker, WITHIN};
use daemon::{Daemon, fsync_times, report, run};

const DEPOSITS: u32 = 10_000;
const ASKERS: u32 = 10;
/// Under way for one asker: all together fewer than the daemon lets wait before it says busy.
const WINDOW: u32 = 24;
const DIALS: u32 = 100;

struct Node {
    address: String,
    metrics: String,
    _daemon: Daemon,
}

impl Node {
    fn start(home: &Path, listen: &str) -> Self {
        run(home, &["init", "--name", "node", "--no-passphrase"]);
        let text = "[mailbox]\nenabled = true\naccess = [\"word\"]\nqueue_envelopes = 1000000\n\
                    queue_mib = 4096\n";
        std::fs::write(home.join("config.toml"), text).expect("written");
        let daemon = Daemon::start(home, listen, "127.0.0.1:0");
        let id: serde_json::Value =
            serde_json::from_str(&run(home, &["id", "--json"])).expect("JSON");
        let device = id["device"].as_str().expect("a peer id");
        let address = format!("{}/p2p/{device}", daemon.field("addresses="));
        Self { address, metrics: daemon.field("metrics="), _daemon: daemon }
    }

    /// The value of a sample.
    fn sample(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(&self.metrics).expect("metrics");
        let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).expect("written");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("read");
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a sample");
        line.trim().parse().expect("a number")
    }
}

/// Deposits with a window of questions under way; returns how many got custody.
fn deposit(asker: &mut Asker, count: u32) -> u32 {
    let (mut sent, mut ended, mut custody) = (0, 0, 0);
    while ended < count {
        while sent < count && (sent - ended) < WINDOW {
            let deposit = asker.deposit(sent);
            asker.send(deposit, WITHIN);
            sent += 1;
        }
        let (_, answer) = asker.told();
        ended += 1;
        match answer {
            Ok(bitchat_protocol::mailbox::Answer::Custody(_)) => custody += 1,
            other => panic!("{other:?} after {custody}"),
        }
    }
    custody
}

fn flood(node: &Node) {
    let mut askers: Vec<_> = (0..ASKERS).map(|_| Asker::new(&node.address)).collect();
    for asker in &mut askers {
        asker.rent("word");
    }
    let flushes = || {
        ["bitchat_mailbox_flush_seconds_sum ", "bitchat_mailbox_flush_seconds_count "]
            .map(|name| node.sample(name))
    };
    let before = flushes();
    let start = Instant::now();
    let given: u32 = thread::scope(|scope| {
        let each = DEPOSITS / ASKERS;
        let running: Vec<_> =
            askers.iter_mut().map(|asker| scope.spawn(move || deposit(asker, each))).collect();
        running.into_iter().map(|thread| thread.join().expect("deposits")).sum()
    });
    let took = start.elapsed();
    let after = flushes();
    let (spent, count) = (after[0] - before[0], after[1] - before[1]);
    println!(
        "  {given} deposits of 904 bytes from {ASKERS} link identities: {:.0}/s with custody",
        f64::from(given) / took.as_secs_f64()
    );
    println!(
        "  flushes of the daemon: {count:.0}, {:.2} ms each, {:.0} % of the time",
        1_000.0 * spent / count,
        100.0 * spent / took.as_secs_f64()
    );
    let fetching = Instant::now();
    let mut found = 0;
    for asker in &mut askers {
        let envelopes = asker.fetch(0);
        found += envelopes.len();
        let cursors: Vec<_> = envelopes.iter().map(|(cursor, _)| *cursor).collect();
        for some in cursors.chunks(2_048) {
            asker.order(&Order::Taken(some.to_vec()));
        }
    }
    println!(
        "  {found} fetched and taken: {:.0}/s",
        found as f64 / fetching.elapsed().as_secs_f64()
    );
}

/// One deposit under each new link identity.
fn dial(node: &Node) {
    let mut owner = Asker::new(&node.address);
    owner.rent("word");
    let start = Instant::now();
    for number in 0..DIALS {
        let mut asker = Asker::new(&node.address);
        let answer = asker.try_ask(owner.deposit(number));
        assert!(answer.is_ok(), "{answer:?}");
    }
    println!(
        "  a deposit under a new link identity, one at a time: {:.1?} each",
        start.elapsed() / DIALS
    );
}

fn main() {
    let dir =
        tempfile::tempdir_in(std::env::current_dir().expect("a directory")).expect("a directory");
    for (name, listen) in
        [("TCP", "/ip4/127.0.0.1/tcp/0"), ("QUIC", "/ip4/127.0.0.1/udp/0/quic-v1")]
    {
        println!("{name}");
        let home = dir.path().join(name);
        report("  fdatasync of 4 KiB on this disk", fsync_times(dir.path()));
        let node = Node::start(&home, listen);
        flood(&node);
        dial(&node);
    }
}
