//! Envelopes in a file: out, in, and their receipts back, without any link.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[path = "../../protocol/tests/support/forge.rs"]
mod forge;

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/files.rs"]
mod files;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod support;

use std::time::Duration;

use bitchat_proto::wire;
use bitchat_protocol::engine::{
    Command, CommandError, DeliveryState, Event, Export, ExportView, Extent, Fact, ImportView,
    Input, Reply, Who,
};
use bitchat_protocol::id::{InvitationToken, MessageId};
use bitchat_protocol::invitation::{Invitation, Target};
use bitchat_protocol::resilience::Prefix;
use bitchat_protocol::sealed;
use bitchat_protocol::store::Table;

use files::{delivery, export, import, page, part, send, strangers};
use support::{Bench, exchange, link, pair};

const DAY: Duration = Duration::from_secs(24 * 3_600);

#[test]
fn two_that_never_met_exchange_messages_and_receipts_by_files_alone() {
    let (mut alice, mut bob) = strangers();
    let question = send(&mut bob, "alice");

    let out = export(&mut bob);
    let taken = import(&mut alice, &out.seals);
    let answer = send(&mut alice, "bob");
    let back = export(&mut alice);
    let ended = import(&mut bob, &back.seals);
    let last = export(&mut bob);
    let confirmed = import(&mut alice, &last.seals);

    assert_eq!((out.messages, out.receipts), (2, 0), "a greeting and a text");
    assert_eq!(taken, ImportView { delivered: 2, ..ImportView::default() });
    assert_eq!((back.messages, back.receipts), (1, 2));
    assert_eq!(ended, ImportView { delivered: 1, receipts: 2, ..ImportView::default() });
    assert_eq!(delivery(&mut bob, question).state, DeliveryState::Delivered);
    assert_eq!((last.messages, last.receipts), (0, 1));
    assert_eq!(confirmed, ImportView { receipts: 1, ..ImportView::default() });
    assert_eq!(delivery(&mut alice, answer).state, DeliveryState::Delivered);
    assert_eq!((alice.shown(), bob.shown()), (1, 1));
    assert_eq!((alice.queued(), bob.queued()), (0, 0));
    assert!(alice.sends.is_empty() && bob.sends.is_empty(), "no link, no frame");
}

/// A message key must not leave before the step that used it up is on the disk.
#[test]
fn an_export_does_not_leave_before_its_ratchet_step_is_durable() {
    let (_, mut bob) = strangers();
    send(&mut bob, "alice");

    bob.command(Command::Export(Export::All { after: None }));

    assert!(bob.reply().is_none(), "the batch is not durable yet");
    bob.flush();
    assert!(matches!(bob.reply(), Some(Ok(Reply::Exported(page))) if page.messages == 2));
}

#[test]
fn an_exported_message_stays_queued_and_says_that_it_was_exported() {
    let (_, mut bob) = strangers();
    let id = send(&mut bob, "alice");

    let only = page(&mut bob, Export::One(id));

    assert_eq!((only.messages, only.next), (1, None));
    let view = delivery(&mut bob, id);
    assert_eq!((view.state, view.evidence.as_str()), (DeliveryState::Queued, "exported"));
    assert_eq!(bob.queued(), 1);
    let unknown = bob.ask(Command::Export(Export::One(MessageId([9; 16]))));
    assert_eq!(unknown.err(), Some(CommandError::NotWaiting(MessageId([9; 16]))));
}

/// Two files cannot be linked by their bytes, and what they hold is taken once.
#[test]
fn a_second_export_looks_different_and_is_taken_as_duplicate() {
    let (mut alice, mut bob) = strangers();
    send(&mut bob, "alice");
    let (first, second) = (export(&mut bob), export(&mut bob));

    let taken = import(&mut alice, &first.seals);
    let again = import(&mut alice, &second.seals);

    assert!(first.seals.iter().zip(&second.seals).all(|(a, b)| a != b));
    assert_eq!((taken.delivered, again.delivered, again.duplicates), (2, 0, 2));
    assert_eq!(alice.shown(), 1);
}

/// A receipt stays owed after it was exported: the file may be lost.
#[test]
fn the_same_receipts_are_in_every_export_for_30_days() {
    let (mut alice, mut bob) = strangers();
    send(&mut bob, "alice");
    let out = export(&mut bob);
    import(&mut alice, &out.seals);

    let (lost, again) = (export(&mut alice), export(&mut alice));
    let ended = import(&mut bob, &again.seals);
    alice.now.wall = alice.now.wall.plus(31 * DAY);
    let late = export(&mut alice);

    assert_eq!((lost.receipts, again.receipts, late.receipts), (2, 2, 0));
    assert_eq!(ended.receipts, 2);
}

