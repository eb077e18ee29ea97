//! Phrases, certificates, contact records and invitation links, seen from outside.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bitchat_proto::{limits, rest, wire};
use bitchat_protocol::crypto::{DhPublic, Label, Secret, SigningSecret};
use bitchat_protocol::error::{Error, Malformed};
use bitchat_protocol::id::{AccountId, DeviceId, InvitationToken};
use bitchat_protocol::identity::{Account, Certificate, Device, Identity, Phrase};
use bitchat_protocol::invitation::{ContactRecord, Invitation, RECORD_VALIDITY, Target};
use bitchat_protocol::prekey::Prekeys;
use bitchat_protocol::time::UnixMillis;
use proptest::prelude::*;
use prost::Message;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Computed a second time by a Python program from RFC 8018, 5869 and 8032.
#[test]
fn the_account_of_a_phrase_never_changes() {
    let phrase = Phrase::from_entropy(Secret::take(&mut [0; 32])).expect("32 bytes");

    assert!(phrase.words().ends_with("abandon art"), "the vector of BIP-39");
    assert_eq!(
        Account::from_phrase(&phrase).id().to_string(),
        "bchat1tvnt6q8wnety020scw3xlkz8dcs4uwgene39p6zsn9zfxleuyv0qzvy3uc",
    );
}

#[test]
fn a_phrase_is_read_whatever_its_case_and_white_space() {
    let phrase = Phrase::generate(&mut ChaCha20Rng::seed_from_u64(1)).expect("32 bytes");
    let words = phrase.words();

    let typed = format!("\n\t{}  ", words.to_uppercase().replace(' ', " \u{a0}\r\n"));

    assert_eq!(Phrase::parse(&typed).expect("the same words").entropy(), phrase.entropy());
}

#[test]
fn a_changed_word_fails_the_checksum_or_gives_another_phrase() {
    const TRIALS: usize = 500;
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let list = bip39::Language::English.word_list();
    let mut accepted = 0;
    for trial in 0..TRIALS {
        let phrase = Phrase::generate(&mut rng).expect("32 bytes");
        let text = phrase.words();
        let mut words: Vec<&str> = text.split(' ').collect();
        let word = list[rng.next_u32() as usize % list.len()];
        if std::mem::replace(&mut words[trial % 24], word) == word {
            continue;
        }
        if let Ok(other) = Phrase::parse(&words.join(" ")) {
            accepted += 1;
            assert_ne!(other.entropy(), phrase.entropy());
        }
    }
    assert!(accepted < TRIALS / 64, "one in 256 passes by chance, {accepted} did");
}

#[test]
fn a_phrase_of_another_length_is_refused() {
    let twelve = "abandon ".repeat(11) + "about";

    assert!(Phrase::parse(&twelve).is_err());
    assert!(Phrase::parse("").is_err());
    assert!(Phrase::parse(&"abandon ".repeat(1_000)).is_err());
}

#[test]
fn an_identity_refuses_the_certificate_of_another_device() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let account = Account::from_phrase(&Phrase::generate(&mut rng).expect("32 bytes"));
    let (ours, other) = (Device::random(&mut rng), Device::random(&mut rng));

    let certificate = account.certify(&other, 0, 1, NOW);

    assert!(Identity::new(ours, certificate).is_err());
}

#[test]
fn every_flipped_bit_of_a_certificate_is_refused() {
    let bytes = identity(4).certificate().to_wire().encode_to_vec();

    assert!(Certificate::decode(&bytes).is_ok());
    for bit in 0..bytes.len() * 8 {
        assert!(Certificate::decode(&flip(&bytes, bit)).is_err(), "bit {bit}");
    }
}

#[test]
fn one_key_for_two_purposes_is_refused() {
    let forger = Forger::new();
    let mut own_device = forger.certificate();
    own_device.device = own_device.account.clone();
    let mut reused = forger.record();
    reused.signed_prekey = reused.certificate.as_ref().expect("set").identity_dh.clone();

    let certificate = Certificate::parse(&forger.certify(own_device));
    let record = ContactRecord::parse(&forger.sign(&reused));

    assert!(matches!(certificate, Err(Error::NotAuthentic("one key for two purposes"))));
    assert!(matches!(record, Err(Error::NotAuthentic("one key for two purposes"))));
}

