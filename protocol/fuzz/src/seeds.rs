//! The valid encodings that the corpora start from.

use bitchat_proto::stream::{Control, put_frame};
use bitchat_proto::{rest, wire};
use bitchat_protocol::backup::{Counts, Head, Item};
use bitchat_protocol::contact::{Contact, KeyPolicy};
use bitchat_protocol::crypto::{AgeHeader, PAYLOAD_NONCE_BYTES, Secret};
use bitchat_protocol::envelope::{Body, Content, Envelope, Frame, Introduction, Receipts};
use bitchat_protocol::id::{InvitationToken, MessageId, SessionId};
use bitchat_protocol::inbox::Conversation;
use bitchat_protocol::invitation::{Invitation, Target};
use bitchat_protocol::outbox::OutboxRow;
use bitchat_protocol::prekey::{Algorithm, Offer, OneTimeKeys, SignedPrekey};
use bitchat_protocol::ratchet::Sealed;
use bitchat_protocol::sealed::file::{MAGIC, Writer};
use bitchat_protocol::sealed::seal;
use bitchat_protocol::session::{Peer, Session};
use bitchat_protocol::time::UnixMillis;
use prost::Message;
use prost::bytes::BytesMut;

use super::forge::{Forger, NOW};
use super::keys::{Device, certificate_of, live, one_time, pair, rng};

/// Target, name of the file, bytes.
pub type Seed = (&'static str, &'static str, Vec<u8>);

const TOKEN: InvitationToken = InvitationToken([5; 16]);
const MESSAGE: MessageId = MessageId([6; 16]);

/// Valid encodings for every target.
#[must_use]
pub fn seeds() -> Vec<Seed> {
    let (alice, bob) = (Device::new(1), Device::new(2));
    let account = alice.identity.account();
    let initiated = alice.initiate(&bob, &OneTimeKeys::default());
    let (offer, keys) = offered(&bob);
    let once = alice.initiate(&bob, &keys).initial;
    let initial = initiated.initial.clone();
    let peer = Peer { account, device: alice.identity.device().id() };
    let session = Session::initiated(initiated, peer, NOW, &mut rng(4)).expect("a session");
    let mut seeds = vec![
        ("certificate", "valid", certificate_of(1)),
        ("contact_record", "signed", alice.record.clone()),
        ("contact_record", "fields", Forger::new().record().encode_to_vec()),
        ("handshake_accept", "valid", initial.encode_to_vec()),
        ("handshake_accept", "one-time", once.encode_to_vec()),
        ("one_time_prekeys", "both", response(offer.clone())),
        ("rows", "one-time", one_time_row()),
        ("ids", "account", account.to_string().into_bytes()),
        ("ids", "message", MESSAGE.to_string().into_bytes()),
        ("ids", "bytes", vec![7; 32]),
        ("rows", "prekeys", alice.prekeys.encode()),
        ("rows", "outbox", outbox(&alice).encode()),
        ("rows", "contact", contact(&alice).to_record()),
        ("session_record", "unconfirmed", session.to_record()),
    ];
    let envelope = Envelope {
        session: session.id(),
        message: MESSAGE,
        initial: Some(initial),
        sealed: Sealed { header: vec![8; 80], body: vec![9; 64] },
    };
    seeds.extend(seals(&alice, &bob, &envelope));
    let frames = [
        ("envelope", Frame::Envelope(envelope)),
        ("request", Frame::RecordRequest(TOKEN)),
        ("response", Frame::RecordResponse(Some(vec![1, 2, 3]))),
        ("empty", Frame::RecordResponse(None)),
        ("prekey-request", Frame::PrekeyRequest(Some(TOKEN))),
        ("prekey-response", Frame::PrekeyResponse(offer)),
    ];
    seeds.extend(streams());
    seeds.extend(frames.map(|(name, frame)| ("frame", name, frame.encode())));
    seeds.extend(backups(&alice));
    seeds.extend(contents(&alice));
    seeds.extend(links(&alice));
    seeds.extend(ratchets());
    seeds.extend(networks());
    seeds.extend(conversation_rows());
    seeds
}

