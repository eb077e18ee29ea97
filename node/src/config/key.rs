//! Every key: name, kind, default, and what it does. The example file is made from this.

use std::fmt::Write;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Flag,
    /// A whole number, 0 or more.
    Number,
    /// A text.
    Text,
    /// A list of texts; in the environment and in flags separated by commas.
    List,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `section.key`
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Its default, as it stands in the file.
    pub default: &'static str,
    /// What it does.
    pub help: &'static str,
}

/// Every key there is, by section.
pub const KEYS: &[Key] = &[
    Key {
        name: "network.listen",
        kind: Kind::List,
        default: r#"["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"]"#,
        help: "Multiaddresses to listen on; port 0 takes a free one. For IPv6 add /ip6/::/tcp/0.",
    },
    Key {
        name: "network.bootstrap",
        kind: Kind::List,
        default: "[]",
        help: "Peers to dial at the start, each with /p2p/PEER at its end.",
    },
    Key {
        name: "network.external",
        kind: Kind::List,
        default: "[]",
        help: "Multiaddresses at which others reach this node although it cannot see that itself.",
    },
    Key {
        name: "network.mdns",
        kind: Kind::Flag,
        default: "true",
        help: "Look for contacts on the local network. Shows the device id to everybody there.",
    },
    Key {
        name: "metrics.listen",
        kind: Kind::Text,
        default: r#""127.0.0.1:9464""#,
        help: "Where /livez, /readyz and /metrics are served: a loopback address, or off.",
    },
    Key {
        name: "log.level",
        kind: Kind::Text,
        default: r#""info""#,
        help: "error, warn, info, debug, trace, or directives such as info,libp2p=warn.",
    },
    Key {
        name: "log.format",
        kind: Kind::Text,
        default: r#""pretty""#,
        help: "pretty for people, json for machines.",
    },
    Key {
        name: "limits.connections",
        kind: Kind::Number,
        default: "512",
        help: "Links to peers at once.",
    },
    Key {
        name: "limits.connections_per_peer",
        kind: Kind::Number,
        default: "4",
        help: "Links to one peer at once.",
    },
    Key {
        name: "limits.prefix_connections",
        kind: Kind::Number,
        default: "20",
        help: "Inbound connections a second from one IPv4 address or one IPv6 /64; bursts of 5 s.",
    },
    Key {
        name: "limits.contact_messages",
        kind: Kind::Number,
        default: "20000",
        help: "KiB, or smaller messages, a second from one contact; bursts of 3 s.",
    },
    Key {
        name: "limits.stranger_handshakes",
        kind: Kind::Number,
        default: "10",
        help: "Sessions a second that all devices together may start that are no contacts.",
    },
    Key {
        name: "breaker.failures",
        kind: Kind::Number,
        default: "5",
        help: "Failures in a row with a peer after which it is left alone.",
    },
    Key {
        name: "breaker.open_seconds",
        kind: Kind::Number,
        default: "60",
        help: "For how long the first time; doubles while it goes on failing.",
    },
    Key {
        name: "breaker.open_seconds_max",
        kind: Kind::Number,
        default: "900",
        help: "What that doubles up to, before up to 20 % more at random.",
    },
    Key {
        name: "breaker.probes",
        kind: Kind::Number,
        default: "3",
        help: "Attempts let through then, and successes after which all is as before.",
    },
    Key {
        name: "privacy.read_receipts",
        kind: Kind::Flag,
        default: "false",
        help: "Tell senders that their messages were read; `contact receipts` says so for one contact.",
    },
    Key {
        name: "mailbox.enabled",
        kind: Kind::Flag,
        default: "false",
        help: "Keep sealed messages for others until they fetch them.",
    },
    Key {
        name: "mailbox.access",
        kind: Kind::List,
        default: "[]",
        help: "Words that let somebody rent a mailbox here; none: anybody who does the work.",
    },
    Key {
        name: "mailbox.rentals_max",
        kind: Kind::Number,
        default: "1000",
        help: "Mailboxes that are rented out at once.",
    },
    Key {
        name: "mailbox.total_mib",
        kind: Kind::Number,
        default: "8192",
        help: "MiB that all mailboxes together may hold.",
    },
    Key {
        name: "mailbox.queue_mib",
        kind: Kind::Number,
        default: "64",
        help: "MiB that one mailbox may hold.",
    },
    Key {
        name: "mailbox.queue_envelopes",
        kind: Kind::Number,
        default: "10000",
        help: "Envelopes that one mailbox may hold.",
    },
    Key {
        name: "mailbox.keep_days",
        kind: Kind::Number,
        default: "30",
        help: "Days that an envelope is kept at most.",
    },
    Key {
        name: "mailbox.work_bits",
        kind: Kind::Number,
        default: "18",
        help: "Work that strangers do for a deposit or a rental; each one more doubles it.",
    },
    Key {
        name: "worker.enabled",
        kind: Kind::Flag,
        default: "false",
        help: "Run tasks for others. Not available in this version.",
    },
    Key {
        name: "relay.enabled",
        kind: Kind::Flag,
        default: "false",
        help: "Pass traffic on for others. Not available in this version.",
    },
];

/// Switches of parts that this version does not have: `true` is refused.
pub(super) const ABSENT: &[&str] = &["worker.enabled", "relay.enabled"];

/// Keys that hold at once when the settings are read again, beside the whole of `[breaker]`.
const LIVE: &[&str] = &["log.level", "limits.contact_messages", "limits.stranger_handshakes"];

/// Whether a key holds at once when the settings are read again.
pub(super) fn is_live(name: &str) -> bool {
    name.starts_with("breaker.") || LIVE.contains(&name)
}

/// Words that name secrets: a key with one of them is refused with the way out.
const SECRET: &[&str] = &["passphrase", "password", "secret", "token", "phrase", "seed"];

/// The key of a name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether a name asks for something that must not stand in a file or in the environment.
pub(super) fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // The path of a secret is none.
    !name.ends_with("_file") && SECRET.iter().any(|word| name.contains(word))
}

/// The known name that is closest to a wrong one.
pub(super) fn nearest(wrong: &str) -> &'static str {
    let names = KEYS.iter().map(|key| key.name);
    names.min_by_key(|name| distance(wrong, name)).unwrap_or_default()
}

/// Levenshtein's distance in bytes.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = i; // Of the row above.
        let mut before = i + 1;
        if let Some(first) = row.first_mut() {
            *first = before;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(right.bytes()) {
            let above = *cell;
            let replaced = diagonal + usize::from(a != b);
            before = replaced.min(above + 1).min(before + 1);
            diagonal = above;
            *cell = before;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// See [`super::Config::example`].
pub(super) fn example() -> String {
    let mut text = String::from(
        "# Every key of BitChat with its default. Made from the program; a test compares.\n\
         # Flags win over the environment (BITCHAT_SECTION__KEY), which wins over this file.\n\
         # Secrets do not belong here: see --passphrase-file.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (head, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if head != section {
            section = head;
            let _ = write!(text, "\n[{section}]\n");
        }
        let _ = writeln!(text, "# {}\n# {name} = {}", key.help, key.default);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }

    #[test]
    fn no_key_of_ours_sounds_like_a_secret() {
        assert!(KEYS.iter().all(|key| !is_secret(key.name)));
    }
}
