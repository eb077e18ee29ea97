//! Two parties with a session: for the test of sessions at rest and for the bench of figures.

use std::hint::black_box;

use bitchat_protocol::crypto::{DhSecret, KemSecret, Secret};
use bitchat_protocol::handshake::{accept, initiate};
use bitchat_protocol::id::MessageId;
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::invitation::ContactRecord;
use bitchat_protocol::prekey::{
    Algorithm, Offer, OneTimeKeys, OneTimeSecrets, Prekeys, SignedPrekey,
};
use bitchat_protocol::ratchet::{SkippedAt, SkippedKeys};
use bitchat_protocol::session::{Peer, Session};
use bitchat_protocol::store::StoreError;
use bitchat_protocol::time::UnixMillis;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

const MESSAGE: MessageId = MessageId([5; 16]);
const TEXT: [u8; 64] = [7; 64];

/// Round trips after which the first KEM exchange of a session is over.
pub(crate) const SETTLED: u32 = 4;

/// No message is overtaken.
pub(crate) struct NoneSkipped;

impl SkippedKeys for NoneSkipped {
    fn get(&self, _: u32, _: u32) -> Result<Option<Secret<32>>, StoreError> {
        Ok(None)
    }

    fn oldest(&self, _: usize) -> Result<Vec<SkippedAt>, StoreError> {
        Ok(Vec::new())
    }
}

/// Alice, who has verified Bob's contact record, and Bob.
pub(crate) struct Pair {
    alice: Party,
    bob: Party,
    record: ContactRecord,
    rng: ChaCha20Rng,
}

struct Party {
    identity: Identity,
    prekeys: Prekeys,
}

impl Party {
    fn new(seed: u64) -> (Self, Vec<u8>) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let account = Account::from_phrase(&Phrase::generate(&mut rng).expect("a phrase"));
        let device = Device::random(&mut rng);
        let certificate = account.certify(&device, 0, 1, NOW);
        let identity = Identity::new(device, certificate).expect("certified");
        let mut prekeys = Prekeys::generate(&mut rng, NOW);
        let record = ContactRecord::issue(&identity, &mut prekeys, &[], NOW).expect("a record");
        (Self { identity, prekeys }, record)
    }

    fn as_peer(&self) -> Peer {
        Peer { account: self.identity.account(), device: self.identity.device().id() }
    }
}

impl Pair {
    pub(crate) fn new() -> Self {
        let ((alice, _), (bob, record)) = (Party::new(1), Party::new(2));
        let record = ContactRecord::verify(&record, NOW).expect("a good record");
        Self { alice, bob, record, rng: ChaCha20Rng::seed_from_u64(3) }
    }

    /// Alice and Bob, as the other knows them.
    #[allow(dead_code, reason = "the bench does not ask")]
    pub(crate) fn peers(&self) -> (Peer, Peer) {
        (self.alice.as_peer(), self.bob.as_peer())
    }

    /// Handshake with ML-KEM, both ratchets, one message there: Alice's session and Bob's.
    pub(crate) fn found(&mut self) -> (Session, Session) {
        self.found_on(&OneTimeKeys::default(), &OneTimeSecrets::default())
    }

    /// One-time prekeys of both kinds, as Bob hands them out, and their secrets.
    #[allow(dead_code, reason = "the test does not ask")]
    pub(crate) fn one_time(&mut self) -> (Offer, OneTimeSecrets) {
        let (x25519, ml_kem) = (DhSecret::random(&mut self.rng), KemSecret::random(&mut self.rng));
        let (device, expires) = (self.bob.identity.device(), UnixMillis(NOW.0 + 1));
        let issue =
            |algorithm, id, key: &[u8]| SignedPrekey::issue(device, algorithm, id, key, expires);
        let offer = Offer {
            x25519: Some(issue(Algorithm::X25519, 5, x25519.public().as_bytes())),
            ml_kem: Some(issue(Algorithm::MlKem1024, 6, ml_kem.public().as_bytes())),
        };
        (offer, OneTimeSecrets { x25519: Some((5, x25519)), ml_kem: Some((6, ml_kem)) })
    }

    /// What Alice takes of Bob's offer: two signatures to check.
    #[allow(dead_code, reason = "the test does not ask")]
    pub(crate) fn verified(&self, offer: &Offer) -> OneTimeKeys {
        offer.verify(&self.bob.identity.device().id(), NOW).expect("its own keys")
    }

    /// As [`Pair::found`], on one-time prekeys.
    pub(crate) fn found_on(
        &mut self,
        one_time: &OneTimeKeys,
        secrets: &OneTimeSecrets,
    ) -> (Session, Session) {
        let Self { alice, bob, record, rng } = self;
        let initiated =
            initiate(&alice.identity, black_box(record), one_time, rng).expect("a good record");
        let initial = initiated.initial.clone();
        let mut outbound =
            Session::initiated(initiated, bob.as_peer(), NOW, rng).expect("a good prekey");
        let sealed = outbound.seal(MESSAGE, &TEXT, NOW, rng).expect("may send");

        let accepted =
            accept(&bob.identity, &bob.prekeys, secrets, black_box(&initial)).expect("good");
        let mut inbound = Session::accepted(accepted, NOW);
        black_box(inbound.open(MESSAGE, &sealed, &NoneSkipped, NOW, rng).expect("the first"));
        (outbound, inbound)
    }

    /// One message.
    pub(crate) fn send(&mut self, from: &mut Session, to: &mut Session) {
        let sealed = from.seal(MESSAGE, &TEXT, NOW, &mut self.rng).expect("may send");
        to.open(MESSAGE, &sealed, &NoneSkipped, NOW, &mut self.rng).expect("in order");
    }

    /// Sessions that have talked until no KEM exchange is under way.
    pub(crate) fn settled(&mut self) -> (Session, Session) {
        let (mut alice, mut bob) = self.found();
        for _ in 0..SETTLED {
            self.send(&mut bob, &mut alice);
            self.send(&mut alice, &mut bob);
        }
        (alice, bob)
    }
}
