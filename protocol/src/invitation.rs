//! Contact records and the invitations that carry them.
//!
//! ```text
//!   ContactRecord = certificate, prekeys, addresses, times, sequence     signed by the device
//!   Invitation    = token, expiry, nickname, record                      "bitchat:..." (link)
//!   short form    = token, expiry, nickname, account, device, addresses  "bitchat:..." (QR code)
//! ```
//!
//! A record is public and proves itself. An invitation is not: its token admits a stranger once he
//! shows it, so a link is for the eyes of the person it is given to.
//!
//! See docs/SPEC.md, section "Invitations".

mod issued;
mod link;
mod record;

use bitchat_proto::limits::{ADDRESS_BYTES_MAX, ADDRESSES_MAX};

pub use issued::Issued;
pub use link::{Invitation, Target};
pub use record::{ContactRecord, RECORD_VALIDITY, RecordMailbox};

use crate::error::Malformed;

/// Whether each address looks like a multiaddress and all stay inside the limits. The characters
/// are restricted because addresses end up in terminals and logs.
///
/// # Errors
///
/// [`Malformed`] if one does not, or they are too many.
pub(crate) fn check_addresses(addresses: &[String]) -> Result<(), Malformed> {
    let all_good = addresses.len() <= ADDRESSES_MAX && addresses.iter().all(|a| is_address(a));
    all_good.then_some(()).ok_or(Malformed("addresses"))
}

/// Whether an address looks like a multiaddress.
pub(crate) fn is_address(address: &str) -> bool {
    address.starts_with('/')
        && address.len() <= ADDRESS_BYTES_MAX
        && address.bytes().all(|c| c.is_ascii_graphic())
}

/// Those of our own addresses that go into a record: well-formed, without repetition, loopback last
/// (it serves only profiles on the same machine), as many as a record holds.
#[must_use]
pub fn best_addresses(addresses: Vec<String>) -> Vec<String> {
    let is_loopback = |a: &String| a.starts_with("/ip4/127.") || a.starts_with("/ip6/::1/");
    let mut best: Vec<_> = addresses.into_iter().filter(|a| is_address(a)).collect();
    best.sort_by(|a, b| (is_loopback(a), a).cmp(&(is_loopback(b), b)));
    best.dedup();
    best.truncate(ADDRESSES_MAX);
    best
}
