//! One-time prekeys between engines: handed out once, gone with the session that they found.

use std::collections::BTreeSet;
use std::time::Duration;

use bitchat_protocol::engine::{Command, Fact, Input, Reply, Who};
use bitchat_protocol::envelope::{Body, Envelope, Frame};
use bitchat_protocol::error::Code;
use bitchat_protocol::id::{DeviceId, InvitationToken};
use bitchat_protocol::invitation::ContactRecord;
use bitchat_protocol::prekey::{Offer, OneTimeKeys, PrekeyUse, READY};
use bitchat_protocol::resilience::{Class, Scope};
use bitchat_protocol::store::Table;

use crate::bench::{Bench, exchange, identity, link};
use crate::liar::{Liar, record_behind};

/// A peer asks, as the link of its device.
fn ask(of: &mut Bench, peer: DeviceId, token: Option<InvitationToken>) {
    let bytes = Frame::PrekeyRequest(token).encode();
    of.feed(Input::Frame { peer, number: 1, bytes });
}

/// What left towards a peer as an answer.
fn answers(of: &mut Bench, peer: DeviceId) -> Vec<Offer> {
    let sends = std::mem::take(&mut of.sends);
    let frames = sends.into_iter().filter(|(to, _, _)| *to == peer);
    frames
        .filter_map(|(_, _, bytes)| match Frame::decode(&bytes) {
            Ok(Frame::PrekeyResponse(offer)) => Some(offer),
            _ => None,
        })
        .collect()
}

/// One offer for somebody who shows a token.
fn offer(of: &mut Bench, peer: DeviceId, token: InvitationToken) -> Offer {
    ask(of, peer, Some(token));
    of.flush();
    answers(of, peer).pop().expect("an answer")
}

/// The keys of one offer.
fn handed(of: &mut Bench, peer: DeviceId, token: InvitationToken) -> OneTimeKeys {
    offer(of, peer, token).verify(&of.device, of.now.wall).expect("her own keys")
}

/// Time in which a stock is made, portion after portion.
pub(crate) fn refill(of: &mut Bench) {
    (0..10).for_each(|_| of.pass(Duration::from_millis(100)));
}

/// Alice with a whole stock of keys; her record and an invitation that many may use.
fn alice() -> (Bench, ContactRecord, InvitationToken) {
    let mut alice = Bench::new("alice", 1);
    refill(&mut alice);
    let (record, token) = record_behind(&alice.invitation(false).0);
    (alice, record, token)
}

fn rows(of: &Bench) -> usize {
    of.disk.count(Table::OneTimePrekey)
}

/// How the sessions of this engine were founded.
pub(crate) fn founded(of: &Bench) -> Vec<(bool, PrekeyUse)> {
    let founded = |fact: &Fact| {
        if let Fact::SessionFounded { initiator, prekeys } = fact {
            return Some((*initiator, *prekeys));
        }
        None
    };
    of.facts.iter().filter_map(founded).collect()
}

/// Keys that can be handed out, as the engine told last.
fn left(of: &Bench) -> (usize, usize) {
    let mut told = (0, 0);
    for fact in &of.facts {
        if let Fact::Prekeys(left) = fact {
            told = (left.x25519, left.ml_kem);
        }
    }
    told
}

pub(crate) fn device(number: u64) -> DeviceId {
    identity(number).device().id()
}

#[test]
fn the_stock_is_filled_in_portions_and_its_rows_outlive_a_restart() {
    let mut alice = Bench::new("alice", 1);
    assert_eq!(rows(&alice), 50, "the first portion");
    alice.pass(Duration::from_millis(20));
    assert_eq!(rows(&alice), 100, "and the next");
    refill(&mut alice);

    assert_eq!(rows(&alice), 2 * READY);
    assert_eq!(left(&alice), (READY, READY));

    alice.restart();
    assert_eq!(rows(&alice), 2 * READY, "nothing is made over what is there");
}

#[test]
fn two_contacts_found_their_sessions_on_one_time_keys_and_both_show_it() {
    let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
    refill(&mut alice);
    let (invitation, _) = alice.invitation(true);
    bob.ask(Command::AddContact { link: invitation, name: None }).expect("added");

    link(&mut alice, &mut bob);
    exchange(&mut alice, &mut bob);

    assert_eq!(founded(&bob), [(true, PrekeyUse::OneTime)]);
    assert_eq!(founded(&alice), [(false, PrekeyUse::OneTime)]);
    assert_eq!(rows(&alice), 2 * READY - 2, "gone with the session that they founded");
    for (bench, other) in [(&mut bob, "alice"), (&mut alice, "bob")] {
        let shown = bench.ask(Command::Contact(Who(other.to_owned())));
        assert!(
            matches!(&shown, Ok(Reply::Contact(view)) if view.prekeys == Some(PrekeyUse::OneTime)),
            "{shown:?}"
        );
    }
}

