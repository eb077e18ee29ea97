//! Handshakes on one-time keys, and prekeys that nobody holds. Known answers: `protocol/interop`.

use bitchat_protocol::crypto::{DhSecret, KemSecret};
use bitchat_protocol::prekey::PrekeyUse;

use super::*;

/// Bob's one-time keys, and what Alice knows of them.
fn keys(seed: u64) -> (OneTimeKeys, OneTimeSecrets) {
    let mut rng = rng(seed);
    let (dh, kem) = (DhSecret::random(&mut rng), KemSecret::random(&mut rng));
    let public =
        OneTimeKeys { x25519: Some((7, dh.public())), ml_kem: Some((8, kem.public().clone())) };
    (public, OneTimeSecrets { x25519: Some((7, dh)), ml_kem: Some((8, kem)) })
}

fn start(alice: &Party, bob: &Party, keys: &OneTimeKeys) -> Initiated {
    initiate(&alice.identity, &bob.record(), keys, &mut rng(3)).expect("good keys")
}

fn answer(
    bob: &Party,
    secrets: &OneTimeSecrets,
    initial: &wire::Initial,
) -> Result<Accepted, Error> {
    accept(&bob.identity, &bob.prekeys, secrets, initial)
}

#[test]
fn both_sides_derive_the_same_session_with_any_choice_of_one_time_keys() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let ((all, secrets), mut sessions) = (keys(9), Vec::new());
    let choices = [
        (all.clone(), PrekeyUse::OneTime),
        (OneTimeKeys { ml_kem: None, ..all.clone() }, PrekeyUse::Partial),
        (OneTimeKeys { x25519: None, ..all }, PrekeyUse::Partial),
        (NO_KEYS, PrekeyUse::LastResort),
    ];
    for (keys, kind) in choices {
        let initiated = start(&alice, &bob, &keys);

        let accepted = answer(&bob, &secrets, &initiated.initial).expect("accepted");

        assert_eq!((initiated.prekeys, accepted.prekeys), (kind, kind));
        assert_eq!(initiated.associated, accepted.associated);
        assert_eq!(initiated.keys.root, accepted.keys.root);
        assert_eq!(initiated.keys.header_initiator, accepted.keys.header_initiator);
        sessions.push(initiated.session);
    }
    sessions.sort_unstable();
    sessions.dedup();
    assert_eq!(sessions.len(), 4);
}

#[test]
fn a_prekey_id_that_we_do_not_hold_is_spent() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let initial = alice.initiate(&bob, 3).initial;
    for id in [2, u32::MAX] {
        let signed = wire::Initial { signed_prekey: id, ..initial.clone() };
        let kem = wire::Initial { kem_prekey: id, ..initial.clone() };

        assert!(matches!(bob.accept(&signed), Err(Error::Spent)));
        assert!(matches!(bob.accept(&kem), Err(Error::Spent)));
    }
}

#[test]
fn a_one_time_key_that_we_do_not_hold_is_spent() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let (public, secrets) = keys(9);
    let initial = start(&alice, &bob, &public).initial;
    let is_spent = |secrets: &OneTimeSecrets, initial: &wire::Initial| {
        matches!(answer(&bob, secrets, initial), Err(Error::Spent))
    };

    assert!(is_spent(&NO_SECRETS, &initial));
    let other = wire::Initial { one_time_prekey: 8, ..initial.clone() };
    assert!(is_spent(&secrets, &other), "the id of the key of the other kind");
    let other = wire::Initial { one_time_kem_prekey: 7, ..initial };
    assert!(is_spent(&secrets, &other));
}

/// The last-resort key has the id 1 here, and so may a one-time key.
#[test]
fn the_id_of_a_one_time_key_never_names_a_last_resort_key() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let initial = start(&alice, &bob, &NO_KEYS).initial;
    let id = initial.kem_prekey;
    let once = wire::Initial { kem_prekey: 0, one_time_kem_prekey: id, ..initial.clone() };
    let both = wire::Initial { one_time_kem_prekey: id, ..initial.clone() };
    let neither = wire::Initial { kem_prekey: 0, ..initial };

    assert!(matches!(answer(&bob, &NO_SECRETS, &once), Err(Error::Spent)));
    for initial in [both, neither] {
        let refused = answer(&bob, &keys(9).1, &initial);
        assert!(matches!(refused, Err(Error::Malformed(Malformed("KEM prekey")))));
    }
}

/// Whoever strips the one-time keys from a message, or adds some, changes what it derives.
#[test]
fn a_message_whose_one_time_keys_were_stripped_gives_other_keys() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let (public, secrets) = keys(9);
    let initiated = start(&alice, &bob, &public);
    let without = wire::Initial { one_time_prekey: 0, ..initiated.initial.clone() };
    let last = wire::Initial { kem_prekey: 1, one_time_kem_prekey: 0, ..initiated.initial.clone() };

    for initial in [without, last] {
        let accepted = answer(&bob, &secrets, &initial).expect("keys that exist");
        assert_shares_nothing(&initiated, &accepted);
        let replay = answer(&bob, &secrets, &initiated.initial).expect("accepted").replay;
        assert_ne!(accepted.replay, replay);
    }
}

#[test]
fn a_one_time_key_that_has_another_purpose_is_refused() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    let record = bob.record();
    let dh = [record.signed_prekey().1, record.certificate().identity_dh()];
    let mut wrong: Vec<_> =
        dh.map(|key| OneTimeKeys { x25519: Some((7, key)), ml_kem: None }).into();
    let kem = record.kem_prekey().1.clone();
    wrong.push(OneTimeKeys { x25519: None, ml_kem: Some((7, kem)) });
    for keys in wrong {
        let refused = initiate(&alice.identity, &record, &keys, &mut rng(3));
        assert!(matches!(refused, Err(Error::NotAuthentic("one key for two purposes"))));
    }
}

#[test]
fn a_low_order_one_time_key_is_refused() {
    let (alice, bob) = (Party::new(1), Party::new(2));
    for point in LOW_ORDER.map(unhex) {
        let key = bitchat_protocol::crypto::DhPublic::parse(&point).expect("canonical");
        let keys = OneTimeKeys { x25519: Some((7, key)), ml_kem: None };
        let refused = initiate(&alice.identity, &bob.record(), &keys, &mut rng(3));
        assert!(matches!(refused, Err(Error::NotAuthentic(_))));
    }
}
