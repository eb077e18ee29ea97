//! A host in virtual time over a store that a crash can be played on.

mod model;
mod owner;
mod promises;
mod repair;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::{Host, HostFact, HostInput, HostOutput, HostSettings, HostSetup};
use crate::crypto::{Secret, SigningSecret};
use crate::id::DeviceId;
use crate::mailbox::{
    Admission, Answer, Ask, Order, Question, QueueKey, Request, RequestId, Response, SignedOrder,
    Tag, Token, find_work,
};
use crate::store::{Batch, Key, MemoryStore, Row, Store, StoreError, Table, TableCursor};
use crate::time::{Moment, Now, UnixMillis};

pub(super) const WALL: u64 = 1_800_000_000_000;
pub(super) const DAY: Duration = Duration::from_secs(24 * 3_600);

/// One store that both the host and its driver hold.
#[derive(Clone, Default)]
pub(super) struct Shared(Rc<RefCell<MemoryStore>>);

impl Store for Shared {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.borrow().get(key)
    }
    fn scan(&self, t: Table, scope: &[u8], from: &[u8], n: usize) -> Result<Vec<Row>, StoreError> {
        self.0.borrow().scan(t, scope, from, n)
    }
    fn scan_back(
        &self,
        t: Table,
        scope: &[u8],
        before: Option<&[u8]>,
        n: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.0.borrow().scan_back(t, scope, before, n)
    }
    fn walk(
        &self,
        t: Table,
        after: Option<&TableCursor>,
        n: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<TableCursor>), StoreError> {
        self.0.borrow().walk(t, after, n)
    }
}

/// A node with a clock and a disk.
pub(super) struct Node {
    pub(super) host: Host<Shared, ChaCha20Rng>,
    pub(super) store: Shared,
    pub(super) number: u8,
    pub(super) settings: HostSettings,
    pub(super) now: Now,
    pub(super) answers: Vec<(DeviceId, Response)>,
    pub(super) asks: Vec<Ask>,
    pub(super) facts: Vec<HostFact>,
    next_id: u64,
}

pub(super) fn settings() -> HostSettings {
    HostSettings { work_bits: 4, ..HostSettings::default() }
}

pub(super) fn key(number: u8) -> SigningSecret {
    SigningSecret::from_seed(Secret::take(&mut [number; 32]))
}

pub(super) fn token(number: u8) -> Token {
    Token::new([number; 32])
}

fn setup(number: u8, settings: &HostSettings) -> HostSetup {
    HostSetup { device: key(number), settings: settings.clone() }
}

impl Node {
    pub(super) fn new(number: u8, settings: HostSettings) -> Self {
        let now = Now { mono: Moment::START, wall: UnixMillis(WALL) };
        let store = Shared::default();
        let rng = ChaCha20Rng::seed_from_u64(u64::from(number));
        let host =
            Host::start(setup(number, &settings), store.clone(), rng, now).expect("an empty store");
        let lists = (Vec::new(), Vec::new(), Vec::new());
        let (answers, asks, facts) = lists;
        Self { host, store, number, settings, now, answers, asks, facts, next_id: 1 }
    }

    pub(super) fn device(&self) -> DeviceId {
        DeviceId(key(self.number).public())
    }

    /// The process is gone; what was not on the disk is, too.
    pub(super) fn restart(&mut self) {
        let rng = ChaCha20Rng::seed_from_u64(self.now.wall.0);
        let setup = setup(self.number, &self.settings);
        self.host = Host::start(setup, self.store.clone(), rng, self.now).expect("its own rows");
        self.answers.clear();
        self.asks.clear();
    }

    pub(super) fn feed(&mut self, input: HostInput) {
        self.host.handle(input, self.now);
    }

