//! One engine by hand: what must hold between two inputs, and what a lying or strange peer may cause.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "engine/asking.rs"]
mod asking;

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/bench.rs"]
mod bench;

#[path = "engine/clocks.rs"]
mod clocks;

#[path = "engine/limits.rs"]
mod limits;

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/liar.rs"]
mod liar;

#[path = "engine/prekeys.rs"]
mod prekeys;

use std::time::Duration;

use bitchat_protocol::engine::{Command, CommandError, Input, Reply, Who};
use bitchat_protocol::envelope::{Body, Receipts};
use bitchat_protocol::error::Code;
use bitchat_protocol::id::{DeviceId, InvitationToken, MessageId, SendToken};
use bitchat_protocol::invitation::{Invitation, Target};
use bitchat_protocol::store::Table;
use bitchat_protocol::time::Now;

use bench::{Bench, exchange, identity, link, pair};
use liar::Liar;

/// Frames that failed one after another: the first sets the deadline, the last the pause.
#[test]
fn sends_that_fail_one_after_another_on_a_standing_link_are_tried_again() {
    let (mut alice, mut bob) = pair();
    alice.send("bob").expect("queued");
    alice.send("bob").expect("queued");

    while let Some((peer, token, _)) = alice.sends.pop_front() {
        alice.feed(Input::SendFailed { peer, token });
        alice.pass(Duration::from_millis(3));
    }
    for _ in 0..200 {
        alice.pass(Duration::from_millis(1));
    }

    assert_eq!(alice.sends.len(), 2, "nothing is under way and no deadline will start it");
    exchange(&mut alice, &mut bob);
    assert_eq!(alice.queued(), 0);
}

/// A receipt that is owed counts as a write; the link that it was for may be gone when it is time.
#[test]
fn a_reply_is_not_kept_behind_a_batch_that_is_never_written() {
    let (mut alice, mut bob) = pair();
    bob.send("alice").expect("queued");
    let (_, _, frame) = bob.sends.pop_front().expect("a frame");
    alice.feed(Input::Frame { peer: bob.device, number: 1, bytes: frame.clone() });
    alice.feed(Input::Frame { peer: bob.device, number: 2, bytes: frame });
    alice.command(Command::Identity);
    alice.feed(Input::Disconnected { peer: bob.device });

    alice.flush();

    assert!(matches!(alice.reply(), Some(Ok(Reply::Identity(_)))));
    assert!(alice.engine.is_settled());
}

/// Clocks drift: the deadline is on the one, the expiry on the other.
#[test]
fn a_message_expires_although_its_deadline_came_before_its_time() {
    let (mut alice, bob) = pair();
    alice.feed(Input::Disconnected { peer: bob.device });
    let (to, text) = (Who("bob".to_owned()), "hello".to_owned());
    let expires = Some(Duration::from_secs(5));
    alice.ask(Command::Send { to, text, expires }).expect("queued");

    alice.now = Now { mono: alice.now.mono + Duration::from_secs(5), ..alice.now };
    alice.keep_deadlines();
    for _ in 0..100 {
        alice.pass(Duration::from_millis(100));
    }

    assert_eq!(alice.queued(), 0);
}

/// A stranger can make accounts without end.
#[test]
fn a_stranger_without_an_invitation_leaves_nothing_on_the_disk() {
    let (mut alice, _) = pair();
    let record = liar::record_behind(&alice.invitation(false).0).0;
    let before = alice.disk.count(Table::Conversation);

    for seed in 100..103 {
        let mut stranger = Liar::new(seed, &record, None);
        stranger.say(&mut alice, 1, Body::Hello);
    }

    assert_eq!(alice.refused.len(), 3);
    assert_eq!(alice.disk.count(Table::Conversation), before);
}

/// A short invitation proves nothing about the device that it names.
#[test]
fn an_invitation_cannot_claim_the_device_of_another_contact() {
    let (mut alice, mut bob) = pair();
    let account = identity(9).account();
    let target = Target::Short { account, device: bob.device, addresses: Vec::new() };
    let (token, nickname) = (InvitationToken([1; 16]), "mallory".to_owned());
    let link = Invitation { token, expires: None, nickname, target }.to_link();

    let added = alice.ask(Command::AddContact { link, name: None });

    assert!(matches!(added, Err(CommandError::BadLink(_))), "{added:?}");
    alice.send("bob").expect("queued");
    exchange(&mut alice, &mut bob);
    assert_eq!(alice.queued(), 0, "the receipt of bob's device counts for bob");
}

