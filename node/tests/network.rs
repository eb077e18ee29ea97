//! Frames between networks over loopback: order, fates, bounds, strangers.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may end like that; clippy knows it inside of test functions only"
)]

#[path = "network/measure.rs"]
mod measure;
#[path = "network/node.rs"]
mod node;
#[path = "network/stranger.rs"]
mod stranger;
#[path = "network/strangers.rs"]
mod strangers;
#[path = "network/veiled.rs"]
mod veiled;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bitchat_node::network::{Command, Event, Limits, NetworkError, Path, Settings};
use bitchat_protocol::engine::SendToken;
use bitchat_protocol::error::Code;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use node::{DEADLINE, LOOPBACK, Node, QUIC, TCP, big_frame, device, frame, settings};

async fn frames_arrive(listen: &str, path: Path) {
    let mut alice = Node::start(1, listen).await;
    let mut bob = Node::start(2, listen).await;
    alice.connect(&mut bob).await;

    for number in 0..500 {
        alice.send(bob.device, number, frame(number)).await;
    }

    let mut names = BTreeSet::new();
    for number in 0..500 {
        let Event::Frame { peer, number: name, bytes } = bob.next().await else {
            panic!("a frame")
        };
        assert_eq!((peer, bytes), (alice.device, frame(number)));
        assert!(names.insert(name));
    }
    let fates = alice.fates(500).await;
    assert_eq!(fates, (0..500).map(|number| (number, true)).collect::<Vec<_>>());
    let mut peers = alice.network.peers();
    let seen = timeout(DEADLINE, peers.wait_for(|peers| peers.len() == 1)).await;
    let info = seen.expect("in time").expect("a network")[0].clone();
    assert_eq!((info.device, info.path, info.outbound), (bob.device, path, true));
}

#[tokio::test]
async fn frames_arrive_in_order_and_once_over_tcp() {
    frames_arrive(TCP, Path::Tcp).await;
}

#[tokio::test]
async fn frames_arrive_in_order_and_once_over_quic() {
    frames_arrive(QUIC, Path::Quic).await;
}

/// The lock-up of rust-libp2p 5410: both write, nobody reads, both windows are full.
#[tokio::test(flavor = "multi_thread")]
async fn two_peers_that_write_20_000_frames_at_once_do_not_lock_up() {
    for listen in [TCP, QUIC] {
        let mut alice = Node::start(1, listen).await;
        let mut bob = Node::start(2, listen).await;
        alice.connect(&mut bob).await;
        let (alices, bobs) = (alice.device, bob.device);

        let (mut alice, mut bob) = tokio::join!(exchange(alice, bobs), exchange(bob, alices));

        let more = [alice.events.try_recv(), bob.events.try_recv()];
        assert!(more.iter().all(Result::is_err), "something came twice: {more:?}");
    }
}

/// Sends 20,000 frames of 200 bytes, at most 1,000 of them unaccepted, and reads as many.
async fn exchange(mut node: Node, peer: bitchat_protocol::id::DeviceId) -> Node {
    const FRAMES: u64 = 20_000;
    let window = Arc::new(Semaphore::new(1_000));
    let (commands, free) = (node.network.commands(), Arc::clone(&window));
    let sending = tokio::spawn(async move {
        for token in (0..FRAMES).map(SendToken) {
            free.acquire().await.expect("open").forget();
            let frame = big_frame(200);
            commands.send(Command::Send { peer, token, frame }).await.expect("a network");
        }
    });
    let (mut frames, mut accepted) = (0, 0);
    while frames < FRAMES || accepted < FRAMES {
        match node.next().await {
            Event::Frame { .. } => frames += 1,
            Event::Accepted { .. } => {
                accepted += 1;
                window.add_permits(1);
            }
            other => panic!("{other:?}"),
        }
    }
    sending.await.expect("sent");
    node
}

#[tokio::test]
async fn what_a_broken_connection_leaves_unaccepted_fails() {
    let mut alice = Node::start(1, TCP).await;
    let mut bob = Node::with(2, TCP, Limits { events: 1, ..Limits::default() }).await;
    alice.connect(&mut bob).await;
    for number in 0..300 {
        alice.send(bob.device, number, frame(number)).await;
    }
    let Event::Frame { .. } = bob.next().await else { panic!("a frame") };

    drop(bob); // Its driver reads no more, its network goes down.

    let mut fates = alice.fates(300).await;
    assert!(fates.iter().any(|(_, accepted)| !accepted), "Bob took {} frames", fates.len());
    fates.sort_unstable();
    let tokens: Vec<_> = fates.into_iter().map(|(token, _)| token).collect();
    assert_eq!(tokens, (0..300).collect::<Vec<_>>(), "one fate each");
}

