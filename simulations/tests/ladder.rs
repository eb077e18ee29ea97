//! The ladder, receipts of reading, ids of sends, pauses and the retry budget, engine by engine.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod bench;

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/liar.rs"]
mod liar;

#[path = "ladder/outbox.rs"]
mod outbox;

#[path = "ladder/order.rs"]
mod order;

#[path = "ladder/read.rs"]
mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use bitchat_protocol::engine::{
    Command, CommandError, DeliveryState, Event, Fact, Input, Reply, SendToken, TrackView, Who,
};
use bitchat_protocol::error::Code;
use bitchat_protocol::id::{DeviceId, MessageId};
use bitchat_protocol::outbox::CustodyReceipt;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use bench::{Bench, exchange, link, pair};

fn say(bench: &mut Bench, to: &str, text: &str) -> MessageId {
    let (to, text) = (Who(to.to_owned()), text.to_owned());
    match bench.ask(Command::Send { to, text, expires: None }) {
        Ok(Reply::Delivery(view)) => view.id,
        other => panic!("{other:?}"),
    }
}

fn track(bench: &mut Bench, id: MessageId) -> TrackView {
    match bench.ask(Command::Track(id)) {
        Ok(Reply::Track(view)) => view,
        other => panic!("{other:?}"),
    }
}

fn state(bench: &mut Bench, id: MessageId) -> DeliveryState {
    track(bench, id).delivery.state
}

fn receipt(mailbox: u8, bench: &Bench) -> CustodyReceipt {
    let until = bench.now.wall.plus(Duration::from_secs(3_600));
    let (device, bytes) = (DeviceId([mailbox; 32]), vec![mailbox; 150]);
    CustodyReceipt { mailbox: device, envelope: [7; 32], until, bytes, at: bench.now.wall }
}

fn take_custody(bench: &mut Bench, id: MessageId, mailbox: u8, rented: usize) {
    let receipt = receipt(mailbox, bench);
    bench.engine.custody(id, receipt, rented).expect("a row");
    bench.feed(Input::Timeout);
    bench.flush();
}

/// An end is a place of its own, from which nothing leads away.
fn height(state: DeliveryState) -> u8 {
    if state.is_failure() { u8::MAX } else { state as u8 }
}

struct Chaos {
    alice: Bench,
    bob: Bench,
    ids: Vec<MessageId>,
    reached: BTreeMap<MessageId, (DeliveryState, usize)>,
    rng: ChaCha20Rng,
    linked: bool,
}

impl Chaos {
    fn below(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound
    }

    fn some(&mut self) -> Option<MessageId> {
        let count = u32::try_from(self.ids.len()).expect("few");
        if count == 0 {
            return None;
        }
        let index = self.below(count) as usize;
        self.ids.get(index).copied()
    }

    fn unlink(&mut self) {
        self.alice.feed(Input::Disconnected { peer: self.bob.device });
        self.bob.feed(Input::Disconnected { peer: self.alice.device });
        self.alice.flush();
        self.bob.flush();
        self.alice.sends.clear();
        self.bob.sends.clear();
        let _ = (self.alice.take_refusals(), self.bob.take_refusals());
        self.linked = false;
    }

    /// One frame of Alice's arrives, or is refused in one of the ways that a peer has.
    fn carry(&mut self) {
        let Some((peer, token, bytes)) = self.alice.sends.pop_front() else { return };
        match self.below(8) {
            0 => self.alice.feed(Input::SendFailed { peer, token }),
            1 => {
                let code = [Code::Busy, Code::Internal, Code::Rejected][self.below(3) as usize];
                let retry_after = Duration::from_millis(self.below(3_000).into());
                self.alice.feed(Input::Refused { peer, token, code, retry_after });
            }
            2 if self.below(4) == 0 => {
                let code = [Code::Stranger, Code::Unsupported][self.below(2) as usize];
                let retry_after = Duration::ZERO;
                self.alice.feed(Input::Refused { peer, token, code, retry_after });
            }
            _ => {
                self.alice.feed(Input::Accepted { peer, token });
                let frame = Input::Frame { peer: self.alice.device, number: token.0, bytes };
                self.bob.feed(frame);
                self.bob.flush();
            }
        }
    }

