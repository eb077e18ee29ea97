//! Mailboxes over real daemons: who keeps what, and what is left after a kill.

mod asker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bitchat_protocol::mailbox::{Answer, Offer, Order, Question, RefusalCode};
use serde_json::Value;

use asker::{Asker, seal, tomorrow};

use crate::harness::{Daemon, Profile, Stage, TCP, eventually};

/// The address of a daemon to rent at.
fn address(profile: &Profile, daemon: &Daemon) -> String {
    let device = profile.json(&["id"])[0]["device"].as_str().expect("a peer id").to_owned();
    format!("{}/p2p/{device}", daemon.addresses[0])
}

/// A profile that keeps mailboxes for whoever knows the word.
fn keeper(stage: &Stage, name: &str) -> Profile {
    let profile = stage.profile(name);
    let text = "[mailbox]\nenabled = true\naccess = [\"word\"]\n";
    std::fs::write(profile.home().join("config.toml"), text).expect("written");
    profile
}

fn only_mailbox(profile: &Profile) -> Value {
    let mut listed = profile.json(&["mailbox", "list"]);
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed.remove(0)
}

#[test]
fn a_node_without_mailboxes_says_so_and_whoever_asks_is_told() {
    let stage = Stage::new();
    let (owner, node) = (stage.profile("owner"), stage.profile("node"));
    let (_at_owner, at_node) = (owner.daemon(TCP), node.daemon(TCP));
    let address = address(&node, &at_node);

    let added = owner.run(&["mailbox", "add", &address]);

    assert_eq!(added.code, 10, "{added:?}");
    assert!(added.stderr.contains("keeps no mailboxes"), "{added:?}");
    eventually("the node refuses", || only_mailbox(&owner)["state"] == "refused");
    assert_eq!(only_mailbox(&owner)["refusal"], "no_mailboxes");
    let warned =
        || owner.json(&["status"])[0]["warnings"].to_string().contains("mailbox_unreachable");
    eventually("the owner is warned", warned);
    let (id, part) = (address.rsplit('/').next().unwrap(), &address[address.len() - 8..]);
    let tested = &owner.json(&["mailbox", "test", part])[0];
    assert_eq!((&tested["node"], &tested["state"]), (&Value::from(id), &Value::from("refused")));
    assert_eq!(node.json(&["mailbox", "serve-status"])[0]["enabled"], false);
    assert_eq!(owner.run(&["mailbox", "remove", part]).code, 0);
    assert!(owner.json(&["mailbox", "list"]).is_empty());
    eventually("the warning ends with the mailbox", || !warned());
    assert_eq!(owner.run(&["mailbox", "remove", id]).code, 8);
    let wrong = owner.run(&["mailbox", "add", "/ip4/127.0.0.1/tcp/1"]);
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("serve-status"), "{wrong:?}");
}

#[test]
fn a_node_that_keeps_mailboxes_loses_nothing_that_it_gave_custody_for() {
    const SEALS: u32 = 30;
    let stage = Stage::new();
    let node = keeper(&stage, "node");
    let mut at_node = node.daemon(TCP);
    let address = address(&node, &at_node);
    let mut owner = Asker::new(&address);
    owner.rent("word");

    let mut given = Vec::new();
    for number in 0..SEALS {
        let answer = owner.deposited(number);
        given.push(owner.custody(answer, number).expect("custody"));
    }
    at_node.kill();
    at_node = node.daemon_soon(&at_node.addresses[0]);

    let found = owner.fetch(0);
    let seals: Vec<_> = found.iter().map(|(_, seal)| seal.clone()).collect();
    assert_eq!(seals, (0..SEALS).map(seal).collect::<Vec<_>>(), "all, once, in order");
    let again = owner.deposited(3);
    assert_eq!(owner.custody(again, 3).as_ref(), Some(&given[3]), "the same custody again");
    let served = &node.json(&["mailbox", "serve-status"])[0];
    assert_eq!((&served["rentals"], &served["envelopes"]), (&1.into(), &SEALS.into()));

    let (taken, kept) = found.split_at(10);
    let cursors = taken.iter().map(|(cursor, _)| *cursor).collect();
    let answer = owner.order(&Order::Taken(cursors));
    assert!(!matches!(answer, Answer::Refused { .. }), "{answer:?}");
    at_node.kill();
    at_node = node.daemon_soon(&at_node.addresses[0]);

    assert_eq!(owner.fetch(0), kept, "what was taken is gone, the rest is there");
    let late = owner.deposited(3);
    assert!(owner.custody(late, 3).is_some(), "also of what was taken");
    assert_eq!(owner.fetch(0).len(), kept.len(), "and it does not come again");
    assert_eq!(at_node.stop(), 0);
}