#[tokio::test]
async fn a_driver_that_does_not_read_blocks_its_senders_and_nobody_else() {
    let slow = Limits { events: 4, ..Limits::default() };
    let fast = Limits { queue_frames: 16, events: 8_192, ..Limits::default() };
    let mut alice = Node::with(1, TCP, fast).await;
    let mut bob = Node::with(2, TCP, slow).await;
    alice.connect(&mut bob).await;

    // 4 MiB are more than the windows between them; the rest must wait and then fail.
    let count = 400;
    for token in 0..count {
        alice.send(bob.device, token, big_frame(64 * 1024)).await;
        tokio::task::yield_now().await;
    }
    let refused = alice.until(|event| matches!(event, Event::SendFailed { .. })).await;
    assert!(matches!(refused, Event::SendFailed { peer, .. } if peer == bob.device));
    assert!(alice.network.counters().queue_full.get() > 0);

    let mut carol = Node::start(3, TCP).await;
    carol.dial(&alice).await;
    assert_eq!(carol.next().await, Event::Connected { peer: alice.device, prefix: LOOPBACK });
    carol.send(alice.device, 1, frame(1)).await;
    assert_eq!(carol.fates(1).await, [(1, true)]);

    // Bob's driver comes back: what was queued arrives.
    for _ in 0..4 {
        assert!(matches!(bob.next().await, Event::Frame { .. }));
    }
    alice.until(|event| matches!(event, Event::Accepted { .. })).await;
}

#[tokio::test]
async fn a_peer_that_comes_back_is_connected_again() {
    let mut alice = Node::start(1, TCP).await;
    let mut bob = Node::start(2, TCP).await;
    alice.connect(&mut bob).await;
    alice.send(bob.device, 1, frame(1)).await;
    assert_eq!(alice.fates(1).await, [(1, true)]);

    bob.network.shutdown().await;
    assert_eq!(alice.next().await, Event::Disconnected { peer: bob.device });
    let mut bob = Node::start(2, QUIC).await;
    alice.connect(&mut bob).await;

    alice.send(bob.device, 2, frame(2)).await;
    bob.send(alice.device, 3, frame(3)).await;
    assert_eq!(alice.fates(1).await, [(2, true)]);
    assert_eq!(bob.fates(1).await, [(3, true)]);
}