/// What a conversation leaves in the store.
fn conversation_rows() -> Vec<Seed> {
    let (account, device, message) = (vec![1; 32], vec![2; 32], MESSAGE.0.to_vec());
    let shown = rest::Message {
        id: message.clone(),
        text: "text".to_owned(),
        lamport: 3,
        sent_ms: 4,
        received_ms: 5,
        gap: 1,
        cursor: 6,
        ..rest::Message::default()
    };
    let conversation = rest::Conversation {
        lamport: 3,
        next_index: 2,
        sent: 1,
        device: device.clone(),
        shown: 7,
        heads: vec![message.clone()],
        heard: 2,
    };
    let held = rest::Held {
        account: account.clone(),
        message: Some(shown.clone()),
        sequence: 9,
        until_ms: NOW.0,
        device: device.clone(),
    };
    let step = |state| rest::DeliveryStep { state, at_ms: 1, evidence: "x".to_owned() };
    let custody = rest::Custody {
        mailbox: device.clone(),
        envelope: vec![5; 32],
        until_ms: NOW.0,
        receipt: vec![6; 100],
        at_ms: 1,
    };
    let delivery = rest::Delivery {
        account: account.clone(),
        steps: vec![step(1), step(3), step(10)],
        custody: vec![custody],
        late_ms: 2,
    };
    let seen = rest::Seen {
        device,
        message: message.clone(),
        digest: vec![3; 32],
        at_ms: 1,
        unreadable: true,
    };
    vec![
        ("rows", "message", shown.encode_to_vec()),
        ("rows", "conversation", conversation.encode_to_vec()),
        ("rows", "held", held.encode_to_vec()),
        ("rows", "delivery", delivery.encode_to_vec()),
        ("rows", "seen", seen.encode_to_vec()),
        ("rows", "inbox", rest::Inbox { account, index: 1 }.encode_to_vec()),
        ("rows", "replay", rest::Replay { at_ms: 1, hash: vec![4; 32] }.encode_to_vec()),
        ("rows", "owed", rest::Owed { messages: vec![message], at_ms: 1 }.encode_to_vec()),
    ]
}

/// Two cuts, then frames, half a frame, or what is none.
fn streams() -> [Seed; 5] {
    let frame = Frame::RecordRequest(TOKEN).encode();
    let mut stream = BytesMut::from(&[2, 1, 7][..]);
    put_frame(&mut stream, &frame);
    let half = stream[..stream.len() / 2].to_vec();
    Control::Refusal { number: 300, code: 2, retry_after_ms: 1_500 }.put(&mut stream);
    Control::Accepted { upto: 1 }.put(&mut stream);
    put_frame(&mut stream, &[7; 300]);
    [
        ("link_stream", "frames", stream.to_vec()),
        ("link_stream", "half", half),
        // The greatest length, and none of its bytes.
        ("link_stream", "claim", vec![2, 1, 7, 0x80, 0x80, 0x10]),
        ("link_stream", "long", vec![2, 1, 7, 0x81, 0x80, 0x10, 0, 0]),
        ("link_stream", "padded", vec![2, 1, 7, 0x81, 0x80, 0x00, 0, 0]),
    ]
}

/// A letter that founds a session, one that does not, a seal and a file.
fn seals(alice: &Device, bob: &Device, envelope: &Envelope) -> [Seed; 4] {
    let sealed = Sealed { header: vec![8; 80], body: vec![9; 64] };
    let plain = Envelope { session: envelope.session, message: MESSAGE, initial: None, sealed };
    let letter = plain.to_letter();
    let seal = seal(&alice.identity, bob.identity.certificate(), &letter, &mut rng(6));
    let mut writer = Writer::default();
    let records = [writer.record(&letter), writer.record(&[1])].concat();
    let file = [MAGIC.as_slice(), &records, &writer.end()].concat();
    [
        ("sealed", "founding", envelope.to_letter()),
        ("sealed", "file", file),
        ("sealed", "letter", letter),
        ("sealed", "seal", seal.expect("short")),
    ]
}

/// What a device hands out, and what its reader takes of it.
fn offered(device: &Device) -> (Offer, OneTimeKeys) {
    let secrets = one_time(2);
    let (device, expires) = (device.identity.device(), UnixMillis(NOW.0 + 1));
    let issue =
        |algorithm, id, key: &[u8]| SignedPrekey::issue(device, algorithm, id, key, expires);
    let x25519 = secrets.x25519.expect("there");
    let ml_kem = secrets.ml_kem.expect("there");
    let offer = Offer {
        x25519: Some(issue(Algorithm::X25519, x25519.0, x25519.1.public().as_bytes())),
        ml_kem: Some(issue(Algorithm::MlKem1024, ml_kem.0, ml_kem.1.public().as_bytes())),
    };
    let keys = offer.verify(&device.id(), NOW).expect("its own keys");
    (offer, keys)
}

fn response(offer: Offer) -> Vec<u8> {
    let link = wire::Link::decode(Frame::PrekeyResponse(offer).encode().as_slice());
    match link.expect("own encoding").frame {
        Some(wire::link::Frame::PrekeyResponse(response)) => response.encode_to_vec(),
        _ => panic!("an answer"),
    }
}

