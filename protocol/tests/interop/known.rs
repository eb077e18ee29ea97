//! The lines of `known-answers.txt` as this implementation derives them.
//!
//! The parties are those of `tests/handshake.rs`, the conversation that of the ratchet's vectors.

use std::fmt::Display;

use bitchat_proto::prost::Message;
use bitchat_protocol::crypto::{DhSecret, KemSecret, Secret, digest};
use bitchat_protocol::envelope::{Body, Content, Envelope, Frame};
use bitchat_protocol::handshake::{Accepted, accept, initiate};
use bitchat_protocol::id::{AccountId, InvitationToken, MessageId, SessionId};
use bitchat_protocol::identity::{Account, Device, Identity, Phrase, safety_number};
use bitchat_protocol::invitation::{ContactRecord, Invitation, Target};
use bitchat_protocol::prekey::{ONE_TIME_VALIDITY, OneTimeKeys, OneTimeSecrets, Prekeys};
use bitchat_protocol::ratchet::{InitialKeys, Ratchet, Sealed};
use bitchat_protocol::session::pad;
use bitchat_protocol::time::UnixMillis;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::offer::{encode_offer, offer};
use crate::side::{NOW, Side};

const TOKEN: InvitationToken = InvitationToken([9; 16]);
const EXPIRES: UnixMillis = UnixMillis(NOW.0 + 1);
const NICKNAME: &str = "Bob";
const ADDRESS: &str = "/ip4/192.0.2.1/udp/4001/quic-v1";
const ASSOCIATED: &str = "initiator, responder";

pub(crate) fn lines() -> Vec<String> {
    let mut lines = Lines(Vec::new());
    lines.input("created", NOW.0);
    let (alice, bob) = (Party::new(1), Party::new(2));
    lines.party("alice", &alice);
    lines.party("bob", &bob);
    let accounts = (alice.identity.account(), bob.identity.account());
    lines.answer("safety-number", safety_number(&accounts.0, &accounts.1));
    lines.pinned_elsewhere();
    lines.invitations(&bob);
    lines.handshake(&alice, &bob);
    lines.one_time(&alice, &bob);
    lines.conversation();
    lines.envelope();
    lines.0
}

struct Lines(Vec<String>);

struct Party {
    phrase: Phrase,
    identity: Identity,
    prekeys: Prekeys,
    record: Vec<u8>,
}

impl Party {
    fn new(seed: u64) -> Self {
        let phrase = Phrase::generate(&mut rng(seed)).expect("32 bytes");
        let device = Device::random(&mut rng(seed + 100));
        let certificate = Account::from_phrase(&phrase).certify(&device, 0, NOW.0, NOW);
        let identity = Identity::new(device, certificate).expect("its own certificate");
        let mut prekeys = Prekeys::generate(&mut rng(seed + 200), NOW);
        let record = ContactRecord::issue(&identity, &mut prekeys, &[], NOW).expect("issued");
        Self { phrase, identity, prekeys, record }
    }
}

impl Lines {
    fn input(&mut self, name: &str, value: impl Display) {
        self.0.push(format!("input {name} = {value}"));
    }

    fn answer(&mut self, name: &str, value: impl Display) {
        self.0.push(format!("answer {name} = {value}"));
    }

    fn party(&mut self, name: &str, party: &Party) {
        let Party { phrase, identity, prekeys, record } = party;
        let device = identity.device();
        self.input(&format!("{name}.phrase"), phrase.words().as_str());
        for (key, secret) in [
            ("device", device.signing().seed().expose().as_slice()),
            ("identity", device.dh().secret().expose()),
            ("prekey", prekeys.signed().secret().secret().expose()),
            ("kem", prekeys.kem().secret().seed().expose()),
        ] {
            self.input(&format!("{name}.{key}"), hex(secret));
        }
        let certificate = identity.certificate().to_wire();
        let mut signed = [certificate.account.clone(), certificate.device.clone()].concat();
        signed.extend(&certificate.identity_dh);
        signed.extend(certificate.number.to_be_bytes());
        signed.extend(certificate.generation.to_be_bytes());
        signed.extend(certificate.created_ms.to_be_bytes());
        self.answer(&format!("{name}.account"), identity.account());
        self.answer(&format!("{name}.fingerprint"), identity.account().fingerprint());
        self.answer(&format!("{name}.certificate-signed"), hex(&signed));
        self.answer(&format!("{name}.certificate"), hex(&certificate.encode_to_vec()));
        self.answer(&format!("{name}.record-sha256"), hex(&digest(record)));
        let (_, signature) = record.split_at(record.len() - 64);
        self.answer(&format!("{name}.record-signature"), hex(signature));
    }

