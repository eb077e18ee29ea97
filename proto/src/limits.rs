//! Bounds that both sides of a link agree on; a reader refuses before it allocates.
//!
//! See docs/SPEC.md, section "Limits".

/// Bytes of one text, UTF-8. Longer ones are files.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one frame on a message stream, without its length. A text, its padding and an
/// initial message with certificate, KEM ciphertext and record fit twice over.
pub const FRAME_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a signed contact record.
pub const RECORD_BYTES_MAX: usize = 8 * 1024;

/// Characters of an invitation link.
pub const LINK_CHARS_MAX: usize = 16 * 1024;

/// Addresses in a record or an invitation.
pub const ADDRESSES_MAX: usize = 16;

/// Bytes of one address.
pub const ADDRESS_BYTES_MAX: usize = 256;

/// Bytes of a nickname, UTF-8, and of a petname.
pub const NAME_BYTES_MAX: usize = 64;

/// Message ids in one receipt: more than a sender may have outstanding in a session.
pub const RECEIPT_IDS_MAX: usize = 2_048;

/// Message ids that one message says could not be opened.
pub const UNREADABLE_IDS_MAX: usize = 64;

/// Parents of a message.
pub const PARENTS_MAX: usize = 3;

/// Bytes of one sealed envelope. Seals travel alone or in a file, so that a reader of either needs
/// no more room than a link does.
pub const SEAL_BYTES_MAX: usize = FRAME_BYTES_MAX;
