//! What mailboxes signed: that they keep a message, and until when.
//!
//! See docs/SPEC.md, section "Delivery".

use bitchat_proto::rest;

use crate::error::Malformed;
use crate::id::{DeviceId, exactly};
use crate::time::UnixMillis;

/// Receipts that are kept for a message: one for each replica.
pub const CUSTODY_MAX: usize = 5;

/// Different mailboxes that make a message `stored`, or as many as are rented if those are fewer.
pub const STORED_MIN: usize = 3;

/// Bytes of one receipt as it came.
pub const CUSTODY_BYTES_MAX: usize = 1_024;

/// One receipt. Whoever hands it in has verified it; the bytes let anybody do so again.
#[derive(Clone, PartialEq, Eq)]
pub struct CustodyReceipt {
    /// The mailbox's device.
    pub mailbox: DeviceId,
    /// SHA-256 of what it keeps.
    pub envelope: [u8; 32],
    /// Until when.
    pub until: UnixMillis,
    /// What the mailbox signed, with the signature.
    pub bytes: Vec<u8>,
    /// When it came.
    pub at: UnixMillis,
}

/// What became of a receipt that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is kept.
    Yes,
    /// One of this mailbox that lasts as long is kept already.
    Known,
    /// As many as may be kept are kept, or it is too long.
    NoRoom,
}

pub(super) fn keep(kept: &mut Vec<CustodyReceipt>, receipt: CustodyReceipt) -> Kept {
    if receipt.bytes.len() > CUSTODY_BYTES_MAX {
        return Kept::NoRoom;
    }
    let is_full = kept.len() >= CUSTODY_MAX;
    match kept.iter_mut().find(|known| known.mailbox == receipt.mailbox) {
        Some(known) if known.until >= receipt.until => Kept::Known,
        Some(known) => {
            *known = receipt;
            Kept::Yes
        }
        None if is_full => Kept::NoRoom,
        None => {
            kept.push(receipt);
            Kept::Yes
        }
    }
}

impl CustodyReceipt {
    pub(super) fn to_rest(&self) -> rest::Custody {
        rest::Custody {
            mailbox: self.mailbox.0.to_vec(),
            envelope: self.envelope.to_vec(),
            until_ms: self.until.0,
            receipt: self.bytes.clone(),
            at_ms: self.at.0,
        }
    }

    pub(super) fn from_rest(row: rest::Custody) -> Result<Self, Malformed> {
        Ok(Self {
            mailbox: exactly(&row.mailbox, "custody").map(DeviceId)?,
            envelope: exactly(&row.envelope, "custody")?,
            until: UnixMillis(row.until_ms),
            bytes: row.receipt,
            at: UnixMillis(row.at_ms),
        })
    }
}

impl std::fmt::Debug for CustodyReceipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CustodyReceipt({:?}, until {})", self.mailbox, self.until.0)
    }
}