#[test]
fn a_signature_for_one_purpose_is_worthless_for_another() {
    let forger = Forger::new();
    let record = forger.record().encode_to_vec();
    let signature = forger.device.sign(Label::DeviceCertificate, &record).to_vec();

    let signed = wire::SignedRecord { record, signature }.encode_to_vec();

    assert!(matches!(ContactRecord::parse(&signed), Err(Error::NotAuthentic(_))));
    assert!(ContactRecord::parse(&forger.sign(&forger.record())).is_ok(), "the right label");
}

#[test]
fn a_record_is_refused_if_its_certificate_is_for_another_device() {
    let forger = Forger::new();
    let mut record = forger.record();
    record.certificate = Some(identity(5).certificate().to_wire());

    assert!(matches!(ContactRecord::parse(&forger.sign(&record)), Err(Error::NotAuthentic(_))));
}

#[test]
fn every_flipped_bit_of_a_signed_record_is_refused() {
    let (bytes, _) = record(6);

    assert!(ContactRecord::verify(&bytes, NOW).is_ok());
    for bit in 0..bytes.len() * 8 {
        assert!(ContactRecord::verify(&flip(&bytes, bit), NOW).is_err(), "bit {bit}");
    }
}

#[test]
fn a_record_is_good_from_10_minutes_before_its_creation_until_its_expiry() {
    let (bytes, _) = record(7);
    let minutes = |count: u64| Duration::from_secs(60 * count);
    let early = |count: u64| UnixMillis(NOW.0 - minutes(count).as_millis() as u64);

    assert!(ContactRecord::verify(&bytes, early(10)).is_ok());
    assert!(matches!(ContactRecord::verify(&bytes, early(11)), Err(Error::Stale(_))));
    let end = NOW.plus(RECORD_VALIDITY);
    assert!(ContactRecord::verify(&bytes, UnixMillis(end.0 - 1)).is_ok());
    assert!(matches!(ContactRecord::verify(&bytes, end), Err(Error::Stale(_))));
}

#[test]
fn a_record_with_an_impossible_lifetime_is_refused() {
    let forger = Forger::new();
    let expiring = |expires: UnixMillis| {
        let record = wire::ContactRecord { expires_ms: expires.0, ..forger.record() };
        ContactRecord::parse(&forger.sign(&record))
    };

    assert!(expiring(NOW.plus(DAY * 60)).is_ok());
    assert!(matches!(expiring(NOW.plus(DAY * 61)), Err(Error::Malformed(_))));
    assert!(matches!(expiring(NOW), Err(Error::Malformed(_))));
    assert!(matches!(expiring(UnixMillis(0)), Err(Error::Malformed(_))));
}

#[test]
fn a_record_beyond_the_limits_is_refused() {
    let forger = Forger::new();
    let with = |addresses: Vec<String>| {
        ContactRecord::parse(&forger.sign(&wire::ContactRecord { addresses, ..forger.record() }))
    };
    let long = |bytes: usize| format!("/{}", "a".repeat(bytes - 1));

    assert!(with(vec![long(limits::ADDRESS_BYTES_MAX); limits::ADDRESSES_MAX]).is_ok());
    assert!(with(vec![long(limits::ADDRESS_BYTES_MAX + 1)]).is_err());
    assert!(with(vec![long(9); limits::ADDRESSES_MAX + 1]).is_err());
    assert!(with(vec!["/ip4/\u{1b}[31m".to_owned()]).is_err());
    assert!(with(vec![String::new()]).is_err());
    let huge = forger.sign(&wire::ContactRecord {
        kem_prekey: vec![0; limits::RECORD_BYTES_MAX],
        ..forger.record()
    });
    let refused = ContactRecord::parse(&huge);
    assert!(matches!(refused, Err(Error::Malformed(Malformed("contact record too long")))));
}

#[test]
fn zero_and_non_canonical_points_in_a_record_are_refused() {
    let forger = Forger::new();
    let mut not_reduced = [0xFF; 32];
    not_reduced[31] = 0x7F;
    for point in [[0; 32], not_reduced, [0xFF; 32]] {
        let record = wire::ContactRecord { signed_prekey: point.to_vec(), ..forger.record() };
        let mut certificate = forger.certificate();
        certificate.identity_dh = point.to_vec();

        assert!(ContactRecord::parse(&forger.sign(&record)).is_err());
        assert!(Certificate::parse(&forger.certify(certificate)).is_err());
    }
}