/// Bob's receipt of Alice's hello is lost with the link; then he follows her invitation, too.
#[test]
fn who_adds_one_that_added_him_while_the_link_breaks_still_gets_through() {
    for seed in 0..12 {
        let (mut alice, mut bob) = (Bench::new("alice", 50 + seed), Bench::new("bob", 80 + seed));
        let (from_alice, from_bob) = (alice.invitation(true).0, bob.invitation(true).0);
        alice.ask(Command::AddContact { link: from_bob, name: None }).expect("added");
        alice.feed(Input::Connected { peer: bob.device });
        bob.feed(Input::Connected { peer: alice.device });
        alice.flush();
        let (_, _, hello) = alice.sends.pop_front().expect("a hello");
        bob.feed(Input::Frame { peer: alice.device, number: 1, bytes: hello });
        bob.flush();
        bob.sends.clear();
        alice.feed(Input::Disconnected { peer: bob.device });
        bob.feed(Input::Disconnected { peer: alice.device });

        bob.ask(Command::AddContact { link: from_alice, name: None }).expect("added");
        link(&mut alice, &mut bob);
        alice.send("bob").expect("queued");
        bob.send("alice").expect("queued");
        for _ in 0..60 {
            exchange(&mut alice, &mut bob);
            alice.pass(Duration::from_secs(1));
            bob.pass(Duration::from_secs(1));
        }

        assert_eq!((alice.queued(), bob.queued()), (0, 0), "seed {seed}");
    }
}

/// Two tables of different length end at different rounds.
#[test]
fn maintenance_looks_at_each_old_id_once_an_hour() {
    let mut alice = Bench::new("alice", 1);
    for (table, rows) in [(Table::Seen, 3_500_u32), (Table::Replay, 2_500)] {
        alice.fill(table, rows);
    }

    let mut rounds = 0;
    for _ in 0..3_000 {
        alice.now.mono = alice.now.mono + Duration::from_secs(1);
        let due = alice.engine.poll_timeout().is_some_and(|(at, _)| at <= alice.now.mono);
        rounds += u32::from(due);
        alice.keep_deadlines();
    }

    assert!(rounds < 12, "{rounds} rounds of maintenance in less than an hour");
}

/// Numbers that no engine of ours would send, from somebody who was invited.
#[test]
fn a_contact_that_claims_absurd_numbers_harms_only_itself() {
    let (mut alice, mut bob) = pair();
    let mut liar = Liar::invited(300, &mut alice);
    for (sequence, lamport) in [(1, u64::MAX), (u64::MAX, 1), (0, u64::MAX), (u64::MAX, 0), (0, 0)]
    {
        (liar.sequence, liar.lamport) = (sequence, lamport);
        liar.say(&mut alice, 1, Body::Text("x".to_owned()));
    }
    alice.pass(Duration::from_secs(11));
    liar.say(&mut alice, 1, Body::Text("x".to_owned()));

    assert_eq!((alice.shown(), alice.refused.len()), (6, 0));
    alice.send("x").expect("queued");
    alice.sends.clear();
    alice.send("bob").expect("queued");
    exchange(&mut alice, &mut bob);
    assert_eq!(alice.queued(), 1, "bob has his; the liar's is under way");
}

#[test]
fn a_receipt_of_somebody_else_proves_nothing() {
    let (mut alice, bob) = pair();
    let mut liar = Liar::invited(301, &mut alice);
    let Ok(Reply::Delivery(sent)) = alice.send("bob") else { panic!("not queued") };

    liar.say(&mut alice, 1, Body::Receipts(Receipts::delivered(vec![sent.id, MessageId([9; 16])])));

    assert_eq!((alice.queued(), alice.refused.len()), (1, 0));
    assert_eq!(alice.sends.pop_front().map(|(peer, ..)| peer), Some(bob.device));
}

/// The invitation admits one, and that one however often its first message comes.
#[test]
fn an_invitation_for_one_admits_one_though_his_first_message_comes_again() {
    let mut alice = Bench::new("alice", 1);
    let (link, _) = alice.invitation(true);
    let (record, token) = liar::record_behind(&link);
    let mut first = Liar::new(310, &record, Some(token));
    let mut second = Liar::new(311, &record, Some(token));
    let hello = first.frame(Body::Hello);
    for _ in 0..3 {
        first.feed(&mut alice, 1, &hello);
    }

    second.say(&mut alice, 1, Body::Hello);

    assert_eq!(alice.refused.len(), 1);
    assert_eq!(alice.disk.count(Table::Contact), 1);
    assert_eq!(alice.disk.count(Table::Session), 1);
}

/// The key of the second is used up when it is found to be unreadable.
#[test]
fn content_that_cannot_be_read_costs_itself_and_not_the_session() {
    let mut alice = Bench::new("alice", 1);
    let mut liar = Liar::invited(320, &mut alice);
    let nonsense = liar.seal(b"\xff\xff\xff");
    liar.feed(&mut alice, 1, &nonsense);
    liar.feed(&mut alice, 2, &nonsense);

    liar.say(&mut alice, 3, Body::Text("x".to_owned()));

    assert_eq!((alice.refused.len(), alice.disk.count(Table::Inbox)), (2, 1));
}

