//! A stand-in for a daemon: the control API with canned answers, over a real Unix socket.
//!
//! Written against docs/API.md by hand, without the product's HTTP code, so that a common mistake
//! of both sides shows.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// What one request was.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `POST /v1/messages`, without the query.
    pub(crate) route: String,
    /// The query, as it came.
    pub(crate) query: String,
    /// The body; null if there was none.
    pub(crate) body: Value,
}

/// A daemon that answers whatever a test wants.
pub(crate) struct FakeDaemon {
    home: TempDir,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: BTreeMap<String, Vec<(u16, Value)>>,
    asked: Vec<Asked>,
    inbox: Vec<Value>,
    acknowledged: u64,
}

impl FakeDaemon {
    /// Serves at once.
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    /// Serves a profile that is there.
    pub(crate) fn start_in(home: TempDir) -> Self {
        let listener = UnixListener::bind(home.path().join("bitchat.sock")).unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &state));
            }
        });
        Self { home, state }
    }

    /// Answers `route` with `body`; several answers are given in turn, the last one for ever.
    pub(crate) fn answer(&self, route: &str, status: u16, body: Value) -> &Self {
        let mut state = self.state.lock().unwrap();
        state.answers.entry(route.to_owned()).or_default().push((status, body));
        drop(state);
        self
    }

    /// Puts a message into the inbox, which answers by itself.
    pub(crate) fn receive(&self, message: Value) -> &Self {
        self.state.lock().unwrap().inbox.push(message);
        self
    }

    /// The cursor that was acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.state.lock().unwrap().acknowledged
    }

    /// Every request to `route` so far.
    pub(crate) fn asked(&self, route: &str) -> Vec<Asked> {
        let asked = self.state.lock().unwrap().asked.clone();
        asked.into_iter().filter(|asked| asked.route == route).collect()
    }

    /// A command on this daemon's profile.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = bitchat(line);
        command.env("BITCHAT_HOME", self.home.path());
        command
    }

    /// Runs a command on this daemon's profile.
    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::from(self.command(line).output().unwrap())
    }

    /// Runs a command with something on its stdin.
    pub(crate) fn run_with(&self, line: &str, input: &str) -> Ran {
        let mut command = self.command(line);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    }
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program under test, with words separated by spaces and nobody at the terminal.
pub(crate) fn bitchat(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bitchat"));
    command.args(line.split(' ')).stdin(Stdio::null());
    command
        .env_remove("BITCHAT_HOME")
        .env_remove("BITCHAT_PASSPHRASE_FILE")
        .env_remove("BITCHAT_KEY_FILE");
    command
}

/// A message of the inbox.
pub(crate) fn message(cursor: u64, text: &str) -> Value {
    json!({
        "cursor": cursor, "id": format!("{cursor:032x}"), "from": "bob", "account": "bchat1bob",
        "fingerprint": "aaaa-bbbb", "verified": true, "text": text, "sent_ms": 1_000,
        "received_ms": 1_795_508_403_000_u64, "gap": 0, "late": false, "unreadable": false, "index": cursor,
        "lamport": cursor,
    })
}

/// A contact.
pub(crate) fn contact(name: &str) -> Value {
    json!({
        "name": name, "nickname": name, "account": format!("bchat1{name}"),
        "fingerprint": "aaaa-bbbb", "device": "12D3KooW", "verified": false,
        "safety_number": "11111 22222", "safety_code": "bitchat-safety:x", "policy": "tofu", "read_receipts": false,
        "key_change": null, "addresses": ["/ip4/127.0.0.1/tcp/1"], "connected": true,
    })
}

/// Where a message is.
pub(crate) fn delivery(id: &str, state: &str) -> Value {
    json!({ "id": id, "to": "bob", "state": state, "evidence": "e", "at_ms": 1, "reached": false })
}

/// An error of the node.
pub(crate) fn problem(code: &str, category: &str) -> Value {
    json!({ "schema": 1, "error": {
        "code": code, "category": category, "message": "the cause", "hint": "the way out",
        "retryable": false, "retry_after_ms": null, "correlation_id": "x",
    }})
}

/// Waits until `done`, which must come soon.
pub(crate) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Serves one request of one connection.
fn serve(mut stream: UnixStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let Some(asked) = read_request(&mut reader) else { return };
    let deadline = Instant::now() + wait_of(&asked);
    state.lock().unwrap().asked.push(asked.clone());
    let (status, body) = loop {
        let answer = state.lock().unwrap().answer_to(&asked);
        let empty = answer.1["messages"].as_array().is_some_and(Vec::is_empty);
        if !empty || Instant::now() >= deadline {
            break answer;
        }
        thread::sleep(Duration::from_millis(5));
    };
    let body = body.to_string();
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
}

fn read_request(reader: &mut impl BufRead) -> Option<Asked> {
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None; // Somebody only looked whether we are there.
    }
    let mut length = 0;
    let mut json = false;
    for line in reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let line = line.to_ascii_lowercase();
        json |= line == "content-type: application/json";
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    assert!(json || length == 0, "a body must be declared as JSON");
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Asked {
        route: format!("{method} {path}"),
        query: query.to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

fn wait_of(asked: &Asked) -> Duration {
    Duration::from_millis(number(&asked.query, "wait_ms").unwrap_or(0))
}

fn number(query: &str, name: &str) -> Option<u64> {
    query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

impl State {
    fn answer_to(&mut self, asked: &Asked) -> (u16, Value) {
        if let Some(answers) = self.answers.get_mut(&asked.route) {
            return if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() };
        }
        match asked.route.as_str() {
            "GET /v1/inbox" => {
                let since = number(&asked.query, "since").unwrap_or(self.acknowledged);
                let max = number(&asked.query, "max").unwrap_or(100);
                let after =
                    self.inbox.iter().filter(|message| message["cursor"].as_u64() > Some(since));
                let max = usize::try_from(max).unwrap();
                (200, json!({ "schema": 1, "messages": after.take(max).collect::<Vec<_>>() }))
            }
            "POST /v1/inbox/ack" => {
                self.acknowledged = asked.body["cursor"].as_u64().unwrap();
                (200, json!({ "schema": 1 }))
            }
            _ => (404, problem("no_route", "not_found")),
        }
    }
}