#[test]
fn a_record_supersedes_an_older_one_by_generation_and_sequence() {
    let forger = Forger::new();
    let with = |generation, sequence| {
        let certificate = wire::Certificate { generation, ..forger.certificate() };
        let certificate = Some(forger.certify(certificate));
        let record = wire::ContactRecord { certificate, sequence, ..forger.record() };
        ContactRecord::parse(&forger.sign(&record)).expect("valid")
    };

    assert!(with(1, 2).supersedes(&with(1, 1)));
    assert!(with(2, 1).supersedes(&with(1, 9)));
    assert!(!with(1, 9).supersedes(&with(2, 1)));
    assert!(!with(1, 1).supersedes(&with(1, 1)));
    assert!(!with(1, 1).supersedes(&with(1, 2)), "a rolled-back sequence");
}

#[test]
fn silent_key_replacement_by_a_record_is_refused() {
    let mut forger = Forger::new();
    let old = ContactRecord::parse(&forger.sign(&forger.record())).expect("valid");
    let next = |forger: &Forger, generation| {
        let certificate = wire::Certificate { generation, ..forger.certificate() };
        let certificate = Some(forger.certify(certificate));
        let record = wire::ContactRecord { certificate, sequence: 99, ..forger.record() };
        ContactRecord::parse(&forger.sign(&record)).expect("valid")
    };

    forger.device = SigningSecret::from_seed(Secret::take(&mut [77; 32]));
    assert!(!next(&forger, 1).supersedes(&old), "another device, same generation");
    assert!(next(&forger, 2).supersedes(&old), "a restored account");
    forger.account = SigningSecret::from_seed(Secret::take(&mut [78; 32]));
    assert!(!next(&forger, 2).supersedes(&old), "another account");
}

#[test]
fn each_record_of_a_device_has_a_higher_sequence() {
    let identity = identity(8);
    let mut prekeys = Prekeys::generate(&mut ChaCha20Rng::seed_from_u64(8), NOW);
    let mut issue = |now| {
        let bytes = ContactRecord::issue(&identity, &mut prekeys, &[], now).expect("issued");
        ContactRecord::parse(&bytes).expect("valid")
    };

    let first = issue(NOW);
    let same_clock = issue(NOW);
    let clock_set_back = issue(UnixMillis(5));

    assert!(same_clock.supersedes(&first));
    assert!(clock_set_back.supersedes(&same_clock));
}

#[test]
fn a_link_without_a_round_trip_is_refused() {
    let invitation = short(InvitationToken([9; 16]), None, "Ann", &["/ip4/127.0.0.1/tcp/1"]);
    let link = invitation.to_link();

    assert_eq!(Invitation::parse_link(&format!(" {link}\r\n")), Ok(invitation));
    assert!(Invitation::parse_link(&format!("\u{a0}{link}")).is_err());
    assert!(Invitation::parse_link(&link.to_uppercase()).is_err());
    assert!(Invitation::parse_link(&format!("{link}=")).is_err());
    assert!(Invitation::parse_link(&format!("{link}AAA")).is_err());
    assert!(Invitation::parse_link(link.trim_start_matches("bitchat:")).is_err());
    for end in 0..link.len() {
        assert!(Invitation::parse_link(&link[..end]).is_err());
    }
}

#[test]
fn a_link_beyond_the_limits_is_refused() {
    let parse = |invitation: Invitation| Invitation::parse_link(&invitation.to_link());
    let token = InvitationToken([9; 16]);

    assert!(parse(short(token, None, &"n".repeat(limits::NAME_BYTES_MAX), &[])).is_ok());
    assert!(parse(short(token, None, &"n".repeat(limits::NAME_BYTES_MAX + 1), &[])).is_err());
    assert!(parse(short(token, None, "line\nbreak", &[])).is_err());
    assert!(parse(short(token, None, "", &["/a"; limits::ADDRESSES_MAX + 1])).is_err());
    assert!(parse(short(token, None, "", &["no slash"])).is_err());
    let target = Target::Record(vec![1; limits::RECORD_BYTES_MAX + 1]);
    assert!(parse(Invitation { target, ..short(token, None, "", &[]) }).is_err());
    assert!(Invitation::parse_link(&"A".repeat(limits::LINK_CHARS_MAX + 1)).is_err());
}

