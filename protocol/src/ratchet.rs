//! The double ratchet with header encryption.
