//! The double ratchet with header encryption.

use crate::crypto::Secret;

/// What the handshake gives to the ratchet.
#[derive(Debug)]
pub struct InitialKeys {
    /// First root key.
    pub root: Secret<32>,
    /// Header key of the initiator's first chain.
    pub header_initiator: Secret<32>,
    /// Header key of the responder's first chain.
    pub header_responder: Secret<32>,
}
