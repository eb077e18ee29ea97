//! PQXDH between two devices: agreement, known answer, and the attacks of the literature.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "support/forge.rs"]
mod forge;
#[path = "handshake/one_time.rs"]
mod one_time;

use std::sync::LazyLock;

use bitchat_proto::wire;
use bitchat_protocol::crypto::digest;
use bitchat_protocol::error::{Error, Malformed};
use bitchat_protocol::handshake::{Accepted, Initiated, accept, initiate};
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::invitation::ContactRecord;
use bitchat_protocol::prekey::{OneTimeKeys, OneTimeSecrets, Prekeys, RETENTION, ROTATION};
use proptest::prelude::*;
use prost::Message;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use forge::{Forger, NOW};

/// Without one-time keys.
const NO_KEYS: OneTimeKeys = OneTimeKeys { x25519: None, ml_kem: None };
const NO_SECRETS: OneTimeSecrets = OneTimeSecrets { x25519: None, ml_kem: None };

/// Canonical points of low order: 1, p - 1 and the two of order 8.
const LOW_ORDER: [&str; 4] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
];

#[test]
fn both_sides_derive_the_same_session() {
    let (alice, bob) = (Party::new(1), Party::new(2));

    let initiated = alice.initiate(&bob, 3);
    let accepted = bob.accept(&initiated.initial).expect("accepted");

    assert_eq!(initiated.session, accepted.session);
    assert_eq!(initiated.associated, accepted.associated);
    assert_eq!(initiated.keys.root, accepted.keys.root);
    assert_eq!(initiated.keys.header_initiator, accepted.keys.header_initiator);
    assert_eq!(initiated.keys.header_responder, accepted.keys.header_responder);
    assert_eq!(&initiated.peer, bob.identity.certificate());
    assert_eq!(&accepted.peer, alice.identity.certificate());
    assert_eq!(initiated.their_prekey, accepted.our_prekey.public());
}

/// A change of any of these numbers is a change of the protocol.
#[test]
fn the_handshake_matches_its_known_answer() {
    let (alice, bob) = (Party::new(1), Party::new(2));

    let initiated = alice.initiate(&bob, 3);

    assert_eq!(
        hex(&digest(&bob.record)),
        "b2114621a8bf0777cf81d2ca680007e412734ec14a4e4b1056135ef4ded333f5"
    );
    assert_eq!(
        hex(&digest(&initiated.initial.encode_to_vec())),
        "5ee7084d0ea064be332fe3e45aa00010bb46e974e3975bc425a6fd432bbcde75"
    );
    assert_eq!(hex(&initiated.session.0), "753af86ffe739add");
    assert_eq!(
        hex(&initiated.associated[196..]),
        "922dd702b74280dbd09783abc0e4e1ebf8d45297c5c595656d09a34d53588f18"
    );
    assert_eq!(
        hex(initiated.keys.root.expose()),
        "8dc1bbace5052b48dd851f85240eca54318d1d567cd1c838fb6a2ddd97927306"
    );
    assert_eq!(
        hex(initiated.keys.header_initiator.expose()),
        "a32541df8a47004239b43d35c5588f376eb52ffda1f127ef29c4e60bf2489c6d"
    );
    assert_eq!(
        hex(initiated.keys.header_responder.expose()),
        "d565dcde4719ede360d05ea8f214c2adce80c8b7de8d65d4e4659473daa78883"
    );
}

#[test]
fn two_handshakes_with_one_record_share_nothing() {
    let (alice, bob) = (Party::new(1), Party::new(2));

    let (first, second) = (alice.initiate(&bob, 3), alice.initiate(&bob, 4));

    assert_ne!(first.session, second.session);
    assert_ne!(first.keys.root, second.keys.root);
}

#[test]
fn a_record_works_until_its_prekeys_are_forgotten() {
    let (alice, mut bob) = (Party::new(1), Party::new(2));
    let initial = alice.initiate(&bob, 3).initial;
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let replaced = NOW.plus(ROTATION);

    bob.prekeys.rotate(&mut rng, replaced);
    assert!(bob.accept(&initial).is_ok());

    bob.prekeys.rotate(&mut rng, replaced.plus(RETENTION));
    assert!(matches!(bob.accept(&initial), Err(Error::Spent)));
}

#[test]
fn a_repeated_initial_message_is_recognised_and_another_is_not_mistaken_for_it() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let replay = |initial| bob.accept(initial).expect("accepted").replay;
    let (first, second) = (alice.initiate(&bob, 3).initial, alice.initiate(&bob, 4).initial);
    // Whatever an attacker changes beside ephemeral and prekeys does not make it a new message.
    let mut changed = first.clone();
    changed.record_sequence += 1;

    assert_eq!(replay(&first), replay(&changed));
    assert_ne!(replay(&first), replay(&second));
}

#[test]
fn suite_downgrade_is_refused() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    for suite in [0, 2, u32::MAX] {
        let initial = wire::Initial { suite, ..alice.initiate(&bob, 3).initial };

        let refused = bob.accept(&initial);

        assert!(matches!(refused, Err(Error::Malformed(Malformed("handshake suite")))));
    }
}

