//! Messages and delivery marks for people.
//!
//! ```text
//!   2026-11-24 08:20:03Z  bob (9f3a-21bc ✓)  see you at nine
//!                         │ second line
//! ```
//!
//! Name and text come from a peer and are cleaned here; fingerprint and mark are ours. The time is
//! that of our clock wherever we have one.

use crate::client::{Delivery, Message};
use crate::output::{Colour, Paint, mark, stamp};
use crate::sanitise;

/// In place of a text that there is not. The mark in front is no character that a text begins with.
const UNREADABLE: [&str; 2] = [
    "⟨a message of a newer version, which this one cannot show⟩",
    "<a message of a newer version, which this one cannot show>",
];

/// How a text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    /// Cleaned.
    Clean,
    /// As it came (`--raw`).
    Raw,
}

/// A message from the inbox.
pub(crate) fn received(message: &Message, text: Text, paint: Paint) -> String {
    let time = stamp(message.received_ms.unwrap_or(message.sent_ms));
    let who = person(message, paint);
    let body = if message.unreadable {
        paint.on(Colour::Dim, paint.either(UNREADABLE[0], UNREADABLE[1]))
    } else {
        body(&message.text, text, paint)
    };
    format!(
        "{}{}  {who}  {body}{}",
        gap(message, paint),
        paint.on(Colour::Dim, &time),
        late(message)
    )
}

/// A message of a conversation, ours or theirs.
pub(crate) fn conversation(message: &Message, text: Text, paint: Paint) -> String {
    if !message.is_outgoing() {
        return received(message, text, paint);
    }
    let state = message.state.as_deref().unwrap_or("queued");
    let time = paint.on(Colour::Dim, &stamp(message.sent_ms));
    format!("{time}  me {}  {}", mark(state, paint), body(&message.text, text, paint))
}

/// Where a message is, for people.
pub(crate) fn delivery(delivery: &Delivery, paint: Paint) -> String {
    let evidence = delivery.evidence.as_deref().unwrap_or_default();
    let evidence =
        if evidence.is_empty() { String::new() } else { format!(": {}", sanitise::line(evidence)) };
    let mark = mark(&delivery.state, paint);
    let word = match delivery.state.as_str() {
        // These marks say their word already.
        "read" | "expired" | "undeliverable" | "rejected" => String::new(),
        other => format!(" {}", sanitise::line(other)),
    };
    let id = sanitise::line(&delivery.id);
    format!("{mark}{word}  {id}  to {}{evidence}", sanitise::name(&delivery.to))
}

fn person(message: &Message, paint: Paint) -> String {
    let name = sanitise::name(&message.from);
    let fingerprint = sanitise::line(&message.fingerprint);
    if message.verified {
        format!("{name} ({fingerprint} {})", paint.on(Colour::Green, paint.either("✓", "verified")))
    } else {
        format!("{name} ({fingerprint})")
    }
}

fn body(raw: &str, text: Text, paint: Paint) -> String {
    match text {
        Text::Raw => raw.to_owned(),
        // Begins each further line, so that no text can pass for a line of its own.
        Text::Clean => sanitise::text(raw).replace('\n', paint.either("\n  │ ", "\n  | ")),
    }
}

fn gap(message: &Message, paint: Paint) -> String {
    match message.gap {
        0 => String::new(),
        missing => format!("  {} {missing} missing\n", paint.either("…", "...")),
    }
}

const fn late(message: &Message) -> &'static str {
    if message.late { "  (late)" } else { "" }
}
