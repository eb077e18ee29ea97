//! Transcripts and keys of the two layers.
//!
//! ```text
//!   outer = HKDF(salt 00*32, ff*32 || DH(ephemeral, recipient), label || transcript)
//!   inner = HKDF(salt 00*32, ff*32 || DH(ephemeral, recipient) || DH(sender, recipient), label || transcript)
//! ```
//!
//! See docs/SPEC.md, section "Sealed envelopes".

use zeroize::Zeroizing;

use super::EPHEMERAL_BYTES;
use crate::crypto::{Secret, Transcript, expand};
use crate::identity::Certificate;

/// Version of the layout. Bound into every key and not visible in a seal.
const VERSION: u32 = 1;

const OUTER_LABEL: &[u8] = b"bitchat/1 seal outer";
const INNER_LABEL: &[u8] = b"bitchat/1 seal inner";

/// In a transcript, this byte goes before an X25519 key.
const EC: u8 = 1;

/// The layer that hides who sent.
pub(super) struct Outer {
    /// Binds the version, the recipient and the ephemeral key as it travels.
    pub(super) transcript: [u8; 32],
    /// Key and nonce.
    pub(super) key: Secret<44>,
}

/// The layer that proves who sent.
pub(super) struct Inner {
    /// Binds the outer layer and the certificate, plain and hidden.
    pub(super) transcript: [u8; 32],
    /// Key and nonce.
    pub(super) key: Secret<44>,
}

impl Outer {
    pub(super) fn new(
        recipient: &Certificate,
        ephemeral: &[u8; EPHEMERAL_BYTES],
        shared: &Secret<32>,
    ) -> Self {
        let identity = recipient.identity_dh();
        let mut transcript = Transcript::new(OUTER_LABEL);
        transcript.add("version", &VERSION.to_be_bytes());
        transcript.add("recipient account", &recipient.account().0);
        transcript.add("recipient device", &recipient.device().0);
        transcript.add("recipient identity", &[[EC].as_slice(), identity.as_bytes()].concat());
        transcript.add("ephemeral", ephemeral);
        let transcript = transcript.finish();
        Self { key: derive(OUTER_LABEL, &transcript, &[shared]), transcript }
    }
}

impl Inner {
    /// `certificate` is the sender's in its form of a fixed length, `hidden` the same sealed.
    pub(super) fn new(
        outer: &Outer,
        certificate: &[u8],
        hidden: &[u8],
        (shared, sender): (&Secret<32>, &Secret<32>),
    ) -> Self {
        let mut transcript = Transcript::new(INNER_LABEL);
        transcript.add("outer", &outer.transcript);
        transcript.add("sender certificate", certificate);
        transcript.add("hidden certificate", hidden);
        let transcript = transcript.finish();
        Self { key: derive(INNER_LABEL, &transcript, &[shared, sender]), transcript }
    }
}

fn derive(label: &[u8], transcript: &[u8; 32], shared: &[&Secret<32>]) -> Secret<44> {
    let mut input = Zeroizing::new(Vec::with_capacity(32 + 64));
    input.extend_from_slice(&[0xFF; 32]);
    shared.iter().for_each(|secret| input.extend_from_slice(secret.expose()));
    expand(&[0; 32], &input, &[label, transcript].concat())
}
