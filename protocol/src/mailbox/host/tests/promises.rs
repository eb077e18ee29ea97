//! Custody, room, doors, prekeys: each promise once.

use super::*;
use crate::mailbox::RefusalCode;
use crate::prekey::SignedPrekey;

fn is_refused(answer: &Answer, expected: RefusalCode) -> bool {
    matches!(answer, Answer::Refused { code, .. } if *code == expected)
}

#[test]
fn custody_is_given_after_the_flush_and_holds() {
    let mut node = Node::rented(1, &[7], settings());
    let id = node.send(100, deposit(7, node.later(DAY), b"seal"));

    let batch = node.poll().expect("rows");
    assert!(node.answer(id).is_none(), "custody before the flush");
    assert!(node.poll().is_none());
    node.commit(&batch);
    node.settle();

    let Some(Answer::Custody(custody)) = node.answer(id) else { panic!("no custody") };
    assert!(custody.verify(node.device(), b"seal").is_ok());
    assert_eq!(custody.until, node.later(DAY));
}

#[test]
fn a_crash_between_persist_and_persisted_gives_no_custody_and_the_seal_may_come_again() {
    let mut node = Node::rented(1, &[7], settings());
    let id = node.send(100, deposit(7, node.later(DAY), b"seal"));
    let _lost = node.poll().expect("rows");

    node.restart();
    node.settle();

    assert!(node.answer(id).is_none());
    assert!(node.fetch(1, 0).is_empty());
    assert!(matches!(node.deposit(7, node.later(DAY), b"seal"), Answer::Custody(_)));
    assert_eq!(node.fetch(1, 0).len(), 1);
}

#[test]
fn the_same_seal_gets_the_same_custody_also_after_it_was_taken_and_comes_once() {
    let mut node = Node::rented(1, &[7, 8], settings());
    let first = node.deposit(7, node.later(DAY), b"seal");
    node.pass(Duration::from_secs(60));
    let second = node.deposit(8, node.later(DAY * 2), b"seal");
    let items = node.fetch(1, 0);
    node.order(1, &Order::Taken(items.iter().map(|(cursor, _)| *cursor).collect()));
    node.restart();
    let third = node.deposit(7, node.later(DAY * 3), b"seal");

    assert_eq!((items.len(), &second, &third), (1, &first, &first));
    assert!(node.fetch(1, 0).is_empty());
    assert_eq!(node.host.view().again, 1, "since the restart");
}

#[test]
fn custody_ends_with_its_time_and_leaves_nothing() {
    let mut node = Node::rented(1, &[7], settings());
    node.deposit(7, node.later(DAY), b"seal");
    node.pass(DAY - Duration::from_secs(1));
    assert_eq!(node.fetch(1, 0).len(), 1);

    node.pass(Duration::from_secs(700));

    assert!(node.fetch(1, 0).is_empty());
    let rows = node.store.borrow();
    for table in [Table::MailboxEnvelope, Table::MailboxHeld] {
        assert_eq!(rows.count(table), 0, "{table:?}");
    }
    assert_eq!(node.host.view().expired, 1);
    assert_eq!((node.host.view().bytes, node.host.view().envelopes), (0, 0));
}

/// The wall clock is set 70 days ahead and back again: nothing that was promised ends by it.
#[test]
fn a_clock_that_jumps_ends_no_custody_no_tag_and_no_rental() {
    let mut node = Node::rented(1, &[7], settings());
    let until = node.later(DAY * 14);
    assert!(matches!(node.deposit(7, until, b"seal"), Answer::Custody(_)));

    let true_wall = node.now.wall;
    node.now.wall = node.later(DAY * 70);
    node.feed(HostInput::Timeout);
    node.pass(Duration::from_secs(1_300));
    assert_eq!(node.host.view().envelopes, 1);
    assert!(matches!(node.deposit(7, until, b"another"), Answer::Custody(_)));
    node.now.wall = true_wall.plus(Duration::from_secs(1_300));

    assert_eq!(node.fetch(1, 0).len(), 2);
    node.pass(DAY * 14);
    assert_eq!(node.fetch(1, 0).len(), 0, "it ends when its time is over");
}

