//! Exports and imports in the hands of a test.

use bitchat_protocol::engine::{
    Command, DeliveryView, Export, ExportView, ImportView, Input, Reply,
};
use bitchat_protocol::id::MessageId;

use crate::support::Bench;

pub(crate) fn page(from: &mut Bench, what: Export) -> ExportView {
    match from.ask(Command::Export(what)) {
        Ok(Reply::Exported(page)) => page,
        other => panic!("{other:?}"),
    }
}

/// Every page.
pub(crate) fn export(from: &mut Bench) -> ExportView {
    let mut whole = page(from, Export::All { after: None });
    while let Some(after) = whole.next {
        let more = page(from, Export::All { after: Some(after) });
        whole.seals.extend(more.seals);
        whole.messages += more.messages;
        whole.receipts += more.receipts;
        whole.held_back += more.held_back;
        whole.no_keys += more.no_keys;
        whole.next = more.next;
    }
    whole
}

pub(crate) fn import(to: &mut Bench, seals: &[Vec<u8>]) -> ImportView {
    let mut whole = ImportView::default();
    for seals in seals.chunks(256) {
        match to.ask(Command::Import(seals.to_vec())) {
            Ok(Reply::Imported(view)) => {
                whole.delivered += view.delivered;
                whole.receipts += view.receipts;
                whole.duplicates += view.duplicates;
                whole.not_for_us += view.not_for_us;
                whole.refused += view.refused;
                whole.busy.extend(view.busy);
            }
            other => panic!("{other:?}"),
        }
    }
    whole
}

pub(crate) fn send(from: &mut Bench, to: &str) -> MessageId {
    match from.send(to) {
        Ok(Reply::Delivery(view)) => view.id,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn delivery(at: &mut Bench, id: MessageId) -> DeliveryView {
    match at.ask(Command::Delivery(id)) {
        Ok(Reply::Delivery(view)) => view,
        other => panic!("{other:?}"),
    }
}

/// Bob has added Alice by her link; nobody has met.
pub(crate) fn strangers() -> (Bench, Bench) {
    let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
    let (link, _) = alice.invitation(true);
    bob.ask(Command::AddContact { link, name: None }).expect("added");
    (alice, bob)
}

/// Both links are down.
pub(crate) fn part(alice: &mut Bench, bob: &mut Bench) {
    alice.feed(Input::Disconnected { peer: bob.device });
    bob.feed(Input::Disconnected { peer: alice.device });
}
