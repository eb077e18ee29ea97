//! What hostile peers and foreign programs achieve: nothing.

use std::time::Duration;

use bitchat_node::network::{Event, Limits};
use bitchat_proto::prost::Message;
use bitchat_proto::wire::{Accepted, Link, link};
use futures::AsyncWriteExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::node::{DEADLINE, LOOPBACK, Node, TCP, device, eventually, frame};
use super::stranger::{Stranger, identity_of, rest};

/// A length and that many bytes.
fn framed(frame: &[u8]) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(frame.len()).expect("a short frame")];
    bytes.extend_from_slice(frame);
    bytes
}

/// The node still serves somebody who behaves.
async fn still_serves(victim: &mut Node) {
    let mut friend = Node::start(99, TCP).await;
    friend.dial(victim).await;
    assert_eq!(friend.next().await, Event::Connected { peer: victim.device, prefix: LOOPBACK });
    friend.send(victim.device, 1, frame(1)).await;
    victim.until(|event| matches!(event, Event::Frame { peer, .. } if *peer == device(99))).await;
    assert_eq!(friend.fates(1).await, [(1, true)]);
}

/// A plain socket to the node.
async fn socket(victim: &Node) -> TcpStream {
    let port = victim.addresses[0].rsplit('/').next().expect("a port");
    TcpStream::connect(format!("127.0.0.1:{port}")).await.expect("a socket")
}

#[tokio::test]
async fn malformed_and_oversized_frames_reset_the_stream_and_nothing_else() {
    let mut victim = Node::start(1, TCP).await;
    let mut stranger = Stranger::dial(2, &victim).await;
    let accepted = Link { frame: Some(link::Frame::Accepted(Accepted { upto: 1 })) };
    let attacks: [&[u8]; 6] = [
        &[0xFF, 0xFF, 0xFF, 0xFF, 0x07], // 2 GiB
        &[0x81, 0x80, 0x10],             // one byte more than a frame may have
        &[0x00],                         // an empty frame
        &[0x81, 0x00, 0x0A],             // a length that is not canonical
        &[0x03, 0xFF, 0xFF, 0xFF],       // no Link
        &framed(&accepted.encode_to_vec()),
    ];

    for (count, attack) in (1..).zip(attacks) {
        let mut stream = stranger.say(attack).await;
        assert_eq!(rest(&mut stream).await, [0u8; 0], "{attack:?}");
        assert_eq!(victim.network.counters().streams_reset.get(), count, "{attack:?}");
    }

    still_serves(&mut victim).await;
}

#[tokio::test]
async fn a_frame_that_does_not_end_costs_its_stream() {
    let limits = Limits { frame_time: Duration::from_millis(300), ..Limits::default() };
    let mut victim = Node::with(1, TCP, limits).await;
    let mut stranger = Stranger::dial(2, &victim).await;
    let whole = framed(&frame(1));

    let mut idle = stranger.say(&whole).await; // Between frames there is no hurry.
    let mut hanging = stranger.say(&whole[..5]).await;

    assert_eq!(rest(&mut hanging).await, [0u8; 0]);
    assert_eq!(victim.network.counters().streams_reset.get(), 1);
    idle.write_all(&whole).await.expect("still open");
    idle.flush().await.expect("still open");
    for _ in 0..2 {
        victim.until(|event| matches!(event, Event::Frame { .. })).await;
    }
    still_serves(&mut victim).await;
}

/// Bytes that trickle do not buy time; frames that are completed do. The pause is the load, not a wait.
#[tokio::test]
async fn a_frame_that_trickles_costs_its_stream_and_a_slow_row_of_frames_does_not() {
    let limits = Limits { frame_time: Duration::from_millis(300), ..Limits::default() };
    let mut victim = Node::with(1, TCP, limits).await;
    let mut stranger = Stranger::dial(2, &victim).await;
    let whole = framed(&frame(1));
    let (head, tail) = whole.split_at(5);
    let mut pace = tokio::time::interval(Duration::from_millis(50));

    let mut slow = stranger.say(head).await;
    for _ in 0..12 {
        pace.tick().await;
        slow.write_all(&[tail, head].concat()).await.expect("still open");
        slow.flush().await.expect("still open");
        victim.until(|event| matches!(event, Event::Frame { .. })).await;
    }
    assert_eq!(victim.network.counters().streams_reset.get(), 0);

    let mut trickling = stranger.say(&[200, 1]).await; // 200 bytes are to come
    for _ in 0..100 {
        pace.tick().await;
        slow.write_all(&[tail, head].concat()).await.expect("still open");
        let reset = trickling.write_all(&[0x0A]).await.is_err() || trickling.flush().await.is_err();
        if reset {
            break;
        }
    }
    assert_eq!(victim.network.counters().streams_reset.get(), 1);
}

#[tokio::test]
async fn a_third_stream_of_a_peer_replaces_its_oldest() {
    let mut victim = Node::start(1, TCP).await;
    let mut stranger = Stranger::dial(2, &victim).await;
    let whole = framed(&frame(1));

    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(stranger.say(&whole).await);
        victim.until(|event| matches!(event, Event::Frame { .. })).await;
    }

    rest(&mut streams[0]).await;
    streams[2].write_all(&whole).await.expect("still open");
    streams[2].flush().await.expect("still open");
    victim.until(|event| matches!(event, Event::Frame { .. })).await;
    assert_eq!(victim.network.counters().streams_dropped.get(), 1);
}

