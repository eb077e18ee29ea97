//! Floods from real networks against real daemons: memory stays bounded, honest messages go on.

#![allow(clippy::wildcard_enum_match_arm, reason = "an attacker listens to little")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bitchat_node::network::{self, Command, Event, Network, Settings};
use bitchat_protocol::crypto::Secret;
use bitchat_protocol::engine::SendToken;
use bitchat_protocol::envelope::Frame;
use bitchat_protocol::error::Code;
use bitchat_protocol::id::{DeviceId, InvitationToken};
use bitchat_protocol::invitation::{ContactRecord, Invitation, Target};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::{Daemon, PATIENCE, Profile, Stage, TCP, eventually};

/// A program that speaks our network and nothing else of us.
struct Attacker {
    network: Network,
    events: mpsc::Receiver<Event>,
    victim: DeviceId,
    sent: u64,
}

/// How a frame ended.
type Answer = Result<(), (Code, Duration)>;

impl Attacker {
    async fn dial(seed: [u8; 32], at: &str, victim: DeviceId) -> Self {
        let settings = Settings {
            listen: Vec::new(),
            key: Secret::take(&mut seed.clone()),
            mdns: false,
            own_ports: Vec::new(),
            limits: network::Limits::default(),
        };
        let (network, events) = network::start(settings).await.expect("a network");
        let mut attacker = Self { network, events, victim, sent: 0 };
        let connect = Command::Connect { peer: victim, addresses: vec![at.to_owned()] };
        attacker.network.commands().send(connect).await.expect("room");
        attacker
            .until(|event| {
                matches!(event, Event::Connected { .. } | Event::Disconnected { .. }).then_some(())
            })
            .await;
        attacker
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            let event = timeout(PATIENCE, self.events.recv()).await.expect("in time");
            if let Some(found) = wanted(event.expect("a network")) {
                return found;
            }
        }
    }

    async fn put(&mut self, frame: &[u8]) {
        self.sent += 1;
        let (peer, token) = (self.victim, SendToken(self.sent));
        let send = Command::Send { peer, token, frame: frame.to_vec() };
        self.network.commands().send(send).await.expect("room");
    }

    /// Asks and waits: an answer frame, or a refusal.
    async fn ask(&mut self, frame: &[u8]) -> Answer {
        self.put(frame).await;
        let number = SendToken(self.sent);
        self.until(|event| match event {
            Event::Frame { .. } => Some(Ok(())),
            Event::Refused { token, code, retry_after, .. } if token == number => {
                Some(Err((code, retry_after)))
            }
            Event::SendFailed { token, .. } if token == number => {
                Some(Err((Code::Internal, Duration::ZERO)))
            }
            _ => None,
        })
        .await
    }
}

fn victim_of(profile: &Profile) -> (DeviceId, InvitationToken) {
    let invitation = Invitation::parse_link(&profile.invite()).expect("a link");
    let device = match &invitation.target {
        Target::Record(bytes) => {
            ContactRecord::parse(bytes).expect("a record").certificate().device()
        }
        Target::Short { device, .. } => *device,
    };
    (device, invitation.token)
}

fn seed(number: u32) -> [u8; 32] {
    let mut seed = [0x5A; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    seed
}

/// Resident memory in KiB.
fn rss(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Two one-time keys an hour for a stranger: a restart does not give it two more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_limited_is_limited_after_kill_9() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let mut daemon = alice.daemon(TCP);
    let (victim, token) = victim_of(&alice);
    let ask = Frame::PrekeyRequest(Some(token)).encode();
    let mut attacker = Attacker::dial(seed(1), &daemon.addresses[0], victim).await;
    assert_eq!(attacker.ask(&ask).await, Ok(()));
    assert_eq!(attacker.ask(&ask).await, Ok(()));
    let (code, before) = attacker.ask(&ask).await.expect_err("two an hour");
    assert_eq!(code, Code::Busy);

    // Written within seconds; then the process dies without a word.
    tokio::time::sleep(Duration::from_secs(3)).await;
    daemon.kill();
    let daemon = alice.daemon(TCP);
    let mut again = Attacker::dial(seed(1), &daemon.addresses[0], victim).await;
    let (code, after) = again.ask(&ask).await.expect_err("still limited");

    assert_eq!(code, Code::Busy);
    assert!(after > before - Duration::from_secs(60), "{after:?} of {before:?}");
    let mut other = Attacker::dial(seed(2), &daemon.addresses[0], victim).await;
    assert_eq!(other.ask(&ask).await, Ok(()), "another has its own");
}

/// What the flood is made of.
struct Flood {
    /// Throw-away devices that ask as fast as they can.
    identities: u32,
    /// Sockets that begin a handshake and fall silent.
    silent: u32,
    /// Sockets that claim a length of 2 GiB.
    liars: u32,
    messages: usize,
    /// How long it lasts at least.
    lasts: Duration,
}

/// Sends and waits for the receipt, one after the other; how many a second.
fn goodput(alice: &Profile, messages: usize, lasts: Duration) -> f64 {
    let (begun, mut number) = (Instant::now(), 0);
    while number < messages || begun.elapsed() < lasts {
        number += 1;
        let text = format!("message {number}");
        let sent = alice.run(&["send", "bob", &text, "--wait", "delivered", "--timeout", "30s"]);
        assert_eq!(sent.code, 0, "{sent:?}");
    }
    f64::from(u32::try_from(number).expect("few")) / begun.elapsed().as_secs_f64()
}

fn sockets(count: u32, address: &str, says: &[u8]) -> Vec<TcpStream> {
    let port = address.rsplit('/').next().expect("a port");
    let open = |_| {
        let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).ok()?;
        socket.write_all(says).ok()?;
        Some(socket)
    };
    (0..count).filter_map(open).collect()
}