#[test]
fn custody_given_between_kills_holds() {
    let stage = Stage::new();
    let node = keeper(&stage, "node");
    let mut at_node = node.daemon(TCP);
    let mut owner = Asker::new(&address(&node, &at_node));
    owner.rent("word");
    let (mut number, mut held) = (0, Vec::new());

    for round in 0..4u64 {
        let first = number;
        let asked: Vec<_> = (0..200)
            .map(|_| {
                number += 1;
                let deposit = owner.deposit(number - 1);
                owner.send(deposit, Duration::from_secs(5))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(20 + 35 * round));
        at_node.kill();
        for _ in &asked {
            let (request, answer) = owner.told();
            let place = asked.iter().position(|asked| *asked == request).expect("asked");
            let number = first + u32::try_from(place).expect("small");
            if let Ok(answer) = answer
                && owner.custody(answer, number).is_some()
            {
                held.push(number);
            }
        }
        at_node = node.daemon_soon(&at_node.addresses[0]);
    }

    let found: Vec<_> = owner.fetch(0).into_iter().map(|(_, seal)| seal).collect();
    assert!(!held.is_empty(), "nothing was given custody for: the kills came too early");
    for number in held {
        let times = found.iter().filter(|found| **found == seal(number)).count();
        assert_eq!(times, 1, "{number} was given custody for and is there {times} times");
    }
}

#[test]
fn a_rental_needs_the_operators_word_and_a_stranger_the_work() {
    let stage = Stage::new();
    let node = keeper(&stage, "node");
    let at_node = node.daemon(TCP);
    let mut asker = Asker::new(&address(&node, &at_node));

    let offer = asker.ask(|| Question::Offer);
    let refused =
        asker.order(&Order::Rent { access: "guess".to_owned(), request_tag: None, work: 0 });
    asker.rent("word");
    let unknown = asker.try_ask(Question::Deposit {
        admission: bitchat_protocol::mailbox::Admission::Token(asker.token(55).0),
        until: tomorrow(),
        seal: seal(1),
    });

    assert!(matches!(offer, Answer::Offer(Offer { needs_access: true, work_bits: 18, .. })));
    assert!(matches!(refused, Answer::Refused { code: RefusalCode::Unpaid, .. }), "{refused:?}");
    let is_unknown =
        |answer| matches!(answer, Ok(Answer::Refused { code: RefusalCode::Unknown, .. }));
    assert!(is_unknown(unknown));
    let refusals = || node.json(&["mailbox", "serve-status"])[0]["refusals"] == 2;
    eventually("both refusals are counted", refusals);
}

/// What strangers ask stands in nobody's way: more than the thread takes is told busy.
#[test]
fn messages_flow_while_strangers_flood_a_node_with_questions() {
    let stage = Stage::new();
    let (alice, bob) = (keeper(&stage, "alice"), stage.profile("bob"));
    let (at_alice, _at_bob) = (alice.daemon(TCP), bob.daemon(TCP));
    bob.add(&alice);
    let first = bob.run(&["send", "alice", "first", "--wait", "delivered", "--timeout", "50s"]);
    assert_eq!(first.code, 0, "{first:?}");
    let address = address(&alice, &at_alice);
    let stop = AtomicBool::new(false);

    let (answered, refused) = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let mut asker = Asker::new(&address);
            let (mut open, mut answered, mut refused) = (0, 0u32, 0u32);
            while open > 0 || !stop.load(Ordering::Relaxed) {
                while open < 400 && !stop.load(Ordering::Relaxed) {
                    let deposit = asker.deposit(open);
                    asker.send(deposit, Duration::from_secs(30));
                    open += 1;
                }
                let (_, answer) = asker.told();
                open -= 1;
                match answer {
                    Ok(Answer::Refused { code: RefusalCode::Busy, .. }) => refused += 1,
                    Ok(_) => answered += 1,
                    Err(_) => {}
                }
            }
            (answered, refused)
        });
        for number in 0..10 {
            let text = format!("through {number}");
            let sent =
                bob.run(&["send", "alice", &text, "--wait", "delivered", "--timeout", "20s"]);
            assert_eq!(sent.code, 0, "{sent:?}");
        }
        stop.store(true, Ordering::Relaxed);
        flood.join().expect("asks")
    });

    assert!(refused > 1_000, "no flood: {answered} answered, {refused} refused");
}

