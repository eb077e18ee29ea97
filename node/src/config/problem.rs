//! What can be wrong with a configuration.

use std::path::PathBuf;

use super::sources::Origin;
use crate::error::NodeError;

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is no TOML.
    #[error("config.toml, line {line}: {reason}")]
    Syntax {
        /// Where.
        line: usize,
        /// What the parser said.
        reason: String,
    },
    /// No such key.
    #[error("{origin}: there is no key {key}")]
    UnknownKey {
        /// Which.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The known key that is closest.
        nearest: &'static str,
    },
    /// A value that the key cannot have.
    #[error("{origin}: {key}: {reason}")]
    BadValue {
        /// Which.
        key: &'static str,
        /// Where it stands.
        origin: Origin,
        /// What is wrong.
        reason: String,
    },
    /// A secret in a place that others can read.
    #[error("{origin}: {key} looks like a secret, and this is no place for one")]
    Secret {
        /// Which; never its value.
        key: String,
        /// Where it stands.
        origin: Origin,
    },
    /// The switch of a part that is not there.
    #[error("{key} is not available in this version")]
    NotAvailable {
        /// Which.
        key: &'static str,
    },
}

impl ConfigError {
    /// The way out.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Unreadable { .. } => "give yourself the right to read it".to_owned(),
            Self::Syntax { .. } | Self::BadValue { .. } => {
                "compare with `bitchat config example`".to_owned()
            }
            Self::UnknownKey { nearest, .. } => format!("did you mean {nearest}?"),
            Self::Secret { .. } => {
                "remove it, change the secret, and use `--passphrase-file FILE`".to_owned()
            }
            Self::NotAvailable { key } => format!("set {key} to false or remove it"),
        }
    }
}

impl From<ConfigError> for NodeError {
    fn from(error: ConfigError) -> Self {
        Self::Config { problem: error.to_string(), hint: error.hint() }
    }
}
