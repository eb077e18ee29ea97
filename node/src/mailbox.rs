//! Mailboxes kept for others: a thread and a store of its own.
//!
//! ```text
//!   network ──frame──> driver ──door──> keeper: Host ──batch──> committer of <home>/mailbox
//!      ^                                   │  ^
//!      └──────── answers, after the flush ─┘  └── veils: questions to other nodes
//! ```
//!
//! # Invariants
//!
//! - Nothing here waits for the engine, and the engine for nothing here: a full door is told busy.
//! - What the host withholds until a batch is durable goes after that batch's proof. After a failed
//!   commit the host is dropped with all it withheld and built anew from the disk.
//! - While the disk has no room, nothing is taken that would write; fetching goes on.
//!
//! # What this module does not do
//!
//! It decides nothing about queues: `bitchat_protocol::mailbox::host` does. Its store is no part of a
//! backup: who lost a node asks its owners, who keep what is not receipted.

mod counted;
mod keeper;
mod room;

pub use keeper::{Ends, Factory, Keeper};