#[test]
fn a_handshake_without_kem_is_refused() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let initial = wire::Initial { kem_ciphertext: Vec::new(), ..alice.initiate(&bob, 3).initial };

    assert!(bob.accept(&initial).is_err());
}

#[test]
fn reflection_is_refused() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let initial = alice.initiate(&bob, 3).initial;

    let reflected = alice.accept(&initial);
    let to_ourselves = initiate(&alice.identity, &alice.record(), &NO_KEYS, &mut rng(3));

    assert!(matches!(reflected, Err(Error::NotAuthentic("handshake with ourselves"))));
    assert!(matches!(to_ourselves, Err(Error::NotAuthentic("handshake with ourselves"))));
}

/// Mallory certifies Alice's device as his own and passes her message on: Bob believes that he talks
/// to Mallory, Alice knows that she talks to Bob. They must not share keys.
#[test]
fn an_unknown_key_share_at_the_initiator_gives_other_keys() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let initiated = alice.initiate(&bob, 3);
    let stolen = account(4).certify(alice.identity.device(), 0, NOW.0, NOW);
    let certificate = stolen.to_wire().encode_to_vec();
    let initial = wire::Initial { certificate, ..initiated.initial.clone() };

    let accepted = bob.accept(&initial).expect("a valid certificate");

    assert_shares_nothing(&initiated, &accepted);
}

/// The same with the roles changed: Bob's device under a second account.
#[test]
fn an_unknown_key_share_at_the_responder_gives_other_keys() {
    let (alice, mut bob) = (Party::new(1), Party::new(2));
    let stolen = account(4).certify(bob.identity.device(), 0, NOW.0, NOW);
    let stolen = Identity::new(device(2), stolen).expect("the same device");
    let record = ContactRecord::issue(&stolen, &mut bob.prekeys, &[], NOW).expect("issued");
    let record = ContactRecord::verify(&record, NOW).expect("valid");
    let initiated = initiate(&alice.identity, &record, &NO_KEYS, &mut rng(3)).expect("initiated");

    let accepted = bob.accept(&initiated.initial).expect("accepted");

    assert_shares_nothing(&initiated, &accepted);
}

#[test]
fn an_older_certificate_of_the_same_device_gives_other_keys() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let initiated = alice.initiate(&bob, 3);
    let older = account(1).certify(alice.identity.device(), 0, NOW.0 - 1, NOW);
    let certificate = older.to_wire().encode_to_vec();
    let initial = wire::Initial { certificate, ..initiated.initial.clone() };

    let accepted = bob.accept(&initial).expect("a valid certificate");

    assert_shares_nothing(&initiated, &accepted);
}

#[test]
fn a_low_order_or_non_canonical_point_in_an_initial_message_is_refused() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let initial = alice.initiate(&bob, 3).initial;
    let mut not_canonical = vec![0xFF; 32];
    not_canonical[31] = 0x7F;
    for point in LOW_ORDER.map(unhex).into_iter().chain([vec![0; 32], not_canonical]) {
        let forged = forge_certificate(&point).encode_to_vec();
        let ephemeral = wire::Initial { ephemeral: point, ..initial.clone() };
        let identity = wire::Initial { certificate: forged, ..initial.clone() };

        assert!(bob.accept(&ephemeral).is_err());
        assert!(bob.accept(&identity).is_err());
    }
}

#[test]
fn a_low_order_point_in_a_record_is_refused() {
    let alice = Party::new(1);
    let start = |identity_dh: &[u8], prekey: &[u8]| {
        let record = ContactRecord::parse(&forge_record(identity_dh, prekey))?;
        initiate(&alice.identity, &record, &NO_KEYS, &mut rng(3))
    };

    assert!(start(&[7; 32], &[9; 32]).is_ok(), "the forgery is good but for the point");
    for point in LOW_ORDER.map(unhex) {
        assert!(matches!(start(&point, &[9; 32]), Err(Error::NotAuthentic(_))));
        assert!(matches!(start(&[7; 32], &point), Err(Error::NotAuthentic(_))));
    }
}

#[test]
fn an_identity_key_as_ephemeral_is_refused() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let ephemeral = alice.identity.device().dh().public().as_bytes().to_vec();
    let initial = wire::Initial { ephemeral, ..alice.initiate(&bob, 3).initial };

    let refused = bob.accept(&initial);

    assert!(matches!(refused, Err(Error::NotAuthentic("one key for two purposes"))));
}

#[test]
fn another_kem_ciphertext_or_key_gives_other_keys() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let initiated = alice.initiate(&bob, 3);
    let (ciphertext, _) = bob.prekeys.kem().secret().public().encapsulate(&mut rng(5));
    let kem_ciphertext = ciphertext.as_bytes().to_vec();
    let initial = wire::Initial { kem_ciphertext, ..initiated.initial.clone() };
    let mut record = bob.prekeys.to_record();
    record.kem = Party::new(6).prekeys.to_record().kem;
    let other_key = Prekeys::from_record(record).expect("well formed");

    let again = bob.accept(&initial).expect("accepted");
    let other =
        accept(&bob.identity, &other_key, &NO_SECRETS, &initiated.initial).expect("accepted");

    assert_shares_nothing(&initiated, &again);
    assert_shares_nothing(&initiated, &other);
}

