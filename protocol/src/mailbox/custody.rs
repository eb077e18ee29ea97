//! A custody receipt: a node's signed word that it keeps a seal, given after its flush.

use crate::crypto::{Label, Signature, SigningSecret, Transcript, digest, verify};
use crate::error::Error;
use crate::id::DeviceId;
use crate::time::UnixMillis;

/// Signed by the node's device: it keeps the seal with this hash until then, or until its owner took it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Custody {
    /// SHA-256 of the seal.
    pub seal_hash: [u8; 32],
    /// By the node's clock.
    pub until: UnixMillis,
    /// Of the node's device.
    pub signature: Signature,
}

fn encoding(seal_hash: &[u8; 32], until: UnixMillis) -> [u8; 32] {
    let mut transcript = Transcript::new(b"bitchat/1 mailbox custody");
    transcript.add("seal", seal_hash);
    transcript.add("until", &until.0.to_be_bytes());
    transcript.finish()
}

impl Custody {
    /// Gives the word. Only after the flush.
    #[must_use]
    pub fn sign(node: &SigningSecret, seal_hash: [u8; 32], until: UnixMillis) -> Self {
        let signature = node.sign(Label::MailboxCustody, &encoding(&seal_hash, until));
        Self { seal_hash, until, signature }
    }

    /// Whether it is the word of `node` for `seal`.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthentic`] if it is of another node or for another seal.
    pub fn verify(&self, node: DeviceId, seal: &[u8]) -> Result<(), Error> {
        self.verify_hash(node, &digest(seal))
    }

    /// As [`Custody::verify`], for a seal of which the hash is known.
    ///
    /// # Errors
    ///
    /// As [`Custody::verify`].
    pub fn verify_hash(&self, node: DeviceId, seal_hash: &[u8; 32]) -> Result<(), Error> {
        if *seal_hash != self.seal_hash {
            return Err(Error::NotAuthentic("custody of another seal"));
        }
        let text = encoding(&self.seal_hash, self.until);
        verify(&node.0, Label::MailboxCustody, &text, &self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;

    #[test]
    fn custody_holds_for_its_node_seal_and_time_only() {
        let key = SigningSecret::from_seed(Secret::take(&mut [1; 32]));
        let node = DeviceId(key.public());
        let custody = Custody::sign(&key, digest(b"seal"), UnixMillis(9));

        assert!(custody.verify(node, b"seal").is_ok());
        assert!(custody.verify(node, b"other").is_err());
        assert!(custody.verify(DeviceId([3; 32]), b"seal").is_err());
        let later = Custody { until: UnixMillis(10), ..custody };
        assert!(later.verify(node, b"seal").is_err());
    }
}