    /// Takes what comes out up to the next batch.
    pub(super) fn poll(&mut self) -> Option<Batch> {
        while let Some(output) = self.host.poll_output() {
            match output {
                HostOutput::Persist(batch) => return Some(batch),
                HostOutput::Respond { peer, frame } => {
                    self.answers.push((peer, Response::decode(&frame).expect("its own frame")));
                }
                HostOutput::Ask(ask) => self.asks.push(ask),
                HostOutput::Fact(fact) => {
                    assert!(!matches!(fact, HostFact::Bug(_) | HostFact::StoreFailed), "{fact:?}");
                    self.facts.push(fact);
                }
            }
        }
        None
    }

    pub(super) fn commit(&mut self, batch: &Batch) {
        let durable = self.store.0.borrow_mut().commit(batch);
        self.feed(HostInput::Persisted(durable));
    }

    pub(super) fn settle(&mut self) {
        while let Some(batch) = self.poll() {
            self.commit(&batch);
        }
        assert!(self.host.is_settled());
    }

    /// Time passes; every deadline on the way is kept.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some((at, _)) = self.host.poll_timeout().filter(|(at, _)| *at <= end) {
            self.jump(at.since(self.now.mono));
            self.feed(HostInput::Timeout);
            self.settle();
        }
        self.jump(end.since(self.now.mono));
    }

    pub(super) fn jump(&mut self, time: Duration) {
        self.now = Now { mono: self.now.mono + time, wall: self.now.wall.plus(time) };
    }

    pub(super) fn send(&mut self, peer: u8, question: Question) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let bytes = Request { id, question }.encode();
        self.feed(HostInput::Request { peer: DeviceId([peer; 32]), bytes });
        id
    }

    /// Asks and waits until all is durable.
    pub(super) fn ask(&mut self, peer: u8, question: Question) -> Answer {
        let id = self.send(peer, question);
        self.settle();
        self.answer(id).expect("an answer")
    }

    pub(super) fn answer(&mut self, id: RequestId) -> Option<Answer> {
        let at = self.answers.iter().position(|(_, response)| response.id == id)?;
        Some(self.answers.swap_remove(at).1.answer)
    }

    pub(super) fn signed(&self, owner: u8, order: &Order) -> Question {
        let asker = DeviceId([owner; 32]);
        Question::Order(SignedOrder::sign(order, &key(owner), self.device(), asker))
    }

    /// The owner orders over a link of its own.
    pub(super) fn order(&mut self, owner: u8, order: &Order) -> Answer {
        let question = self.signed(owner, order);
        self.ask(owner, question)
    }

    pub(super) fn rent(&mut self, owner: u8, request_tag: Option<Tag>) -> Answer {
        let queue = QueueKey(key(owner).public());
        let work = find_work(self.device(), &queue.0, (0, 1 << 20), 4).expect("one in 16");
        self.order(owner, &Order::Rent { access: String::new(), request_tag, work })
    }

    /// A queue that lets in tokens of these numbers.
    pub(super) fn rented(owner: u8, tokens: &[u8], settings: HostSettings) -> Self {
        let mut node = Self::new(200, settings);
        assert!(matches!(node.rent(owner, None), Answer::Offer(_)));
        let add = tokens.iter().map(|number| (token(*number).tag(), node.later(DAY * 35)));
        let order = Order::Tags { add: add.collect(), remove: Vec::new() };
        assert!(matches!(node.order(owner, &order), Answer::Done));
        node
    }

    pub(super) fn later(&self, time: Duration) -> UnixMillis {
        self.now.wall.plus(time)
    }

    pub(super) fn deposit(&mut self, number: u8, until: UnixMillis, seal: &[u8]) -> Answer {
        self.ask(100, deposit(number, until, seal))
    }

    pub(super) fn fetch(&mut self, owner: u8, after: u64) -> Vec<(u64, Vec<u8>)> {
        match self.order(owner, &Order::Fetch { after, wait_ms: 0 }) {
            Answer::Page(page) => {
                page.items.into_iter().map(|item| (item.cursor, item.seal)).collect()
            }
            other => panic!("no page: {other:?}"),
        }
    }
}

pub(super) fn deposit(number: u8, until: UnixMillis, seal: &[u8]) -> Question {
    let admission = Admission::Token(token(number));
    Question::Deposit { admission, until, seal: seal.to_vec() }
}
