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
use bitchat_protocol::resilience::Prefix;
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
    rng: ChaCha20Rng,
}

impl Pair {
    fn new(seed: u64, moves: bool) -> Self {
        let (alice, bob) = pair();
        Self {
            sides: [alice, bob],
            sent: [Vec::new(), Vec::new()],
            files: Vec::new(),
            linked: true,
            moves,
            generation: 1,
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
        self.sides[0].feed(Input::Connected { peer: devices[1], prefix: Prefix::Unknown });
        self.sides[1].feed(Input::Connected { peer: devices[0], prefix: Prefix::Unknown });
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
        self.sides[side].revive([1, 2][side]);
    }

    /// A new file or an old one, again and again.
    fn carry_file(&mut self, side: usize) {
        if self.below(2) == 0 {
            let seals = export(&mut self.sides[side]).seals;
            self.files.push((1 - side, seals));
        }
        if !self.files.is_empty() {
            let index = usize::try_from(self.rng.next_u32()).expect("small") % self.files.len();
            let (to, seals) = self.files[index].clone();
            import(&mut self.sides[to], &seals);
        }
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
                let lost = [Table::Session, Table::OneTimePrekey][self.side()];
                self.sides[side].disk.lose(lost);
                self.die(side);
            }
            14 => drop(self.sides[side].ask(Command::ResetSession(other))),
            15 => self.carry_file(side),
            16 if self.moves => {
                self.cut();
                self.generation += 1;
                self.sides[1] = self.sides[1].restored(self.generation);
                self.sent[1].clear();
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

/// The link comes back, and time passes until nothing waits.
fn settle(pair: &mut Pair, seed: u64) {
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
    // What is held for a predecessor is shown.
    alice.pass(Duration::from_secs(11));
    bob.pass(Duration::from_secs(11));
    assert_eq!((alice.queued(), bob.queued()), (0, 0), "seed {seed}");
}

fn run(seed: u64, moves: bool) {
    let mut pair = Pair::new(seed, moves);
    for _ in 0..120 {
        pair.step();
    }
    settle(&mut pair, seed);
    for (side, name) in NAMES.iter().enumerate() {
        let shown = pair.shown(1 - side);
        for id in &pair.sent[side] {
            assert_eq!(shown.get(id), Some(&1), "seed {seed}, from {name}, {id:?}");
        }
        let twice = shown.iter().find(|(_, times)| **times > 1);
        assert!(twice.is_none(), "seed {seed}, from {name}, {twice:?}");
    }
}

#[test]
fn every_message_is_shown_once_whatever_way_it_came() {
    (0..10).for_each(|seed| run(seed, false));
}

/// What a device had not delivered when it was replaced is lost, and said to be; nothing is shown twice.
#[test]
fn every_message_is_shown_once_though_its_recipient_comes_back_from_backups() {
    (0..10).for_each(|seed| run(seed, true));
}