#[test]
fn nobody_keeps_a_seal_longer_than_the_node_does() {
    let mut node = Node::rented(1, &[7], settings());
    let Answer::Custody(custody) = node.deposit(7, node.later(DAY * 90), b"a") else { panic!() };
    assert_eq!(custody.until, node.later(DAY * 30));
    assert!(is_refused(&node.deposit(7, node.now.wall, b"b"), RefusalCode::Rejected));
}

#[test]
fn one_tag_gets_a_quarter_of_a_queue_and_a_full_queue_refuses_and_keeps() {
    let small = HostSettings { queue_envelopes_max: 8, queue_bytes_max: 800, ..settings() };
    let mut node = Node::rented(1, &[1, 2, 3, 4, 5], small);
    let until = node.later(DAY);
    let mut kept = 0;
    for number in 1..=5u8 {
        for seal in 0..3u8 {
            let answer = node.deposit(number, until, &[number, seal]);
            let fits = seal < 2 && number <= 4;
            assert_eq!(matches!(answer, Answer::Custody(_)), fits, "{number} {seal}");
            assert!(fits || is_refused(&answer, RefusalCode::QuotaExceeded));
            kept += usize::from(fits);
        }
    }
    assert_eq!(node.fetch(1, 0).len(), kept);
    let cursors = node.fetch(1, 0).into_iter().map(|(cursor, _)| cursor);
    node.order(1, &Order::Taken(cursors.collect()));
    assert!(matches!(node.deposit(5, until, b"room"), Answer::Custody(_)));
    assert!(is_refused(&node.deposit(5, until, &[0; 201]), RefusalCode::QuotaExceeded));
}

#[test]
fn a_full_node_refuses_a_queue_that_has_room() {
    let mut node = Node::rented(1, &[7], HostSettings { bytes_max: 5, ..settings() });
    assert!(matches!(node.deposit(7, node.later(DAY), b"12345"), Answer::Custody(_)));
    assert!(is_refused(&node.deposit(7, node.later(DAY), b"6"), RefusalCode::QuotaExceeded));
}

#[test]
fn strangers_pay_for_each_seal_and_fill_a_room_of_their_own() {
    let mut node = Node::new(200, settings());
    let tag = Tag([9; 32]);
    node.rent(1, Some(tag));
    let until = node.later(DAY);
    let paid = |node: &mut Node, seal: &[u8]| {
        let subject = Admission::subject(&tag, seal);
        let work = find_work(node.device(), &subject, (0, 1 << 20), 4).expect("one in 16");
        let admission = Admission::Work { tag, work };
        node.ask(99, Question::Deposit { admission, until, seal: seal.to_vec() })
    };
    for number in 0..100u8 {
        assert!(matches!(paid(&mut node, &[number]), Answer::Custody(_)));
    }
    assert!(is_refused(&paid(&mut node, b"one more"), RefusalCode::QuotaExceeded));
    let subject = Admission::subject(&tag, b"x");
    let bad = (0..).find(|work| !crate::mailbox::is_work(node.device(), &subject, *work, 4));
    let admission = Admission::Work { tag, work: bad.expect("most are") };
    let unpaid = node.ask(99, Question::Deposit { admission, until, seal: b"x".to_vec() });
    assert!(matches!(unpaid, Answer::Refused { code: RefusalCode::Unpaid, work_bits: 4, .. }));
}

