//! Parties with fixed keys.

use std::collections::BTreeMap;

use bitchat_protocol::crypto::{DhSecret, KemSecret, Secret};
use bitchat_protocol::handshake::{Initiated, initiate};
use bitchat_protocol::identity::{self, Account, Identity, Phrase};
use bitchat_protocol::invitation::ContactRecord;
use bitchat_protocol::prekey::{OneTimeKeys, OneTimeSecrets, Prekeys};
use bitchat_protocol::ratchet::{
    InitialKeys, Opened, Ratchet, SkippedAt, SkippedChange, SkippedKeys,
};
use bitchat_protocol::store::StoreError;
use bitchat_protocol::time::UnixMillis;
use prost::Message;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::forge::NOW;

/// Associated data of every message.
pub(super) const AD: &[u8] = b"alice, bob";

pub(super) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Skipped keys in memory.
#[derive(Default)]
pub(super) struct Rows(BTreeMap<(u32, u32), (Secret<32>, UnixMillis)>);

impl SkippedKeys for Rows {
    fn get(&self, chain: u32, number: u32) -> Result<Option<Secret<32>>, StoreError> {
        Ok(self.0.get(&(chain, number)).map(|(key, _)| key.duplicate()))
    }

    fn oldest(&self, limit: usize) -> Result<Vec<SkippedAt>, StoreError> {
        let rows = self.0.iter().take(limit);
        let at = rows.map(|(&(chain, number), &(_, created))| SkippedAt { chain, number, created });
        Ok(at.collect())
    }
}

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Writes what an open changed; a key is kept once and dropped once.
    pub(super) fn commit(&mut self, opened: Opened, now: UnixMillis) {
        for change in opened.changes {
            match change {
                SkippedChange::Keep { chain, number, key } => {
                    let before = self.0.insert((chain, number), (key, now));
                    assert!(before.is_none(), "a key is kept twice");
                }
                SkippedChange::Drop { chain, number } => {
                    let before = self.0.remove(&(chain, number));
                    assert!(before.is_some(), "a row that does not exist is dropped");
                }
            }
        }
    }
}

/// Initiator and responder of one fresh session.
pub(super) fn pair() -> (Ratchet, Ratchet) {
    let keys = || InitialKeys {
        root: Secret::take(&mut [1; 32]),
        header_initiator: Secret::take(&mut [2; 32]),
        header_responder: Secret::take(&mut [3; 32]),
    };
    let prekey = DhSecret::from_secret(Secret::take(&mut [4; 32]));
    let initiator = Ratchet::initiator(keys(), prekey.public(), &mut rng(0)).expect("good prekey");
    (initiator, Ratchet::responder(keys(), prekey))
}

/// One side of a session with closed chains and skipped keys in them and in the present one; its
/// rows; the other side.
pub(super) fn live() -> (Ratchet, Rows, Ratchet) {
    let (mut peer, mut ours) = pair();
    let (mut rows, mut peer_rows) = (Rows::default(), Rows::default());
    let (mut random, mut peer_random) = (rng(1), rng(2));
    for turn in 0..3 {
        for _ in 0..3 {
            peer.seal(&mut peer_random, AD, b"lost").expect("may send");
        }
        let sealed = peer.seal(&mut peer_random, AD, b"hello").expect("may send");
        let opened = ours.open(&mut random, &rows, AD, &sealed, NOW).expect("opens");
        rows.commit(opened, NOW);
        if turn < 2 {
            let sealed = ours.seal(&mut random, AD, b"answer").expect("may send");
            let opened = peer.open(&mut peer_random, &peer_rows, AD, &sealed, NOW).expect("opens");
            peer_rows.commit(opened, NOW);
        }
    }
    (ours, rows, peer)
}

/// A device that is ready for a handshake.
pub(super) struct Device {
    pub(super) identity: Identity,
    pub(super) prekeys: Prekeys,
    pub(super) record: Vec<u8>,
}

impl Device {
    pub(super) fn new(seed: u64) -> Self {
        let device = identity::Device::random(&mut rng(seed + 100));
        let certificate = account(seed).certify(&device, 0, 1, NOW);
        let identity = Identity::new(device, certificate).expect("its own certificate");
        let mut prekeys = Prekeys::generate(&mut rng(seed + 200), NOW);
        let addresses = ["/ip4/192.0.2.1/udp/4001/quic-v1".to_owned()];
        let record = ContactRecord::issue(&identity, &mut prekeys, &addresses, NOW);
        Self { identity, prekeys, record: record.expect("issued") }
    }

    pub(super) fn initiate(&self, peer: &Self, keys: &OneTimeKeys) -> Initiated {
        let record = ContactRecord::verify(&peer.record, NOW).expect("valid");
        initiate(&self.identity, &record, keys, &mut rng(3)).expect("a good record")
    }
}

/// One-time keys of a device.
pub(super) fn one_time(seed: u64) -> OneTimeSecrets {
    let mut rng = rng(seed + 300);
    OneTimeSecrets {
        x25519: Some((5, DhSecret::random(&mut rng))),
        ml_kem: Some((6, KemSecret::random(&mut rng))),
    }
}

/// An encoded certificate.
pub(super) fn certificate_of(seed: u64) -> Vec<u8> {
    let device = identity::Device::random(&mut rng(seed + 100));
    account(seed).certify(&device, 0, 1, NOW).to_wire().encode_to_vec()
}

fn account(seed: u64) -> Account {
    Account::from_phrase(&Phrase::generate(&mut rng(seed)).expect("32 bytes"))
}
