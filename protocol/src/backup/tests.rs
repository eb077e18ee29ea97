//! Items survive their bytes; a payload that is cut, mixed up or made up is refused.

use proptest::prelude::*;

use super::*;
use crate::contact::KeyPolicy;
use crate::id::{DeviceId, MessageId};
use crate::outbox::DeliveryState;
use crate::store::MemoryStore;

const BOB: AccountId = AccountId([2; 32]);

fn head() -> Item {
    Item::Head(Head {
        phrase_entropy: Secret::take(&mut [7; 32]),
        nickname: "ann".to_owned(),
        number: 1,
        generation: 1_700_000_000_000,
        created: UnixMillis(1_800_000_000_000),
        history: true,
    })
}

fn contact(verified: bool) -> Item {
    Item::Contact(Box::new(Contact {
        account: BOB,
        name: "bob".to_owned(),
        nickname: "Bob".to_owned(),
        record: Some(vec![1, 2, 3]),
        device: DeviceId([3; 32]),
        generation: 9,
        addresses: vec!["/ip4/127.0.0.1/tcp/1".to_owned()],
        token: None,
        read_receipts: None,
        verified,
        added: UnixMillis(5),
        former: vec![DeviceId([4; 32])],
        policy: KeyPolicy::Verified,
        changed: Some(UnixMillis(6)),
        pending: None,
    }))
}

fn message() -> Item {
    let message = Stored {
        id: MessageId([5; 16]),
        outgoing: true,
        text: "hello".to_owned(),
        lamport: 3,
        sent: UnixMillis(1),
        received: None,
        gap: 0,
        late: false,
        cursor: 0,
        unreadable: false,
        read: false,
    };
    let mut delivery = Delivery::begin(BOB, UnixMillis(1));
    delivery.reach(DeliveryState::Delivered, "receipt", UnixMillis(2));
    Item::Message(Box::new(Saved { account: BOB, index: 4, message, delivery: Some(delivery) }))
}

fn conversation() -> Item {
    let conversation = Conversation { next_index: 5, shown: 8, ..Conversation::default() };
    Item::Conversation(BOB, conversation)
}

fn whole() -> Vec<Item> {
    let counts = Counts { contacts: 1, verified: 1, messages: 1, conversations: 1 };
    vec![head(), contact(true), message(), conversation(), Item::End(counts)]
}

fn payload(items: &[Item]) -> Vec<u8> {
    items.iter().flat_map(|item| item.frame().to_vec()).collect()
}

/// Everything that an intake makes of these pieces.
fn take<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<(Vec<Item>, bool), Malformed> {
    let (mut intake, mut items) = (Intake::default(), Vec::new());
    for piece in pieces {
        intake.push(piece);
        while let Some(item) = intake.item()? {
            items.push(item);
        }
    }
    Ok((items, intake.is_complete()))
}

#[test]
fn a_payload_survives_whatever_pieces_it_comes_in() {
    let bytes = payload(&whole());
    for size in [1, 2, 7, 64, bytes.len()] {
        let (items, complete) = take(bytes.chunks(size)).expect("own bytes");

        assert!(complete);
        assert_eq!(payload(&items), bytes, "in pieces of {size}");
    }
}

#[test]
fn a_payload_that_was_cut_anywhere_is_not_complete() {
    let bytes = payload(&whole());
    for end in 0..bytes.len() {
        let complete = take(std::iter::once(&bytes[..end])).is_ok_and(|(_, complete)| complete);
        assert!(!complete, "cut at {end}");
    }
}

#[test]
fn items_that_are_missing_doubled_or_out_of_order_are_refused() {
    let bytes = |order: &[usize]| {
        let items = whole();
        order.iter().flat_map(|at| items[*at].frame().to_vec()).collect::<Vec<u8>>()
    };
    for order in [
        &[1, 2, 3, 4][..],
        &[0, 0, 1, 2, 3, 4],
        &[0, 2, 3, 4],
        &[0, 1, 1, 2, 3, 4],
        &[0, 1, 2, 3, 4, 4],
        &[0, 1, 2, 3, 4, 1],
    ] {
        assert!(take(std::iter::once(bytes(order).as_slice())).is_err(), "{order:?}");
    }
}

#[test]
fn a_restored_row_is_what_the_profile_had() {
    let mut overlay = Overlay::new(MemoryStore::default());
    for item in whole() {
        item.write(&mut overlay).expect("rows");
    }

    let row = overlay.get(&Key::of(Table::Contact, &BOB.0)).expect("reads").expect("is there");
    let restored = Contact::from_record(&row).expect("a contact");
    let delivery = Delivery::read(&overlay, MessageId([5; 16])).expect("reads").expect("is there");
    let history = overlay.scan(Table::Message, &BOB.0, &[], 9).expect("reads");
    let inbox = overlay.scan(Table::Inbox, &[], &[], 9).expect("reads");

    assert!(restored.verified && restored.name == "bob" && restored.former.len() == 1);
    assert!(restored.policy == KeyPolicy::Verified && restored.changed == Some(UnixMillis(6)));
    assert_eq!(delivery.state(), DeliveryState::Delivered);
    assert_eq!(history.first().and_then(crate::store::Row::number), Some(4));
    assert!(inbox.is_empty(), "nothing restored is news");
}

#[test]
fn debug_and_leftovers_show_no_secret() {
    let shown = format!("{:?}", head());

    assert!(shown.contains("Secret(..)") && !shown.contains("7, 7"), "{shown}");
}

proptest! {
    #[test]
    fn any_bytes_are_items_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = take(std::iter::once(bytes.as_slice()));
    }
}