    /// Those of `tests/identity.rs` and of the safety number's own test.
    fn pinned_elsewhere(&mut self) {
        let (low, high) = (AccountId([1; 32]), AccountId([2; 32]));
        self.answer("safety-number-of-01-and-02", safety_number(&low, &high));
        let zero = Phrase::from_entropy(Secret::take(&mut [0; 32])).expect("32 bytes");
        self.input("zero.phrase", zero.words().as_str());
        self.answer("zero.account", Account::from_phrase(&zero).id());
    }

    fn invitations(&mut self, bob: &Party) {
        self.input("token", hex(&TOKEN.0));
        self.input("expires", EXPIRES.0);
        self.input("nickname", NICKNAME);
        self.input("address", ADDRESS);
        let invitation = |target| {
            let (expires, nickname) = (Some(EXPIRES), NICKNAME.to_owned());
            Invitation { token: TOKEN, expires, nickname, target }.to_link()
        };
        let full = invitation(Target::Record(bob.record.clone()));
        let short = invitation(Target::Short {
            account: bob.identity.account(),
            device: bob.identity.device().id(),
            addresses: vec![ADDRESS.to_owned()],
        });
        self.answer("invitation-sha256", hex(&digest(full.as_bytes())));
        self.answer("invitation-short", short);
    }

    fn handshake(&mut self, alice: &Party, bob: &Party) {
        let mut random = rng(3);
        let secrets: [Secret<32>; 2] = [(); 2].map(|()| Secret::random(&mut random));
        self.input("ephemeral", hex(secrets[0].expose()));
        self.input("encapsulation", hex(secrets[1].expose()));
        let record = ContactRecord::verify(&bob.record, NOW).expect("valid");
        let initiated = initiate(&alice.identity, &record, &OneTimeKeys::default(), &mut rng(3))
            .expect("a good record");
        let accepted =
            accept(&bob.identity, &bob.prekeys, &OneTimeSecrets::default(), &initiated.initial)
                .expect("accepted");
        let Accepted { session, associated, keys, replay, .. } = accepted;
        let (_, transcript) = associated.split_at(associated.len() - 32);
        self.answer("initial-sha256", hex(&digest(&initiated.initial.encode_to_vec())));
        self.answer("transcript", hex(transcript));
        self.answer("session", hex(&session.0));
        self.answer("associated", hex(&associated));
        self.answer("root", hex(keys.root.expose()));
        self.answer("header-initiator", hex(keys.header_initiator.expose()));
        self.answer("header-responder", hex(keys.header_responder.expose()));
        self.answer("replay", hex(&replay));
    }

    /// The same handshake on one-time keys, which Bob's device has offered.
    fn one_time(&mut self, alice: &Party, bob: &Party) {
        let secrets = OneTimeSecrets {
            x25519: Some((5, DhSecret::from_secret(Secret::take(&mut [5; 32])))),
            ml_kem: Some((6, KemSecret::from_seed(Secret::take(&mut [6; 64])))),
        };
        let expires = NOW.plus(ONE_TIME_VALIDITY);
        self.input("one-time.id", 5);
        self.input("one-time.x25519", hex(&[5; 32]));
        self.input("one-time.kem-id", 6);
        self.input("one-time.ml-kem", hex(&[6; 64]));
        self.input("one-time.expires", expires.0);
        let offer = offer(&bob.identity, &secrets);
        self.answer("one-time.offer-sha256", hex(&digest(&encode_offer(offer.clone()))));

        let keys = offer.verify(&bob.identity.device().id(), NOW).expect("his own keys");
        let record = ContactRecord::verify(&bob.record, NOW).expect("valid");
        let initial = initiate(&alice.identity, &record, &keys, &mut rng(3)).expect("good").initial;
        let accepted = accept(&bob.identity, &bob.prekeys, &secrets, &initial).expect("accepted");
        self.answer("one-time.initial-sha256", hex(&digest(&initial.encode_to_vec())));
        self.answer("one-time.session", hex(&accepted.session.0));
        self.answer("one-time.root", hex(accepted.keys.root.expose()));
        self.answer("one-time.replay", hex(&accepted.replay));
    }