#[tokio::test]
async fn a_peer_that_opens_streams_without_end_is_capped() {
    let mut victim = Node::start(1, TCP).await;
    let mut stranger = Stranger::dial(2, &victim).await;

    let mut streams = Vec::new();
    for _ in 0..500 {
        let opening = stranger.control.open_stream(stranger.victim, super::stranger::MESSAGES);
        match timeout(DEADLINE, opening).await.expect("in time") {
            Ok(stream) => streams.push(stream),
            Err(_) => break,
        }
    }

    let counters = victim.network.counters();
    assert!(counters.streams_accepted.get() <= counters.streams_dropped.get() + 2);
    still_serves(&mut victim).await;
}

#[tokio::test]
async fn a_peer_that_accepts_what_was_not_sent_loses_the_stream_and_the_send_fails() {
    let mut victim = Node::start(1, TCP).await;
    let mut stranger = Stranger::dial(2, &victim).await;
    assert_eq!(victim.next().await, Event::Connected { peer: device(2), prefix: LOOPBACK });
    let lie = Link { frame: Some(link::Frame::Accepted(Accepted { upto: 99 })) }.encode_to_vec();

    for (token, words) in [(1, framed(&lie)), (2, framed(&frame(1)))] {
        victim.send(device(2), token, frame(token)).await;
        let mut stream = stranger.taken().await;
        stream.write_all(&words).await.expect("written");
        stream.flush().await.expect("flushed");

        assert_eq!(victim.fates(1).await, [(token, false)]);
    }

    assert_eq!(victim.network.counters().streams_reset.get(), 2);
    still_serves(&mut victim).await;
}

#[tokio::test]
async fn a_peer_that_takes_frames_and_never_answers_fails_them_in_the_end() {
    let limits = Limits { accept_time: Duration::from_millis(200), ..Limits::default() };
    let mut victim = Node::with(1, TCP, limits).await;
    let mut stranger = Stranger::dial(2, &victim).await;
    assert_eq!(victim.next().await, Event::Connected { peer: device(2), prefix: LOOPBACK });

    victim.send(device(2), 1, frame(1)).await;
    let _silent = stranger.taken().await;

    assert_eq!(victim.fates(1).await, [(1, false)]);
    still_serves(&mut victim).await;
}

#[tokio::test]
async fn a_stranger_that_vanishes_fails_what_it_did_not_accept() {
    let mut victim = Node::start(1, TCP).await;
    let mut stranger = Stranger::dial(2, &victim).await;
    assert_eq!(victim.next().await, Event::Connected { peer: device(2), prefix: LOOPBACK });
    for token in 0..10 {
        victim.send(device(2), token, frame(token)).await;
    }
    let mut stream = stranger.taken().await;
    let accepted = Link { frame: Some(link::Frame::Accepted(Accepted { upto: 4 })) };
    stream.write_all(&framed(&accepted.encode_to_vec())).await.expect("written");
    stream.flush().await.expect("flushed");
    let first = victim.fates(4).await;

    stranger.swarm.abort();

    assert_eq!(first, [(0, true), (1, true), (2, true), (3, true)]);
    let mut rest = victim.fates(6).await;
    rest.sort_unstable();
    assert_eq!(rest, (4..10).map(|token| (token, false)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_handshake_that_does_not_go_on_is_closed() {
    let limits = Limits { handshake_time: Duration::from_millis(300), ..Limits::default() };
    let mut victim = Node::with(1, TCP, limits).await;

    for words in
        [b"".as_slice(), b"\x13/multistream/1.0.0\n", b"\x13/multistream/1.0.0\n\x07/noise\n"]
    {
        let mut socket = socket(&victim).await;
        socket.write_all(words).await.expect("written");
        let mut answer = Vec::new();
        let closed = timeout(DEADLINE, socket.read_to_end(&mut answer)).await;
        assert!(closed.is_ok(), "{words:?}");
    }

    assert_eq!(victim.network.counters().connections_refused.get(), 3);
    still_serves(&mut victim).await;
}

#[tokio::test]
async fn a_peer_has_four_connections_and_no_fifth() {
    let mut victim = Node::start(1, TCP).await;

    let mut strangers = Vec::new();
    for _ in 0..6 {
        strangers.push(Stranger::dial(2, &victim).await);
    }

    let counters = victim.network.counters();
    eventually(|| counters.connections_refused.get() == 2).await;
    assert_eq!(counters.connections_opened.tcp_inbound.get(), 4);
    still_serves(&mut victim).await;
}

/// Identify tells the protocols and one agent for all nodes, but not where else we listen.
#[tokio::test]
async fn a_stranger_learns_neither_addresses_nor_versions() {
    let victim = Node::start(1, TCP).await;

    let info = identity_of(&victim).await;

    assert_eq!(info.listen_addrs, []);
    assert_eq!(
        (info.protocol_version.as_str(), info.agent_version.as_str()),
        ("/bitchat/id/1", "bitchat/1")
    );
}

/// No plaintext, no old protocol, no HTTP: the other side learns that libp2p listens, and no more.
#[tokio::test]
async fn foreign_protocols_get_no_byte_of_ours() {
    let mut victim = Node::start(1, TCP).await;
    let plaintext = b"\x13/multistream/1.0.0\n\x11/plaintext/2.0.0\n".as_slice();
    let secio = b"\x13/multistream/1.0.0\n\x0d/secio/1.0.0\n".as_slice();

    for words in [plaintext, secio, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut socket = socket(&victim).await;
        socket.write_all(words).await.expect("written");
        socket.shutdown().await.expect("half closed");
        let mut answer = Vec::new();
        let read = timeout(DEADLINE, socket.read_to_end(&mut answer)).await.expect("it is closed");

        let allowed = b"\x13/multistream/1.0.0\n\x03na\n";
        assert!(read.is_err() || allowed.starts_with(&answer), "{answer:?}");
    }
    still_serves(&mut victim).await;
}
