//! Ids of sends, pauses that a contact asks for, and the retry budget.

use std::collections::BTreeSet;

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;
use bitchat_protocol::engine::DeliveryView;
use bitchat_protocol::envelope::Frame;
use bitchat_protocol::outbox::{SEND_IDS_FOR, SEND_IDS_MAX};
use bitchat_protocol::store::{Key, Overlay, Table};
use bitchat_protocol::time::Moment;
use bitchat_simulations::Disk;

use super::*;

fn once(bench: &mut Bench, id: &str, to: &str, text: &str) -> Result<DeliveryView, CommandError> {
    let (id, to, text) = (id.to_owned(), Who(to.to_owned()), text.to_owned());
    match bench.ask(Command::SendOnce { id, to, text, expires: None }) {
        Ok(Reply::Delivery(view)) => Ok(view),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    }
}

#[test]
fn the_same_id_sends_once_also_after_a_restart_and_after_the_delivery() {
    let (mut alice, mut bob) = pair();
    let first = once(&mut alice, "order 7", "bob", "hello").expect("queued");
    let again = once(&mut alice, "order 7", "bob", "hello").expect("known");
    alice.restart();
    let restarted = once(&mut alice, "order 7", "bob", "hello").expect("known");
    link(&mut alice, &mut bob);
    let delivered = once(&mut alice, "order 7", "bob", "hello").expect("known");
    let known = alice.facts.iter().filter(|fact| **fact == Fact::SendKnown).count();

    assert_eq!([again.id, restarted.id, delivered.id], [first.id; 3]);
    assert_eq!(delivered.state, DeliveryState::Delivered);
    assert_eq!((bob.shown(), known), (1, 2), "one since the restart, one before it");
    let other = once(&mut alice, "order 7", "bob", "hello!");
    assert_eq!(other.err(), Some(CommandError::IdTaken("order 7".to_owned())));
    assert_eq!(
        once(&mut alice, "order 8", "bob", "hello").map(|view| view.id == first.id),
        Ok(false)
    );
}

#[test]
fn an_id_is_taken_for_one_contact_and_forgotten_with_the_history() {
    let (mut alice, mut bob) = pair();
    let mut carol = Bench::new("carol", 3);
    let link_text = carol.invitation(true).0;
    alice.ask(Command::AddContact { link: link_text, name: None }).expect("added");
    let first = once(&mut alice, "x", "bob", "hello").expect("queued");
    exchange(&mut alice, &mut bob);

    let other = once(&mut alice, "x", "carol", "hello");

    assert!(matches!(other, Err(CommandError::IdTaken(_))), "{other:?}");
    let (who, extent) = (Who("bob".to_owned()), bitchat_protocol::engine::Extent::History);
    alice.ask(Command::Remove { who, extent }).expect("removed");
    let anew = once(&mut alice, "x", "carol", "hello").expect("erased is forgotten");
    assert_ne!(anew.id, first.id);
}

/// As many as may be remembered: no id is forgotten early, a new one is refused and counted.
#[test]
fn ids_are_bounded_and_each_is_kept_for_45_days() {
    let (mut alice, _bob) = pair();
    let first = once(&mut alice, "first", "bob", "hello").expect("queued");
    let mut overlay = Overlay::new(Disk::default());
    for number in 1..SEND_IDS_MAX {
        let row = rest::SendId {
            id: number.to_string(),
            message: vec![1; 16],
            account: vec![2; 32],
            index: 0,
            at_ms: alice.now.wall.0,
        };
        overlay.put(Key::of(Table::SendId, row.id.as_bytes()), row.encode_to_vec());
    }
    let _ = alice.disk.commit(&overlay.seal().expect("rows"));
    alice.restart();

    let full = once(&mut alice, "one more", "bob", "hello");
    let kept = once(&mut alice, "first", "bob", "hello").expect("known");
    let told = alice.facts.contains(&Fact::BoundReached("send ids"));
    alice.now.wall = alice.now.wall.plus(SEND_IDS_FOR + Duration::from_secs(1));
    alice.pass(Duration::from_secs(3_700));
    for _ in 0..120 {
        alice.pass(Duration::from_secs(2)); // Page by page.
    }
    let free = once(&mut alice, "one more", "bob", "hello");

    assert_eq!(full.err(), Some(CommandError::IdsFull(SEND_IDS_MAX)));
    assert_eq!(kept.id, first.id);
    assert!(told && free.is_ok(), "{told} {free:?}");
}

