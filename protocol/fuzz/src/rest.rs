//! What comes from our own disk, damaged.

use bitchat_proto::rest;
use bitchat_protocol::backup::Intake;
use bitchat_protocol::contact::Contact;
use bitchat_protocol::copies::Copies;
use bitchat_protocol::crypto::AgeHeader;
use bitchat_protocol::handshake::{is_replay, purge_replays};
use bitchat_protocol::id::{AccountId, DeviceId, MessageId};
use bitchat_protocol::identity::Device;
use bitchat_protocol::inbox::{
    Conversations, Held, Stored, forget_owed, owe, owed, purge_seen, seen,
};
use bitchat_protocol::invitation::Issued;
use bitchat_protocol::outbox::{Delivery, OutboxRow};
use bitchat_protocol::prekey::{HandTo, Pool, Prekeys, SignedPrekey};
use bitchat_protocol::ratchet::{Ratchet, Sealed};
use bitchat_protocol::session::Session;
use bitchat_protocol::store::{Key, MemoryStore, Overlay, Store, Table};
use prost::Message;

use super::forge::NOW;
use super::keys::{AD, Rows, rng};

/// A ratchet that is read comes back from its own record, and works without a panic.
pub fn ratchet_record(bytes: &[u8]) {
    let Ok(Ok(mut ratchet)) = rest::Ratchet::decode(bytes).map(Ratchet::from_record) else {
        return;
    };
    let record = ratchet.to_record();
    let again = Ratchet::from_record(record.clone()).expect("own record");
    assert!(again.to_record() == record, "a record changes by being read");

    let own = ratchet.seal(&mut rng(1), AD, b"text");
    if own.is_err() {
        assert!(ratchet.to_record() == record, "a failed seal has changed the state");
    }
    let record = ratchet.to_record();
    let foreign = Sealed { header: vec![7; 80], body: vec![7; 32] };
    for sealed in own.iter().chain([&foreign]) {
        let opened = ratchet.open(&mut rng(2), &Rows::default(), AD, sealed, NOW);
        if opened.is_err() {
            assert!(ratchet.to_record() == record, "a failed open has changed the state");
        } else {
            Ratchet::from_record(ratchet.to_record()).expect("own record");
        }
    }
}

/// A session that is read comes back from its own record, and works without a panic.
pub fn session_record(bytes: &[u8]) {
    let Ok(mut session) = Session::from_record(bytes) else {
        return;
    };
    let record = session.to_record();
    let again = Session::from_record(&record).expect("own record");
    assert!(again.to_record() == record, "a record changes by being read");
    assert_eq!((again.id(), again.peer()), (session.id(), session.peer()));

    let message = MessageId([9; 16]);
    let foreign = Sealed { header: vec![7; 80], body: vec![7; 32] };
    let opened = session.open(message, &foreign, &Rows::default(), NOW, &mut rng(2));
    assert!(opened.is_err(), "a foreign message has opened");
    assert!(session.to_record() == record, "a failed open has changed the state");
    let _ = session.seal(message, b"text", NOW, &mut rng(1));
}

/// The other rows: read, written, read again.
pub fn rows(bytes: &[u8]) {
    if let Ok(row) = OutboxRow::decode(bytes) {
        let encoded = row.encode();
        let again = OutboxRow::decode(&encoded).expect("own row");
        assert_eq!(again.encode(), encoded);
    }
    if let Ok(contact) = Contact::from_record(bytes) {
        let encoded = contact.to_record();
        let again = Contact::from_record(&encoded).expect("own row");
        assert_eq!(again.to_record(), encoded);
    }
    if let Ok(mut prekeys) = Prekeys::decode(bytes) {
        let encoded = prekeys.encode();
        assert!(Prekeys::decode(&encoded).expect("own row").encode() == encoded);
        prekeys.rotate(&mut rng(1), NOW);
        Prekeys::decode(&prekeys.encode()).expect("own row");
        let _ = prekeys.next_sequence(NOW);
    }
    one_time_row(bytes);
    if let Ok(copies) = Copies::decode(bytes) {
        assert_eq!(Copies::decode(&copies.encode()).expect("own row"), copies);
    }
    if let Ok((_, issued)) = Issued::decode(bytes) {
        let _ = issued.admits(NOW);
    }
    kept_for_a_contact(bytes);
}