#[test]
fn a_stranger_without_a_valid_invitation_gets_no_key() {
    let (mut alice, ..) = alice();
    for token in [None, Some(InvitationToken([9; 16]))] {
        ask(&mut alice, device(40), token);
        alice.flush();
    }

    assert!(answers(&mut alice, device(40)).is_empty());
    assert_eq!(alice.refused.iter().map(|told| told.1).collect::<Vec<_>>(), [Code::Stranger; 2]);
    assert_eq!(rows(&alice), 2 * READY);
}

#[test]
fn a_peer_that_asks_ten_thousand_times_gets_its_quota_and_honest_others_get_keys() {
    let (mut alice, _, token) = alice();
    let (greedy, mut ids, mut honest) = (Liar::invited(50, &mut alice).device(), Vec::new(), 0);
    for number in 0..10_000u64 {
        ask(&mut alice, greedy, None);
        alice.flush();
        ids.extend(answers(&mut alice, greedy).into_iter().filter_map(|offer| offer.x25519));
        if number % 1_000 == 0 {
            let got = offer(&mut alice, device(60 + number), token);
            honest += usize::from(got.x25519.is_some() && got.ml_kem.is_some());
            alice.pass(Duration::from_secs(2));
        }
    }

    let ids: BTreeSet<u32> = ids.into_iter().map(|prekey| prekey.id).collect();
    assert_eq!((ids.len(), honest), (4, 10), "each key once");
    let limited = alice
        .facts
        .iter()
        .filter(|f| **f == Fact::RateLimited { scope: Scope::Peer, class: Class::Prekey });
    assert_eq!(limited.count(), 10_000 - 4);
    let (peer, code, wait) = *alice.refused.last().expect("refused");
    assert_eq!((peer, code), (greedy, Code::Busy));
    alice.pass(wait - Duration::from_millis(1));
    ask(&mut alice, greedy, None);
    alice.flush();
    assert!(answers(&mut alice, greedy).is_empty());
    alice.pass(Duration::from_millis(1));
    ask(&mut alice, greedy, None);
    alice.flush();
    assert_eq!(answers(&mut alice, greedy).len(), 1, "the wait was true");
}

/// Two hundred ask in one moment; there are a hundred keys. All of them talk in the end.
#[test]
fn contacts_of_an_exhausted_owner_found_their_sessions_on_the_last_resort_key() {
    let (mut alice, record, _) = alice();
    let invited = |seed| {
        alice.pass(Duration::from_millis(100));
        Liar::invited(seed, &mut alice)
    };
    let mut contacts: Vec<_> = (1_000..1_200).map(invited).collect();
    alice.facts.clear();
    let mut once = 0;
    for (seed, contact) in (1_000..).zip(&mut contacts) {
        ask(&mut alice, contact.device(), None);
        alice.flush();
        let offer = answers(&mut alice, contact.device()).pop().expect("an answer, empty or not");
        let keys = offer.verify(&alice.device, alice.now.wall).expect("her own keys");
        once += usize::from(keys.x25519.is_some());
        *contact = Liar::with(seed, &record, None, 1, &keys);
    }
    assert_eq!(once, READY);
    assert_eq!(left(&alice), (0, 0), "shown");

    for (number, contact) in (1..).zip(&mut contacts) {
        contact.say(&mut alice, number, Body::Hello);
    }

    let founded = founded(&alice);
    let of = |kind| founded.iter().filter(|founded| **founded == (false, kind)).count();
    assert_eq!((of(PrekeyUse::OneTime), of(PrekeyUse::LastResort)), (READY, 100));
    let exhausted = alice.facts.iter().filter(|fact| **fact == Fact::PrekeysExhausted);
    assert_eq!(exhausted.count(), 100);
    refill(&mut alice);
    assert_eq!(rows(&alice), 2 * READY, "refilled");
}

/// An initial message whose body does not open proves nothing: whoever sends such messages burns no
/// key, and the honest initiator founds its session afterwards.
#[test]
fn messages_that_do_not_open_burn_no_key() {
    let (mut alice, record, token) = alice();
    let peer = device(70);
    let keys = handed(&mut alice, peer, token);
    let mut honest = Liar::with(70, &record, Some(token), 0, &keys);
    let frame = honest.frame(Body::Hello);
    let before = rows(&alice);
    for number in 0..4 {
        let Ok(Frame::Envelope(mut envelope)) = Frame::decode(&frame) else { panic!("a frame") };
        envelope.sealed.body[number] ^= 1;
        honest.feed(&mut alice, 1, &Frame::Envelope(envelope).encode());
    }
    assert_eq!(founded(&alice), []);
    assert_eq!(rows(&alice), before);

    alice.pass(Duration::from_secs(10));
    honest.feed(&mut alice, 9, &frame);

    assert_eq!(founded(&alice), [(false, PrekeyUse::OneTime)]);
    assert_eq!(rows(&alice), before - 2);
}

