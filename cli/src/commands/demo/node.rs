//! One node of the demo: a daemon of this very program in a process of its own.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::Duration;

use bitchat_node::error::Category;
use bitchat_node::home::Home;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::scratch::Scratch;
use crate::client::{Client, Socket};
use crate::error::UserError;

/// How long a node may take to create its keys and to serve, on a busy machine.
const START_MAX: Duration = Duration::from_secs(15);

/// How long a node may take to stop before it is killed.
const STOP_MAX: Duration = Duration::from_secs(3);

/// A running node.
pub(super) struct DemoNode {
    /// Its name.
    pub(super) name: &'static str,
    /// The way to it.
    pub(super) client: Client,
    daemon: Daemon,
}

/// A daemon; dropping it stops it.
struct Daemon(Child);

impl DemoNode {
    /// Creates a profile and starts its daemon.
    pub(super) async fn start(scratch: &Scratch, name: &'static str) -> Result<Self, UserError> {
        let home = Home::at(scratch.path().join(name));
        let program = std::env::current_exe()
            .map_err(|error| UserError::io("cannot find this program", &error))?;
        init(&program, &home, name)?;
        let (daemon, lines) = spawn(&program, &home)?;
        wait_until_ready(name, lines).await?;
        let socket = Socket::find(&home.socket()).await?;
        let client = Client::Daemon(socket.ok_or_else(|| failed(name, "it does not serve"))?);
        Ok(Self { name, client, daemon })
    }

    /// Where it listens.
    pub(super) async fn address(&self) -> Result<String, UserError> {
        let status = self.client.status().await?;
        Ok(status.addresses.first().cloned().unwrap_or_default())
    }

    /// Its process id.
    pub(super) fn process(&self) -> u32 {
        self.daemon.0.id()
    }
}

/// A command of this program on a throw-away profile; nothing of the user's environment reaches it.
fn command(program: &PathBuf, home: &Home) -> Command {
    let mut command = Command::new(program);
    for variable in ["BITCHAT_HOME", "BITCHAT_PASSPHRASE_FILE", "BITCHAT_KEY_FILE"] {
        command.env_remove(variable);
    }
    command.arg("--home").arg(home.root()).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

fn init(program: &PathBuf, home: &Home, name: &str) -> Result<(), UserError> {
    let output = command(program, home)
        .args(["init", "--no-passphrase", "--quiet", "--name", name])
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| UserError::io("cannot start this program", &error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(name, String::from_utf8_lossy(&output.stderr).trim()))
}

fn spawn(program: &PathBuf, home: &Home) -> Result<(Daemon, mpsc::Receiver<String>), UserError> {
    let mut child = command(program, home)
        .args(["daemon", "--listen", "/ip4/127.0.0.1/tcp/0", "--metrics", "off", "--no-mdns"])
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| UserError::io("cannot start this program", &error))?;
    let stderr = child.stderr.take();
    let daemon = Daemon(child);
    let (sender, lines) = mpsc::channel(64);
    if let Some(stderr) = stderr {
        thread::spawn(move || forward(stderr, &sender));
    }
    Ok((daemon, lines))
}

/// Reads until the daemon ends, whether somebody listens or not: a full pipe would stop it.
fn forward(stderr: ChildStderr, lines: &mpsc::Sender<String>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let _ = lines.try_send(line);
    }
}

async fn wait_until_ready(name: &str, mut lines: mpsc::Receiver<String>) -> Result<(), UserError> {
    let mut said = Vec::new();
    let ready = async {
        while let Some(line) = lines.recv().await {
            if line.starts_with("ready") {
                return true;
            }
            said.push(line);
        }
        false
    };
    let ready = timeout(START_MAX, ready).await.unwrap_or(false);
    if ready { Ok(()) } else { Err(failed(name, &said.join("; "))) }
}

fn failed(name: &str, said: &str) -> UserError {
    let said = if said.is_empty() { "it was not ready in time" } else { said };
    let hint = "see whether `bitchat init --home /tmp/x --no-passphrase` and then \
        `bitchat daemon --home /tmp/x` work";
    let message = format!("the node of {name} did not start: {said}");
    UserError::new(Category::Network, "demo_node", message, hint)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let asked = i32::try_from(self.0.id())
            .ok()
            .and_then(Pid::from_raw)
            .is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let mut waited = Duration::ZERO;
        while asked && waited < STOP_MAX {
            match self.0.try_wait() {
                Ok(Some(_)) => return,
                Ok(None) => thread::sleep(LOOK_EVERY),
                Err(_) => break,
            }
            waited += LOOK_EVERY;
        }
        // It did not listen, or is gone already: both calls are harmless then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often a stopping daemon is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
