//! Every way in which a node can fail, with code, category and hint.
//!
//! ```text
//!   cause ──> NodeError ──> code      what scripts match on, unique
//!                      ├──> category  which exit code, which HTTP status
//!                      ├──> message   what happened
//!                      └──> hint      what to type now
//! ```
//!
//! All four are total matches: a new variant does not compile before it has decided. Codes,
//! categories and exit codes are frozen; `docs/ERRORS.md` lists them and a test compares.
//!
//! What it does *not* do: print. Messages may hold text from peers (names); who prints, sanitises.

use std::path::PathBuf;
use std::time::Duration;

use bitchat_protocol::engine::CommandError;

mod catalogue;
mod category;
mod hint;

pub use category::Category;

/// Why the node could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The home holds no profile.
    #[error("there is no profile in {}", home.display())]
    NoProfile {
        /// Where it was looked for.
        home: PathBuf,
    },
    /// The home holds a profile already.
    #[error("{} holds a profile already", home.display())]
    ProfileExists {
        /// Where.
        home: PathBuf,
    },
    /// A directory or file of the home cannot be made, read or written.
    #[error("cannot use {}: {reason}", path.display())]
    HomeUnwritable {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Others may read or write a file or directory of the home.
    #[error("others may use {} (mode {mode:04o})", path.display())]
    LooseModes {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another process holds the profile and its socket does not answer.
    #[error("{} holds this profile and its socket does not answer", process(*pid))]
    LockHeld {
        /// Which process, if the lock says so.
        pid: Option<u32>,
    },
    /// Bytes on the disk are not what was written.
    #[error("the store is damaged: {what}")]
    StoreCorrupt {
        /// Which part.
        what: String,
    },
    /// A newer version wrote this profile.
    #[error("the profile has version {found}, this program reads up to {supported}")]
    StoreVersion {
        /// Version found.
        found: u32,
        /// Newest version that this program reads.
        supported: u32,
    },
    /// The disk refused.
    #[error("the store failed; nothing was changed")]
    StoreFailed {
        /// What the system said.
        reason: String,
    },
    /// The data key was replaced, and rows wait for their new keys.
    #[error("the data key is new, but not all rows have new keys yet: {reason}")]
    RotationUnfinished {
        /// What the system said.
        reason: String,
    },
    /// The key store needs a passphrase and none was given.
    #[error("the key store needs a passphrase")]
    NoPassphrase,
    /// The passphrase does not open the key store.
    #[error("the passphrase does not open the key store")]
    WrongPassphrase,
    /// Passphrase and key file do not open the key store together.
    #[error("the passphrase and this key file do not open the key store together")]
    WrongFactors,
    /// Too many wrong passphrases; this one was not looked at.
    #[error("too many wrong passphrases; this one was not looked at")]
    PassphrasePause {
        /// One will be looked at after this long.
        retry_after: Duration,
    },
    /// Another process is checking a passphrase of this profile.
    #[error("another process is checking a passphrase of this profile; this one was not looked at")]
    PassphraseContended,
    /// The key store needs its key file and none was named.
    #[error("the key store needs its key file, too")]
    NoKeyFile,
    /// The file that was named is not taken as key file.
    #[error("the key file {} {problem}", path.display())]
    KeyFile {
        /// Which.
        path: PathBuf,
        /// Why.
        problem: String,
        /// The way out.
        hint: String,
    },
    /// The passphrase could be guessed.
    #[error("the passphrase is too weak: {why}")]
    WeakPassphrase {
        /// Why, in words.
        why: String,
    },
    /// The key store is damaged or was altered.
    #[error("the key store is damaged: {what}")]
    KeystoreCorrupt {
        /// Which part.
        what: String,
    },
    /// The key store asks for a weaker key derivation than we accept.
    #[error("the key store asks for a weaker key derivation than is safe")]
    KdfDowngrade,
    /// The recovery phrase is not one.
    #[error("not a recovery phrase: {why}")]
    BadPhrase {
        /// What is wrong with it.
        why: String,
    },
    /// The file is no backup.
    #[error("this is no backup of bitchat")]
    NotABackup,
    /// A newer version wrote the backup.
    #[error("the backup has version {found}, this program reads version 1")]
    BackupVersion {
        /// Version found.
        found: u32,
    },
    /// The passphrase does not open the backup, or its header was altered.
    #[error("the passphrase does not open the backup")]
    BackupPassphrase,
    /// The backup was altered or cut.
    #[error("the backup is damaged: {what}")]
    BackupDamaged {
        /// How.
        what: String,
    },
    /// A file is there already.
    #[error("{} exists already", path.display())]
    FileExists {
        /// Which.
        path: PathBuf,
    },
    /// The backup cannot be read or written.
    #[error("{what}: {reason}")]
    BackupIo {
        /// What was tried.
        what: String,
        /// What the system said.
        reason: String,
    },
    /// A setting is wrong.
    #[error("{problem}")]
    Config {
        /// Which and why.
        problem: String,
        /// The way out.
        hint: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Which.
        address: String,
        /// What the system said.
        reason: String,
    },
    /// The network failed otherwise.
    #[error("the network failed: {reason}")]
    Network {
        /// What the system said.
        reason: String,
    },
    /// The daemon's socket answers nothing sensible, or went away in the middle.
    #[error("the daemon does not answer: {reason}")]
    DaemonGone {
        /// What the system said.
        reason: String,
    },
    /// Too much is waiting.
    #[error("the node has too much to do")]
    Busy {
        /// Try again after this long.
        retry_after: Duration,
    },
    /// The node is starting or stopping.
    #[error("the node is starting or stopping")]
    Unavailable,
    /// The engine did not answer; whether it did what was asked is not known.
    #[error("the node did not answer in time")]
    NoAnswer,
    /// The state waited for was not reached in time; the message stays queued.
    #[error("not in time; the message stays queued")]
    WaitTimedOut,
    /// An open circuit breaker alone kept the message from being tried until now; for how much longer.
    #[error("the peer failed too often lately and is left alone; the message stays queued")]
    PeerUnavailable(Duration),
    /// The message's time ran out before anybody took it.
    #[error("the message expired before anybody took it")]
    Expired,
    /// The message can never be delivered.
    #[error("the message can never be delivered")]
    Undeliverable,
    /// The recipient refused the message.
    #[error("the recipient refused the message")]
    Rejected,
    /// The request is malformed.
    #[error("malformed request: {problem}")]
    BadRequest {
        /// What is wrong with it.
        problem: String,
    },
    /// The request is larger than anything that could be meant.
    #[error("the request has more than {limit} bytes")]
    TooLarge {
        /// Bytes allowed.
        limit: usize,
    },
    /// No such route.
    #[error("there is no such route")]
    NoRoute,
    /// The route exists, the method does not.
    #[error("the route does not know this method")]
    NoMethod,
    /// The body is not declared as JSON.
    #[error("the body is not declared as application/json")]
    NotJson,
    /// A browser sent this on behalf of a page.
    #[error("requests from web pages are refused")]
    CrossSite,
    /// The engine refused a command.
    #[error("{}", catalogue::command_message(.0))]
    Protocol(CommandError),
}

impl NodeError {
    /// An impossible case; `what` names it.
    #[must_use]
    pub const fn bug(what: &'static str) -> Self {
        Self::Protocol(CommandError::Internal(what))
    }

    /// What happened, for a person: one line, no `Debug` braces, no secrets.
    ///
    /// What the disk said is not in it, because it crosses the control API: see [`Self::detail`].
    #[must_use]
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// What the system said, for the log of this machine only; `None` if the message says it all.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        if let Self::StoreFailed { reason } | Self::Protocol(CommandError::Store(reason)) = self {
            return Some(reason);
        }
        if let Self::Protocol(CommandError::Internal(what)) = self { Some(what) } else { None }
    }

    /// How long to wait before the same request can pass; `None` if waiting alone does not help.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        if let Self::PeerUnavailable(retry_after)
        | Self::Busy { retry_after }
        | Self::PassphrasePause { retry_after } = self
        {
            return Some(*retry_after);
        }
        if let Self::Protocol(error) = self {
            return catalogue::command_retry_after(error);
        }
        let is_soon_over = matches!(self, Self::Unavailable | Self::PassphraseContended);
        if is_soon_over { Some(Duration::from_secs(1)) } else { None }
    }

    /// Whether the same request may pass later without anybody changing anything.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        self.retry_after().is_some()
    }
}

impl From<CommandError> for NodeError {
    fn from(error: CommandError) -> Self {
        Self::Protocol(error)
    }
}

/// Names the process that holds a lock.
fn process(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

#[cfg(test)]
mod tests;