#[test]
fn an_invitation_ends_at_its_expiry() {
    let token = InvitationToken([9; 16]);

    assert!(short(token, Some(NOW), "", &[]).is_expired(NOW));
    assert!(!short(token, Some(NOW), "", &[]).is_expired(UnixMillis(NOW.0 - 1)));
    assert!(!short(token, None, "", &[]).is_expired(UnixMillis(u64::MAX)));
}

#[test]
fn a_short_invitation_with_two_addresses_fits_a_qr_code() {
    let long = "/ip6/2001:db8:85a3:1111:2222:8a2e:370:7334/udp/65535/quic-v1".to_owned();
    let identity = identity(10);
    let mut prekeys = Prekeys::generate(&mut ChaCha20Rng::seed_from_u64(10), NOW);
    let addresses = vec![long.clone(); 5];
    let record = ContactRecord::issue(&identity, &mut prekeys, &addresses, NOW).expect("issued");
    let invitation = Invitation {
        token: InvitationToken([0xFF; 16]),
        expires: Some(UnixMillis(u64::MAX)),
        nickname: "n".repeat(limits::NAME_BYTES_MAX),
        target: Target::Record(record),
    };

    let short = invitation.to_short().expect("our own record");

    let (account, device) = (identity.account(), identity.device().id());
    let addresses = vec![long; 2];
    assert_eq!(short.target, Target::Short { account, device, addresses });
    let link = short.to_link();
    assert!(link.len() < 400, "{} characters", link.len());
    assert_eq!(Invitation::parse_link(&link), Ok(short));
}

proptest! {
    #[test]
    fn a_link_comes_back_as_it_was(
        token in any::<[u8; 16]>(),
        expires in prop::option::of(1u64..),
        nickname in "[^\\p{Cc}]{0,16}",
        target in target(),
    ) {
        let expires = expires.map(UnixMillis);
        let token = InvitationToken(token);
        let invitation = Invitation { token, expires, nickname, target };

        prop_assert_eq!(Invitation::parse_link(&invitation.to_link()), Ok(invitation));
    }

    #[test]
    fn a_record_comes_back_as_it_was(
        seed in any::<u64>(),
        addresses in prop::collection::vec("/[!-~]{0,60}", 0..=16),
        created in 0u64..=u64::MAX / 2,
    ) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (identity, now) = (identity(seed), UnixMillis(created));
        let mut prekeys = Prekeys::generate(&mut rng, now);

        let bytes = ContactRecord::issue(&identity, &mut prekeys, &addresses, now)?;
        let record = ContactRecord::verify(&bytes, now)?;

        prop_assert_eq!(record.certificate(), identity.certificate());
        prop_assert_eq!(record.signed_prekey().0, prekeys.signed().id());
        prop_assert_eq!(record.signed_prekey().1, prekeys.signed().secret().public());
        prop_assert_eq!(record.kem_prekey(), (prekeys.kem().id(), prekeys.kem().secret().public()));
        prop_assert_eq!(record.addresses(), addresses);
        prop_assert_eq!(record.created(), now);
        prop_assert_eq!(record.expires(), now.plus(RECORD_VALIDITY));
        prop_assert_eq!(record.sequence(), created.max(1));
    }

    /// No parser panics, and what a parser of text accepts it prints again.
    #[test]
    fn malformed_input_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
        let _ = Certificate::decode(&bytes);
        let _ = ContactRecord::parse(&bytes);
        let _ = Phrase::parse(&text);
        let _ = Invitation::parse_link(&text);
        let link = format!("bitchat:{text}");
        if let Ok(invitation) = Invitation::parse_link(&link) {
            prop_assert_eq!(invitation.to_link(), link.trim());
        }
        if let Ok(record) = rest::Prekeys::decode(bytes.as_slice()) {
            let _ = Prekeys::from_record(record);
        }
    }

    /// A damaged link is refused or is the canonical link of another invitation.
    #[test]
    fn a_damaged_link_is_no_second_spelling(at in any::<prop::sample::Index>(), with in "[ -~]") {
        let invitation = short(InvitationToken([9; 16]), Some(NOW), "Ann", &["/ip4/127.0.0.1/tcp/1"]);
        let mut link = invitation.to_link();
        let at = at.index(link.len());
        link.replace_range(at..=at, &with);

        if let Ok(parsed) = Invitation::parse_link(&link) {
            prop_assert_eq!(parsed.to_link(), link.trim());
        }
    }

    #[test]
    fn damaged_prekeys_at_rest_never_panic(bit in any::<prop::sample::Index>()) {
        let prekeys = Prekeys::generate(&mut ChaCha20Rng::seed_from_u64(11), NOW);
        let bytes = prekeys.to_record().encode_to_vec();
        let bytes = flip(&bytes, bit.index(bytes.len() * 8));
        if let Ok(record) = rest::Prekeys::decode(bytes.as_slice()) {
            let _ = Prekeys::from_record(record);
        }
    }
}

