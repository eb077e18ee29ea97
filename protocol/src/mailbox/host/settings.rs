//! What a node offers, and its numbers (docs/SPEC.md, section "Mailboxes").

use std::fmt::{self, Debug, Formatter};
use std::time::Duration;

use super::super::WORK_BITS;
use crate::crypto::SigningSecret;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A rental ends so long after its owner's last order.
pub const LAPSE: Duration = DAY.saturating_mul(60);

/// Envelopes under a request tag: strangers' room in a queue.
pub const REQUEST_ENVELOPES_MAX: u64 = 100;

/// Bytes under a request tag.
pub const REQUEST_BYTES_MAX: u64 = 1024 * 1024;

/// One tag gets that part of a queue at most.
pub(super) const TAG_SHARE: u64 = 4;

/// Tags of a queue: seven weeks for 500 contacts and some.
pub(super) const QUEUE_TAGS_MAX: u64 = 4_096;

/// A tag is let in so far ahead at most.
pub(super) const TAG_AHEAD_MAX: Duration = DAY.saturating_mul(63);

/// Seals whose hash is remembered after they were taken, for each envelope that a queue may hold.
pub(super) const TAKEN_SHARE: u64 = 10;

/// One-time prekeys of a kind that are kept for a queue.
pub(super) const PREKEYS_KEPT_MAX: u64 = 100;

/// Draws of one-time prekeys under one tag.
pub(super) const TAG_PREKEYS_MAX: u32 = 8;

/// Bytes of the seals of one page. One seal alone may be larger.
pub(super) const PAGE_BYTES_MAX: usize = 192 * 1024;

/// Envelopes of one page.
pub(super) const PAGE_ITEMS_MAX: usize = 256;

/// The longest that a fetch waits.
pub(super) const FETCH_WAIT_MAX: Duration = Duration::from_secs(60);

/// Fetches that wait, one for a queue.
pub(super) const FETCHES_MAX: usize = 4_096;

/// What an operator gives.
#[derive(Clone, PartialEq, Eq)]
pub struct HostSettings {
    /// Words that admit a new rental; none: work admits it.
    pub access: Vec<String>,
    /// Queues.
    pub rentals_max: usize,
    /// Bytes of the seals in a queue.
    pub queue_bytes_max: u64,
    /// Seals in a queue.
    pub queue_envelopes_max: u64,
    /// Bytes of all seals.
    pub bytes_max: u64,
    /// How long a seal is kept at most; 30 days are the longest that counts.
    pub keep_max: Duration,
    /// Zero bits for new rentals and request tags; at least [`WORK_BITS`] unless a test asks for less.
    pub work_bits: u32,
}

/// What a host is made of.
#[derive(Debug)]
pub struct HostSetup {
    /// The node's device: it signs custody.
    pub device: SigningSecret,
    /// What the operator gives.
    pub settings: HostSettings,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            access: Vec::new(),
            rentals_max: 1_000,
            queue_bytes_max: 64 * 1024 * 1024,
            queue_envelopes_max: 10_000,
            bytes_max: 8 * 1024 * 1024 * 1024,
            keep_max: DAY.saturating_mul(30),
            work_bits: WORK_BITS,
        }
    }
}

impl Debug for HostSettings {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostSettings")
            .field("access", &self.access.len())
            .field("rentals_max", &self.rentals_max)
            .field("queue_bytes_max", &self.queue_bytes_max)
            .field("queue_envelopes_max", &self.queue_envelopes_max)
            .field("bytes_max", &self.bytes_max)
            .field("keep_max", &self.keep_max)
            .field("work_bits", &self.work_bits)
            .finish()
    }
}