/// One device in a loop; counts what it got and what was refused.
async fn storm(mut attacker: Attacker, stop: Arc<AtomicBool>, counts: Arc<[AtomicU64; 2]>) {
    let frame = Frame::RecordRequest(InvitationToken([7; 16])).encode();
    while !stop.load(Ordering::Relaxed) {
        for _ in 0..64 {
            attacker.put(&frame).await;
        }
        while let Ok(event) = attacker.events.try_recv() {
            match event {
                Event::Frame { .. } => counts[0].fetch_add(1, Ordering::Relaxed),
                Event::Refused { .. } => counts[1].fetch_add(1, Ordering::Relaxed),
                _ => 0,
            };
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn under(flood: Flood) {
    let stage = Stage::new();
    let [(alice, _at_alice), (bob, at_bob)] = stage.acquainted(TCP);
    let before = (goodput(&alice, flood.messages, Duration::ZERO), rss(&at_bob));
    let (victim, _) = victim_of(&bob);
    let (stop, counts) =
        (Arc::new(AtomicBool::new(false)), Arc::new([const { AtomicU64::new(0) }; 2]));
    let begun = Instant::now();
    let mut storms = Vec::new();
    let address = at_bob.addresses[0].clone();
    for number in 0..flood.identities {
        let (stop, counts, address) = (Arc::clone(&stop), Arc::clone(&counts), address.clone());
        storms.push(tokio::spawn(async move {
            storm(Attacker::dial(seed(number), &address, victim).await, stop, counts).await;
        }));
    }
    let silent = sockets(flood.silent, &at_bob.addresses[0], b"\x13/multistream/1.0.0\n");
    let mut liars = sockets(flood.liars, &at_bob.addresses[0], &[0xFF, 0xFF, 0xFF, 0xFF, 0x07]);
    let during = tokio::task::spawn_blocking(move || {
        (goodput(&alice, flood.messages, flood.lasts), rss(&at_bob), at_bob)
    });
    let (goodput, rss, at_bob) = during.await.expect("messages flow");
    stop.store(true, Ordering::Relaxed);
    let served = counts[0].load(Ordering::Relaxed);
    let refused = counts[1].load(Ordering::Relaxed);
    let allowed = 20.0 + 10.0 * begun.elapsed().as_secs_f64();
    eprintln!(
        "flood: {} identities, {} silent, {} liars: goodput {:.1}/s, without {:.1}/s; RSS {rss} KiB, \
         before {} KiB; {served} served, {refused} refused",
        flood.identities, flood.silent, flood.liars, goodput, before.0, before.1
    );
    for storm in storms {
        drop(timeout(Duration::from_secs(10), storm).await);
    }

    assert!(u32::try_from(served).is_ok_and(|served| f64::from(served) <= allowed), "{served}");
    assert!(refused > 100, "a flood: {refused}");
    assert!(rss < before.1 + 64 * 1024, "{rss} KiB, before {} KiB", before.1);
    assert!(goodput > before.0 / 10.0, "{goodput} of {}", before.0);
    eventually("slow handshakes and lengths of 2 GiB are closed", || {
        let mut byte = [0; 64];
        liars.iter_mut().all(|socket| {
            drop(socket.set_read_timeout(Some(Duration::from_millis(5))));
            !matches!(socket.read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        })
    });
    drop((silent, at_bob));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_devices_and_slow_handshakes_leaves_honest_messages_flowing() {
    let lasts = Duration::ZERO;
    under(Flood { identities: 12, silent: 60, liars: 20, messages: 10, lasts }).await;
}

/// `cargo test -p bitchat-tests the_long_flood -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes; prints its figures"]
async fn the_long_flood_of_a_thousand_devices() {
    let lasts = Duration::from_secs(60);
    under(Flood { identities: 1_000, silent: 1_000, liars: 1_000, messages: 200, lasts }).await;
}
