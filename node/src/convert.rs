//! Errors of the parts in the words of the whole.

use std::path::Path;

use crate::error::NodeError;
use crate::home::HomeError;
use crate::keystore::{KeyFileProblem, KeystoreError};
use crate::network::NetworkError;
use crate::store::StoreOpenError;

impl From<HomeError> for NodeError {
    fn from(error: HomeError) -> Self {
        match error {
            HomeError::NoProfile { home } => Self::NoProfile { home },
            HomeError::NoBase | HomeError::ProfileName => Self::Config {
                problem: error.to_string(),
                hint: "say where the profile is: `--home DIR`".to_owned(),
            },

            HomeError::Unwritable { path, source } => {
                Self::HomeUnwritable { path, reason: source.to_string() }
            }
            HomeError::LooseModes { path, mode, .. } => Self::LooseModes { path, mode },
            HomeError::LockHeld { pid } => Self::LockHeld { pid },
            HomeError::Version { found } => match found.parse() {
                Ok(found) => Self::StoreVersion { found, supported: crate::home::VERSION },
                Err(_) => Self::StoreCorrupt { what: format!("version file ({found})") },
            },
        }
    }
}

impl From<KeystoreError> for NodeError {
    fn from(error: KeystoreError) -> Self {
        let text = error.to_string();
        match error {
            KeystoreError::NotFound => Self::KeystoreCorrupt { what: "it is missing".to_owned() },
            KeystoreError::Exists => Self::Config {
                problem: text,
                hint: "take another home, or move this one away".to_owned(),
            },
            KeystoreError::NoPassphrase => Self::NoPassphrase,
            KeystoreError::WrongPassphrase => Self::WrongPassphrase,
            KeystoreError::WrongFactors => Self::WrongFactors,
            KeystoreError::Paused { retry_after } => Self::PassphrasePause { retry_after },
            KeystoreError::Contended => Self::PassphraseContended,
            KeystoreError::NoKeyFile => Self::NoKeyFile,
            KeystoreError::SecondFactor { path, problem } => {
                let hint = key_file_hint(&path, &problem);
                Self::KeyFile { path, problem: problem.to_string(), hint }
            }
            KeystoreError::WeakPassphrase { feedback } => Self::WeakPassphrase { why: feedback },
            KeystoreError::LongPassphrase => {
                Self::Config { problem: text, hint: "take a shorter one".to_owned() }
            }
            KeystoreError::Downgrade(_) => Self::KdfDowngrade,
            KeystoreError::Excessive(_) => Self::KeystoreCorrupt { what: text },
            KeystoreError::Corrupt(what) => Self::KeystoreCorrupt { what: what.to_owned() },
            KeystoreError::Version { found } => {
                Self::StoreVersion { found, supported: crate::home::VERSION }
            }
            KeystoreError::KeyFile { .. } => Self::KeystoreCorrupt { what: text },
            KeystoreError::Io { path, source } => {
                Self::HomeUnwritable { path, reason: source.to_string() }
            }
            KeystoreError::Bug(_) => Self::KeystoreCorrupt { what: text },
        }
    }
}

fn key_file_hint(path: &Path, problem: &KeyFileProblem) -> String {
    let path = path.display();
    match problem {
        KeyFileProblem::Missing | KeyFileProblem::NoFile => {
            "name the right file with `--key-file FILE`; is its disk there?".to_owned()
        }
        KeyFileProblem::Unusable(_) => {
            "name a file that you can read, in a directory that exists".to_owned()
        }
        KeyFileProblem::Loose { .. } => format!("take that away with `chmod 600 '{path}'`"),
        KeyFileProblem::InsideHome => {
            "keep it apart from what it guards: on a stick or another disk".to_owned()
        }
        KeyFileProblem::Length | KeyFileProblem::Guessable => {
            "name a file that does not exist yet: it is made of 32 random bytes".to_owned()
        }
    }
}

impl From<StoreOpenError> for NodeError {
    fn from(error: StoreOpenError) -> Self {
        match &error {
            StoreOpenError::Locked { .. } => Self::LockHeld { pid: None },
            StoreOpenError::Io { dir, source } if is_refused(source.kind()) => {
                Self::HomeUnwritable { path: dir.clone(), reason: source.to_string() }
            }
            StoreOpenError::Full { .. } | StoreOpenError::Io { .. } => {
                Self::StoreFailed { reason: error.to_string() }
            }
            StoreOpenError::WrongKey { .. }
            | StoreOpenError::Foreign { .. }
            | StoreOpenError::Keys { .. } => Self::StoreCorrupt { what: error.to_string() },
            StoreOpenError::Corrupt { dir, detail } => {
                tracing::debug!(%detail, "the database does not open");
                Self::StoreCorrupt {
                    what: format!("the database in {} cannot be read", dir.display()),
                }
            }
        }
    }
}

impl From<NetworkError> for NodeError {
    fn from(error: NetworkError) -> Self {
        let text = error.to_string();
        match error {
            NetworkError::Address { address } => Self::Listen {
                address,
                reason: "expected /ip4/../tcp/.. or /ip4/../udp/../quic-v1".to_owned(),
            },
            NetworkError::Listen { address, source } => {
                Self::Listen { address, reason: source.to_string() }
            }
            NetworkError::ListenTimeout { address, seconds } => {
                Self::Listen { address, reason: format!("not ready after {seconds} s") }
            }
            NetworkError::Key
            | NetworkError::Encryption(_)
            | NetworkError::Discovery(_)
            | NetworkError::Bug(_) => Self::Network { reason: text },
        }
    }
}

/// Whether the system says that we may not, rather than that it cannot.
const fn is_refused(kind: std::io::ErrorKind) -> bool {
    matches!(kind, std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem)
}
