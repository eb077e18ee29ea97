//! What a stranger or the peer itself can put before a live session.

use std::sync::LazyLock;

use bitchat_proto::{rest, wire};
use bitchat_protocol::crypto::{Secret, seal_header};
use bitchat_protocol::handshake::accept;
use bitchat_protocol::prekey::OneTimeSecrets;
use bitchat_protocol::ratchet::{EXTENSION_BYTES, Ratchet, SEALED_HEADER_BYTES, Sealed};
use prost::Message;

use super::forge::NOW;
use super::keys::{AD, Device, Rows, certificate_of, live, one_time, rng};

/// What the fuzzer writes first.
const HEADER: usize = SEALED_HEADER_BYTES;

/// A conversation in the middle: closed chains, skipped keys, both directions.
struct Live {
    ours: rest::Ratchet,
    rows: Rows,
    /// Seal what the peer alone can seal: its present chain, the next one.
    headers: [Secret<32>; 2],
}

static LIVE: LazyLock<Live> = LazyLock::new(|| {
    let (ours, rows, peer) = live();
    let peer = peer.to_record();
    let headers = [&peer.header_send, &peer.next_header_send];
    let headers = headers.map(|key| Secret::from_slice(key).expect("32 bytes"));
    Live { ours: ours.to_record(), rows, headers }
});

/// Arbitrary header and body, then the same bytes as a plain header that the peer has sealed. No
/// body holds, so nothing opens and nothing changes.
pub fn ratchet_open(bytes: &[u8]) {
    let (header, body) = bytes.split_at(HEADER.min(bytes.len()));
    refuse(&Sealed { header: header.to_vec(), body: body.to_vec() });

    let Some((&selector, plain)) = bytes.split_first() else {
        return;
    };
    let (plain, body) = plain.split_at(40.min(plain.len()));
    let mut plain = plain.to_vec();
    // An extended header: the body's first byte is the kind, its first kilobyte the key or ciphertext.
    if selector & 4 != 0 {
        plain.extend(body.iter().copied().chain(std::iter::repeat(0)).take(EXTENSION_BYTES));
    }
    // Counters of four free bytes are nearly always a jump too far: half of them stay below 2^16.
    if selector & 2 != 0 {
        plain.iter_mut().skip(32).step_by(4).for_each(|high| *high = 0);
        plain.iter_mut().skip(33).step_by(4).for_each(|high| *high = 0);
    }
    let key = &LIVE.headers[usize::from(selector & 1)];
    let nonce = [selector; 24];
    let text = seal_header(key, &nonce, AD, &plain).expect("short");
    refuse(&Sealed { header: [nonce.as_slice(), &text].concat(), body: body.to_vec() });
}

fn refuse(sealed: &Sealed) {
    let mut ratchet = Ratchet::from_record(LIVE.ours.clone()).expect("own record");
    let opened = ratchet.open(&mut rng(5), &LIVE.rows, AD, sealed, NOW);
    assert!(opened.is_err(), "a forged message has opened");
    assert!(ratchet.to_record() == LIVE.ours, "a failed open has changed the state");
}

static DEVICE: LazyLock<Device> = LazyLock::new(|| Device::new(2));

/// Handed out: the ids are 5 and 6.
static ONE_TIME: LazyLock<OneTimeSecrets> = LazyLock::new(|| one_time(2));

static STRANGER: LazyLock<Vec<u8>> = LazyLock::new(|| certificate_of(1));

/// The bytes as an `Initial`, as they are and with suite and certificate that hold.
pub fn handshake_accept(bytes: &[u8]) {
    let Ok(initial) = wire::Initial::decode(bytes) else {
        return;
    };
    let certificate = STRANGER.clone();
    for initial in [wire::Initial { certificate, suite: 1, ..initial.clone() }, initial] {
        let Ok(accepted) = accept(&DEVICE.identity, &DEVICE.prekeys, &ONE_TIME, &initial) else {
            continue;
        };
        let again = accept(&DEVICE.identity, &DEVICE.prekeys, &ONE_TIME, &initial)
            .expect("accepted before");
        assert_eq!((again.session, again.replay), (accepted.session, accepted.replay));
        assert_ne!(accepted.peer.account(), DEVICE.identity.account());
        let mut ratchet = Ratchet::responder(accepted.keys, accepted.our_prekey);
        let sealed = Sealed { header: vec![7; HEADER], body: vec![7; 32] };
        let rows = Rows::default();
        let opened = ratchet.open(&mut rng(5), &rows, &accepted.associated, &sealed, NOW);
        assert!(opened.is_err(), "an unproven peer is believed");
    }
}