/// Reads fail anywhere: between a ratchet step and what depends on it, in a handshake, at a deadline.
#[test]
fn reads_that_fail_delay_messages_and_lose_none() {
    for every in 2..40 {
        let (mut alice, mut bob) = (Bench::new("alice", 1), Bench::new("bob", 2));
        let (from_alice, _) = alice.invitation(true);
        bob.ask(Command::AddContact { link: from_alice, name: None }).expect("added");
        alice.disk.fail_reads(every);
        bob.disk.fail_reads(every + 1);
        link(&mut alice, &mut bob);
        let mut sent = [0, 0];
        for _ in 0..20 {
            sent[0] += usize::from(alice.send("bob").is_ok());
            sent[1] += usize::from(bob.send("alice").is_ok());
            wait(&mut alice, &mut bob);
            alice.feed(Input::Disconnected { peer: bob.device });
            bob.feed(Input::Disconnected { peer: alice.device });
            link(&mut alice, &mut bob);
        }
        alice.disk.fail_reads(0);
        bob.disk.fail_reads(0);
        for _ in 0..200 {
            wait(&mut alice, &mut bob);
        }

        assert_eq!((alice.queued(), bob.queued()), (0, 0), "every {every}");
        assert_eq!((bob.shown(), alice.shown()), (sent[0], sent[1]), "every {every}");
    }
}

/// Bob lost his device: the account goes on with a new one, whatever waited follows it there.
#[test]
fn what_waits_for_a_contact_follows_it_to_a_new_device() {
    let (mut alice, mut old) = pair();
    old.send("alice").expect("queued");
    exchange(&mut alice, &mut old);
    alice.send("bob").expect("queued");
    alice.sends.clear();
    alice.feed(Input::Disconnected { peer: old.device });
    let mut bob = Bench::on_device("bob", 2, 2);
    let (from_alice, _) = alice.invitation(true);
    bob.ask(Command::AddContact { link: from_alice, name: None }).expect("added");

    link(&mut alice, &mut bob);
    wait(&mut alice, &mut bob);
    bob.send("alice").expect("queued");
    exchange(&mut alice, &mut bob);

    assert_eq!((alice.queued(), bob.queued()), (0, 0));
    assert_eq!((alice.shown(), bob.shown()), (2, 1));
    old.send("alice").expect("queued");
    exchange(&mut alice, &mut old);
    assert_eq!((alice.shown(), alice.refused.len()), (2, 1), "the old device is nobody any more");
}

/// An hour beside a contact that never answers, in three ways.
#[test]
fn a_contact_that_does_not_answer_is_tried_at_a_measured_pace_and_not_given_up() {
    type Answer = fn(&mut Bench, DeviceId, SendToken);
    let silent: Answer = |_, _, _| {};
    let accepts: Answer = |alice, peer, token| alice.feed(Input::Accepted { peer, token });
    let busy: Answer = |alice, peer, token| {
        let (code, retry_after) = (Code::Busy, Duration::ZERO);
        alice.feed(Input::Refused { peer, token, code, retry_after });
    };
    for (answer, most) in [(silent, 6), (accepts, 40), (busy, 11_000)] {
        let (mut alice, _bob) = pair();
        for _ in 0..3 {
            alice.send("bob").expect("queued");
        }
        let (mut frames, mut last) = (0, 0);
        for second in 0..3_600 {
            while let Some((peer, token, _)) = alice.sends.pop_front() {
                (frames, last) = (frames + 1, second);
                answer(&mut alice, peer, token);
                alice.flush();
            }
            alice.pass(Duration::from_secs(1));
        }

        assert!(frames <= most, "{frames} frames, {most} are enough");
        assert!(most == 6 || last > 2_500, "given up after {last} s");
    }
}

/// The read that fails is the one behind the key's use: the scan of the session that must make room.
#[test]
fn a_first_message_whose_session_could_not_be_kept_is_taken_when_it_comes_again() {
    for read in 1..30 {
        let mut alice = Bench::new("alice", 1);
        let (record, token) = liar::record_behind(&alice.invitation(false).0);
        for time in 0..4 {
            Liar::again(330, &record, Some(token), time).say(&mut alice, 1, Body::Hello);
        }
        let mut liar = Liar::again(330, &record, Some(token), 4);
        let text = liar.frame(Body::Text("x".to_owned()));
        alice.disk.fail_reads(read);
        liar.feed(&mut alice, 2, &text);
        alice.disk.fail_reads(0);

        liar.feed(&mut alice, 3, &text);

        assert_eq!(alice.shown(), 1, "read {read} failed");
    }
}

fn wait(alice: &mut Bench, bob: &mut Bench) {
    exchange(alice, bob);
    alice.pass(Duration::from_secs(1));
    bob.pass(Duration::from_secs(1));
    exchange(alice, bob);
}