#[test]
fn a_tag_lets_in_until_its_time_and_one_that_is_removed_does_not() {
    let mut node = Node::rented(1, &[7, 8], settings());
    node.order(1, &Order::Tags { add: Vec::new(), remove: vec![token(8).tag()] });
    assert!(is_refused(&node.deposit(8, node.later(DAY), b"a"), RefusalCode::Unknown));
    assert!(is_refused(&node.deposit(9, node.later(DAY), b"a"), RefusalCode::Unknown));

    node.pass(DAY * 35 + Duration::from_secs(700));

    assert!(is_refused(&node.deposit(7, node.later(DAY), b"a"), RefusalCode::Unknown));
    assert_eq!(node.store.borrow().count(Table::MailboxTag), 0);
}

#[test]
fn a_tag_of_one_queue_is_not_taken_over_by_another() {
    let mut node = Node::rented(1, &[7], settings());
    node.rent(2, None);
    let add = vec![(token(7).tag(), node.later(DAY))];
    node.order(2, &Order::Tags { add, remove: vec![token(7).tag()] });
    node.deposit(7, node.later(DAY), b"seal");

    assert_eq!(node.fetch(1, 0).len(), 1);
    assert!(node.fetch(2, 0).is_empty());
}

#[test]
fn prekeys_are_handed_out_once_also_when_the_owner_leaves_them_twice_and_the_node_crashes() {
    let mut node = Node::rented(1, &[7, 8], settings());
    let prekey = |id, length| SignedPrekey {
        id,
        key: vec![1; length],
        expires: node.later(DAY * 9),
        signature: vec![2; 64],
    };
    let stock =
        Order::Stock { x25519: vec![prekey(2, 32), prekey(1, 32)], ml_kem: vec![prekey(5, 1_568)] };
    let mut seen = Vec::new();
    for round in 0..4 {
        node.order(1, &stock);
        if round == 1 {
            node.restart();
        }
        let Answer::Prekeys(offer) = node.ask(100, Question::Prekeys(Admission::Token(token(7))))
        else {
            panic!("no prekeys");
        };
        seen.push((offer.x25519.map(|key| key.id), offer.ml_kem.map(|key| key.id)));
    }
    assert_eq!(seen, [(Some(1), Some(5)), (Some(2), None), (None, None), (None, None)]);
}

#[test]
fn prekeys_leave_after_the_batch_that_deletes_them() {
    let mut node = Node::rented(1, &[7], settings());
    let x25519 =
        SignedPrekey { id: 1, key: vec![1; 32], expires: node.later(DAY), signature: vec![2; 64] };
    node.order(1, &Order::Stock { x25519: vec![x25519], ml_kem: Vec::new() });
    let id = node.send(100, Question::Prekeys(Admission::Token(token(7))));
    let batch = node.poll().expect("the row is deleted");

    assert!(node.answer(id).is_none());
    node.commit(&batch);
    node.settle();
    assert!(matches!(node.answer(id), Some(Answer::Prekeys(offer)) if offer.x25519.is_some()));
    assert_eq!(node.store.borrow().count(Table::MailboxPrekey), 0);
}

#[test]
fn a_host_that_is_fed_any_bytes_answers_or_not_and_goes_on() {
    let mut node = Node::rented(1, &[7], settings());
    for length in 0..64 {
        let bytes = vec![0xA5; length];
        node.feed(HostInput::Request { peer: DeviceId([3; 32]), bytes });
        node.settle();
    }
    assert!(matches!(node.deposit(7, node.later(DAY), b"seal"), Answer::Custody(_)));
}

#[test]
fn whoever_asks_too_often_is_told_when_and_others_are_served() {
    let mut node = Node::rented(1, &[7], settings());
    let last = (0..200).map(|_| node.ask(50, Question::Offer)).last().expect("200");
    let Answer::Refused { code: RefusalCode::Busy, retry_after, .. } = last else { panic!() };

    assert!(matches!(node.ask(51, Question::Offer), Answer::Offer(_)));
    node.pass(retry_after);
    assert!(matches!(node.ask(50, Question::Offer), Answer::Offer(_)));
}
