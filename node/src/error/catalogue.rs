//! Code and category of every error, and the messages of refused commands.

use std::time::Duration;

use bitchat_protocol::engine::CommandError;

use super::{Category, NodeError};

impl NodeError {
    /// What scripts match on: unique, `snake_case`, frozen.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoProfile { .. } => "no_profile",
            Self::ProfileExists { .. } => "profile_exists",
            Self::HomeUnwritable { .. } => "home_unwritable",
            Self::LooseModes { .. } => "loose_modes",
            Self::LockHeld { .. } => "lock_held",
            Self::StoreCorrupt { .. } => "store_corrupt",
            Self::StoreVersion { .. } => "store_version",
            Self::StoreFailed { .. } => "store_failed",
            Self::RotationUnfinished { .. } => "rotation_unfinished",
            Self::NoPassphrase => "no_passphrase",
            Self::WrongPassphrase => "wrong_passphrase",
            Self::WrongFactors => "wrong_factors",
            Self::PassphrasePause { .. } => "passphrase_pause",
            Self::PassphraseContended => "passphrase_contended",
            Self::NoKeyFile => "no_key_file",
            Self::KeyFile { .. } => "key_file",
            Self::WeakPassphrase { .. } => "weak_passphrase",
            Self::KeystoreCorrupt { .. } => "keystore_corrupt",
            Self::KdfDowngrade => "kdf_downgrade",
            Self::BadPhrase { .. } => "bad_phrase",
            Self::NotABackup => "not_a_backup",
            Self::BackupVersion { .. } => "backup_version",
            Self::BackupPassphrase => "backup_passphrase",
            Self::BackupDamaged { .. } => "backup_damaged",
            Self::FileExists { .. } => "file_exists",
            Self::BackupIo { .. } => "backup_io",
            Self::Config { .. } => "config",
            Self::Listen { .. } => "listen",
            Self::Network { .. } => "network",
            Self::DaemonGone { .. } => "daemon_gone",
            Self::Busy { .. } => "busy",
            Self::Unavailable => "unavailable",
            Self::NoAnswer => "no_answer",
            Self::WaitTimedOut => "timed_out",
            Self::PeerUnavailable(_) => "peer_unavailable",
            Self::Expired => "expired",
            Self::Undeliverable => "undeliverable",
            Self::Rejected => "rejected",
            Self::BadRequest { .. } => "bad_request",
            Self::TooLarge { .. } => "too_large",
            Self::NoRoute => "no_route",
            Self::NoMethod => "no_method",
            Self::NotJson => "not_json",
            Self::CrossSite => "cross_site",
            Self::Protocol(error) => command_code(error),
        }
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn category(&self) -> Category {
        match self {
            Self::NoProfile { .. }
            | Self::ProfileExists { .. }
            | Self::LooseModes { .. }
            | Self::NoPassphrase
            | Self::NoKeyFile
            | Self::KeyFile { .. }
            | Self::WeakPassphrase { .. }
            | Self::BadPhrase { .. }
            | Self::NotABackup
            | Self::BackupVersion { .. }
            | Self::FileExists { .. }
            | Self::Config { .. }
            | Self::BadRequest { .. }
            | Self::TooLarge { .. }
            | Self::NoMethod
            | Self::NotJson
            | Self::CrossSite => Category::Usage,
            Self::HomeUnwritable { .. }
            | Self::BackupIo { .. }
            | Self::Listen { .. }
            | Self::Network { .. }
            | Self::DaemonGone { .. }
            | Self::Unavailable
            | Self::Expired
            | Self::Undeliverable => Category::Network,
            Self::LockHeld { .. }
            | Self::StoreCorrupt { .. }
            | Self::StoreVersion { .. }
            | Self::StoreFailed { .. }
            | Self::RotationUnfinished { .. }
            | Self::KeystoreCorrupt { .. } => Category::Store,
            Self::WrongPassphrase
            | Self::WrongFactors
            | Self::KdfDowngrade
            | Self::BackupPassphrase
            | Self::BackupDamaged { .. } => Category::Verification,
            Self::Busy { .. } | Self::PassphrasePause { .. } | Self::PassphraseContended => {
                Category::RateLimited
            }
            Self::NoAnswer | Self::WaitTimedOut => Category::TimedOut,
            Self::PeerUnavailable(_) => Category::BreakerOpen,
            Self::Rejected => Category::Rejected,
            Self::NoRoute => Category::NotFound,
            Self::Protocol(error) => command_category(error),
        }
    }
}