#[test]
fn a_link_pays_the_receipts_that_an_import_left_owed() {
    let (mut alice, mut bob) = pair();
    part(&mut alice, &mut bob);
    let id = send(&mut bob, "alice");
    let out = export(&mut bob);
    import(&mut alice, &out.seals);
    bob.sends.clear();

    alice.feed(Input::Connected { peer: bob.device, prefix: Prefix::Unknown });
    bob.feed(Input::Connected { peer: alice.device, prefix: Prefix::Unknown });
    bob.flush();
    bob.sends.clear(); // Bob's frame is lost: only what Alice owes can tell him.
    exchange(&mut alice, &mut bob);

    assert_eq!(delivery(&mut bob, id).state, DeliveryState::Delivered);
    assert_eq!((export(&mut alice).receipts, alice.shown()), (0, 1));
}

/// The keys of its receipts are used up, which says nothing about the session.
#[test]
fn a_file_that_is_imported_twice_heals_nothing() {
    let (mut alice, mut bob) = pair();
    part(&mut alice, &mut bob);
    send(&mut bob, "alice");
    let out = export(&mut bob);
    import(&mut alice, &out.seals);
    let receipts = export(&mut alice);
    import(&mut bob, &receipts.seals);
    link(&mut alice, &mut bob);
    bob.facts.clear();

    import(&mut bob, &receipts.seals);

    let founded =
        |fact: &Fact| matches!(fact, Fact::SessionFounded { .. } | Fact::SessionHealed(_));
    assert!(!bob.facts.iter().any(founded), "{:?}", bob.facts);
    assert!(bob.sends.is_empty());
}

#[test]
fn a_message_that_went_by_file_and_by_link_is_shown_once() {
    let (mut alice, mut bob) = pair();
    part(&mut alice, &mut bob);
    let id = send(&mut bob, "alice");
    let out = export(&mut bob);
    link(&mut alice, &mut bob);

    let late = import(&mut alice, &out.seals);
    exchange(&mut alice, &mut bob);

    assert_eq!(late, ImportView { duplicates: 1, ..ImportView::default() });
    assert_eq!(alice.shown(), 1);
    assert_eq!(delivery(&mut bob, id).state, DeliveryState::Delivered);
}

/// Whoever was told our record by a file may never have got it.
#[test]
fn a_record_that_went_by_file_is_told_again_over_a_link() {
    let (mut alice, mut bob) = pair();
    part(&mut alice, &mut bob);
    send(&mut bob, "alice");
    export(&mut bob);
    bob.sends.clear();

    bob.feed(Input::Connected { peer: alice.device, prefix: Prefix::Unknown });
    bob.flush();

    assert_eq!(bob.sends.len(), 2, "the text, and the record");
}

#[test]
fn a_contact_without_keys_is_counted_and_keeps_nobody_else_back() {
    let (mut alice, mut bob) = strangers();
    let (_, short) = Bench::new("carol", 3).invitation(true);
    bob.ask(Command::AddContact { link: short, name: Some("carol".to_owned()) }).expect("added");
    let id = send(&mut bob, "carol");

    let out = export(&mut bob);

    assert_eq!((out.messages, out.no_keys), (1, 2));
    assert_eq!(page(&mut bob, Export::One(id)).no_keys, 1);
    assert_eq!(import(&mut alice, &out.seals).delivered, 1);
}

/// Receipts alone fill pages, too.
#[test]
fn an_export_for_many_contacts_comes_in_pages() {
    let mut alice = Bench::new("alice", 1);
    let (link, _) = alice.invitation(false);
    let mut guests: Vec<_> = (100..240).map(|seed| Bench::new("guest", seed)).collect();
    for guest in &mut guests {
        guest.ask(Command::AddContact { link: link.clone(), name: None }).expect("added");
        alice.pass(Duration::from_millis(100));
        assert_eq!(import(&mut alice, &export(guest).seals).delivered, 1);
    }

    let first = page(&mut alice, Export::All { after: None });
    let second = page(&mut alice, Export::All { after: first.next });

    assert_eq!((first.receipts, second.receipts, second.next), (128, 12, None));
    let seals = [first.seals, second.seals].concat();
    for guest in [0, 70, 139] {
        assert_eq!(import(&mut guests[guest], &seals).receipts, 1);
    }
}

