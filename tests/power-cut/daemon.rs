//! A whole daemon through power cuts: what it has acknowledged, to its user or to a peer, is there
//! whatever point the power goes at.
//!
//! ```text
//!   user  --send--> daemon under the logger --"queued"--> user      mark: length of the log now
//!   peer  --frame-> daemon under the logger --receipt---> peer      mark: length of the log now
//!   replay up to a point ──> everything marked before it is in `history`, once
//! ```
//!
//! A mark is taken when the acknowledgement has arrived outside, so nothing that it rests on can lie
//! behind it.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::disk::{Chance, Disk, Model};
use super::log::{self, Record};
use super::shim;
use crate::harness::{Daemon, Profile, Stage, TCP, eventually};

const MODELS: [Model; 4] = [Model::Drop, Model::Random, Model::Range, Model::Names];

/// An acknowledgement: the text, and the length of the log when it had arrived.
struct Mark {
    text: String,
    length: u64,
}

struct Run {
    stage: Stage,
    /// The logged home.
    root: PathBuf,
    /// As it was when the log began.
    before: PathBuf,
    records: Vec<Record>,
    /// Where each record ends in the log.
    ends: Vec<u64>,
    marks: Vec<Mark>,
}

/// Asks a daemon over its socket, without a process in between: the answer is seen at once.
fn ask(profile: &Profile, body: &Value) -> Value {
    let mut stream = UnixStream::connect(profile.home().join("bitchat.sock")).expect("a socket");
    let body = body.to_string();
    let head = "POST /v1/messages HTTP/1.1\r\nhost: bitchat\r\nconnection: close\r\n\
                content-type: application/json\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("written");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    let (_, body) = reply.split_once("\r\n\r\n").expect("a body");
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{reply}"))
}

fn send(from: &Profile, to: &str, text: &str, wait: &str) {
    let reply = ask(from, &json!({"to": to, "text": text, "wait": wait, "timeout_ms": 30_000}));
    assert_eq!(reply["reached"], true, "{reply}");
}

/// Alice's daemon runs under the logger while messages go both ways; then both are killed.
fn run(messages: usize) -> Option<Run> {
    let stage = Stage::new();
    let shim = shim(&stage.path("powerlog.so"))?;
    let (alice, bob) = (stage.profile("alice"), stage.profile("bob"));
    let root = alice.home().canonicalize().expect("exists");
    let (before, file) = (stage.path("before"), stage.path("log"));
    copy(&root, &before);
    let mut logged = alice.logged(&shim, &root, &file);
    let mut at_bob = bob.daemon(TCP);
    bob.add(&alice);
    eventually("alice knows bob", || alice.run(&["contact", "show", "bob"]).code == 0);
    let mut marks = Vec::new();
    let length = || file.metadata().expect("a log").len();
    for number in 0..messages {
        let (out, inward) = (format!("out {number}"), format!("in {number}"));
        send(&alice, "bob", &out, "queued");
        marks.push(Mark { text: out, length: length() });
        send(&bob, "alice", &inward, "delivered");
        marks.push(Mark { text: inward, length: length() });
    }
    logged.kill();
    at_bob.kill();
    let bytes = fs::read(&file).expect("a log");
    let (records, ends) = log::parse_with_ends(&bytes);
    Some(Run { stage, root, before, records, ends, marks })
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-r").args([from, to]).status();
    assert!(copied.expect("cp runs").success());
}

impl Run {
    /// Cuts right behind acknowledgements and anywhere, in turn through the models.
    fn survives(&self, points: usize) {
        let mut chance = Chance::seeded(2026);
        let mut by_model = vec![Vec::new(); MODELS.len()];
        for number in 0..points {
            let point = if number % 2 == 0 {
                let mark = &self.marks[chance.below(self.marks.len())];
                self.ends.partition_point(|end| *end <= mark.length)
            } else {
                chance.below(self.records.len())
            };
            by_model[number / 2 % MODELS.len()].push(point);
        }
        let mut checked = 0;
        for (model, mut points) in MODELS.into_iter().zip(by_model) {
            points.sort_unstable();
            let mut disk = Disk::new(self.root.to_str().expect("UTF-8"), model);
            disk.seed(&self.before);
            let mut done = 0;
            for point in points {
                self.records[done..point].iter().for_each(|record| disk.apply(record));
                done = point;
                checked += self.check(&disk, point, &mut chance, &format!("{model:?}, {point}"));
            }
        }
        println!("{points} cuts, {checked} acknowledgements held");
    }

    /// How many acknowledged messages had to be there, and were.
    fn check(&self, disk: &Disk, point: usize, chance: &mut Chance, what: &str) -> usize {
        let image = self.stage.path("image");
        disk.cut(chance, &image).expect("the image is written");
        close(&image);
        let length = point.checked_sub(1).map_or(0, |last| self.ends[last]);
        let due = self.marks.iter().filter(|mark| mark.length <= length);

        let history =
            Profile::at(image.clone()).run(&["history", "bob", "--max", "1000", "--json"]);

        let acknowledged: Vec<&str> = due.map(|mark| mark.text.as_str()).collect();
        let found = texts(&history.stdout);
        // Before bob was known there is no such contact, which is no loss.
        let unknown = history.code == 8 && acknowledged.is_empty();
        assert!(history.code == 0 || unknown, "at {what}: {history:?}");
        for text in &acknowledged {
            let count = found.iter().filter(|found| found == text).count();
            assert_eq!(count, 1, "{text:?} was acknowledged and is there {count} times: {what}");
        }
        fs::remove_dir_all(image).expect("removes");
        acknowledged.len()
    }
}

fn texts(lines: &str) -> Vec<String> {
    let object = |line| serde_json::from_str::<Value>(line).expect("a JSON line");
    let text = |message: Value| message["text"].as_str().expect("a text").to_owned();
    lines.lines().map(object).map(text).collect()
}

/// The replay knows no modes; the node insists on them.
fn close(path: &Path) {
    let is_dir = path.is_dir();
    fs::set_permissions(path, Permissions::from_mode(if is_dir { 0o700 } else { 0o600 }))
        .expect("chmod");
    if is_dir {
        for entry in fs::read_dir(path).expect("lists") {
            close(&entry.expect("an entry").path());
        }
    }
}

impl Profile {
    /// A daemon whose writes below `root` are logged.
    fn logged(&self, shim: &Path, root: &Path, file: &Path) -> Daemon {
        let variables = [("LD_PRELOAD", shim), ("POWERLOG_DIR", root), ("POWERLOG_FILE", file)];
        self.daemon_under(&variables)
    }
}

#[test]
fn what_a_daemon_acknowledged_survives_a_power_cut_at_any_point() {
    let Some(run) = run(40) else { return };
    run.survives(40);
}

/// The long form: `cargo test -p bitchat-tests -- --ignored at_1000_points`.
#[test]
#[ignore = "takes minutes"]
fn what_a_daemon_acknowledged_survives_a_power_cut_at_1000_points() {
    let Some(run) = run(150) else { return };
    run.survives(1_000);
}