/// Messages of ours among what is handed to the network now.
fn handed(bench: &mut Bench, ids: &BTreeSet<MessageId>) -> Vec<SendToken> {
    let of_ours = |bytes: &[u8]| match Frame::decode(bytes) {
        Ok(Frame::Envelope(envelope)) => ids.contains(&envelope.message),
        _ => false,
    };
    let sends = std::mem::take(&mut bench.sends);
    sends.into_iter().filter(|(_, _, bytes)| of_ours(bytes)).map(|(_, token, _)| token).collect()
}

/// Whatever happens meanwhile (other messages, retries, fresh links, restarts, time in any steps): nothing
/// leaves for a contact before the time that it asked for.
#[test]
fn nothing_leaves_for_a_contact_before_the_time_that_it_asked_for() {
    let (mut refusals, mut left) = (0, 0);
    for seed in 0..40 {
        let (mut alice, bob) = pair();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (mut ids, mut until) = (BTreeSet::new(), Moment::START);
        for _ in 0..150 {
            match rng.next_u32() % 8 {
                0 | 1 => drop(ids.insert(say(&mut alice, "bob", "hello"))),
                2 => {
                    alice.feed(Input::Disconnected { peer: bob.device });
                    alice.pass(Duration::from_millis((rng.next_u32() % 500).into()));
                    alice.feed(Input::Connected { peer: bob.device });
                }
                3 => {
                    alice.restart();
                    alice.feed(Input::Connected { peer: bob.device });
                }
                4 => {
                    if let Some(id) = ids.first().copied() {
                        drop(alice.ask(Command::RetryNow(id)));
                    }
                }
                5 => {
                    if let Some(id) = ids.pop_last() {
                        drop(alice.ask(Command::Cancel(id)));
                    }
                }
                _ => {
                    // Up to an hour: longer than any back-off of our own.
                    let longest = [2_000, 60_000, 3_600_000][(rng.next_u32() % 3) as usize];
                    alice.pass(Duration::from_millis((rng.next_u32() % longest).into()));
                }
            }
            alice.flush();
            if let Some(token) = handed(&mut alice, &ids).first().copied() {
                assert!(alice.now.mono >= until, "seed {seed}: an early retry");
                left += 1;
                let wait = Duration::from_millis((1 + rng.next_u32() % 3_600_000).into());
                refuse(&mut alice, bob.device, token, wait);
                refusals += 1;
                until = alice.now.mono + wait;
            }
        }
    }
    assert!(refusals > 100 && left > 100, "{refusals} refusals, {left} frames");
}

/// All that was under way is refused at once: what follows is what the budget earns, not all of it again,
/// and what was not sent yet does not wait for it.
#[test]
fn sending_again_keeps_to_the_retry_budget_and_new_messages_do_not_wait_for_it() {
    let (mut alice, bob) = pair();
    let mut ids: BTreeSet<_> = (0..400).map(|_| say(&mut alice, "bob", "hello")).collect();
    let first = handed(&mut alice, &ids);
    assert_eq!(first.len(), 400);
    for token in first {
        refuse(&mut alice, bob.device, token, Duration::from_millis(100));
    }

    alice.pass(Duration::from_millis(100));
    let at_once = handed(&mut alice, &ids).len();
    let held = alice.facts.contains(&Fact::RetryHeld);
    let new = say(&mut alice, "bob", "new");
    let new_left = handed(&mut alice, &BTreeSet::from([new])).len();
    let mut later = 0;
    for _ in 0..10 {
        alice.pass(Duration::from_millis(1_000));
        later += handed(&mut alice, &ids).len();
    }

    // Saved: 100. Free: one for the step. The first sendings found the savings full.
    assert!((101..=103).contains(&at_once), "{at_once}");
    assert!(held);
    assert_eq!(new_left, 1);
    assert!((95..=110).contains(&later), "{later} in ten seconds");
    ids.insert(new);
    alice.feed(Input::Disconnected { peer: bob.device });
    alice.feed(Input::Connected { peer: bob.device });
    alice.flush();
    assert!(handed(&mut alice, &ids).len() >= 400, "a fresh link is exempt");
}

/// One attempt for each step of the back-off, however little the budget has.
#[test]
fn an_empty_budget_still_lets_one_attempt_for_each_step_of_the_back_off() {
    let (mut alice, bob) = pair();
    let ids: BTreeSet<_> = (0..400).map(|_| say(&mut alice, "bob", "hello")).collect();
    for token in handed(&mut alice, &ids) {
        refuse(&mut alice, bob.device, token, Duration::from_millis(50));
    }
    alice.pass(Duration::from_millis(50));
    let token = *handed(&mut alice, &ids).last().expect("what was saved");
    refuse(&mut alice, bob.device, token, Duration::from_millis(50));

    alice.pass(Duration::from_millis(200));

    assert_eq!(handed(&mut alice, &ids).len(), 3, "two are earned, and one is the step's own");
}
