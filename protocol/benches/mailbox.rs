//! Deposits a second of a mailbox node's state machine alone, over a store in memory: at least 20,000,
//! so that the disk decides (5,000 with a flush). What is counted ends with custody, signed by the node.

#![allow(clippy::expect_used, reason = "a bench stops by panicking")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bitchat_protocol::crypto::{Secret, SigningSecret};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::host::{Host, HostInput, HostOutput, HostSettings, HostSetup};
use bitchat_protocol::mailbox::{
    Admission, Answer, Order, Question, Request, RequestId, Response, SignedOrder, Token,
};
use bitchat_protocol::store::MemoryStore;
use bitchat_protocol::time::{Moment, Now, UnixMillis};
use divan::Bencher;
use divan::counter::ItemsCount;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

/// Deposits of one round, spread over so many queues: what gathers during a flush.
const DEPOSITS: u32 = 1_000;
const QUEUES: u8 = 20;

/// A padded text in its seal.
const SEAL: usize = 2_048;

type Shared = Rc<RefCell<MemoryStore>>;

fn main() {
    divan::main();
}

fn key(number: u8) -> SigningSecret {
    SigningSecret::from_seed(Secret::take(&mut [number; 32]))
}

struct Node {
    host: Host<Shared, ChaCha20Rng>,
    store: Shared,
    now: Now,
    custody: u32,
}

impl Node {
    fn new() -> Self {
        let store = Shared::default();
        let now = Now { mono: Moment::START, wall: UnixMillis(1_800_000_000_000) };
        let settings = HostSettings { work_bits: 0, ..HostSettings::default() };
        let setup = HostSetup { device: key(255), settings };
        let rng = ChaCha20Rng::seed_from_u64(1);
        let host = Host::start(setup, Rc::clone(&store), rng, now).expect("an empty store");
        let mut node = Self { host, store, now, custody: 0 };
        for queue in 0..QUEUES {
            node.order(queue, &Order::Rent { access: String::new(), request_tag: None, work: 0 });
            let add = vec![(Token::new([queue; 32]).tag(), node.later())];
            node.order(queue, &Order::Tags { add, remove: Vec::new() });
        }
        node.settle();
        node
    }

    fn later(&self) -> UnixMillis {
        self.now.wall.plus(Duration::from_secs(86_400))
    }

    fn order(&mut self, queue: u8, order: &Order) {
        let peer = DeviceId([queue; 32]);
        let node = DeviceId(key(255).public());
        let question = Question::Order(SignedOrder::sign(order, &key(queue), node, peer));
        let bytes = Request { id: RequestId(0), question }.encode();
        self.host.handle(HostInput::Request { peer, bytes }, self.now);
    }

    fn settle(&mut self) {
        while let Some(output) = self.host.poll_output() {
            match output {
                HostOutput::Persist(batch) => {
                    let durable = self.store.borrow_mut().commit(&batch);
                    self.host.handle(HostInput::Persisted(durable), self.now);
                }
                HostOutput::Respond { frame, .. } => {
                    let response = Response::decode(&frame).expect("its own frame");
                    self.custody += u32::from(matches!(response.answer, Answer::Custody(_)));
                }
                HostOutput::Ask(_) | HostOutput::Fact(_) => {}
            }
        }
    }
}

/// Frames as they come from the link, different seals, 64 askers.
fn frames(until: UnixMillis) -> Vec<(DeviceId, Vec<u8>)> {
    let frame = |number: u32| {
        let queue = u8::try_from(number % u32::from(QUEUES)).expect("small");
        let admission = Admission::Token(Token::new([queue; 32]));
        let mut seal = vec![7; SEAL];
        seal.splice(..4, number.to_be_bytes());
        let question = Question::Deposit { admission, until, seal };
        let peer = DeviceId([u8::try_from(number % 64).expect("small"); 32]);
        (peer, Request { id: RequestId(u64::from(number)), question }.encode())
    };
    (0..DEPOSITS).map(frame).collect()
}

#[divan::bench]
fn deposits(bencher: Bencher<'_, '_>) {
    bencher
        .counter(ItemsCount::new(DEPOSITS))
        .with_inputs(|| {
            let node = Node::new();
            let frames = frames(node.later());
            (node, frames)
        })
        .bench_local_values(|(mut node, frames)| {
            for (peer, bytes) in frames {
                node.host.handle(HostInput::Request { peer, bytes }, node.now);
            }
            node.settle();
            assert_eq!(node.custody, DEPOSITS);
            node
        });
}