fn one_time_row() -> Vec<u8> {
    rest::OneTimePrekey { algorithm: 2, id: 7, secret: vec![9; 64], until_ms: 0 }.encode_to_vec()
}

fn contents(alice: &Device) -> [Seed; 5] {
    let introduction = Introduction {
        token: Some(TOKEN),
        nickname: "alice".to_owned(),
        record: alice.record[..200].to_vec(),
    };
    let bodies = [
        ("text", Body::Text("héllo".to_owned())),
        ("receipts", Body::Receipts(Receipts { delivered: vec![MESSAGE; 3], read: vec![MESSAGE] })),
        ("hello", Body::Hello),
        ("update", Body::Update),
        ("unreadable", Body::Unreadable(vec![MESSAGE])),
    ];
    let content = |body| Content {
        lamport: 9,
        sequence: 2,
        parents: vec![MESSAGE],
        sent: NOW,
        introduction: Some(introduction.clone()),
        body,
    };
    bodies.map(|(name, body)| ("content", name, content(body).encode()))
}

fn links(alice: &Device) -> [Seed; 2] {
    let target = Target::Record(alice.record.clone());
    let long =
        Invitation { token: TOKEN, expires: Some(NOW), nickname: "alice".to_owned(), target };
    let short = long.to_short().expect("a good record");
    [("long", long), ("short", short)]
        .map(|(name, invitation)| ("invitation_link", name, invitation.to_link().into_bytes()))
}

fn ratchets() -> Vec<Seed> {
    let (initiator, responder) = pair();
    let live = live().0.to_record();
    let opening = |selector| {
        [[selector].as_slice(), &live.dh_remote, &[0, 0, 0, 4, 0, 0, 0, 5], &[0; 32]].concat()
    };
    vec![
        ("ratchet_record", "initiator", initiator.to_record().encode_to_vec()),
        ("ratchet_record", "responder", responder.to_record().encode_to_vec()),
        ("ratchet_record", "live", live.encode_to_vec()),
        ("ratchet_open", "current", opening(0)),
        ("ratchet_open", "next", opening(1)),
        ("ratchet_open", "current-small", opening(2)),
        ("ratchet_open", "next-small", opening(3)),
    ]
}

/// In the steps of `network.rs`.
fn networks() -> [Seed; 3] {
    [
        ("hostile_network", "plain", vec![0, 0, 2, 0, 1, 0, 3, 0, 0, 0, 4, 0, 1, 0, 5, 0]),
        ("hostile_network", "gaps", vec![6, 40, 4, 0, 1, 0, 3, 0, 7, 30, 6, 9, 5, 0, 4, 0, 14, 0]),
        ("hostile_network", "tampered", vec![0, 0, 0, 0, 8, 9, 10, 16, 12, 0, 2, 1, 2, 0, 2, 0]),
    ]
}

fn outbox(alice: &Device) -> OutboxRow {
    OutboxRow {
        account: alice.identity.account(),
        sequence: 1,
        message: MESSAGE,
        content: vec![1, 2, 3],
        created: NOW,
        expires: UnixMillis(NOW.0 + 1),
        encrypted: Some((SessionId([1; 8]), vec![4, 5, 6])),
    }
}

fn contact(alice: &Device) -> Contact {
    Contact {
        account: alice.identity.account(),
        name: "Alice".to_owned(),
        nickname: "alice".to_owned(),
        record: None,
        device: alice.identity.device().id(),
        generation: 1,
        addresses: vec!["/ip4/192.0.2.1/udp/4001/quic-v1".to_owned()],
        token: Some(TOKEN),
        read_receipts: None,
        verified: false,
        added: NOW,
        former: Vec::new(),
        policy: KeyPolicy::Tofu,
        changed: None,
        pending: None,
    }
}

fn backups(alice: &Device) -> [Seed; 2] {
    let head = Head {
        phrase_entropy: Secret::take(&mut [7; 32]),
        nickname: "alice".to_owned(),
        number: 1,
        generation: 1,
        created: NOW,
        history: false,
    };
    let contact = contact(alice);
    let end = Counts { contacts: 1, conversations: 1, ..Counts::default() };
    let conversation = Conversation { lamport: 9, heads: vec![MESSAGE], ..Conversation::default() };
    let items = [
        Item::Head(head),
        Item::Conversation(contact.account, conversation),
        Item::Contact(Box::new(contact)),
        Item::End(end),
    ];
    let payload = items.iter().flat_map(|item| item.frame().to_vec()).collect();
    let (mut header, _) = AgeHeader::create(b"passphrase", 4, &mut rng(6)).expect("a header");
    header.truncate(header.len() - PAYLOAD_NONCE_BYTES);
    [("backup", "payload", payload), ("backup", "header", header)]
}
