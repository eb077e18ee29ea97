//! Any order of deposits, fetches, taking, time and crashes against a small model.
//!
//! The model knows what custody was given for and what was taken; the rest follows from it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::mailbox::Item;

const ENVELOPES: u64 = 12;
const BYTES: u64 = 120;

#[derive(Clone, Debug)]
enum Step {
    /// Seal, token, hours.
    Deposit(u8, u8, u64),
    Fetch,
    /// The first so many of what was fetched.
    Take(usize),
    Hours(u64),
    /// Crash before the next batch is on the disk, or after it and before the host knows.
    Crash {
        committed: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0u8..20, 1u8..5, 1u64..60).prop_map(|(seal, tag, h)| Step::Deposit(seal, tag, h)),
        2 => Just(Step::Fetch),
        2 => (1usize..5).prop_map(Step::Take),
        1 => (1u64..30).prop_map(Step::Hours),
        2 => any::<bool>().prop_map(|committed| Step::Crash { committed }),
    ]
}

struct Model {
    node: Node,
    /// Seal: until when custody was given.
    custody: BTreeMap<Vec<u8>, UnixMillis>,
    /// Seals that must not come again until then.
    taken: BTreeSet<Vec<u8>>,
    /// What the next crash falls on.
    crash: Option<bool>,
    fetched: Vec<(u64, Vec<u8>)>,
}

fn seal_of(number: u8) -> Vec<u8> {
    vec![number; 1 + usize::from(number)]
}

impl Model {
    fn new() -> Self {
        let small =
            HostSettings { queue_envelopes_max: ENVELOPES, queue_bytes_max: BYTES, ..settings() };
        let node = Node::rented(1, &[1, 2, 3, 4], small);
        let (custody, taken) = (BTreeMap::new(), BTreeSet::new());
        Self { node, custody, taken, crash: None, fetched: Vec::new() }
    }

    /// Asks; `None` if the node crashed before the answer.
    fn ask(&mut self, peer: u8, question: Question) -> Option<Answer> {
        let id = self.node.send(peer, question);
        while let Some(batch) = self.node.poll() {
            match self.crash.take() {
                Some(committed) => {
                    assert!(self.node.answer(id).is_none(), "before its batch is durable");
                    if committed {
                        let _ = self.node.store.borrow_mut().commit(&batch);
                    }
                    self.node.restart();
                    self.node.settle();
                    return None;
                }
                None => self.node.commit(&batch),
            }
        }
        let answer = self.node.answer(id);
        assert!(answer.is_some(), "no answer");
        answer
    }

    fn order(&mut self, order: &Order) -> Option<Answer> {
        let question = self.node.signed(1, order);
        self.ask(1, question)
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Deposit(number, tag, hours) => self.deposit(number, tag, hours),
            Step::Fetch => self.check(),
            Step::Take(count) => self.take(count),
            Step::Hours(hours) => self.node.pass(Duration::from_secs(hours * 3_600)),
            Step::Crash { committed } => self.crash = Some(committed),
        }
        let rows = self.node.store.borrow().count(Table::MailboxEnvelope);
        assert!(rows as u64 <= ENVELOPES, "{rows} envelopes");
        assert!(self.node.host.view().bytes <= BYTES);
    }

    fn deposit(&mut self, number: u8, tag: u8, hours: u64) {
        let (seal, wall) = (seal_of(number), self.node.now.wall);
        let until = self.node.later(Duration::from_secs(hours * 3_600));
        let known = self.custody.get(&seal).copied().filter(|known| *known > wall);
        if known.is_none() {
            self.taken.remove(&seal);
        }
        let Some(answer) = self.ask(100, deposit(tag, until, &seal)) else {
            // The sender does not know; the owner sees it.
            if known.is_none() && self.there().contains(&seal) {
                self.custody.insert(seal, until);
            }
            return;
        };
        match answer {
            Answer::Custody(custody) => {
                assert!(custody.verify(self.node.device(), &seal).is_ok());
                assert!(known.is_none_or(|known| known == custody.until), "another custody");
                self.custody.insert(seal, custody.until);
            }
            Answer::Refused { .. } => assert!(known.is_none(), "refused what it keeps"),
            Answer::Offer(_)
            | Answer::Page(_)
            | Answer::Done
            | Answer::Prekeys(_)
            | Answer::Summary(_) => panic!("another answer"),
        }
    }

    fn there(&mut self) -> BTreeSet<Vec<u8>> {
        self.node.fetch(1, 0).into_iter().map(|(_, seal)| seal).collect()
    }

    /// Everything that must be there is, and nothing that must not.
    fn check(&mut self) {
        let mut items = Vec::new();
        let mut after = 0;
        loop {
            let Some(answer) = self.order(&Order::Fetch { after, wait_ms: 0 }) else { return };
            let Answer::Page(page) = answer else { panic!("no page") };
            after = page.next;
            items.extend(page.items.into_iter().map(|item| (item.cursor, item.seal)));
            if !page.more {
                break;
            }
        }
        let wall = self.node.now.wall;
        for (seal, until) in &self.custody {
            let must = *until > wall && !self.taken.contains(seal);
            let found = items.iter().filter(|(_, item)| item == seal).count();
            assert!(found <= 1, "twice");
            assert!(found == 1 || !must, "custody was given");
        }
        for seal in &self.taken {
            let is_over = self.custody.get(seal).is_none_or(|until| *until <= wall);
            assert!(is_over || items.iter().all(|(_, item)| item != seal), "it was taken");
        }
        for (cursor, seal) in &items {
            let same = self.fetched.iter().find(|(known, _)| known == cursor);
            assert!(same.is_none_or(|(_, known)| known == seal), "a cursor was used twice");
        }
        self.fetched.extend(items);
    }

    fn take(&mut self, count: usize) {
        let Some(answer) = self.order(&Order::Fetch { after: 0, wait_ms: 0 }) else { return };
        let Answer::Page(page) = answer else { panic!("no page") };
        let items: Vec<Item> = page.items.into_iter().take(count).collect();
        let cursors = items.iter().map(|item| item.cursor).collect();
        let done = self.order(&Order::Taken(cursors)).is_some();
        let there = if done { BTreeSet::new() } else { self.there() };
        let gone = items.iter().filter(|item| !there.contains(&item.seal)).count();
        assert!(gone == 0 || gone == items.len(), "a part of an order");
        if gone > 0 {
            self.taken.extend(items.into_iter().map(|item| item.seal));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn custody_means_there_until_taken_or_over_and_taken_means_gone(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut model = Model::new();
        for step in steps {
            model.run(step);
        }
        model.crash = None;
        model.check();
        model.node.restart();
        model.node.settle();
        model.check();
    }
}
