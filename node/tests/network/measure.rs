//! Figures, not promises: `cargo test --release -p bitchat-node --test network -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use bitchat_node::network::{Command, Event};
use bitchat_protocol::engine::SendToken;

use super::node::{Node, QUIC, TCP, big_frame, frame};

const FRAMES: u64 = 500_000;
const ROUNDS: usize = 5_000;

/// One way, 100-byte envelopes, at most 1,000 unaccepted; each is accepted by the other side.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn frames_each_second_one_way() {
    for listen in [TCP, QUIC] {
        let mut alice = Node::start(1, listen).await;
        let mut bob = Node::start(2, listen).await;
        alice.connect(&mut bob).await;
        let (peer, commands) = (bob.device, alice.network.commands());
        let reading = tokio::spawn(async move {
            let mut frames = 0;
            while frames < FRAMES {
                frames += u64::from(matches!(bob.next().await, Event::Frame { .. }));
            }
            bob
        });

        let begin = Instant::now();
        let (mut sent, mut accepted) = (0, 0);
        while accepted < FRAMES {
            while sent < FRAMES && sent - accepted < 1_000 {
                let command = Command::Send { peer, token: SendToken(sent), frame: big_frame(100) };
                let Ok(()) = commands.try_send(command) else { break };
                sent += 1;
            }
            match alice.next().await {
                Event::Accepted { .. } => accepted += 1,
                other => panic!("{other:?}"),
            }
        }
        let took = begin.elapsed();
        drop(reading.await.expect("read"));
        #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
        let rate = FRAMES as f64 / took.as_secs_f64();
        println!("{listen}: {rate:.0} frames/s, {took:?}");
    }
}

/// One frame there, one frame back, nothing else under way.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn round_trip_time() {
    for listen in [TCP, QUIC] {
        let mut alice = Node::start(1, listen).await;
        let mut bob = Node::start(2, listen).await;
        alice.connect(&mut bob).await;
        let (alices, bobs) = (alice.device, bob.device);
        let echo = tokio::spawn(async move {
            for token in 0.. {
                let answered = bob.until(|event| matches!(event, Event::Frame { .. })).await;
                let Event::Frame { bytes, .. } = answered else { return };
                bob.send(alices, token, bytes).await;
            }
        });

        let mut times = Vec::with_capacity(ROUNDS);
        for token in 0..u64::try_from(ROUNDS).expect("small") {
            let begin = Instant::now();
            alice.send(bobs, token, frame(token)).await;
            alice.until(|event| matches!(event, Event::Frame { .. })).await;
            times.push(begin.elapsed());
        }
        echo.abort();
        times.sort_unstable();
        let at = |share: usize| -> Duration { times[times.len() * share / 100] };
        println!("{listen}: RTT p50 {:?}, p99 {:?}", at(50), at(99));
    }
}