/// A contact may sign any key: one that no secret can be agreed with is its own problem.
#[test]
fn a_contact_whose_key_is_of_low_order_keeps_nobody_else_back() {
    let (mut alice, mut bob) = strangers();
    let forger = forge::Forger::new();
    let mut point = vec![0; 32];
    point[0] = 1;
    let certificate =
        forger.certify(wire::Certificate { identity_dh: point, ..forger.certificate() });
    let record = forger.sign(&wire::ContactRecord {
        certificate: Some(certificate),
        expires_ms: forge::NOW.0 + 1_000_000,
        ..forger.record()
    });
    let (token, nickname) = (InvitationToken([1; 16]), "mallory".to_owned());
    let target = Target::Record(record);
    let link = Invitation { token, expires: None, nickname, target }.to_link();
    bob.ask(Command::AddContact { link, name: None }).expect("added");
    send(&mut bob, "mallory");
    send(&mut bob, "alice");

    let out = export(&mut bob);

    assert_eq!((out.messages, out.no_keys), (2, 2));
    assert_eq!(import(&mut alice, &out.seals).delivered, 2);
}

/// The recipient keeps keys for 2,000 messages that did not come: no file may outrun them.
#[test]
fn no_more_is_exported_than_the_recipient_keeps_keys_for() {
    let (mut alice, mut bob) = pair();
    part(&mut alice, &mut bob);
    for _ in 0..2_050 {
        let (to, text) = (Who("alice".to_owned()), "hello".to_owned());
        bob.command(Command::Send { to, text, expires: None });
    }
    bob.flush();
    while bob.reply().is_some() {}

    let out = export(&mut bob);
    let taken = import(&mut alice, &out.seals);
    let back = export(&mut alice);
    let receipts = import(&mut bob, &back.seals).receipts;
    let rest = export(&mut bob);
    let taken_then = import(&mut alice, &rest.seals);

    assert_eq!((out.messages, out.held_back), (2_000, 50));
    assert_eq!((taken.delivered, back.receipts, receipts), (2_000, 2_000, 2_000));
    assert_eq!((rest.messages, rest.held_back, taken_then.delivered), (50, 0, 50));
    let in_order = alice.events.iter().filter_map(|event| match event {
        Event::Received(view) => Some((view.gap, view.late)),
        Event::Delivery(_) | Event::Contact(_) | Event::KeyChange(_) => None,
    });
    assert!(in_order.clone().count() == 2_050 && in_order.into_iter().all(|m| m == (0, false)));
}

#[test]
fn a_removed_contact_is_owed_nothing() {
    let (mut alice, mut bob) = strangers();
    send(&mut bob, "alice");
    let out = export(&mut bob);
    import(&mut alice, &out.seals);
    let owed = alice.disk.count(Table::Owed);

    alice
        .ask(Command::Remove { who: Who("bob".to_owned()), extent: Extent::Contact })
        .expect("removed");

    assert_eq!((owed, alice.disk.count(Table::Owed)), (1, 0));
    assert!(export(&mut alice).seals.is_empty());
}

/// What docs/SPEC.md says about lengths: the first of a session look like a long text, the first of
/// an export carries our record, the rest is of one length.
#[test]
fn a_carrier_sees_the_lengths_that_the_specification_admits() {
    let (mut alice, mut bob) = strangers();
    send(&mut bob, "alice");
    let lengths = |page: &ExportView| page.seals.iter().map(Vec::len).collect::<Vec<_>>();
    let first = export(&mut bob);
    import(&mut alice, &first.seals);
    let answer = export(&mut alice);
    import(&mut bob, &answer.seals);
    for bytes in [1, 100, 400, 3_500] {
        let (to, text) = (Who("alice".to_owned()), "x".repeat(bytes));
        bob.ask(Command::Send { to, text, expires: None }).expect("queued");
    }

    let later = export(&mut bob);

    let (first, answer, later) = (lengths(&first), lengths(&answer), lengths(&later));
    assert!(first.iter().all(|length| (3_500..4_500).contains(length)), "{first:?}");
    assert!((3_000..4_000).contains(&answer[0]) && answer.len() == 1, "{answer:?}");
    assert!((3_000..4_000).contains(&later[0]), "{later:?}");
    assert_eq!(later[1..3], [sealed::FLOOR; 2], "{later:?}");
    assert!((4_500..5_500).contains(&later[3]), "{later:?}");
}
