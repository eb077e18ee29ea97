//! Finds the node of the profile, or becomes it.
//!
//! ```text
//!   socket answers ──────────────> talk to the daemon
//!   no socket, lock free ────────> run the node in this process, for this command
//!   no socket, lock held ────────> look again for a moment, then name the process and stop
//! ```
//!
//! A daemon holds the lock before it has a socket, and a little longer than that.

use std::time::Duration;

use bitchat_node::config::Config;
use bitchat_node::error::{Category, NodeError};
use bitchat_node::home::Home;
use bitchat_node::{Credentials, Mode, Node, NodeOptions};
use tokio::time::{Instant, sleep};

use crate::args::Globals;
use crate::client::{Client, Guest, Socket};
use crate::error::UserError;
use crate::output::Output;
use crate::passphrase::{self, Secret};
use crate::settings::{self, Overrides};

/// How long a process may hold the lock without a socket: to open its keys, or to stop.
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// How often socket and lock are looked at meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// Who runs the node.
pub(crate) enum Started {
    /// We do.
    Here(Box<Node>),
    /// A daemon that served before we had the lock.
    Elsewhere(Socket),
}

/// What every command knows.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    /// Global flags.
    pub(crate) globals: Globals,
    /// Where the profile is.
    pub(crate) home: Home,
}

impl Context {
    /// What opens the key store, with the key file that the flags name.
    pub(crate) fn credentials(&self, passphrase: Option<Secret>) -> Credentials {
        Credentials { passphrase, key_file: self.globals.key_file.clone() }
    }

    /// Refuses while a daemon runs: what a command is about to change is in its memory.
    pub(crate) async fn no_daemon(&self) -> Result<(), UserError> {
        if Socket::find(&self.home.socket()).await?.is_none() {
            return Ok(());
        }
        let message = "a daemon runs for this profile and has its keys open";
        let hint = "stop it (`bitchat status` shows its process), do this, then start it again";
        Err(UserError::new(Category::Store, "daemon_running", message, hint))
    }

    /// Opens the key store to change it; asks for the passphrase only if it needs one.
    pub(crate) fn open_keys<T>(
        &self,
        out: &mut Output,
        mut open: impl FnMut(Credentials, &mut Output) -> Result<T, NodeError>,
    ) -> Result<T, UserError> {
        let given = passphrase::given(&self.globals, out)?;
        match open(self.credentials(given), out) {
            Err(NodeError::NoPassphrase) => match passphrase::ask()? {
                Some(asked) => Ok(open(self.credentials(Some(asked)), out)?),
                None => Err(NodeError::NoPassphrase.into()),
            },
            other => Ok(other?),
        }
    }
}

/// Talks to the daemon of the profile, or starts a node in this process.
pub(crate) async fn attach(
    context: &Context,
    out: &mut Output,
) -> Result<(Client, Guest), UserError> {
    let passphrase = passphrase::given_on_stdin(&context.globals)?;
    attach_with(context, passphrase, out).await
}

/// As [`attach`], with a passphrase that is known already.
pub(crate) async fn attach_with(
    context: &Context,
    passphrase: Option<Secret>,
    out: &mut Output,
) -> Result<(Client, Guest), UserError> {
    if let Some(socket) = Socket::find(&context.home.socket()).await? {
        return Ok((Client::Daemon(socket), Guest::default()));
    }
    let config = settings::load(&context.home, &Overrides::of(&context.globals))?;
    // A command is quiet: the log of its short-lived node is for those who ask for it.
    if context.globals.verbose > 0 {
        drop(settings::start_log(&config)?);
    }
    Ok(match start(context, config, Mode::Command, passphrase, out).await? {
        Started::Here(node) => (Client::InProcess(node.router()), Guest::new(*node)),
        Started::Elsewhere(socket) => (Client::Daemon(socket), Guest::default()),
    })
}

/// Starts a node; asks for the passphrase only if the key store turns out to need one.
pub(crate) async fn start(
    context: &Context,
    config: Config,
    mode: Mode,
    passphrase: Option<Secret>,
    out: &mut Output,
) -> Result<Started, UserError> {
    let mut passphrase = match passphrase {
        Some(passphrase) => Some(passphrase),
        None => passphrase::given(&context.globals, out)?,
    };
    let options = |passphrase| NodeOptions {
        home: context.home.clone(),
        credentials: context.credentials(passphrase),
        config: config.clone(),
        mode,
    };
    let begun = Instant::now();
    loop {
        match Node::start(options(passphrase.clone())).await {
            Err(NodeError::NoPassphrase) if passphrase.is_none() => {
                passphrase = Some(passphrase::ask()?.ok_or(NodeError::NoPassphrase)?);
            }
            Err(NodeError::LockHeld { .. }) if begun.elapsed() < SETTLES_WITHIN => {
                sleep(LOOK_EVERY).await;
                if let Some(socket) = Socket::find(&context.home.socket()).await? {
                    return Ok(Started::Elsewhere(socket));
                }
            }
            other => return Ok(Started::Here(Box::new(other?))),
        }
    }
}