/// A second initiator that names the same keys, and one that guesses ids.
#[test]
fn an_id_that_is_spent_unknown_or_not_handed_out_is_refused_and_founds_nothing() {
    let (mut alice, record, token) = alice();
    let keys = handed(&mut alice, device(70), token);
    let mut first = Liar::with(70, &record, Some(token), 0, &keys);
    let mut second = Liar::with(71, &record, Some(token), 0, &keys);
    first.say(&mut alice, 1, Body::Hello);
    assert_eq!(founded(&alice).len(), 1);

    second.say(&mut alice, 1, Body::Hello);
    let (id, key) = keys.x25519.expect("there");
    // Ready and not handed out; never made; of the other kind.
    for other in [id + 10, 1_000_000, keys.ml_kem.as_ref().expect("there").0] {
        let guessed = OneTimeKeys { x25519: Some((other, key)), ml_kem: None };
        Liar::with(72, &record, Some(token), u64::from(other), &guessed).say(
            &mut alice,
            1,
            Body::Hello,
        );
        alice.pass(Duration::from_secs(10));
    }

    assert_eq!(founded(&alice).len(), 1);
    let spent = alice.facts.iter().filter(|fact| **fact == Fact::Refused("spent"));
    assert_eq!(spent.count(), 4);
    // The very message of the first founds nothing either, once its session is gone.
    assert_eq!(rows(&alice), 2 * READY - 2);
}

/// The answer waits for the disk; a crash before loses both, a crash after loses the answer alone.
#[test]
fn a_key_is_marked_as_handed_out_before_the_answer_leaves() {
    let (mut alice, _, token) = alice();
    ask(&mut alice, device(70), Some(token));
    assert!(answers(&mut alice, device(70)).is_empty(), "not durable yet");

    alice.restart();
    let first = offer(&mut alice, device(70), token);
    alice.restart();
    let second = offer(&mut alice, device(70), token);

    let id = |offer: &Offer| offer.x25519.as_ref().expect("there").id;
    assert!(id(&second) > id(&first), "handed out once, although she died after it");
}

/// Founded, and dead before the disk knew: session and key are as they were, and the retry founds.
#[test]
fn a_crash_between_founding_and_the_disk_keeps_the_key_for_the_retry() {
    let (mut alice, record, token) = alice();
    let keys = handed(&mut alice, device(70), token);
    let mut bob = Liar::with(70, &record, Some(token), 0, &keys);
    let (frame, before) = (bob.frame(Body::Hello), rows(&alice));
    alice.feed(Input::Frame { peer: bob.device(), number: 1, bytes: frame.clone() });
    assert_eq!(founded(&alice).len(), 1);

    alice.restart();
    assert_eq!(rows(&alice), before);
    bob.feed(&mut alice, 1, &frame);

    assert_eq!(founded(&alice).len(), 1, "of this life");
    assert_eq!(rows(&alice), before - 2);
    alice.restart();
    assert_eq!(rows(&alice), before - 2);
}

#[test]
fn keys_that_founded_nothing_go_after_37_days_and_not_before() {
    const DAY: Duration = Duration::from_secs(24 * 3_600);
    let (mut alice, record, token) = alice();
    let keys = handed(&mut alice, device(70), token);
    let mut late = Liar::with(70, &record, Some(token), 0, &keys);
    let mut later = Liar::with(70, &record, Some(token), 1, &keys);
    let frame = late.frame(Body::Hello);

    alice.pass(36 * DAY);
    assert_eq!(rows(&alice), 2 * READY);
    alice.pass(DAY + Duration::from_secs(3_600));

    assert_eq!(rows(&alice), 2 * READY - 2);
    late.feed(&mut alice, 1, &frame);
    later.say(&mut alice, 2, Body::Hello);
    assert_eq!(founded(&alice), []);
}

/// Envelopes of the same initiator repeat the ids until they are answered; the second is no replay.
#[test]
fn messages_behind_the_first_need_no_key() {
    let (mut alice, record, token) = alice();
    let keys = handed(&mut alice, device(70), token);
    let mut bob = Liar::with(70, &record, Some(token), 0, &keys);
    for number in 1..=3 {
        bob.sequence = number;
        bob.say(&mut alice, number, Body::Text("hello".to_owned()));
    }

    assert_eq!(alice.shown(), 3);
    assert_eq!(alice.refused, []);
}

/// Names the frame type, so that the helper above stays honest about what it drops.
#[test]
fn an_envelope_names_its_one_time_keys() {
    let (mut alice, record, token) = alice();
    let keys = handed(&mut alice, device(70), token);
    let frame = Liar::with(70, &record, Some(token), 0, &keys).frame(Body::Hello);

    let Ok(Frame::Envelope(Envelope { initial: Some(initial), .. })) = Frame::decode(&frame) else {
        panic!("an initial message")
    };
    assert_eq!(initial.one_time_prekey, keys.x25519.expect("there").0);
    assert_eq!(initial.one_time_kem_prekey, keys.ml_kem.expect("there").0);
    assert_eq!(initial.kem_prekey, 0);
}