const fn command_code(error: &CommandError) -> &'static str {
    match error {
        CommandError::UnknownContact(_) => "unknown_contact",
        CommandError::AmbiguousContact { .. } => "ambiguous_contact",
        CommandError::NameTaken(_) => "name_taken",
        CommandError::BadName(_) => "bad_name",
        CommandError::BadLink(_) => "bad_link",
        CommandError::LinkExpired => "link_expired",
        CommandError::OwnLink => "own_link",
        CommandError::KeyChanged => "key_changed",
        CommandError::KeyUnproven => "key_unproven",
        CommandError::BadCode(_) => "bad_code",
        CommandError::SafetyMismatch => "safety_mismatch",
        CommandError::TextTooLong { .. } => "text_too_long",
        CommandError::TextEmpty => "text_empty",
        CommandError::UnknownMessage(_) => "unknown_message",
        CommandError::UnknownMailbox(_) => "unknown_mailbox",
        CommandError::NotWaiting(_) => "not_waiting",
        CommandError::Accepted(_) => "accepted",
        CommandError::IdTaken(_) => "id_taken",
        CommandError::IdsFull(_) => "ids_full",
        CommandError::OutboxFull(_) => "outbox_full",
        CommandError::OutOfRange(_) => "out_of_range",
        CommandError::DiskFull => "disk_full",
        CommandError::Store(_) => "store",
        CommandError::Internal(_) => "internal",
    }
}

const fn command_category(error: &CommandError) -> Category {
    match error {
        CommandError::UnknownContact(_)
        | CommandError::AmbiguousContact { .. }
        | CommandError::UnknownMessage(_)
        | CommandError::UnknownMailbox(_)
        | CommandError::NotWaiting(_) => Category::NotFound,
        CommandError::NameTaken(_)
        | CommandError::BadName(_)
        | CommandError::BadLink(_)
        | CommandError::BadCode(_)
        | CommandError::OwnLink
        | CommandError::LinkExpired
        | CommandError::TextTooLong { .. }
        | CommandError::TextEmpty
        | CommandError::Accepted(_)
        | CommandError::IdTaken(_)
        | CommandError::OutOfRange(_) => Category::Usage,
        CommandError::KeyChanged | CommandError::KeyUnproven => Category::Untrusted,
        CommandError::SafetyMismatch => Category::Verification,
        CommandError::OutboxFull(_) | CommandError::IdsFull(_) => Category::RateLimited,
        CommandError::DiskFull | CommandError::Store(_) => Category::Store,
        CommandError::Internal(_) => Category::Internal,
    }
}

/// How long until a refused command can pass, where waiting alone may help.
pub(super) const fn command_retry_after(error: &CommandError) -> Option<Duration> {
    if matches!(error, CommandError::DiskFull) {
        return Some(Duration::from_secs(5));
    }
    if matches!(error, CommandError::OutboxFull(_)) { Some(Duration::from_secs(30)) } else { None }
}

/// The message of a refused command. Differs from its `Display` where that says too much for an
/// answer that leaves the process (what the disk said) or too little (who matches).
pub(super) fn command_message(error: &CommandError) -> String {
    match error {
        CommandError::AmbiguousContact { name, matches } => {
            let listed: Vec<String> = matches
                .iter()
                .map(|(name, fingerprint)| format!("{name} ({fingerprint})"))
                .collect();
            format!("\"{name}\" may mean {}", listed.join(", "))
        }
        CommandError::UnknownContact(name) => format!("no contact is called \"{name}\""),
        CommandError::NameTaken(name) => format!("the name \"{name}\" is taken"),
        CommandError::IdTaken(id) => {
            format!("another text or recipient was sent under the id \"{id}\"")
        }
        CommandError::Store(_) => "the disk refused; nothing was changed".to_owned(),
        CommandError::Internal(_) => "internal error".to_owned(),
        CommandError::BadName(_)
        | CommandError::BadLink(_)
        | CommandError::LinkExpired
        | CommandError::OwnLink
        | CommandError::KeyChanged
        | CommandError::KeyUnproven
        | CommandError::BadCode(_)
        | CommandError::SafetyMismatch
        | CommandError::TextTooLong { .. }
        | CommandError::TextEmpty
        | CommandError::UnknownMessage(_)
        | CommandError::UnknownMailbox(_)
        | CommandError::NotWaiting(_)
        | CommandError::Accepted(_)
        | CommandError::IdsFull(_)
        | CommandError::OutboxFull(_)
        | CommandError::DiskFull
        | CommandError::OutOfRange(_) => error.to_string(),
    }
}
