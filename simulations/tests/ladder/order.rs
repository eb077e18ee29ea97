//! One order of a conversation for both sides, gaps and stragglers.

use bitchat_protocol::engine::MessageView;

use super::*;

fn history(bench: &mut Bench, who: &str) -> Vec<MessageView> {
    let command = Command::History { who: Who(who.to_owned()), before: None, max: 1_000 };
    match bench.ask(command) {
        Ok(Reply::Messages(messages)) => messages,
        other => panic!("{other:?}"),
    }
}

fn texts(messages: &[MessageView]) -> Vec<String> {
    messages.iter().map(|message| message.text.clone()).collect()
}

/// Both wrote while they did not hear one another; an answer stands behind what it answers.
#[test]
fn both_sides_read_a_conversation_in_the_same_order() {
    for seed in 0..20 {
        let (mut alice, mut bob) = pair();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut number = 0;
        for _ in 0..6 {
            let (from_alice, from_bob) = (rng.next_u32() % 4, rng.next_u32() % 4);
            for _ in 0..from_alice {
                number += 1;
                say(&mut alice, "bob", &format!("a{number}"));
            }
            for _ in 0..from_bob {
                number += 1;
                say(&mut bob, "alice", &format!("b{number}"));
            }
            exchange(&mut alice, &mut bob);
        }

        let (hers, his) = (history(&mut alice, "bob"), history(&mut bob, "alice"));

        let clocks = |messages: &[MessageView]| {
            let mut clocks: Vec<_> =
                messages.iter().map(|message| (message.lamport, message.text.clone())).collect();
            clocks.sort();
            clocks
        };
        assert_eq!(clocks(&hers), clocks(&his), "seed {seed}: every message has one clock");
        assert!(hers.is_sorted_by_key(|message| message.lamport), "seed {seed}");
        assert!(his.is_sorted_by_key(|message| message.lamport), "seed {seed}");
        for side in ["a", "b"] {
            let of = |messages: &[MessageView]| {
                let mut texts = texts(messages);
                texts.retain(|text| text.starts_with(side));
                texts
            };
            assert_eq!(of(&hers), of(&his), "seed {seed}");
        }
    }
}

#[test]
fn an_answer_stands_behind_what_it_answers_on_both_sides() {
    let (mut alice, mut bob) = pair();
    for number in 0..5 {
        say(&mut alice, "bob", &format!("question {number}"));
    }
    exchange(&mut alice, &mut bob);
    say(&mut bob, "alice", "answer");
    exchange(&mut alice, &mut bob);

    assert_eq!(texts(&history(&mut alice, "bob")), texts(&history(&mut bob, "alice")));
    assert_eq!(history(&mut alice, "bob").last().expect("six").text, "answer");
}

/// Two are lost: what follows is held for ten seconds and shown with its gap; the stragglers then are late,
/// and stand in the history where they belong.
#[test]
fn a_gap_is_shown_after_ten_seconds_and_a_straggler_is_marked_late() {
    let (mut alice, mut bob) = pair();
    let ids: Vec<_> = (0..4).map(|number| say(&mut alice, "bob", &number.to_string())).collect();
    assert_eq!(ids.len(), 4);
    let frames: Vec<_> = alice.sends.drain(..).collect();
    let deliver = |bob: &mut Bench, number: usize| {
        let bytes = frames[number].2.clone();
        bob.feed(Input::Frame { peer: alice.device, number: 1, bytes });
        bob.flush();
    };
    deliver(&mut bob, 0);
    deliver(&mut bob, 3);
    bob.pass(Duration::from_millis(9_900));
    let held = bob.shown();
    bob.restart(); // What is held survives.
    bob.pass(Duration::from_millis(200));
    let after = bob.shown();
    deliver(&mut bob, 2);

    let shown = history(&mut bob, "alice");

    assert_eq!((held, after), (1, 1));
    assert_eq!(texts(&shown), ["0", "2", "3"]);
    let marks: Vec<_> = shown.iter().map(|message| (message.gap, message.late)).collect();
    assert_eq!(marks, [(0, false), (0, true), (2, false)]);
}