/// Signs what our own code would never sign.
struct Forger {
    account: SigningSecret,
    device: SigningSecret,
}

impl Forger {
    fn new() -> Self {
        let key = |byte| SigningSecret::from_seed(Secret::take(&mut [byte; 32]));
        Self { account: key(1), device: key(2) }
    }

    fn certificate(&self) -> wire::Certificate {
        self.certify(wire::Certificate {
            account: self.account.public().to_vec(),
            device: self.device.public().to_vec(),
            identity_dh: point(3),
            number: 0,
            generation: 1,
            created_ms: NOW.0,
            signature: Vec::new(),
        })
    }

    /// The signed layout of docs/SPEC.md, written a second time.
    fn certify(&self, mut certificate: wire::Certificate) -> wire::Certificate {
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

    fn record(&self) -> wire::ContactRecord {
        let prekeys = Prekeys::generate(&mut ChaCha20Rng::seed_from_u64(0), NOW);
        wire::ContactRecord {
            certificate: Some(self.certificate()),
            signed_prekey_id: 1,
            signed_prekey: point(4),
            kem_prekey_id: 1,
            kem_prekey: prekeys.kem().secret().public().as_bytes().to_vec(),
            addresses: Vec::new(),
            created_ms: NOW.0,
            expires_ms: NOW.plus(DAY).0,
            sequence: 1,
        }
    }

    fn sign(&self, record: &wire::ContactRecord) -> Vec<u8> {
        let record = record.encode_to_vec();
        let signature = self.device.sign(Label::ContactRecord, &record).to_vec();
        wire::SignedRecord { record, signature }.encode_to_vec()
    }
}

fn point(byte: u8) -> Vec<u8> {
    DhPublic::parse(&[byte; 32]).expect("canonical").as_bytes().to_vec()
}

fn identity(seed: u64) -> Identity {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let account = Account::from_phrase(&Phrase::generate(&mut rng).expect("32 bytes"));
    let device = Device::random(&mut rng);
    let certificate = account.certify(&device, 0, NOW.0, NOW);
    Identity::new(device, certificate).expect("its own certificate")
}

fn record(seed: u64) -> (Vec<u8>, Prekeys) {
    let mut prekeys = Prekeys::generate(&mut ChaCha20Rng::seed_from_u64(seed), NOW);
    let addresses = ["/ip4/127.0.0.1/tcp/4001".to_owned()];
    let bytes = ContactRecord::issue(&identity(seed), &mut prekeys, &addresses, NOW);
    (bytes.expect("issued"), prekeys)
}

fn short(
    token: InvitationToken,
    expires: Option<UnixMillis>,
    nickname: &str,
    addresses: &[&str],
) -> Invitation {
    let target = Target::Short {
        account: AccountId([1; 32]),
        device: DeviceId([2; 32]),
        addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
    };
    Invitation { token, expires, nickname: nickname.to_owned(), target }
}

fn target() -> impl Strategy<Value = Target> {
    let record = prop::collection::vec(any::<u8>(), 1..3_000).prop_map(Target::Record);
    let addresses = prop::collection::vec("/[!-~]{0,60}", 0..=limits::ADDRESSES_MAX);
    let short = (any::<[u8; 32]>(), any::<[u8; 32]>(), addresses).prop_map(
        |(account, device, addresses)| Target::Short {
            account: AccountId(account),
            device: DeviceId(device),
            addresses,
        },
    );
    prop_oneof![record, short]
}

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}
