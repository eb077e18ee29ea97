//! Real profiles, daemons and commands in throw-away directories.
//!
//! Everything goes through the program as a user types it; nothing reaches into a node.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take before a test gives up: long, because the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const TCP: &str = "/ip4/127.0.0.1/tcp/0";
pub(crate) const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A directory with profiles, gone with this value.
pub(crate) struct Stage {
    dir: TempDir,
}

/// One profile.
pub(crate) struct Profile {
    home: PathBuf,
    extra: Vec<String>,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A running daemon; killed with this value.
pub(crate) struct Daemon {
    child: Child,
    pub(crate) addresses: Vec<String>,
    log: Receiver<String>,
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A fresh profile whose key store needs no passphrase: Argon2 would only slow the tests down.
    pub(crate) fn profile(&self, name: &str) -> Profile {
        let profile = Profile { home: self.path(name), extra: Vec::new() };
        let made = profile.run(&["init", "--name", name, "--no-passphrase"]);
        assert_eq!(made.code, 0, "{made:?}");
        profile
    }

    /// Alice and Bob with running daemons; each knows the other.
    pub(crate) fn acquainted(&self, listen: &str) -> [(Profile, Daemon); 2] {
        let alice = self.profile("alice");
        let bob = self.profile("bob");
        let (at_alice, at_bob) = (alice.daemon(listen), bob.daemon(listen));
        bob.add(&alice);
        eventually("the inviter knows the invited", || {
            alice.run(&["contact", "show", "bob"]).code == 0
        });
        [(alice, at_alice), (bob, at_bob)]
    }
}

impl Profile {
    /// A profile that is to be made by the test itself.
    pub(crate) fn at(home: PathBuf) -> Self {
        Self { home, extra: Vec::new() }
    }