    fn step(&mut self) {
        match self.below(14) {
            0..=2 => {
                let expires = Some(Duration::from_secs(u64::from(1 + self.below(40))));
                let (to, text) = (Who("bob".to_owned()), "hello".to_owned());
                if let Ok(Reply::Delivery(view)) =
                    self.alice.ask(Command::Send { to, text, expires })
                {
                    self.ids.push(view.id);
                }
            }
            3..=6 if self.linked => self.carry(),
            7 if self.linked => exchange(&mut self.alice, &mut self.bob),
            8 => self.unlink(),
            9 if !self.linked => {
                self.alice.feed(Input::Connected { peer: self.bob.device });
                self.bob.feed(Input::Connected { peer: self.alice.device });
                self.linked = true;
            }
            10 => {
                let time = Duration::from_millis(self.below(20_000).into());
                self.alice.pass(time);
                self.bob.pass(time);
            }
            11 => {
                self.unlink();
                self.alice.restart();
            }
            12 => {
                if let Some(id) = self.some() {
                    let command = [Command::Cancel(id), Command::RetryNow(id)]
                        [self.below(2) as usize]
                        .clone();
                    drop(self.alice.ask(command));
                }
            }
            _ => {
                if let Some(id) = self.some() {
                    let mailbox = self.below(7).try_into().expect("small");
                    take_custody(&mut self.alice, id, mailbox, 5);
                }
            }
        }
        self.alice.flush();
        self.bob.flush();
    }

    fn check(&mut self, seed: u64) {
        for id in self.ids.clone() {
            let view = track(&mut self.alice, id);
            let (now, steps) = (view.delivery.state, view.steps.len());
            let (before, told) = self.reached.insert(id, (now, steps)).unwrap_or((now, 1));
            assert!(height(now) >= height(before), "seed {seed}: {now:?} after {before:?}");
            assert!(!before.is_failure() || now == before, "seed {seed}: {now:?} after {before:?}");
            assert!(steps >= told, "seed {seed}: a step was forgotten");
            assert_eq!(view.waits.is_some(), height(now) < 4, "seed {seed}: {now:?}");
        }
    }
}

/// Receipts, refusals, expiry, retries, cancels, custody, restarts and lost links, in any order.
#[test]
fn no_state_ever_goes_back_whatever_happens_in_which_order() {
    let mut ends = BTreeMap::<_, usize>::new();
    for seed in 0..25 {
        let (alice, bob) = pair();
        let (ids, reached) = (Vec::new(), BTreeMap::new());
        let rng = ChaCha20Rng::seed_from_u64(seed);
        let mut chaos = Chaos { alice, bob, ids, reached, rng, linked: true };
        for _ in 0..120 {
            chaos.step();
            chaos.check(seed);
        }
        for (state, _) in chaos.reached.values() {
            *ends.entry(*state).or_default() += 1;
        }
    }
    // The test would be worth nothing if some states were never met.
    for state in [
        DeliveryState::Stored,
        DeliveryState::Delivered,
        DeliveryState::Expired,
        DeliveryState::Undeliverable,
        DeliveryState::Rejected,
    ] {
        assert!(ends.contains_key(&state), "{state:?} never happened: {ends:?}");
    }
}

#[test]
fn a_message_is_stored_when_three_different_mailboxes_say_so_and_their_receipts_are_kept() {
    let (mut alice, bob) = pair();
    alice.feed(Input::Disconnected { peer: bob.device });
    let id = say(&mut alice, "bob", "hello");

    take_custody(&mut alice, id, 1, 5);
    take_custody(&mut alice, id, 1, 5);
    take_custody(&mut alice, id, 2, 5);
    let two = state(&mut alice, id);
    take_custody(&mut alice, id, 3, 5);
    take_custody(&mut alice, id, 4, 5);
    alice.restart();

    let view = track(&mut alice, id);
    assert_eq!((two, view.delivery.state), (DeliveryState::Queued, DeliveryState::Stored));
    assert_eq!(view.custody.len(), 4);
    assert_eq!(view.custody[2].bytes, vec![3; 150], "as it came");
    let reached = |fact: &&Fact| matches!(fact, Fact::Reached { state: DeliveryState::Stored, .. });
    assert_eq!(alice.facts.iter().filter(reached).count(), 0, "said once, before the restart");
    let other = say(&mut alice, "bob", "rented at one mailbox");
    take_custody(&mut alice, other, 1, 1);
    assert_eq!(state(&mut alice, other), DeliveryState::Stored);
}