/// The bytes as each row that a conversation leaves: what loads is answered, and can be forgotten.
fn kept_for_a_contact(bytes: &[u8]) {
    let (account, device, id) = (AccountId([1; 32]), DeviceId([2; 32]), MessageId([3; 16]));
    let mut overlay = Overlay::new(MemoryStore::default());
    let mut seen_scope = device.0.to_vec();
    seen_scope.extend_from_slice(&id.0);
    for key in [
        Key::of(Table::Delivery, &id.0),
        Key::of(Table::Seen, &seen_scope),
        Key::of(Table::Replay, &[4; 32]),
        Key::of(Table::Conversation, &account.0),
        Key::numbered(Table::Held, &account.0, 1),
        Key::numbered(Table::Message, &account.0, 1),
        Key::numbered(Table::Inbox, &[], 1),
        Key::numbered(Table::Owed, &account.0, 1),
    ] {
        overlay.put(key, bytes.to_vec());
    }
    let mut disk = MemoryStore::default();
    let _ = disk.commit(&overlay.seal().expect("rows"));
    let mut store = Overlay::new(disk);

    if let Ok(Some(delivery)) = Delivery::read(&store, id) {
        delivery.write(&mut store, id);
        assert_eq!(
            Delivery::read(&store, id).expect("own row").expect("a row").state(),
            delivery.state()
        );
    }
    if let Ok(known) = seen(&store, device, id) {
        assert!(known.is_some(), "a row was there");
    }
    let _ = purge_seen(&mut store, None, NOW);
    let _ = is_replay(&store, &[4; 32]).expect("a row is there");
    let _ = purge_replays(&mut store, None, NOW);
    let mut conversations = Conversations::default();
    if conversations.edit(account, &store).is_ok() {
        conversations.write(&mut store);
    }
    let _ = Held::load(&store);
    for table in [Table::Message, Table::Inbox] {
        let scope: &[u8] = if table == Table::Message { &account.0 } else { &[] };
        for row in store.scan(table, scope, &[], 10).expect("rows") {
            if table == Table::Inbox {
                let _ = Stored::from_inbox(&store, &row);
            } else if let Ok((index, message)) = Stored::from_row(&row) {
                message.write(&mut store, account, index);
            }
        }
    }
    if owe(&mut store, account, &[id], NOW).is_ok() {
        let ids = owed(&mut store, account, NOW).expect("rows that were read");
        assert!(ids.contains(&id));
    }
    let _ = forget_owed(&mut store, account);
}

/// The bytes as the row of a one-time prekey: what loads can be handed out, used and forgotten.
fn one_time_row(bytes: &[u8]) {
    let Ok(row) = rest::OneTimePrekey::decode(bytes) else {
        return;
    };
    let mut overlay = Overlay::new(MemoryStore::default());
    let algorithm = u8::try_from(row.algorithm).unwrap_or(u8::MAX);
    overlay.put(Key::numbered(Table::OneTimePrekey, &[algorithm], row.id.into()), bytes.to_vec());
    let last = rest::Counter { value: u32::MAX.into() }.encode_to_vec();
    overlay.put(Key::of(Table::Meta, b"one-time prekeys"), last);
    let mut disk = MemoryStore::default();
    let _ = disk.commit(&overlay.seal().expect("rows"));
    let Ok(mut pool) = Pool::load(&disk) else {
        return;
    };
    let mut store = Overlay::new(disk);
    let device = Device::random(&mut rng(1));
    let offer = pool.hand_out(&mut store, &device, HandTo::Contact, NOW).expect("a row that loads");
    offer.verify(&device.id(), NOW).expect("its own keys");
    let (x25519, ml_kem) = (offer.x25519, offer.ml_kem);
    let id = |prekey: Option<SignedPrekey>| prekey.map_or(0, |prekey| prekey.id);
    let (x25519, ml_kem) = (id(x25519), id(ml_kem));
    pool.secrets(&store, x25519, ml_kem).expect("handed out");
    pool.spend(&mut store, x25519, ml_kem);
    assert!((x25519, ml_kem) == (0, 0) || pool.secrets(&store, x25519, ml_kem).is_err());
    pool.expire(&mut store, NOW);
    assert!(!pool.refill(&mut store, &mut rng(1)), "the ids are used up");
}

/// The payload of a backup, whole and in pieces, and the header in front of one.
pub fn backup(bytes: &[u8]) {
    let _ = AgeHeader::parse(bytes);
    let whole = items(bytes.chunks(bytes.len().max(1)));
    assert_eq!(items(bytes.chunks(3)), whole, "the pieces make a difference");
    if let Some((frames, complete)) = whole {
        let (again, ends) = items(std::iter::once(frames.as_slice())).expect("own items");
        assert_eq!(again, frames, "own items change by being read");
        assert!(ends || !complete, "own items lose their end by being read");
    }
}

/// The items of a payload as we encode them and whether they end; `None` if it is refused.
fn items<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Option<(Vec<u8>, bool)> {
    let (mut intake, mut frames) = (Intake::default(), Vec::new());
    for piece in pieces {
        intake.push(piece);
        while let Some(item) = intake.item().ok()? {
            frames.extend_from_slice(&item.frame());
        }
    }
    Some((frames, intake.is_complete()))
}
