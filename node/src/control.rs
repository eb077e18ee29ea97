//! The local control API over a Unix socket.

pub mod handle;

pub use handle::{Handle, NodeStatus, OutboxStatus, PeerStatus, Request, Warning};
