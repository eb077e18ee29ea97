//! Links, files, restarts, resets and lost sessions in any order: each message is shown once, and in
//! the end every one.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/files.rs"]
mod files;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use bitchat_protocol::engine::{Command, Input, Reply, SendToken, Who};
use bitchat_protocol::id::MessageId;
use bitchat_protocol::store::Table;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use files::{export, import, part, send};
use support::{Bench, exchange, link, pair};

const NAMES: [&str; 2] = ["alice", "bob"];

struct Pair {
    sides: [Bench; 2],
    sent: [Vec<MessageId>; 2],
    files: Vec<(usize, Vec<Vec<u8>>)>,
    linked: bool,
    moves: bool,
    generation: u32,
    lost: Vec<MessageId>,
    rng: ChaCha20Rng,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let (alice, bob) = pair();
        Self {
            sides: [alice, bob],
            sent: [Vec::new(), Vec::new()],
            files: Vec::new(),
            linked: true,
            moves: std::env::var("MOVES").is_ok(),
            generation: 1,
            lost: Vec::new(),
            rng: ChaCha20Rng::seed_from_u64(seed),
        }
    }

    fn below(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound
    }

    fn side(&mut self) -> usize {
        usize::from(self.below(2) == 0)
    }

    fn cut(&mut self) {
        let [alice, bob] = &mut self.sides;
        part(alice, bob);
        for side in &mut self.sides {
            side.flush();
            side.sends.clear();
            let _ = side.take_refusals();
        }
        self.linked = false;
    }

    fn join(&mut self) {
        let devices = [self.sides[0].device, self.sides[1].device];
        self.sides[0].feed(Input::Connected { peer: devices[1] });
        self.sides[1].feed(Input::Connected { peer: devices[0] });
        self.linked = true;
    }

    /// Carries some frames one way; whether their sender learns of it is another matter.
    fn carry(&mut self, from: usize, frames: u32) {
        let devices = [self.sides[0].device, self.sides[1].device];
        self.sides[from].flush();
        for _ in 0..frames {
            let Some((peer, token, bytes)) = self.sides[from].sends.pop_front() else { return };
            let to = &mut self.sides[1 - from];
            to.feed(Input::Frame { peer: devices[from], number: token.0, bytes });
            to.flush();
            let refusals = to.take_refusals();
            let from = &mut self.sides[from];
            if refusals.is_empty() {
                from.feed(Input::Accepted { peer, token });
            }
            for (number, code, retry_after) in refusals {
                let token = SendToken(number);
                from.feed(Input::Refused { peer, token, code, retry_after });
            }
            from.flush();
        }
    }

    fn die(&mut self, side: usize) {
        self.cut();
        self.sides[side].revive(1 + side as u64);
    }

    fn step(&mut self) {
        let side = self.side();
        let other = Who(NAMES[1 - side].to_owned());
        match self.below(if self.moves { 17 } else { 16 }) {
            0..=3 => {
                let id = send(&mut self.sides[side], NAMES[1 - side]);
                self.sent[side].push(id);
            }
            4..=7 if self.linked => {
                let frames = self.below(6);
                self.carry(side, frames);
            }
            8 => self.cut(),
            9 | 10 if !self.linked => self.join(),
            11 => {
                let time = Duration::from_millis(u64::from(self.below(20_000)));
                self.sides.iter_mut().for_each(|side| side.pass(time));
            }
            12 => self.die(side),
            13 => {
                self.sides[side].flush();
                let lost = [Table::Session, Table::OneTimePrekey][self.below(2) as usize];
                self.sides[side].disk.lose(lost);
                self.die(side);
            }
            14 => drop(self.sides[side].ask(Command::ResetSession(other))),
            15 => {
                if self.below(2) == 0 {
                    let seals = export(&mut self.sides[side]).seals;
                    self.files.push((1 - side, seals));
                }
                if !self.files.is_empty() {
                    let index = self.below(self.files.len() as u32) as usize;
                    let (to, seals) = self.files[index].clone();
                    import(&mut self.sides[to], &seals);
                }
            }
            16 if self.moves => {
                self.cut();
                self.generation += 1;
                let mut new = self.sides[1].restored(self.generation);
                new.flush();
                self.sides[1] = new;
                self.lost.append(&mut self.sent[1]);
                self.files.clear();
            }
            _ => {}
        }
        self.sides.iter_mut().for_each(Bench::flush);
    }

    fn shown(&mut self, side: usize) -> BTreeMap<MessageId, usize> {
        let who = Who(NAMES[1 - side].to_owned());
        let history = Command::History { who, before: None, max: 1_000 };
        let Ok(Reply::Messages(messages)) = self.sides[side].ask(history) else {
            panic!("no history")
        };
        let mut shown = BTreeMap::new();
        for message in messages.iter().filter(|message| !message.outgoing) {
            *shown.entry(message.id).or_default() += 1;
        }
        shown
    }
}

#[test]
fn every_message_is_shown_once_whatever_way_it_came() {
    let seeds: u64 = std::env::var("SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(20);
    let from: u64 = std::env::var("FROM").ok().and_then(|s| s.parse().ok()).unwrap_or(0);
    for seed in from..from + seeds {
        let mut pair = Pair::new(seed);
        for _ in 0..120 {
            pair.step();
        }
        if pair.linked {
            pair.cut();
        }
        let [alice, bob] = &mut pair.sides;
        link(alice, bob);
        let mut rounds = 0;
        while rounds < 1_000 && (alice.queued() > 0 || bob.queued() > 0) {
            alice.pass(Duration::from_secs(10));
            bob.pass(Duration::from_secs(10));
            exchange(alice, bob);
            rounds += 1;
        }
        alice.pass(Duration::from_secs(11));
        bob.pass(Duration::from_secs(11));
        if alice.queued() > 0 {
            let view = alice.contact(Command::Contact(Who("bob".into())));
            println!("ALICE {:?} gen {} bobdev {:?}", view, pair.generation, bob.device);
            println!("ALICE facts {:?}", alice.facts.iter().rev().filter(|f| !matches!(f, bitchat_protocol::engine::Fact::Outbox{..})).take(12).collect::<Vec<_>>());
            println!("ALICE refused {:?}", alice.refused.iter().rev().take(12).collect::<Vec<_>>());
            println!("BOB facts {:?}", bob.facts.iter().filter(|f| !matches!(f, bitchat_protocol::engine::Fact::Outbox{..})).take(42).collect::<Vec<_>>());
            println!("BOB facts {:?}", bob.facts.iter().rev().filter(|f| !matches!(f, bitchat_protocol::engine::Fact::Outbox{..})).take(12).collect::<Vec<_>>());
            println!("BOB refused {:?}", bob.refused.iter().rev().take(12).collect::<Vec<_>>());
            println!("BOB outbox {}", bob.disk.count(Table::Outbox));
            println!("BOB view {:?}", bob.contact(Command::Contact(Who("alice".into()))));
        }
        assert_eq!((alice.queued(), bob.queued()), (0, 0), "seed {seed}");
        if rounds > 12 { println!("seed {seed}: {rounds} rounds"); }
        for side in 0..2 {
            let shown = pair.shown(1 - side);
            for id in &pair.sent[side] {
                assert_eq!(shown.get(id), Some(&1), "seed {seed}, from {}, {id:?}", NAMES[side]);
            }
            for id in &pair.lost {
                assert!(shown.get(id).is_none_or(|times| *times == 1), "seed {seed}");
            }
            let all = pair.sent[side].len() + if side == 1 { pair.lost.len() } else { 0 };
            assert!(shown.len() <= all, "seed {seed}");
        }
    }
}