    /// With these flags before every command.
    #[must_use]
    pub(crate) fn with(mut self, flags: &[&str]) -> Self {
        self.extra.extend(flags.iter().map(ToString::to_string));
        self
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bitchat-under-test"));
        command.arg("--home").arg(&self.home).args(&self.extra).args(args);
        command
            .env_remove("BITCHAT_HOME")
            .env_remove("BITCHAT_PASSPHRASE_FILE")
            .env_remove("BITCHAT_KEY_FILE")
            .env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        let output = self.command(args).output().expect("the program runs");
        Finished {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts a command and kills it (kill -9) after `moment`, if it still runs.
    pub(crate) fn kill_after(&self, args: &[&str], moment: Duration) {
        let mut command = self.command(args);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program runs");
        std::thread::sleep(moment);
        drop(child.kill());
        drop(child.wait());
    }

    pub(crate) fn run_with(&self, args: &[&str], stdin: &str) -> Finished {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the program runs");
        // A program that refuses early closes its stdin; what it says is what counts.
        drop(child.stdin.take().expect("piped").write_all(stdin.as_bytes()));
        let output = child.wait_with_output().expect("it ends");
        Finished {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// With bytes on stdin, and stdout as bytes.
    pub(crate) fn run_bytes(&self, args: &[&str], stdin: &[u8]) -> (Finished, Vec<u8>) {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the program runs");
        drop(child.stdin.take().expect("piped").write_all(stdin));
        let output = child.wait_with_output().expect("it ends");
        let finished = Finished {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        (finished, output.stdout)
    }

    /// Runs a command that must succeed and returns its JSON objects, one a line.
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        let finished = self.run(&[args, &["--json"]].concat());
        assert_eq!(finished.code, 0, "{args:?}: {finished:?}");
        finished
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect()
    }

    /// Starts a daemon and waits for its ready line.
    pub(crate) fn daemon(&self, listen: &str) -> Daemon {
        self.daemon_with(listen, "127.0.0.1:0")
    }

    /// As [`Profile::daemon`], with metrics elsewhere.
    pub(crate) fn daemon_with(&self, listen: &str, metrics: &str) -> Daemon {
        self.try_daemon(listen, metrics)
            .unwrap_or_else(|said| panic!("the daemon did not get ready: {said:?}"))
    }

    /// As [`Profile::daemon`] while commands of this profile run in processes of their own: each
    /// holds the lock for a moment.
    pub(crate) fn daemon_soon(&self, listen: &str) -> Daemon {
        let mut started = None;
        eventually("the lock is free", || {
            started = self
                .try_daemon(listen, "127.0.0.1:0")
                .map_err(|said| assert!(said.contains("holds"), "{said}"))
                .ok();
            started.is_some()
        });
        started.expect("started")
    }

    /// A daemon with these variables in its environment.
    pub(crate) fn daemon_under(&self, variables: &[(&str, &Path)]) -> Daemon {
        let args = ["daemon", "--listen", TCP, "--metrics", "127.0.0.1:0", "--no-mdns"];
        let mut command = self.command(&args);
        command.envs(variables.iter().copied());
        ready(command).unwrap_or_else(|said| panic!("the daemon did not get ready: {said:?}"))
    }

    fn try_daemon(&self, listen: &str, metrics: &str) -> Result<Daemon, String> {
        ready(self.command(&["daemon", "--listen", listen, "--metrics", metrics, "--no-mdns"]))
    }

    pub(crate) fn invite(&self) -> String {
        let invited = self.run(&["contact", "invite"]);
        assert_eq!(invited.code, 0, "{invited:?}");
        invited.stdout.trim().to_owned()
    }

    /// Adds the account of `other` by an invitation.
    pub(crate) fn add(&self, other: &Self) {
        let added = self.run(&["contact", "add", &other.invite()]);
        assert_eq!(added.code, 0, "{added:?}");
    }

    /// The texts that `receive` prints now, and acknowledges.
    pub(crate) fn receive(&self) -> Vec<String> {
        let text = |message: &Value| message["text"].as_str().expect("a text").to_owned();
        self.json(&["receive"]).iter().map(text).collect()
    }
}

/// Starts a daemon and waits for its ready line; else what it said.
fn ready(mut command: Command) -> Result<Daemon, String> {
    let mut child = command.stdout(Stdio::null()).spawn().expect("the daemon runs");
    let stderr = child.stderr.take().expect("piped");
    let (lines, log) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            drop(lines.send(line));
        }
    });
    let mut daemon = Daemon { child, addresses: Vec::new(), log };
    let mut said = Vec::new();
    while let Ok(line) = daemon.log.recv_timeout(PATIENCE) {
        if let Some(rest) = line.strip_prefix("ready addresses=") {
            let addresses = rest.split(' ').next().unwrap_or_default();
            daemon.addresses = addresses.split(',').map(ToOwned::to_owned).collect();
            return Ok(daemon);
        }
        if let Some(addresses) = ready_in_json(&line) {
            daemon.addresses = addresses;
            return Ok(daemon);
        }
        said.push(line);
    }
    Err(said.join("\n"))
}

/// The addresses of a ready line in the JSON log.
fn ready_in_json(line: &str) -> Option<Vec<String>> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = &line["fields"];
    let addresses = (fields["message"] == "ready").then(|| fields["addresses"].as_array())??;
    Some(addresses.iter().filter_map(|text| text.as_str().map(ToOwned::to_owned)).collect())
}

impl Daemon {
    /// kill -9.
    pub(crate) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGTERM, and the exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().expect("kill");
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }

    /// Everything logged so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `holds`, with a deadline instead of a sleep that would have to be guessed.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Every file below a directory, with its bytes.
pub(crate) fn files_below(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory").map_while(Result::ok) {
        let path = entry.path();
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            found.extend(files_below(&path));
        } else if kind.is_file() {
            let mut bytes = Vec::new();
            std::fs::File::open(&path)
                .and_then(|mut file| file.read_to_end(&mut bytes))
                .expect("readable");
            found.push((path, bytes));
        }
    }
    found
}

/// A file that only its owner may read, as a passphrase file should be.
pub(crate) fn private_file(path: &Path, text: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(path).expect("a new file");
    file.write_all(text.as_bytes()).expect("room");
}
