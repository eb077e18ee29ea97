//! Which file may name which foreign crate, and where the generated wire and rest types stop.

use super::token::{begins_path, next_names};
use super::tree::{Source, Tree, is_at};

/// Rows: crate, the only places that may name it. A place is a module: its file and its folder.
const CRATES: &[(&str, &[&str])] = &[
    ("libp2p", &["node/src/network", "node/tests/network"]),
    ("libp2p_stream", &["node/src/network", "node/tests/network"]),
    ("sled", &["node/src/store"]),
    ("clap", &["cli/src/lib.rs", "cli/src/args", "cli/src/commands", "simulations/src/main.rs"]),
    ("signal_hook", &["cli/src/signals.rs"]),
    ("rpassword", &["cli/src/passphrase"]),
    ("clap_complete", &["cli/src/commands"]),
    (
        "axum",
        &["node/src/control", "node/src/http", "node/src/node", "node/tests", "cli/src/client"],
    ),
    ("argon2", &["node/src/keystore"]),
    ("aws_lc_rs", &["protocol/src/crypto/provider"]),
    ("chacha20", &["protocol/src/crypto"]),
    // The vectors run the crate itself: a body's key is derived.
    (
        "chacha20poly1305",
        &["protocol/src/crypto/provider", "protocol/src/crypto/wiped", "protocol/vectors"],
    ),
    ("x25519_dalek", &["protocol/src/crypto/provider", "protocol/src/crypto/wiped"]),
    // The vectors sign messages without a label, which our function cannot.
    ("ed25519_dalek", &["protocol/src/crypto", "protocol/vectors"]),
    ("libcrux_ml_kem", &["protocol/src/crypto", "protocol/benches/handshake"]),
    ("tokio", &["node/", "cli/", "tests/"]),
    ("tracing", &["node/", "cli/"]),
    ("prometheus_client", &["node/"]),
];

/// Rows: place, which generated types it may name outside tests, and why there.
const GENERATED: &[(&str, &[&str], &str)] = &[
    ("proto/", &["wire", "rest"], "they are made here"),
    ("protocol/fuzz/", &["wire", "rest", "stream"], "signs what no honest code would"),
    ("protocol/src/error.rs", &["stream"], "what is no frame is malformed"),
    ("protocol/src/envelope", &["wire"], "packs and unpacks frames"),
    ("protocol/src/handshake.rs", &["wire"], "`Initial` is its message"),
    ("protocol/src/session.rs", &["wire"], "keeps the `Initial` to repeat"),
    ("protocol/src/engine/admit", &["wire"], "hands the `Initial` to the handshake"),
    ("protocol/src/identity/certificate", &["wire"], "`Certificate` is its encoding"),
    ("protocol/src/invitation/link", &["wire"], "`Invitation` is its encoding"),
    ("protocol/src/invitation/record", &["wire"], "`SignedRecord` is its encoding"),
    ("protocol/src/handshake/replay", &["rest"], "the row of an initial message"),
    ("protocol/src/session/skipped", &["rest"], "the row of a skipped key"),
    ("protocol/src/inbox.rs", &["rest"], "the row of a message seen"),
    ("protocol/src/inbox/conversation", &["rest"], "the row of a conversation"),
    ("protocol/src/inbox/owed", &["rest"], "the row of receipts that are owed"),
    ("protocol/src/inbox/order", &["rest"], "the row of a held message"),
    ("protocol/src/invitation/issued", &["rest"], "the row of an invitation"),
    ("protocol/src/inbox/reader", &["rest"], "the row of a reader"),
    ("protocol/src/outbox/delivery", &["rest"], "the row of a delivery"),
    ("protocol/src/outbox/pause", &["rest"], "the row of a pause"),
    ("protocol/src/outbox/send_id", &["rest"], "the row of an id of a send"),
    ("protocol/src/session/record", &["wire", "rest"], "the row keeps the `Initial`"),
    ("protocol/src/mailbox/order", &["wire"], "an owner's order is its encoding"),
    ("protocol/src/mailbox/wire", &["wire"], "packs and unpacks questions and answers"),
    ("protocol/src/mailbox/host/rental", &["rest"], "the row of a rental"),
    ("node/src/network", &["stream"], "cuts what it reads into frames"),
];

/// Files of this name in the core translate a noun to its row.
const RECORD_FILE: &str = "/record.rs";

/// Foreign crates named outside their owner.
pub(super) fn wrong_crates(tree: &Tree) -> Vec<String> {
    tree.sources.iter().flat_map(wrong_crates_of).collect()
}

fn wrong_crates_of(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let row = token.word().and_then(|word| CRATES.iter().find(|(name, _)| *name == word));
        let Some((name, places)) = row else { continue };
        let allowed = places.iter().any(|place| is_at(&source.path, place));
        if !allowed && begins_path(&source.tokens, at) {
            wrong.push(format!("{} must not name {name}", source.at(token)));
        }
    }
    wrong
}