/// Runs daemons that keep mailboxes, and rents at each of them.
pub(crate) fn rented<'a>(
    stage: &Stage,
    owners: &[&Profile],
    names: &'a [&str],
) -> Vec<(&'a str, Profile, Daemon)> {
    let mut nodes = Vec::new();
    for name in names {
        let node = keeper(stage, name);
        let daemon = node.daemon(TCP);
        let address = address(&node, &daemon);
        for owner in owners {
            let added = owner.run(&["mailbox", "add", &address, "--access", "word"]);
            assert_eq!(added.code, 0, "{added:?}");
        }
        nodes.push((*name, node, daemon));
    }
    nodes
}

/// Sender and receiver are never there at the same time once they know each other.
fn carried_by_mailboxes(messages: usize, kills: bool) {
    let stage = Stage::new();
    let [(receiver, mut at_receiver), (sender, mut at_sender)] = stage.acquainted(TCP);
    let mut nodes = rented(&stage, &[&receiver], &["m1", "m2", "m3", "m4", "m5"]);
    // The sender learns of the mailboxes inside the session.
    let sent = sender.run(&["send", "alice", "hello", "--wait", "delivered", "--timeout", "30s"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    assert_eq!(receiver.receive(), ["hello"]);
    assert_eq!(at_receiver.stop(), 0);

    let texts: Vec<_> = (0..messages).map(|number| format!("text {number}")).collect();
    let (last, others) = texts.split_last().expect("some");
    for text in others {
        assert_eq!(sender.run(&["send", "alice", text]).code, 0);
    }
    let stored = sender.run(&["send", "alice", last, "--wait", "stored", "--timeout", "50s"]);
    assert_eq!(stored.code, 0, "{stored:?}\n{:?}", at_sender.log());
    let waits = || {
        let queue = sender.json(&["queue", "list"]);
        queue.iter().all(|row| row["state"] == "stored")
    };
    eventually("all are stored", waits);
    at_sender.kill();
    if kills {
        for (_, node, daemon) in nodes.iter_mut().take(2) {
            daemon.kill();
            *daemon = node.daemon_soon(&daemon.addresses[0]);
        }
        // One gave its word for every message and keeps none of them.
        let (_, node, daemon) = &mut nodes[2];
        daemon.kill();
        std::fs::remove_dir_all(node.home().join("mailbox")).expect("its store");
        *daemon = node.daemon_soon(&daemon.addresses[0]);
    }
    at_receiver = receiver.daemon(TCP);

    let mut received = Vec::new();
    eventually("all are there", || {
        received.extend(receiver.receive());
        received.len() >= messages
    });
    assert_eq!(received, texts, "once and in order");
    assert_eq!(at_receiver.stop(), 0);
}

#[test]
fn what_is_stored_reaches_whoever_comes_after_the_sender_is_gone() {
    carried_by_mailboxes(10, true);
}

/// The long form: `cargo test --release -p bitchat-tests -- --ignored a_thousand_stored`.
#[test]
#[ignore = "takes minutes"]
fn a_thousand_stored_messages_are_shown_once_and_in_order() {
    carried_by_mailboxes(1_000, true);
}
