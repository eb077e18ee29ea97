//! Phrases, certificates and contact records, seen from outside.
//!
//! `forge` signs what our own code would never sign.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

#[path = "support/forge.rs"]
mod forge;

use std::time::Duration;

use bitchat_proto::{limits, rest, wire};
use bitchat_protocol::crypto::{Label, Secret, SigningSecret};
use bitchat_protocol::error::{Error, Malformed};
use bitchat_protocol::identity::{Account, Certificate, Device, Identity, Phrase};
use bitchat_protocol::invitation::{ContactRecord, RECORD_VALIDITY};
use bitchat_protocol::prekey::Prekeys;
use bitchat_protocol::time::UnixMillis;
use proptest::prelude::*;
use prost::Message;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use forge::{Forger, NOW};

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

/// An unknown field, appended where no signature covers it, would make a second spelling.
#[test]
fn a_second_spelling_of_a_record_or_certificate_is_refused() {
    const UNKNOWN_FIELD: [u8; 2] = [15 << 3, 1];
    let certificate = identity(4).certificate().to_wire().encode_to_vec();
    let (record, _) = record(6);

    let refused = Certificate::decode(&[certificate.as_slice(), &UNKNOWN_FIELD].concat());
    assert!(matches!(refused, Err(Error::Malformed(_))));
    let refused = ContactRecord::parse(&[record.as_slice(), &UNKNOWN_FIELD].concat());
    assert!(matches!(refused, Err(Error::Malformed(_))));
}

#[test]
fn a_prekey_without_an_id_is_refused() {
    let forger = Forger::new();
    let signed = wire::ContactRecord { signed_prekey_id: 0, ..forger.record() };
    let kem = wire::ContactRecord { kem_prekey_id: 0, ..forger.record() };

    for record in [signed, kem] {
        assert!(matches!(ContactRecord::parse(&forger.sign(&record)), Err(Error::Malformed(_))));
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

proptest! {
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

    #[test]
    fn malformed_input_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in ".{0,200}") {
        let _ = Certificate::decode(&bytes);
        let _ = ContactRecord::parse(&bytes);
        let _ = Phrase::parse(&text);
        if let Ok(record) = rest::Prekeys::decode(bytes.as_slice()) {
            let _ = Prekeys::from_record(record);
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

fn flip(bytes: &[u8], bit: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped
}

#[test]
fn a_record_names_as_many_mailboxes_as_fit_in_best_first() {
    let long = |number: u8| format!("/dns/{}/tcp/{number}", "x".repeat(230));
    let addresses: Vec<_> = (0..16).map(long).collect();
    let mailboxes: Vec<_> = (1..=10)
        .map(|number| bitchat_protocol::invitation::RecordMailbox {
            device: bitchat_protocol::id::DeviceId([number; 32]),
            addresses: (0..4).map(long).collect(),
            request_tag: Some([number; 32]),
        })
        .collect();
    let (owner, mut prekeys) =
        (identity(7), Prekeys::generate(&mut ChaCha20Rng::seed_from_u64(7), NOW));
    let mut issue = |addresses: &[String]| {
        let places = (addresses, mailboxes.as_slice());
        let bytes = ContactRecord::issue_naming(&owner, &mut prekeys, places, NOW).expect("issued");
        let record = ContactRecord::verify(&bytes, NOW).expect("own record");
        record.mailboxes().to_vec()
    };

    let crowded = issue(&addresses);
    assert!((1..10).contains(&crowded.len()), "{}", crowded.len());
    assert!(crowded.iter().zip(&mailboxes).all(|(named, best)| named.device == best.device));
    let roomy = issue(&[]);
    assert_eq!(roomy.len(), 10);
    assert_eq!(roomy[0].request_tag, mailboxes[0].request_tag);
}
