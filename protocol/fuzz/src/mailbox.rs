//! Questions, answers and orders of mailboxes; a node that is fed with them.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bitchat_proto::wire;
use bitchat_protocol::crypto::{Label, Secret, SigningSecret, Transcript};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::host::{
    Host, HostFact, HostInput, HostOutput, HostSettings, HostSetup,
};
use bitchat_protocol::mailbox::{
    Admission, Answer, Order, Question, Request, RequestId, Response, SignedOrder, Token,
};
use bitchat_protocol::store::MemoryStore;
use bitchat_protocol::time::{Moment, Now, UnixMillis};
use prost::Message;
use rand_chacha::ChaCha20Rng;

use super::forge::NOW;
use super::keys::rng;
use super::seeds::Seed;

type Shared = Rc<RefCell<MemoryStore>>;

/// What is said while a node runs; the number is the first byte of a step.
const RAW: u8 = 0;
const DEPOSIT: u8 = 1;
const ORDER: u8 = 2;
const ANSWER: u8 = 3;
const TIME: u8 = 4;
const CRASH: u8 = 5;

const ENVELOPES: u64 = 8;
const BYTES: u64 = 4_096;

fn key(number: u8) -> SigningSecret {
    SigningSecret::from_seed(Secret::take(&mut [number; 32]))
}

fn asker() -> DeviceId {
    DeviceId([9; 32])
}

struct Node {
    host: Host<Shared, ChaCha20Rng>,
    store: Shared,
    now: Now,
    asked: Vec<RequestId>,
    answers: usize,
}

fn start(store: Shared, now: Now) -> Host<Shared, ChaCha20Rng> {
    let settings = HostSettings {
        rentals_max: 2,
        queue_bytes_max: BYTES,
        queue_envelopes_max: ENVELOPES,
        work_bits: 0,
        ..HostSettings::default()
    };
    let setup = HostSetup { device: key(1), settings };
    Host::start(setup, store, rng(7), now).expect("its own rows")
}

impl Node {
    fn new() -> Self {
        let (store, now) = (Shared::default(), Now { mono: Moment::START, wall: NOW });
        let host = start(Rc::clone(&store), now);
        let mut node = Self { host, store, now, asked: Vec::new(), answers: 0 };
        let order = Order::Rent { access: String::new(), request_tag: None, work: 0 };
        node.feed(request(Question::Order(SignedOrder::sign(&order, &key(2), id(), asker()))));
        let until = UnixMillis(NOW.0 + 9_000_000_000);
        let order = Order::Tags { add: vec![(token().tag(), until)], remove: Vec::new() };
        node.feed(request(Question::Order(SignedOrder::sign(&order, &key(2), id(), asker()))));
        assert_eq!(node.answers, 2);
        node
    }

    fn feed(&mut self, input: HostInput) {
        self.host.handle(input, self.now);
        while let Some(output) = self.host.poll_output() {
            match output {
                HostOutput::Persist(batch) => {
                    let durable = self.store.borrow_mut().commit(&batch);
                    self.host.handle(HostInput::Persisted(durable), self.now);
                }
                HostOutput::Respond { frame, .. } => {
                    self.answers += 1;
                    assert!(Response::decode(&frame).is_ok());
                }
                HostOutput::Ask(ask) => self.asked.push(ask.request),
                HostOutput::Fact(HostFact::Bug(what)) => panic!("{what}"),
                HostOutput::Fact(_) => {}
            }
        }
        assert!(self.host.is_settled() && !self.host.is_full());
        let view = self.host.view();
        assert!(view.envelopes <= 3 * ENVELOPES && view.bytes <= 3 * BYTES && view.rentals <= 2);
    }

    fn pass(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono + time, wall: self.now.wall.plus(time) };
        for _ in 0..64 {
            match self.host.poll_timeout() {
                Some((at, _)) if at <= self.now.mono => self.feed(HostInput::Timeout),
                _ => return,
            }
        }
    }

    fn step(&mut self, kind: u8, bytes: &[u8]) {
        match kind % 6 {
            RAW => self.feed(HostInput::Request { peer: asker(), bytes: bytes.to_vec() }),
            DEPOSIT => {
                let until =
                    UnixMillis(NOW.0 + 1_000_000 * u64::from(bytes.first().copied().unwrap_or(1)));
                let admission = Admission::Token(token());
                self.feed(request(Question::Deposit { admission, until, seal: bytes.to_vec() }));
            }
            ORDER => self.feed(HostInput::Request { peer: asker(), bytes: signed(bytes) }),
            ANSWER => {
                let Some(request) = self.asked.pop() else { return };
                let mut frame = bytes.to_vec();
                if let Ok(Response { answer, .. }) = Response::decode(bytes) {
                    frame = Response { id: request, answer }.encode();
                }
                self.feed(HostInput::Answered { request, frame });
            }
            TIME => {
                let hours = bytes.iter().map(|byte| u64::from(*byte)).sum::<u64>();
                self.pass(Duration::from_secs(hours.min(24 * 90) * 3_600));
            }
            CRASH | 6.. => {
                self.host = start(Rc::clone(&self.store), self.now);
                self.asked.clear();
            }
        }
    }
}

