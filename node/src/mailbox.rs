//! Mailboxes kept for others: a thread and a store of its own.
//!
//! ```text
//!   network ──frame──> driver ──door──> thread: Host ──batch──> committer of <home>/mailbox
//!      ^                                   │
//!      └──────── answers, after the flush ─┘
//! ```

mod door;

pub use door::{Door, is_ours};
