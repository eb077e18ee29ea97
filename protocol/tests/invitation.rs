//! Invitation links and their short form, seen from outside.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bitchat_proto::{limits, wire};
use bitchat_protocol::crypto::digest;
use bitchat_protocol::id::{AccountId, DeviceId, InvitationToken};
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::invitation::{ContactRecord, Invitation, Target};
use bitchat_protocol::prekey::Prekeys;
use bitchat_protocol::time::UnixMillis;
use proptest::prelude::*;
use prost::Message;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

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

/// Each of these decodes to a good invitation, yet is not what we would print.
#[test]
fn a_second_spelling_of_a_link_is_refused() {
    // The sum at the end is right, so that what is refused is the spelling.
    let parse = |bytes: &[u8]| {
        let summed = [bytes, &digest(bytes)[..4]].concat();
        Invitation::parse_link(&format!("bitchat:{}", URL_SAFE_NO_PAD.encode(summed)))
    };
    let wire = wire::Invitation { token: vec![9; 16], record: vec![1], ..Default::default() };
    let both_forms = wire::Invitation { account: vec![1; 32], ..wire.clone() }.encode_to_vec();
    let good = wire.encode_to_vec();
    let unknown_field = [good.as_slice(), &[15 << 3, 1]].concat();
    let written_default = [good.as_slice(), &[2 << 3, 0]].concat();
    let twice = [good.as_slice(), good.as_slice()].concat();

    assert!(parse(&good).is_ok());
    for spelling in [both_forms, unknown_field, written_default, twice] {
        assert!(parse(&spelling).is_err());
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

    /// Whatever the text, what is accepted is printed again.
    #[test]
    fn a_malformed_link_never_panics(text in ".{0,200}", base64 in "[A-Za-z0-9_-]{0,200}") {
        for text in [text.clone(), format!("bitchat:{text}"), format!("bitchat:{base64}")] {
            if let Ok(invitation) = Invitation::parse_link(&text) {
                prop_assert_eq!(invitation.to_link(), text.trim());
            }
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
}

fn identity(seed: u64) -> Identity {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let account = Account::from_phrase(&Phrase::generate(&mut rng).expect("32 bytes"));
    let device = Device::random(&mut rng);
    let certificate = account.certify(&device, 0, NOW.0, NOW);
    Identity::new(device, certificate).expect("its own certificate")
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
