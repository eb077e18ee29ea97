//! Mailbox nodes of a world: a small keeper of envelopes that can be honest, full or a liar.

use std::collections::BTreeMap;
use std::time::Duration;

use bitchat_protocol::crypto::{Secret, SigningSecret, digest};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::mailbox::{
    Admission, Answer, Custody, Item, Offer, Order, Page, Question, QueueKey, RefusalCode, Request,
    RequestId, Response, Tag, is_work,
};
use bitchat_protocol::prekey::SignedPrekey;
use bitchat_protocol::time::UnixMillis;

use super::NodeId;

/// Envelopes of a page.
const PAGE: usize = 50;

/// How a mailbox node keeps its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It does what it signs.
    Honest,
    /// It signs custody and drops the envelope.
    Drops,
    /// Its queues are full.
    Full,
    /// It signs nothing that holds: custody of another key.
    Forges,
    /// It hands out pages of noise, without end.
    Babbles,
}

/// Who waits for an envelope.
#[derive(Debug)]
pub(super) struct Waiting {
    pub node: NodeId,
    pub life: u32,
    pub request: RequestId,
    queue: QueueKey,
    after: u64,
}

#[derive(Debug, Default)]
struct Queue {
    items: BTreeMap<u64, Vec<u8>>,
    last: u64,
    given: BTreeMap<[u8; 32], UnixMillis>,
    request_tag: Option<Tag>,
    prekeys: (Vec<SignedPrekey>, Vec<SignedPrekey>),
    fellows: Vec<Tag>,
}

/// A mailbox node. What it holds outlives its crashes.
#[derive(Debug)]
pub(super) struct Keeper {
    key: SigningSecret,
    pub keeping: Keeping,
    pub up: bool,
    pub work_bits: u32,
    queues: BTreeMap<QueueKey, Queue>,
    tags: BTreeMap<Tag, (QueueKey, UnixMillis)>,
    pub waiting: Vec<Waiting>,
    pub fetches: u64,
    pub deposits: u64,
}

impl Keeper {
    pub(super) fn new(seed: [u8; 32], keeping: Keeping) -> Self {
        Self {
            key: SigningSecret::from_seed(Secret::take(&mut { seed })),
            keeping,
            up: true,
            work_bits: 0,
            queues: BTreeMap::new(),
            tags: BTreeMap::new(),
            waiting: Vec::new(),
            fetches: 0,
            deposits: 0,
        }
    }

    pub(super) fn device(&self) -> DeviceId {
        DeviceId(self.key.public())
    }

    /// Envelopes that lie there.
    pub(super) fn held(&self) -> usize {
        self.queues.values().map(|queue| queue.items.len()).sum()
    }

    /// Tags that let somebody in.
    pub(super) fn tags(&self) -> usize {
        self.tags.len()
    }

    /// What its owners gave it to pass on with.
    pub(super) fn fellows(&self) -> impl Iterator<Item = &Tag> {
        self.queues.values().flat_map(|queue| &queue.fellows)
    }

    /// Until when a tag lets somebody in.
    pub(super) fn lets_in(&self, tag: &Tag) -> Option<UnixMillis> {
        self.tags.get(tag).map(|(_, until)| *until)
    }

    /// Forgets every queue, as a node whose disk was lost.
    pub(super) fn forget(&mut self) {
        self.queues.clear();
        self.tags.clear();
    }

    /// The answer to a question; `None`: later, or not understood.
    pub(super) fn handle(
        &mut self,
        (node, life, asker): (NodeId, u32, DeviceId),
        frame: &[u8],
        now: UnixMillis,
    ) -> Option<Vec<u8>> {
        let Request { id, question } = Request::decode(frame).ok()?;
        let answer = match question {
            Question::Deposit { admission, until, seal } => {
                self.deposit(&admission, until, seal, now)
            }
            Question::Order(order) => {
                let queue = order.queue;
                let order = order.open(self.device(), asker).ok()?;
                if let Order::Fetch { after, wait_ms } = order {
                    self.fetches += 1;
                    let page = self.page(queue, after);
                    if wait_ms > 0 && is_empty(&page) {
                        self.waiting.push(Waiting { node, life, request: id, queue, after });
                        return None;
                    }
                    page
                } else {
                    self.order(queue, order, now)
                }
            }
            Question::Prekeys(admission) => self.prekeys(&admission),
            Question::Offer => Answer::Offer(self.offer(UnixMillis(0))),
        };
        Some(Response { id, answer }.encode())
    }

    /// Answers to fetches that need wait no longer.
    pub(super) fn woken(&mut self) -> Vec<(Waiting, Vec<u8>)> {
        let mut woken = Vec::new();
        for waiting in std::mem::take(&mut self.waiting) {
            let answer = self.page(waiting.queue, waiting.after);
            if is_empty(&answer) {
                self.waiting.push(waiting);
            } else {
                let frame = Response { id: waiting.request, answer }.encode();
                woken.push((waiting, frame));
            }
        }
        woken
    }

    /// The answer to a fetch that waited in vain.
    pub(super) fn in_vain(&mut self, request: RequestId) -> Option<(Waiting, Vec<u8>)> {
        let at = self.waiting.iter().position(|waiting| waiting.request == request)?;
        let waiting = self.waiting.remove(at);
        let page = Page { items: Vec::new(), next: waiting.after, more: false };
        let frame = Response { id: request, answer: Answer::Page(page) }.encode();
        Some((waiting, frame))
    }

