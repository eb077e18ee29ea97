//! Signs what our own code would never sign.

use bitchat_proto::wire;
use bitchat_protocol::crypto::{Label, Secret, SigningSecret};
use bitchat_protocol::prekey::Prekeys;
use bitchat_protocol::time::UnixMillis;
use prost::Message;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// An account and a device whose secrets we hold, without the checks of the real ones.
pub(crate) struct Forger {
    pub(crate) account: SigningSecret,
    pub(crate) device: SigningSecret,
}

impl Forger {
    pub(crate) fn new() -> Self {
        let key = |byte| SigningSecret::from_seed(Secret::take(&mut [byte; 32]));
        Self { account: key(1), device: key(2) }
    }

    pub(crate) fn certificate(&self) -> wire::Certificate {
        self.certify(wire::Certificate {
            account: self.account.public().to_vec(),
            device: self.device.public().to_vec(),
            identity_dh: vec![3; 32],
            number: 0,
            generation: 1,
            created_ms: NOW.0,
            signature: Vec::new(),
        })
    }

    /// The signed layout of docs/SPEC.md, written a second time.
    pub(crate) fn certify(&self, mut certificate: wire::Certificate) -> wire::Certificate {
        let mut bytes = Vec::new();
        bytes.extend(&certificate.account);
        bytes.extend(&certificate.device);
        bytes.extend(&certificate.identity_dh);
        bytes.extend(certificate.number.to_be_bytes());
        bytes.extend(certificate.generation.to_be_bytes());
        bytes.extend(certificate.created_ms.to_be_bytes());
        certificate.signature = self.account.sign(Label::DeviceCertificate, &bytes).to_vec();
        certificate
    }

    pub(crate) fn record(&self) -> wire::ContactRecord {
        let prekeys = Prekeys::generate(&mut ChaCha20Rng::seed_from_u64(0), NOW);
        wire::ContactRecord {
            certificate: Some(self.certificate()),
            signed_prekey_id: 1,
            signed_prekey: vec![4; 32],
            kem_prekey_id: 1,
            kem_prekey: prekeys.kem().secret().public().as_bytes().to_vec(),
            addresses: Vec::new(),
            created_ms: NOW.0,
            expires_ms: NOW.0 + 1,
            sequence: 1,
            mailboxes: Vec::new(),
        }
    }

    pub(crate) fn sign(&self, record: &wire::ContactRecord) -> Vec<u8> {
        let record = record.encode_to_vec();
        let signature = self.device.sign(Label::ContactRecord, &record).to_vec();
        wire::SignedRecord { record, signature }.encode_to_vec()
    }
}
