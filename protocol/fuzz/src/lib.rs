//! What each fuzz target does with arbitrary bytes; a panic is a find.
//!
//! The targets and `protocol/tests/corpora.rs` share these functions, so that every find is replayed
//! by an ordinary test. Each holds for *all* bytes: no panic, what parses survives encoding, what is
//! refused changes nothing.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is a find"
)]
#![allow(unreachable_pub, reason = "a module of the replaying test as well")]

mod codec;
#[path = "../../tests/support/forge.rs"]
mod forge;
mod keys;
mod network;
mod opening;
mod rest;
mod sealed;
mod seeds;
mod stream;

pub use codec::{
    certificate, contact_record, content, frame, ids, invitation_link, one_time_prekeys,
};
pub use network::hostile_network;
pub use opening::{handshake_accept, ratchet_open};
pub use rest::{backup, ratchet_record, rows, session_record};
pub use sealed::sealed;
pub use seeds::seeds;
pub use stream::link_stream;

/// What a target does with its bytes.
pub type Body = fn(&[u8]);

/// Every target: the name is that of its file and of its folder of the corpus.
pub const TARGETS: [(&str, Body); 16] = [
    ("backup", backup),
    ("certificate", certificate),
    ("contact_record", contact_record),
    ("content", content),
    ("frame", frame),
    ("handshake_accept", handshake_accept),
    ("hostile_network", hostile_network),
    ("ids", ids),
    ("invitation_link", invitation_link),
    ("link_stream", link_stream),
    ("one_time_prekeys", one_time_prekeys),
    ("ratchet_open", ratchet_open),
    ("ratchet_record", ratchet_record),
    ("rows", rows),
    ("sealed", sealed),
    ("session_record", session_record),
];
