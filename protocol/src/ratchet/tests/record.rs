//! Records: nothing is lost, nothing wrong is believed.

use bitchat_proto::rest;
use proptest::prelude::*;

use super::*;
use crate::ratchet::{OLD_CHAINS_MAX, SKIPPED_KEYS_MAX, wipe};

/// A ratchet with an old chain (two keys) and three keys in the current one.
fn rich() -> (Peer, Peer) {
    let (mut alice, mut bob) = talking();
    alice.lose(2);
    bob.open(&alice.seal("text"), "text");
    alice.open(&bob.seal("turn"), "turn");
    alice.lose(3);
    bob.open(&alice.seal("text"), "text");
    (alice, bob)
}

#[test]
fn a_record_gives_the_same_ratchet_at_every_stage() {
    let (mut alice, mut bob) = pair();
    for peer in [&mut alice, &mut bob] {
        let record = peer.ratchet.to_record();
        peer.restart();
        assert!(record == peer.ratchet.to_record());
    }
    bob.open(&alice.seal("hello"), "hello");

    let (mut alice, mut bob) = rich();
    let record = bob.ratchet.to_record();
    bob.restart();

    assert!(record == bob.ratchet.to_record());
    assert_eq!((record.old.len(), record.skipped), (1, 5));
    bob.open(&alice.seal("text"), "text");
    alice.open(&bob.seal("turn"), "turn");
}

type Spoil = fn(&mut rest::Ratchet);

/// Each breaks one rule.
const WRONGS: [(&str, Spoil); 27] = [
    ("short root", |r| r.root.truncate(31)),
    ("long root", |r| r.root.push(0)),
    ("no root", |r| r.root.clear()),
    ("short dh secret", |r| r.dh_secret.truncate(1)),
    ("no dh remote", |r| r.dh_remote.clear()),
    ("zero dh remote", |r| r.dh_remote.fill(0)),
    ("non-canonical dh remote", |r| r.dh_remote.fill(0xFF)),
    ("no sending chain", |r| r.chain_send.clear()),
    ("no sending header", |r| r.header_send.clear()),
    ("no sending side", |r| {
        (r.chain_send, r.header_send, r.sent, r.previous) = (vec![], vec![], 0, 0);
    }),
    ("no receiving chain", |r| r.chain_receive.clear()),
    ("no receiving header", |r| r.header_receive.clear()),
    ("short next header to send", |r| r.next_header_send.truncate(31)),
    ("short next header to receive", |r| r.next_header_receive.truncate(31)),
    ("chain zero", |r| r.chain = 0),
    ("chain not above the old ones", |r| r.chain = r.old[0].chain),
    ("nothing received", |r| r.received = 0),
    ("more kept than received", |r| r.received = 3),
    ("old chain zero", |r| r.old[0].chain = 0),
    ("old chain with a short header", |r| r.old[0].header.truncate(31)),
    ("old chain without keys", |r| (r.old[0].kept, r.skipped) = (0, 3)),
    ("old chain with too many keys", |r| r.old[0].kept = u32::MAX),
    ("old chains out of order", |r| {
        let second = r.old[0].clone();
        (r.old, r.skipped) = (vec![r.old[0].clone(), second], r.skipped + 2);
    }),
    ("too many old chains", |r| {
        let header = r.old[0].header.clone();
        let count = u32::try_from(OLD_CHAINS_MAX).expect("small") + 1;
        let chain = |chain| rest::OldChain { chain, header: header.clone(), kept: 1 };
        (r.old, r.chain, r.skipped) = ((1..=count).map(chain).collect(), count + 1, count);
    }),
    ("fewer skipped than the old chains hold", |r| r.skipped = 1),
    ("too many skipped", |r| {
        (r.skipped, r.received) = (SKIPPED_KEYS_MAX + 1, SKIPPED_KEYS_MAX * 2);
    }),
    ("skipped beyond any count", |r| (r.skipped, r.received) = (u32::MAX, u32::MAX)),
];

#[test]
fn a_record_with_any_wrong_part_is_malformed() {
    let good = rich().1.ratchet.to_record();

    for (name, spoil) in WRONGS {
        let mut record = good.clone();
        spoil(&mut record);
        assert!(matches!(Ratchet::from_record(record), Err(Error::Malformed(_))), "{name}");
    }
}

#[test]
fn a_fresh_record_with_traces_of_use_is_malformed() {
    const TRACES: [Spoil; 6] = [
        |r| r.received = 1,
        |r| r.skipped = 1,
        |r| r.sent = 1,
        |r| r.previous = 1,
        |r| r.header_receive = vec![1; 32],
        |r| r.old.push(rest::OldChain { chain: 1, header: vec![1; 32], kept: 1 }),
    ];
    let fresh = pair().1.ratchet.to_record();

    for trace in TRACES {
        let mut record = fresh.clone();
        trace(&mut record);
        assert!(matches!(Ratchet::from_record(record), Err(Error::Malformed(_))));
    }
}

#[test]
fn wiping_leaves_no_secret() {
    let mut record = rich().1.ratchet.to_record();

    wipe(&mut record);

    let secrets = [
        &record.root,
        &record.dh_secret,
        &record.chain_send,
        &record.chain_receive,
        &record.header_send,
        &record.header_receive,
        &record.next_header_send,
        &record.next_header_receive,
        &record.old[0].header,
    ];
    assert!(secrets.iter().all(|secret| secret.is_empty()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Whatever bytes come, opening and reading a record end without a panic.
    #[test]
    fn no_input_panics(
        header in prop::collection::vec(any::<u8>(), 0..100),
        body in prop::collection::vec(any::<u8>(), 0..100),
        counts in any::<[u32; 6]>(),
        old in prop::collection::vec(any::<(u32, u32)>(), 0..4),
    ) {
        let (_, mut bob) = rich();
        let sealed = Sealed { header, body };
        prop_assert!(bob.try_open(&sealed).is_err());

        let mut record = bob.ratchet.to_record();
        let [sent, received, previous, chain, skipped, _] = counts;
        (record.sent, record.received, record.previous) = (sent, received, previous);
        (record.chain, record.skipped) = (chain, skipped);
        record.old = old
            .into_iter()
            .map(|(chain, kept)| rest::OldChain { chain, header: vec![1; 32], kept })
            .collect();
        if let Ok(ratchet) = Ratchet::from_record(record.clone()) {
            prop_assert!(ratchet.to_record() == record);
        }
    }
}
