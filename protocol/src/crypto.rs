//! The primitives, each behind a type that cannot be misused: labels, checks and zeroing built in.
//!
//! Nothing outside this module names a cryptographic crate. See docs/SPEC.md, section "Primitives".

mod aead;
mod age;
mod dh;
mod hmac;
mod kdf;
mod kem;
#[cfg(any(test, feature = "test-hooks"))]
mod ledger;
mod provider;
mod secret;
mod sign;
mod wiped;

pub use aead::{
    BODY_TAG_BYTES, HEADER_NONCE_BYTES, open_body, open_header, open_once, seal_body, seal_header,
    seal_once,
};
pub use age::{
    AgeError, AgeHeader, AgeOpener, AgeSealer, CHUNK_BYTES, CHUNK_TAG_BYTES, HEADER_BYTES_MAX,
    PAYLOAD_NONCE_BYTES, WORK, WORK_MAX,
};
pub use dh::{DhPublic, DhSecret};
pub use kdf::{ChainWalk, Transcript, chain_step, digest, expand};
pub use kem::{
    ByteArray, Ciphertext, DecapsulationKey, EncapsulationKey, KemCiphertext, KemPublic, KemSecret,
    MlKem768, MlKem1024, ParameterSet,
};
#[cfg(any(test, feature = "test-hooks"))]
pub use ledger::Ledger;
pub use provider::Provider;
pub use secret::Secret;
pub use sign::{Label, Signature, SigningSecret, verify};
pub use wiped::{wiped, wipes_itself};