    fn offer(&self, until: UnixMillis) -> Offer {
        Offer { until, work_bits: self.work_bits, ..Offer::default() }
    }

    fn order(&mut self, key: QueueKey, order: Order, now: UnixMillis) -> Answer {
        let until = now.plus(Duration::from_secs(60 * 24 * 3_600));
        if let Order::Rent { request_tag, work, .. } = order {
            let is_new = !self.queues.contains_key(&key);
            if is_new && !is_work(self.device(), &key.0, work, self.work_bits) {
                return refused(RefusalCode::Unpaid, self.work_bits);
            }
            self.queues.entry(key).or_default().request_tag = request_tag;
            return Answer::Offer(self.offer(until));
        }
        let Some(queue) = self.queues.get_mut(&key) else {
            return refused(RefusalCode::Unknown, 0);
        };
        match order {
            Order::Tags { add, remove } => {
                self.tags.extend(add.into_iter().map(|(tag, until)| (tag, (key, until))));
                for tag in remove {
                    self.tags.remove(&tag);
                }
            }
            Order::Taken(cursors) => {
                for cursor in cursors {
                    queue.items.remove(&cursor);
                }
            }
            Order::End => {
                self.queues.remove(&key);
                self.tags.retain(|_, (queue, _)| *queue != key);
            }
            Order::Stock { x25519, ml_kem } => queue.prekeys = (x25519, ml_kem),
            Order::Fellows { fellows, .. } => {
                queue.fellows = fellows.iter().map(|fellow| fellow.token.tag()).collect();
            }
            Order::Rent { .. } | Order::Fetch { .. } => {}
        }
        Answer::Done
    }

    fn prekeys(&mut self, admission: &Admission) -> Answer {
        let Admission::Token(token) = admission else { return refused(RefusalCode::Unpaid, 0) };
        let queue = self.tags.get(&token.tag()).and_then(|(key, _)| self.queues.get_mut(key));
        let Some(queue) = queue else { return refused(RefusalCode::Unknown, 0) };
        let (x25519, ml_kem) = (queue.prekeys.0.pop(), queue.prekeys.1.pop());
        Answer::Prekeys(bitchat_protocol::prekey::Offer { x25519, ml_kem })
    }

    fn deposit(
        &mut self,
        admission: &Admission,
        until: UnixMillis,
        seal: Vec<u8>,
        now: UnixMillis,
    ) -> Answer {
        let key = match admission {
            Admission::Token(token) => match self.tags.get(&token.tag()) {
                Some((queue, let_in)) if *let_in > now => *queue,
                _ => return refused(RefusalCode::Unknown, 0),
            },
            Admission::Work { tag, work } => {
                let of = |(_, queue): &(&QueueKey, &Queue)| queue.request_tag == Some(*tag);
                let Some((key, _)) = self.queues.iter().find(of) else {
                    return refused(RefusalCode::Unknown, 0);
                };
                if !is_work(self.device(), &Admission::subject(tag, &seal), *work, self.work_bits) {
                    return refused(RefusalCode::Unpaid, self.work_bits);
                }
                *key
            }
        };
        let hash = digest(&seal);
        self.deposits += 1;
        match self.keeping {
            Keeping::Full => return refused(RefusalCode::QuotaExceeded, 0),
            Keeping::Forges => {
                let other = SigningSecret::from_seed(Secret::take(&mut [7; 32]));
                return Answer::Custody(Custody::sign(&other, hash, until));
            }
            Keeping::Drops => return Answer::Custody(Custody::sign(&self.key, hash, until)),
            Keeping::Honest | Keeping::Babbles => {}
        }
        let queue = self.queues.entry(key).or_default();
        let until = *queue.given.entry(hash).or_insert_with(|| {
            queue.last += 1;
            queue.items.insert(queue.last, seal);
            until
        });
        Answer::Custody(Custody::sign(&self.key, hash, until))
    }

    fn page(&self, key: QueueKey, after: u64) -> Answer {
        if self.keeping == Keeping::Babbles {
            let noise = |cursor: u64| Item { cursor, seal: cursor.to_be_bytes().repeat(256) };
            let items: Vec<_> = (1..=5).map(|number| noise(after + number)).collect();
            return Answer::Page(Page { items, next: after + 5, more: true });
        }
        let Some(queue) = self.queues.get(&key) else {
            return refused(RefusalCode::Unknown, 0);
        };
        let behind = queue.items.range(after + 1..);
        let items: Vec<_> = behind
            .take(PAGE)
            .map(|(cursor, seal)| Item { cursor: *cursor, seal: seal.clone() })
            .collect();
        let next = items.last().map_or(after, |item| item.cursor);
        let more = queue.items.range(next + 1..).next().is_some();
        Answer::Page(Page { items, next, more })
    }
}

fn is_empty(answer: &Answer) -> bool {
    matches!(answer, Answer::Page(page) if page.items.is_empty())
}

const fn refused(code: RefusalCode, work_bits: u32) -> Answer {
    Answer::Refused { code, retry_after: Duration::ZERO, work_bits }
}
