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

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use bitchat_protocol::mailbox::Order;

use asker::{Asker, WITHIN};

const DEPOSITS: u32 = 10_000;
const ASKERS: u32 = 10;
/// Under way for one asker: all together fewer than the daemon lets wait before it says busy.
const WINDOW: u32 = 24;
const DIALS: u32 = 100;

struct Node {
    child: Child,
    address: String,
    metrics: String,
}

impl Node {
    fn run(home: &Path, args: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_bitchat-under-test"))
            .arg("--home")
            .arg(home)
            .args(args)
            .output()
            .expect("the program");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
    }

    fn start(home: &Path, listen: &str) -> Self {
        Self::run(home, &["init", "--name", "node", "--no-passphrase"]);
        let text = "[mailbox]\nenabled = true\naccess = [\"word\"]\nqueue_envelopes = 1000000\n\
                    queue_mib = 4096\n";
        std::fs::write(home.join("config.toml"), text).expect("written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_bitchat-under-test"))
            .args(["--home", home.to_str().unwrap(), "daemon", "--listen", listen])
            .args(["--metrics", "127.0.0.1:0", "--no-mdns"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("ready"));
        let ready = ready.expect("ready");
        let field = |name: &str| {
            let found = ready.split(' ').find_map(|word| word.strip_prefix(name));
            found.expect("a field").split(',').next().expect("one").to_owned()
        };
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        let address = field("addresses=");
        let metrics = field("metrics=");
        let id = Self::run(home, &["id", "--json"]);
        let id: serde_json::Value = serde_json::from_str(&id).expect("JSON");
        let address = format!("{address}/p2p/{}", id["device"].as_str().expect("a peer id"));
        Self { child, address, metrics }
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

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// 4 KiB appended and fdatasynced, as a small commit does.
fn fsync(dir: &Path) -> [Duration; 2] {
    let mut file = std::fs::File::create(dir.join("fsync")).expect("a file");
    let mut times: Vec<_> = (0..300)
        .map(|_| {
            file.write_all(&[7; 4096]).expect("written");
            let start = Instant::now();
            file.sync_data().expect("synced");
            start.elapsed()
        })
        .collect();
    times.sort();
    [times[150], times[297]]
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
        let [p50, p99] = fsync(dir.path());
        println!("  fdatasync of 4 KiB on this disk: p50 {p50:.2?}, p99 {p99:.2?}");
        let node = Node::start(&home, listen);
        flood(&node);
        dial(&node);
    }
}