    /// What a ratchet message says, padded as the ratchet takes it, and the frame that carries one.
    fn envelope(&mut self) {
        let texts = ["hello".to_owned(), "é".repeat(500)];
        for (number, text) in (1..).zip(texts) {
            let content = Content {
                lamport: 9,
                sequence: 2,
                parents: vec![MessageId([3; 16])],
                sent: NOW,
                introduction: None,
                body: Body::Text(text),
            };
            let bytes = content.encode();
            self.answer(&format!("content-{number}-sha256"), hex(&digest(&bytes)));
            let padded = pad(&bytes);
            self.answer(&format!("content-{number}-padded-bytes"), padded.len());
            self.answer(&format!("content-{number}-padded-sha256"), hex(&digest(&padded)));
        }
        let sealed = Sealed { header: vec![4; 80], body: vec![5; 272] };
        let (session, message, initial) = (SessionId([1; 8]), MessageId([2; 16]), None);
        let frame = Frame::Envelope(Envelope { session, message, initial, sealed }).encode();
        self.answer("frame", hex(&frame));
    }

    /// Three turns, a KEM exchange and a message that was overtaken.
    fn conversation(&mut self) {
        let mut random = rng(1);
        let prekey = DhSecret::random(&mut random);
        for (byte, name) in (1..).zip(["root", "header-initiator", "header-responder"]) {
            self.input(&format!("ratchet.{name}"), hex(&[byte; 32]));
        }
        self.input("ratchet.prekey", hex(prekey.secret().expose()));
        self.input("ratchet.associated", ASSOCIATED);
        let alice = Ratchet::initiator(keys(), prekey.public(), &mut random).expect("a good key");
        let mut alice = Side::new(alice, 2);
        let mut bob = Side::new(Ratchet::responder(keys(), prekey), 3);
        let mut ratchet_keys = vec![alice.ratchet.to_record().dh_secret];

        let first = alice.seal(ASSOCIATED.as_bytes(), b"first");
        opens(&mut bob, &first, b"first");
        ratchet_keys.push(bob.ratchet.to_record().dh_secret);
        let late = bob.seal(ASSOCIATED.as_bytes(), b"late");
        let answer = bob.seal(ASSOCIATED.as_bytes(), b"answer");
        // Her turn draws its ratchet key, then the randomness of the encapsulation.
        let mut draws = alice.rng.clone();
        let [_, encapsulation] = [(); 2].map(|()| Secret::<32>::random(&mut draws));
        self.input("ratchet.encapsulation", hex(encapsulation.expose()));
        self.input("ratchet.kem-seed", hex(&bob.ratchet.to_record().kem_seed));
        opens(&mut alice, &answer, b"answer");
        ratchet_keys.push(alice.ratchet.to_record().dh_secret);
        let second = alice.seal(ASSOCIATED.as_bytes(), b"second");
        opens(&mut bob, &second, b"second");
        opens(&mut alice, &late, b"late");

        for (number, key) in (1..).zip(ratchet_keys) {
            self.input(&format!("ratchet.key-{number}"), hex(&key));
        }
        for (number, sealed) in (1..).zip([first, late, answer, second]) {
            self.input(&format!("ratchet.nonce-{number}"), hex(&sealed.header[..24]));
            self.answer(&format!("ratchet.header-{number}-sha256"), hex(&digest(&sealed.header)));
            self.answer(&format!("ratchet.body-{number}"), hex(&sealed.body));
        }
    }
}

fn opens(side: &mut Side, sealed: &Sealed, text: &[u8]) {
    assert_eq!(side.open(ASSOCIATED.as_bytes(), sealed).expect("opens"), text);
}

fn keys() -> InitialKeys {
    let key = |byte| Secret::take(&mut [byte; 32]);
    InitialKeys { root: key(1), header_initiator: key(2), header_responder: key(3) }
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
