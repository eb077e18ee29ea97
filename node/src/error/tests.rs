//! The catalogue is complete, unique and documented.

use std::collections::BTreeSet;

use bitchat_protocol::id::MessageId;

use super::*;

/// One of each. `every_variant_is_among_the_samples` fails to compile or to pass when one is
/// missing.
pub(super) fn samples() -> Vec<NodeError> {
    let text = || "x".to_owned();
    let home = || PathBuf::from("/home/x");
    let mut all = vec![
        NodeError::NoProfile { home: home() },
        NodeError::ProfileExists { home: home() },
        NodeError::HomeUnwritable { path: home(), reason: text() },
        NodeError::LooseModes { path: home(), mode: 0o755 },
        NodeError::LockHeld { pid: Some(1234) },
        NodeError::StoreCorrupt { what: text() },
        NodeError::StoreVersion { found: 2, supported: 1 },
        NodeError::StoreFailed { reason: text() },
        NodeError::NoPassphrase,
        NodeError::WrongPassphrase,
        NodeError::WeakPassphrase { why: text() },
        NodeError::KeystoreCorrupt { what: text() },
        NodeError::KdfDowngrade,
        NodeError::BadPhrase { why: text() },
        NodeError::Config { problem: text(), hint: text() },
        NodeError::Listen { address: text(), reason: text() },
        NodeError::Network { reason: text() },
        NodeError::DaemonGone { reason: text() },
        NodeError::Busy { retry_after: Duration::from_secs(1) },
        NodeError::Unavailable,
        NodeError::NoAnswer,
        NodeError::WaitTimedOut,
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
        CommandError::TextTooLong { bytes: 2, limit: 1 },
        CommandError::TextEmpty,
        CommandError::UnknownMessage(MessageId([0; 16])),
        CommandError::OutboxFull(1),
        CommandError::OutOfRange("x"),
        CommandError::Store(name()),
        CommandError::Internal("x"),
    ]
    .into_iter()
}

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