#[test]
fn every_step_keeps_its_time_and_evidence() {
    let (mut alice, mut bob) = pair();
    let id = say(&mut alice, "bob", "hello");
    alice.pass(Duration::from_secs(3));
    exchange(&mut alice, &mut bob);

    let view = track(&mut alice, id);

    let states: Vec<_> = view.steps.iter().map(|step| step.state).collect();
    assert_eq!(states, [DeliveryState::Queued, DeliveryState::Sent, DeliveryState::Delivered]);
    assert_eq!(view.steps[2].at.since(view.steps[0].at), Duration::from_secs(3));
    assert_eq!(view.steps[1].evidence, "accepted by the recipient's node");
    assert!(view.waits.is_none());
}

/// The user was told that it is over; the recipient has it all the same, and both is said.
#[test]
fn a_receipt_after_the_end_is_shown_beside_it_and_moves_nothing() {
    let (mut alice, mut bob) = pair();
    let (to, text) = (Who("bob".to_owned()), "hello".to_owned());
    let expires = Some(Duration::from_secs(5));
    let sent = alice.ask(Command::Send { to, text, expires });
    let Ok(Reply::Delivery(sent)) = sent else { panic!("{sent:?}") };
    let (peer, token, bytes) = alice.sends.pop_front().expect("a frame");
    alice.feed(Input::Accepted { peer, token });
    alice.pass(Duration::from_secs(6));
    let events = alice.events.len();

    bob.feed(Input::Frame { peer: alice.device, number: 1, bytes });
    exchange(&mut alice, &mut bob);

    let view = track(&mut alice, sent.id);
    assert_eq!(view.delivery.state, DeliveryState::Expired);
    assert_eq!(view.late, Some(alice.now.wall));
    let moved = alice.events[events..].iter().any(|event| matches!(event, Event::Delivery(_)));
    assert!(!moved, "nobody is told of a state that did not change");
    alice.restart();
    assert_eq!(track(&mut alice, sent.id).late, view.late);
}

#[test]
fn what_nobody_accepted_can_be_taken_back_and_what_was_accepted_cannot() {
    let (mut alice, mut bob) = pair();
    alice.feed(Input::Disconnected { peer: bob.device });
    bob.feed(Input::Disconnected { peer: alice.device });
    let taken_back = say(&mut alice, "bob", "not this");
    let kept = say(&mut alice, "bob", "this");

    let cancelled = alice.ask(Command::Cancel(taken_back));
    link(&mut alice, &mut bob);
    bob.pass(Duration::from_secs(11));
    let late = alice.ask(Command::Cancel(kept));

    let Ok(Reply::Delivery(cancelled)) = cancelled else { panic!("{cancelled:?}") };
    assert_eq!(cancelled.state, DeliveryState::Undeliverable);
    assert_eq!(cancelled.evidence, "cancelled before it left");
    assert!(matches!(late, Err(CommandError::NotWaiting(id)) if id == kept), "{late:?}");
    assert_eq!(bob.shown(), 1);
    let again = say(&mut alice, "bob", "too late");
    let (peer, token, _) = alice.sends.pop_front().expect("a frame");
    alice.feed(Input::Accepted { peer, token });
    let refused = alice.ask(Command::Cancel(again));
    assert!(matches!(refused, Err(CommandError::Accepted(_))), "{refused:?}");
}

/// A restart forgets what is under way, not how far it got.
#[test]
fn the_queue_says_sent_of_what_was_accepted_before_a_restart() {
    let (mut alice, _bob) = pair();
    say(&mut alice, "bob", "hello");
    let (peer, token, _) = alice.sends.pop_front().expect("a frame");
    alice.feed(Input::Accepted { peer, token });
    alice.pass(Duration::from_secs(1));

    alice.restart();

    let Ok(Reply::Queue(rows)) = alice.ask(Command::Queue) else { panic!("no queue") };
    assert_eq!(rows[0].state, DeliveryState::Sent);
}

fn refuse(bench: &mut Bench, peer: DeviceId, token: SendToken, retry_after: Duration) {
    bench.feed(Input::Refused { peer, token, code: Code::Busy, retry_after });
    bench.flush();
}
