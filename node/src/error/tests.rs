//! The catalogue is complete, unique and documented.

use std::collections::BTreeSet;
use std::fmt::Write;

use bitchat_protocol::id::MessageId;

use super::*;

#[test]
fn codes_are_unique_words() {
    let samples = samples();

    let codes: BTreeSet<_> = samples.iter().map(NodeError::code).collect();

    assert_eq!(codes.len(), samples.len());
    assert!(codes.iter().all(|code| code.bytes().all(|c| c == b'_' || c.is_ascii_lowercase())));
}

#[test]
fn every_error_says_what_happened_and_the_way_out() {
    for error in samples() {
        assert!(!error.message().is_empty(), "{}", error.code());
        assert!(!error.hint().is_empty(), "{}", error.code());
        assert!(!error.message().contains(['{', '}', '\n']), "{}", error.message());
    }
}

#[test]
fn exit_codes_are_1_to_12_each_once() {
    let exits: Vec<u8> = Category::ALL.into_iter().map(Category::exit).collect();

    assert_eq!(exits, (1..=12).collect::<Vec<u8>>());
    for category in Category::ALL {
        assert_eq!(Category::from_word(category.as_str()), Some(category));
    }
}

#[test]
fn hints_name_what_to_type() {
    let error = NodeError::NoProfile { home: PathBuf::from("/h") };
    assert_eq!(error.hint(), "create one with `bitchat init`");

    let error = NodeError::LockHeld { pid: Some(1234) };
    assert_eq!(error.hint(), "stop process 1234 or talk to it through its socket");
}

#[test]
fn what_the_disk_said_is_a_detail_and_not_in_the_message() {
    let error = NodeError::from(CommandError::Store("/secret/path: denied".to_owned()));

    assert!(!error.message().contains("secret"));
    assert_eq!(error.detail(), Some("/secret/path: denied"));
}

/// A variant that is not among the samples would escape every test here.
#[test]
fn every_variant_is_among_the_samples() {
    let variants = |source: &str| source.matches("    #[error(").count();
    let ours = variants(include_str!("../error.rs"));
    let commands_of_the_engine = variants(include_str!("../../../protocol/src/engine/command.rs"));

    assert_eq!(commands().count(), commands_of_the_engine);
    assert_eq!(samples().len(), ours - 1 + commands_of_the_engine); // `Protocol` holds those.
}

/// Codes and exit codes are frozen: changing one means to change the document as well.
#[test]
fn every_error_stands_in_the_document_and_nothing_else_does() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ERRORS.md");
    let document = std::fs::read_to_string(&path).unwrap_or_default();
    let (ours, _) = document.split_once("## The command line").unwrap_or((&document, ""));
    let written: Vec<&str> = ours.lines().filter(|line| line.starts_with("| `")).collect();
    let mut rows: Vec<String> = samples().iter().map(row).collect();
    rows.sort();

    assert_eq!(written, rows, "the table should be\n{}", rows.join("\n"));
}

fn row(error: &NodeError) -> String {
    let (code, category) = (error.code(), error.category());
    let mut row = format!("| `{code}` | {} | {} | ", category.as_str(), category.exit());
    let again = if error.is_retryable() { "yes" } else { "no" };
    write!(row, "{again} | {} |", error.hint()).unwrap();
    row
}

/// One of each.
fn samples() -> Vec<NodeError> {
    let text = || "...".to_owned();
    let home = || PathBuf::from("HOME");
    let mut all = vec![
        NodeError::NoProfile { home: home() },
        NodeError::ProfileExists { home: home() },
        NodeError::HomeUnwritable { path: home(), reason: text() },
        NodeError::LooseModes { path: home(), mode: 0o755 },
        NodeError::LockHeld { pid: Some(1234) },
        NodeError::StoreCorrupt { what: text() },
        NodeError::StoreVersion { found: 2, supported: 1 },
        NodeError::StoreFailed { reason: text() },
        NodeError::RotationUnfinished { reason: text() },
        NodeError::NoPassphrase,
        NodeError::WrongPassphrase,
        NodeError::WrongFactors,
        NodeError::PassphrasePause { retry_after: Duration::from_secs(1) },
        NodeError::PassphraseContended,
        NodeError::NoKeyFile,
        NodeError::KeyFile { path: home(), problem: text(), hint: text() },
        NodeError::WeakPassphrase { why: text() },
        NodeError::KeystoreCorrupt { what: text() },
        NodeError::KdfDowngrade,
        NodeError::BadPhrase { why: text() },
        NodeError::NotABackup,
        NodeError::BackupVersion { found: 2 },
        NodeError::BackupPassphrase,
        NodeError::BackupDamaged { what: text() },
        NodeError::FileExists { path: home() },
        NodeError::BackupIo { what: text(), reason: text() },
        NodeError::Config { problem: text(), hint: text() },
        NodeError::Listen { address: text(), reason: text() },
        NodeError::Network { reason: text() },
        NodeError::DaemonGone { reason: text() },
        NodeError::Busy { retry_after: Duration::from_secs(1) },
        NodeError::Unavailable,
        NodeError::NoAnswer,
        NodeError::WaitTimedOut,
        NodeError::PeerUnavailable(Duration::from_secs(1)),
        NodeError::Expired,
        NodeError::Undeliverable,
        NodeError::Rejected,
        NodeError::BadRequest { problem: text() },
        NodeError::TooLarge { limit: 1 },
        NodeError::NoRoute,
        NodeError::NoMethod,
        NodeError::NotJson,
        NodeError::CrossSite,
    ];
    all.extend(commands().map(NodeError::Protocol));
    all
}

/// One of each refusal of a command.
fn commands() -> impl Iterator<Item = CommandError> {
    let name = || "x".to_owned();
    [
        CommandError::UnknownContact(name()),
        CommandError::AmbiguousContact { name: name(), matches: vec![(name(), name())] },
        CommandError::NameTaken(name()),
        CommandError::BadName("x"),
        CommandError::BadLink("x"),
        CommandError::LinkExpired,
        CommandError::OwnLink,
        CommandError::KeyChanged,
        CommandError::KeyUnproven,
        CommandError::BadCode("it is cut short"),
        CommandError::SafetyMismatch,
        CommandError::TextTooLong { bytes: 2, limit: 1 },
        CommandError::TextEmpty,
        CommandError::UnknownMessage(MessageId([0; 16])),
        CommandError::UnknownMailbox(bitchat_protocol::id::DeviceId([0; 32])),
        CommandError::NotWaiting(MessageId([0; 16])),
        CommandError::Accepted(MessageId([0; 16])),
        CommandError::IdTaken(name()),
        CommandError::IdsFull(1),
        CommandError::OutboxFull(1),
        CommandError::OutOfRange("x"),
        CommandError::DiskFull,
        CommandError::Store(name()),
        CommandError::Internal("x"),
    ]
    .into_iter()
}
