//! Virtual-time simulator of many shipping engines.
//!
//! ```text
//!   World { nodes: Engine + Disk, links, clock, faults } --step--> events in virtual time
//! ```
//!
//! The engines are the ones that ship; only the clock, the disk, the links and the randomness are
//! models. Same seed, same run: [`World::hash`] covers every byte that crosses a link or reaches a
//! disk.

mod disk;
mod scenario;
mod world;

pub use disk::Disk;
pub use scenario::{Outcome, two, two_at_once};
pub use world::{Faults, Keeping, MailboxId, NodeId, Owner, World};