/// Generated types named outside [`GENERATED`] and the record files.
pub(super) fn wrong_generated(tree: &Tree) -> Vec<String> {
    tree.sources.iter().flat_map(wrong_generated_of).collect()
}

fn wrong_generated_of(source: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        if token.test || !token.is_word("bitchat_proto") {
            continue;
        }
        let names = next_names(&source.tokens, at + 3);
        for name in names.iter().filter(|name| !may_name(&source.path, name)) {
            wrong.push(format!("{} must not name bitchat_proto::{name}", source.at(token)));
        }
        if source.tokens.get(at + 1).is_some_and(|next| next.is_word("as") || next.is_mark(';')) {
            wrong.push(format!("{} must not import bitchat_proto whole", source.at(token)));
        }
    }
    wrong
}

/// Whether `path` may name `bitchat_proto::name`. The limits are free, and the trait that encodes;
/// a glob or `self` would hide the rest.
fn may_name(path: &str, name: &str) -> bool {
    let is_record = path.starts_with("protocol/src/") && path.ends_with(RECORD_FILE);
    let is_listed =
        |(place, names, _): &(&str, &[&str], &str)| is_at(path, place) && names.contains(&name);
    matches!(name, "limits" | "prost")
        || (is_record && name == "rest")
        || GENERATED.iter().any(is_listed)
}

#[cfg(test)]
mod tests {
    use super::super::tree::planted::tree;
    use super::*;

    fn crates(path: &str, text: &str) -> Vec<String> {
        wrong_crates(&tree(&[(path, text)]))
    }

    fn generated(path: &str, text: &str) -> Vec<String> {
        wrong_generated(&tree(&[(path, text)]))
    }

    #[test]
    fn a_crate_outside_its_owner_is_reported() {
        for (path, text) in [
            ("node/src/driver.rs", "use libp2p::PeerId;"),
            ("node/src/driver.rs", "use {std::fmt, libp2p::PeerId};"),
            ("node/src/control.rs", "use libp2p_stream as s;"),
            ("node/src/networking.rs", "fn f() -> ::libp2p::PeerId {}"),
            ("node/src/home.rs", "fn f() { sled::open(\"x\") }"),
            ("cli/src/output.rs", "#[derive(clap::Args)] struct A;"),
            ("protocol/src/ratchet.rs", "use tokio::sync::mpsc;"),
            ("protocol/src/identity.rs", "use ed25519_dalek::SigningKey;"),
            ("node/src/store.rs", "#[cfg(test)] mod tests { use libp2p::PeerId; }"),
        ] {
            assert_eq!(crates(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn owners_local_names_and_comments_pass() {
        for (path, text) in [
            ("node/src/network/swarm.rs", "use libp2p::PeerId;"),
            ("node/src/store.rs", "use sled::Db;"),
            ("cli/src/commands/send.rs", "use clap::Args;"),
            (
                "node/src/driver.rs",
                "// libp2p::PeerId\nfn f(sled: u8) { x.sled; crate::a::sled::b(); }",
            ),
        ] {
            assert_eq!(crates(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }

    #[test]
    fn a_generated_type_outside_the_list_is_reported() {
        for (path, text) in [
            ("protocol/src/session.rs", "use bitchat_proto::rest;"),
            ("protocol/src/ratchet/record.rs", "use bitchat_proto::wire;"),
            ("protocol/src/outbox.rs", "use bitchat_proto::{limits::A, wire::Envelope};"),
            ("protocol/src/engine/frame.rs", "fn f(x: bitchat_proto::wire::Link) {}"),
            ("protocol/src/outbox.rs", "use bitchat_proto as p;"),
            ("protocol/src/outbox.rs", "use bitchat_proto::*;"),
            ("node/src/control.rs", "use bitchat_proto::wire::Link;"),
            ("node/src/network/link.rs", "use bitchat_proto::wire::Link;"),
            ("node/src/driver.rs", "use bitchat_proto::stream::Decoder;"),
        ] {
            assert_eq!(generated(path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn listed_places_record_files_and_tests_pass() {
        for (path, text) in [
            ("protocol/src/envelope/frame.rs", "use bitchat_proto::wire::Link;"),
            ("protocol/src/ratchet/record.rs", "use bitchat_proto::rest;"),
            ("protocol/src/session.rs", "use bitchat_proto::limits::TEXT_BYTES_MAX;"),
            ("protocol/src/session.rs", "#[cfg(test)] mod tests { use bitchat_proto::wire; }"),
            ("node/src/network/link.rs", "use bitchat_proto::{limits, stream};"),
        ] {
            assert_eq!(generated(path, text), Vec::<String>::new(), "{path}: {text}");
        }
    }
}