#[test]
fn debug_shows_no_secret() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let initiated = alice.initiate(&bob, 3);
    let accepted = bob.accept(&initiated.initial).expect("accepted");

    let text = format!("{initiated:?} {accepted:?} {:?} {:?}", bob.identity, bob.prekeys);

    for secret in [&initiated.keys.root, &initiated.keys.header_initiator] {
        assert!(!text.contains(&format!("{:?}", secret.expose())[1..20]));
    }
    assert!(!text.contains(&format!("{:?}", bob.prekeys.signed().secret().secret().expose())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    /// A flipped bit of an initial message is refused or leads to keys that open nothing.
    #[test]
    fn a_flipped_bit_of_an_initial_message_never_gives_a_key_of_the_session(
        bit in any::<prop::sample::Index>(),
    ) {
        let (initiated, bob) = &*STARTED;
        let mut bytes = initiated.initial.encode_to_vec();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let Ok(initial) = wire::Initial::decode(bytes.as_slice()) else { return Ok(()) };
        if let Ok(accepted) = bob.accept(&initial) {
            prop_assert!(!share_a_key(initiated, &accepted), "bit {bit}");
        }
    }

    #[test]
    fn an_arbitrary_initial_message_never_panics(
        fields in prop::array::uniform3(prop::collection::vec(any::<u8>(), 0..40)),
        ids in prop::array::uniform4(0u32..3),
        suite in 0u32..3,
    ) {
        let (_, bob) = &*STARTED;
        let [certificate, ephemeral, kem_ciphertext] = fields;
        let [signed_prekey, kem_prekey, ..] = ids;
        let initial = wire::Initial {
            suite, certificate, ephemeral, signed_prekey, kem_prekey, kem_ciphertext, record_sequence: 1,
            one_time_prekey: ids[2], one_time_kem_prekey: ids[3],
        };

        prop_assert!(bob.accept(&initial).is_err());
    }
}

/// One handshake for all cases of a property.
static STARTED: LazyLock<(Initiated, Party)> = LazyLock::new(|| {
    let (alice, bob) = (Party::new(1), Party::new(2));
    (alice.initiate(&bob, 3), bob)
});

struct Party {
    identity: Identity,
    prekeys: Prekeys,
    record: Vec<u8>,
}

impl Party {
    fn new(seed: u64) -> Self {
        let device = device(seed);
        let certificate = account(seed).certify(&device, 0, NOW.0, NOW);
        let identity = Identity::new(device, certificate).expect("its own certificate");
        let mut prekeys = Prekeys::generate(&mut rng(seed + 200), NOW);
        let record = ContactRecord::issue(&identity, &mut prekeys, &[], NOW).expect("issued");
        Self { identity, prekeys, record }
    }

    fn accept(&self, initial: &wire::Initial) -> Result<Accepted, Error> {
        accept(&self.identity, &self.prekeys, &NO_SECRETS, initial)
    }

    fn record(&self) -> ContactRecord {
        ContactRecord::verify(&self.record, NOW).expect("valid")
    }

    fn initiate(&self, peer: &Self, seed: u64) -> Initiated {
        let keys = &NO_KEYS;
        initiate(&self.identity, &peer.record(), keys, &mut rng(seed)).expect("a good record")
    }
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn account(seed: u64) -> Account {
    Account::from_phrase(&Phrase::generate(&mut rng(seed)).expect("32 bytes"))
}

fn device(seed: u64) -> Device {
    Device::random(&mut rng(seed + 100))
}

fn share_a_key(initiated: &Initiated, accepted: &Accepted) -> bool {
    let (ours, theirs) = (&initiated.keys, &accepted.keys);
    ours.root == theirs.root
        || ours.header_initiator == theirs.header_initiator
        || ours.header_responder == theirs.header_responder
}

fn assert_shares_nothing(initiated: &Initiated, accepted: &Accepted) {
    assert!(!share_a_key(initiated, accepted));
    assert_ne!(initiated.associated, accepted.associated);
    assert_ne!(initiated.session, accepted.session);
}

/// A good record but for these points.
fn forge_record(identity_dh: &[u8], prekey: &[u8]) -> Vec<u8> {
    let forger = Forger::new();
    forger.sign(&wire::ContactRecord {
        certificate: Some(forge_certificate(identity_dh)),
        signed_prekey: prekey.to_vec(),
        ..forger.record()
    })
}

fn forge_certificate(identity_dh: &[u8]) -> wire::Certificate {
    let forger = Forger::new();
    let identity_dh = identity_dh.to_vec();
    forger.certify(wire::Certificate { identity_dh, ..forger.certificate() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}