#[tokio::test]
async fn peers_that_dial_one_another_at_once_talk_and_learn_of_it_once() {
    for listen in [TCP, QUIC] {
        let mut alice = Node::start(1, listen).await;
        let mut bob = Node::start(2, listen).await;

        tokio::join!(alice.dial(&bob), bob.dial(&alice));
        assert_eq!(alice.next().await, Event::Connected { peer: bob.device, prefix: LOOPBACK });
        assert_eq!(bob.next().await, Event::Connected { peer: alice.device, prefix: LOOPBACK });
        alice.dial(&bob).await;
        for number in 0..100 {
            alice.send(bob.device, number, frame(number)).await;
            bob.send(alice.device, number, frame(number)).await;
        }

        for node in [&mut alice, &mut bob] {
            let (mut frames, mut accepted) = (0, 0);
            while frames < 100 || accepted < 100 {
                match node.next().await {
                    Event::Frame { .. } => frames += 1,
                    Event::Accepted { .. } => accepted += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_dial_to_nothing_ends_in_disconnected() {
    let mut alice = Node::start(1, TCP).await;
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("it").port();

    for addresses in [vec![format!("/ip4/127.0.0.1/tcp/{port}")], vec![]] {
        alice.command(Command::Connect { peer: device(2), addresses }).await;
        assert_eq!(alice.next().await, Event::Disconnected { peer: device(2) });
    }
}

/// The address answers, but another device lives there.
#[tokio::test]
async fn a_dial_that_meets_another_device_ends_in_disconnected() {
    let mut alice = Node::start(1, TCP).await;
    let bob = Node::start(2, TCP).await;

    let addresses = bob.addresses.clone();
    alice.command(Command::Connect { peer: device(3), addresses }).await;

    assert_eq!(alice.next().await, Event::Disconnected { peer: device(3) });
}

#[tokio::test]
async fn addresses_that_are_no_canonical_ones_are_not_dialled() {
    let mut alice = Node::start(1, TCP).await;
    let bob = Node::start(2, TCP).await;
    let stranger = libp2p::PeerId::random();
    let bad = [String::new(), "/".into(), "x".repeat(1_000), "/ip4/1.2.3.4/tcp/99999".into()];
    let foreign = format!("{}/p2p/{stranger}", bob.addresses[0]);
    let padded = bob.addresses[0].replace("/tcp/", "/tcp/0");

    let addresses = bad.into_iter().chain([foreign, padded]).collect();
    alice.command(Command::Connect { peer: bob.device, addresses }).await;

    assert_eq!(alice.next().await, Event::Disconnected { peer: bob.device });
    assert_eq!(alice.network.counters().addresses_refused.get(), 6);
}

#[tokio::test]
async fn a_refusal_comes_back_with_its_token() {
    let mut alice = Node::start(1, TCP).await;
    let mut bob = Node::start(2, TCP).await;
    alice.connect(&mut bob).await;
    for token in [7, 8, 9] {
        alice.send(bob.device, token, frame(token)).await;
    }
    let refused =
        bob.until(|e| matches!(e, Event::Frame { bytes, .. } if *bytes == frame(8))).await;
    let Event::Frame { number, .. } = refused else { panic!("a frame") };

    let (peer, code, retry_after) = (alice.device, Code::Busy, Duration::from_millis(1_500));
    bob.command(Command::Refuse { peer, number, code, retry_after }).await;

    let event = alice.until(|event| matches!(event, Event::Refused { .. })).await;
    let token = SendToken(8);
    assert_eq!(event, Event::Refused { peer: bob.device, token, code, retry_after });
}

#[tokio::test]
async fn a_frame_without_a_connection_or_a_shape_fails_at_once() {
    let mut alice = Node::start(1, TCP).await;
    let mut bob = Node::start(2, TCP).await;
    alice.send(bob.device, 1, frame(1)).await;
    assert_eq!(alice.fates(1).await, [(1, false)]);
    alice.connect(&mut bob).await;

    alice.send(bob.device, 2, big_frame(256 * 1024)).await;
    alice.send(bob.device, 3, vec![2 << 3 | 2, 0]).await; // an acknowledgement
    alice.send(bob.device, 4, Vec::new()).await;
    alice.send(bob.device, 5, frame(5)).await;

    let mut fates = alice.fates(4).await;
    fates.sort_unstable();
    assert_eq!(fates, [(2, false), (3, false), (4, false), (5, true)]);
}

#[tokio::test]
async fn an_address_in_use_is_an_error_that_names_it() {
    for listen in [TCP, QUIC] {
        let alice = Node::start(1, listen).await;
        let taken = alice.addresses[0].clone();

        let error = Node::try_with(2, &taken, Limits::default()).await.err().expect("taken");

        assert!(matches!(&error, NetworkError::Listen { address, .. } if *address == taken));
        assert!(error.to_string().contains("in use"), "{error}");
    }
    let nonsense = Node::try_with(3, "/dns/example.org/tcp/1", Limits::default()).await;
    assert!(matches!(nonsense.err(), Some(NetworkError::Address { .. })));
}

#[tokio::test]
async fn a_shutdown_sends_what_is_queued_and_ends_in_two_seconds() {
    let mut alice = Node::start(1, TCP).await;
    let mut bob = Node::start(2, TCP).await;
    alice.connect(&mut bob).await;
    for number in 0..200 {
        alice.send(bob.device, number, frame(number)).await;
    }

    let begin = Instant::now();
    let Node { network, mut events, .. } = alice;
    let reading = tokio::spawn(async move {
        let mut fates = Vec::new();
        while let Some(event) = events.recv().await {
            match event {
                Event::Accepted { token, .. } => fates.push((token.0, true)),
                Event::SendFailed { token, .. } => fates.push((token.0, false)),
                _ => {}
            }
        }
        fates
    });
    network.shutdown().await;

    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    let mut fates = reading.await.expect("read");
    fates.sort_unstable();
    assert_eq!(
        fates.iter().map(|(token, _)| *token).collect::<Vec<_>>(),
        (0..200).collect::<Vec<_>>()
    );
    bob.until(|event| matches!(event, Event::Disconnected { .. })).await;
}

#[tokio::test]
#[ignore = "needs a network with multicast"]
async fn devices_on_one_network_find_one_another_and_connect_without_an_address() {
    let everywhere = "/ip4/0.0.0.0/tcp/0";
    let [alice, bob] = [1, 2].map(|seed| Settings { mdns: true, ..settings(seed, everywhere) });
    let mut alice = Node::of(alice, 1).await.expect("a network");
    let bob = Node::of(bob, 2).await.expect("a network");
    let seen =
        alice.until(|e| matches!(e, Event::Discovered { peer, .. } if *peer == bob.device)).await;
    let Event::Discovered { addresses, .. } = seen else { panic!("an address") };
    assert!(addresses.iter().all(|address| !address.contains("/p2p/")), "{addresses:?}");

    alice.command(Command::Connect { peer: bob.device, addresses: Vec::new() }).await;

    alice.until(|event| *event == Event::Connected { peer: bob.device, prefix: LOOPBACK }).await;
}