fn id() -> DeviceId {
    DeviceId(key(1).public())
}

fn token() -> Token {
    Token::new([3; 32])
}

fn request(question: Question) -> HostInput {
    let bytes = Request { id: RequestId(1), question }.encode();
    HostInput::Request { peer: asker(), bytes }
}

/// Any bytes as the body of an order whose signature holds.
fn signed(body: &[u8]) -> Vec<u8> {
    let owner = key(2);
    let mut transcript = Transcript::new(b"bitchat/1 mailbox order");
    transcript.add("node", &id().0);
    transcript.add("asker", &asker().0);
    transcript.add("queue", &owner.public());
    transcript.add("body", body);
    let signature = owner.sign(Label::MailboxOrder, &transcript.finish()).to_vec();
    let queue = owner.public().to_vec();
    let order = wire::MailboxOrder { queue, body: body.to_vec(), signature };
    let ask = Some(wire::mailbox_request::Ask::Order(order));
    let request = wire::MailboxRequest { number: 1, ask };
    let frame = Some(wire::link::Frame::MailboxRequest(request));
    wire::Link { frame }.encode_to_vec()
}

/// A question or an answer that parses comes back from its own encoding; a node takes any steps.
pub fn mailbox(bytes: &[u8]) {
    if let Ok(question) = Request::decode(bytes) {
        let again = Request::decode(&question.encode()).expect("own encoding");
        assert!(again == question);
    }
    if let Ok(answer) = Response::decode(bytes) {
        let encoded = answer.encode();
        let again = Response::decode(&encoded).expect("own encoding");
        assert_eq!(again.encode(), encoded);
    }
    let (mut node, mut rest) = (Node::new(), bytes);
    while let [kind, low, high, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (step, after) = tail.split_at(length);
        node.step(*kind, step);
        rest = after;
    }
}

/// The body of an order: what is signed of it.
fn body(order: &Order) -> Vec<u8> {
    let question = Question::Order(SignedOrder::sign(order, &key(2), id(), asker()));
    let frame = Request { id: RequestId(1), question }.encode();
    let link = wire::Link::decode(frame.as_slice()).expect("own encoding");
    match link.frame {
        Some(wire::link::Frame::MailboxRequest(wire::MailboxRequest {
            ask: Some(wire::mailbox_request::Ask::Order(order)),
            ..
        })) => order.body,
        _ => Vec::new(),
    }
}

fn steps(steps: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, step) in steps {
        bytes.push(*kind);
        bytes.extend(u16::try_from(step.len()).expect("short").to_le_bytes());
        bytes.extend(step);
    }
    bytes
}

/// Valid encodings to start from.
pub(super) fn seeds() -> [Seed; 5] {
    let fetch = || body(&Order::Fetch { after: 0, wait_ms: 60_000 });
    let fellow = bitchat_protocol::mailbox::Fellow {
        rank: 5,
        device: DeviceId([8; 32]),
        addresses: vec!["/ip4/203.0.113.1/tcp/1".to_owned()],
        token: token(),
    };
    let fellows = body(&Order::Fellows { rank: 0, fellows: vec![fellow] });
    let offer = Response { id: RequestId(1), answer: Answer::Done }.encode();
    let question = Request { id: RequestId(1), question: Question::Offer }.encode();
    let life = [
        (ORDER, fetch()),
        (DEPOSIT, vec![200; 40]),
        (DEPOSIT, vec![100; 30]),
        (CRASH, Vec::new()),
        (ORDER, fetch()),
        (ORDER, body(&Order::Taken(vec![NOW.0 * 1_024]))),
        (DEPOSIT, vec![200; 40]),
        (TIME, vec![200]),
        (ORDER, body(&Order::End)),
        (TIME, vec![255; 9]),
    ];
    let asked = [
        (DEPOSIT, vec![200; 40]),
        (ORDER, fellows),
        (TIME, vec![2]),
        (ANSWER, offer.clone()),
        (TIME, vec![2]),
        (ANSWER, offer.clone()),
    ];
    [
        ("mailbox", "question", question.clone()),
        ("mailbox", "answer", offer),
        ("mailbox", "life", steps(&life)),
        ("mailbox", "fellows", steps(&asked)),
        ("mailbox", "raw", steps(&[(RAW, question)])),
    ]
}
