//! The way out of every error: the exact thing to type, where there is one.

use std::borrow::Cow;
use std::path::Path;

use bitchat_protocol::engine::CommandError;

use super::NodeError;

const DISK: &str = "look at the free space and health of the disk (`df -h`), then try again";
const ROOM: &str = "free some space (`df -h`); the node goes on by itself, and nothing is lost";
const ROTATE: &str =
    "look at the free space of the disk (`df -h`), then run `bitchat key rotate` again";
const RECOVER: &str = "keep a copy of the home, then set up an empty one with \
    `bitchat init --recover` and your 24 words";
const AGAIN: &str = "type it again; if it is lost: `bitchat init --recover` with your 24 words";
const FACTORS: &str = "type the passphrase again and see that this is the right key file; if either \
    is lost: `bitchat init --recover` with your 24 words";
const PAUSE: &str = "wait that long, then try again; the right passphrase ends the pauses";
const EXISTS: &str = "use it (`bitchat key words` shows its 24 words), or name another by \
    `--home DIR` or `--profile NAME`";
const CONTENDED: &str = "wait for it, or see what hangs: `ps -C bitchat`; then try again";
const NETWORK: &str = "look at the network of this machine (`ip addr`), then try again";
const LISTEN: &str = "give another address: `bitchat daemon --listen /ip4/0.0.0.0/tcp/0`";
const ALONE: &str = "it goes on by itself; see `bitchat peers` for the cause";
const REPORT: &str = "this is a bug: report it with the correlation id and the log";

impl NodeError {
    /// The way out, in words that can be followed; never empty.
    #[must_use]
    pub fn hint(&self) -> Cow<'_, str> {
        Cow::Borrowed(match self {
            Self::HomeUnwritable { path, .. } => return make_writable(path).into(),
            Self::LooseModes { path, .. } => return close(path).into(),
            Self::LockHeld { pid: Some(pid) } => {
                return format!("stop process {pid} or talk to it through its socket").into();
            }
            Self::LockHeld { pid: None } => {
                "stop the other `bitchat` of this profile or talk to it through its socket"
            }
            Self::NoProfile { .. } => "create one with `bitchat init`",
            Self::ProfileExists { .. } => EXISTS,
            Self::StoreCorrupt { .. } | Self::KeystoreCorrupt { .. } | Self::KdfDowngrade => {
                RECOVER
            }
            Self::StoreVersion { .. } | Self::BackupVersion { .. } => {
                "use the newer `bitchat` that wrote it"
            }
            Self::StoreFailed { .. } => DISK,
            Self::RotationUnfinished { .. } => ROTATE,
            Self::NoPassphrase => "type it when asked, or give `--passphrase-file FILE`",
            Self::WrongPassphrase => AGAIN,
            Self::WrongFactors => FACTORS,
            Self::PassphrasePause { .. } => PAUSE,
            Self::PassphraseContended => CONTENDED,
            Self::NoKeyFile => "name it with `--key-file FILE`",
            Self::WeakPassphrase { .. } => "take four or more unrelated words",
            Self::BadPhrase { .. } => "type the 24 words in their order, separated by spaces",
            Self::NotABackup => "name a file that `bitchat backup create` made",
            Self::BackupPassphrase => "give the passphrase that the backup was made with",
            Self::BackupDamaged { .. } => "take another copy of it, or an older backup",
            Self::FileExists { .. } => "name another file, or replace this one with `--force`",
            Self::BackupIo { .. } => "look at the path, its permissions and the free space",
            Self::Config { hint, .. } | Self::KeyFile { hint, .. } => hint,
            Self::Listen { .. } => LISTEN,
            Self::Network { .. } => NETWORK,
            Self::DaemonGone { .. } => "start it again with `bitchat daemon`",
            Self::Busy { .. } | Self::Unavailable => "try again in a moment; see `bitchat status`",
            Self::NoAnswer => {
                "see `bitchat status`; if it does not answer either, restart the daemon"
            }
            Self::WaitTimedOut => "it goes on by itself; see `bitchat queue list`",
            Self::PeerUnavailable(_) => ALONE,
            Self::Expired => "send it again with a longer `--expires`",
            Self::Undeliverable => {
                "ask the contact for a new invitation and `bitchat contact add` it"
            }
            Self::Rejected => "ask the contact whether you are still in its list",
            Self::BadRequest { .. } | Self::NoRoute | Self::NoMethod => {
                "the routes and their fields are listed in docs/API.md"
            }
            Self::TooLarge { .. } => "send less at once",
            Self::NotJson => "send the header `content-type: application/json`",
            Self::CrossSite => {
                "use `bitchat` or `curl --unix-socket SOCKET http://bitchat/...`, not a browser"
            }
            Self::Protocol(error) => command_hint(error),
        })
    }
}

fn make_writable(path: &Path) -> String {
    format!("make {} writable for you or choose `--home DIR`", path.display())
}

const fn command_hint(error: &CommandError) -> &'static str {
    match error {
        CommandError::UnknownContact(_) => {
            "see `bitchat contact list`; add one with `bitchat contact add LINK`"
        }
        CommandError::AmbiguousContact { .. } => {
            "give the account id instead: `bitchat contact list` shows it"
        }
        CommandError::NameTaken(_) => "choose another with `--name NAME`",
        CommandError::BadName(_) => "choose 1 to 64 bytes of visible text",
        CommandError::BadLink(_) => "copy the whole link again; it begins with `bitchat:`",
        CommandError::LinkExpired => "ask for a new one: `bitchat contact invite` makes it",
        CommandError::OwnLink => "give this link to somebody else",
        CommandError::KeyChanged => {
            "ask the contact whether the device in `bitchat contact show NAME` is its own, then \
             `bitchat contact trust NAME`"
        }
        CommandError::KeyUnproven => "ask for the long link that `bitchat contact invite` prints",
        CommandError::BadCode(_) => {
            "scan what `bitchat contact show YOU --qr` draws there, or compare the digits"
        }
        CommandError::SafetyMismatch => {
            "do not trust this contact: compare the digits in person, and its account id"
        }
        CommandError::TextTooLong { .. } => "split the text",
        CommandError::TextEmpty => "give a text, or `--stdin`",
        CommandError::UnknownMessage(_) => "see `bitchat history NAME` and `bitchat queue list`",
        CommandError::UnknownMailbox(_) => "see `bitchat mailbox list`",
        CommandError::NotWaiting(_) => "see `bitchat queue list` for what waits",
        CommandError::Accepted(_) => "see how far it came: `bitchat queue show ID`",
        CommandError::IdTaken(_) => "take an id of its own for each message",
        CommandError::IdsFull(_) => "send without `--id`, or wait until old ids are 45 days old",
        CommandError::OutboxFull(_) => "wait until some are delivered: `bitchat queue list`",
        CommandError::OutOfRange(_) => "see `bitchat help` for what is allowed",
        CommandError::DiskFull => ROOM,
        CommandError::Store(_) => DISK,
        CommandError::Internal(_) => REPORT,
    }
}

/// Not what is below: somebody may have named a directory that is not ours alone to close.
fn close(path: &Path) -> String {
    let path = path.display();
    format!(
        "if it holds nothing else: `chmod go= '{path}'`; or name a directory of its own by `--home DIR`"
    )
}
