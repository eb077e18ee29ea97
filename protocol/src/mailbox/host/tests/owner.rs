//! What an owner can rely on: its orders alone count, fetches wait, rentals end.

use super::*;
use crate::mailbox::{Item, Page, RefusalCode};

const UNKNOWN: Answer =
    Answer::Refused { code: RefusalCode::Unknown, retry_after: Duration::ZERO, work_bits: 0 };

#[test]
fn a_stranger_and_an_order_of_another_link_get_the_same_answer_as_for_no_queue() {
    let mut node = Node::rented(1, &[7], settings());
    node.deposit(7, node.later(DAY), b"seal");
    let order = Order::Fetch { after: 0, wait_ms: 0 };
    let overheard = node.signed(1, &order);
    let elsewhere = SignedOrder::sign(&order, &key(1), DeviceId([9; 32]), DeviceId([1; 32]));

    assert_eq!(node.ask(2, overheard), UNKNOWN);
    assert_eq!(node.ask(1, Question::Order(elsewhere)), UNKNOWN);
    assert_eq!(node.order(2, &order), UNKNOWN, "no such queue");
    assert_eq!(node.fetch(1, 0).len(), 1);
}

#[test]
fn a_fetch_waits_for_a_deposit_and_is_answered_when_that_is_durable() {
    let mut node = Node::rented(1, &[7], settings());
    let fetch = node.signed(1, &Order::Fetch { after: 0, wait_ms: 50_000 });
    let id = node.send(1, fetch);
    node.settle();
    assert!(node.answer(id).is_none());

    node.send(100, deposit(7, node.later(DAY), b"one"));
    node.send(100, deposit(7, node.later(DAY), b"two"));
    let batch = node.poll().expect("rows");
    assert!(node.answer(id).is_none(), "before it is durable");
    node.commit(&batch);
    node.settle();

    let Some(Answer::Page(Page { items, .. })) = node.answer(id) else { panic!("no page") };
    assert_eq!(items.into_iter().map(|item| item.seal).collect::<Vec<_>>(), [b"one", b"two"]);
}

#[test]
fn a_fetch_ends_at_its_deadline_with_the_next_one_or_with_its_link() {
    let mut node = Node::rented(1, &[7], settings());
    let fetch = |node: &mut Node| {
        let question = node.signed(1, &Order::Fetch { after: 5, wait_ms: u64::MAX });
        node.send(1, question)
    };
    let empty = Answer::Page(Page { items: Vec::new(), next: 5, more: false });
    let (first, second) = (fetch(&mut node), fetch(&mut node));
    node.settle();
    assert_eq!(node.answer(first).as_ref(), Some(&empty));
    assert_eq!(node.host.view().waiting, 1);

    node.pass(Duration::from_secs(59));
    assert!(node.answer(second).is_none());
    node.pass(Duration::from_secs(1));
    assert_eq!(node.answer(second), Some(empty));

    let third = fetch(&mut node);
    node.feed(HostInput::Gone { peer: DeviceId([1; 32]) });
    node.pass(Duration::from_secs(70));
    assert!(node.answer(third).is_none());
    assert_eq!(node.host.view().waiting, 0);
}

#[test]
fn pages_fit_a_frame_and_together_bring_everything_in_order() {
    let mut node = Node::rented(1, &[1, 2, 3, 4], settings());
    for number in 0..40u8 {
        let size = if number == 20 { crate::mailbox::DEPOSIT_BYTES_MAX } else { 30_000 };
        let answer = node.deposit(1 + number % 4, node.later(DAY), &vec![number; size]);
        assert!(matches!(answer, Answer::Custody(_)), "{answer:?}");
    }
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let answer = node.order(1, &Order::Fetch { after, wait_ms: 0 });
        let Answer::Page(page) = answer else { panic!("no page") };
        let bytes: usize = page.items.iter().map(|item: &Item| item.seal.len()).sum();
        let more = page.more;
        after = page.next;
        assert!(page.items.len() == 1 || bytes <= 192 * 1024);
        seen.extend(page.items.iter().map(|item| item.seal.first().copied()));
        let frame = Response { id: RequestId(1), answer: Answer::Page(page) }.encode();
        assert!(frame.len() <= bitchat_proto::limits::FRAME_BYTES_MAX);
        if !more {
            break;
        }
    }
    assert_eq!(seen, (0..40).map(Some).collect::<Vec<_>>());
}

#[test]
fn a_new_rental_needs_work_or_the_operators_word_and_room() {
    let word = HostSettings { access: vec!["sesame".to_owned()], rentals_max: 2, ..settings() };
    let mut node = Node::new(200, word);
    let rent = |access: &str| Order::Rent { access: access.to_owned(), request_tag: None, work: 0 };
    let code = |answer: Answer| match answer {
        Answer::Refused { code, .. } => Some(code),
        _ => None,
    };
    assert_eq!(code(node.order(1, &rent("open"))), Some(RefusalCode::Unpaid));
    assert_eq!(code(node.order(1, &rent("sesame"))), None);
    assert_eq!(code(node.order(1, &rent(""))), None, "a renewal needs none");
    assert_eq!(code(node.order(2, &rent("sesame"))), None);
    assert_eq!(code(node.order(3, &rent("sesame"))), Some(RefusalCode::QuotaExceeded));

    let mut open = Node::new(201, HostSettings { work_bits: 40, ..settings() });
    assert_eq!(code(open.order(1, &rent(""))), Some(RefusalCode::Unpaid));
}

#[test]
fn an_ended_rental_leaves_nothing_and_its_cursors_are_not_used_again() {
    let mut node = Node::rented(1, &[7], settings());
    for seal in 0..100u8 {
        node.deposit(7, node.later(DAY), &[seal]);
    }
    let last = node.fetch(1, 0).last().map(|(cursor, _)| *cursor).expect("items");
    assert_eq!(node.order(1, &Order::End), Answer::Done);
    assert_eq!(node.order(1, &Order::Fetch { after: 0, wait_ms: 0 }), UNKNOWN);
    assert_eq!(node.deposit(7, node.later(DAY), b"x"), UNKNOWN);
    node.pass(Duration::from_secs(1));
    assert_eq!(node.store.0.borrow().count(Table::MailboxEnvelope), 0);
    assert_eq!((node.host.view().bytes, node.host.view().rentals), (0, 0));

    node.rent(1, None);
    let add = vec![(token(7).tag(), node.later(DAY))];
    node.order(1, &Order::Tags { add, remove: Vec::new() });
    node.deposit(7, node.later(DAY), &[5]);
    let items = node.fetch(1, 0);
    assert_eq!(items.len(), 1, "custody of the rental before counts no longer");
    assert!(items.first().is_some_and(|(cursor, _)| *cursor > last));

    node.order(1, &Order::End);
    node.pass(DAY * 40);
    assert_eq!(node.store.0.borrow().rows().count(), 0, "all rows are gone");
    assert_eq!(node.host.poll_timeout(), None, "and nothing wakes the node");
}

#[test]
fn a_rental_lapses_sixty_days_after_the_last_order() {
    let mut node = Node::rented(1, &[], settings());
    node.pass(DAY * 59);
    assert!(node.fetch(1, 0).is_empty());
    node.pass(DAY * 59);
    assert!(node.fetch(1, 0).is_empty());

    node.pass(DAY * 60 + Duration::from_secs(700));

    assert_eq!(node.order(1, &Order::Fetch { after: 0, wait_ms: 0 }), UNKNOWN);
    assert_eq!(node.host.view().rentals, 0);
}
