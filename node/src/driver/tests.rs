//! Two drivers on real stores; the test is their network and sets their clocks.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, Ordering};

use bitchat_protocol::engine::{Command, Settings, Who};
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::resilience::Prefix;
use bitchat_protocol::time::UnixMillis;
use tokio::sync::{broadcast, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing_subscriber::layer::SubscriberExt;

use super::*;
use crate::control::NodeStatus;
use crate::home::Home;
use crate::http::Heartbeat;
use crate::keystore::Unlocked;
use crate::metrics::Metrics;
use crate::metrics::WarningCode;
use crate::metrics::label::Rung;
use crate::profile::{self, Credentials, NewProfile};

const HOUR_MS: i64 = 3_600_000;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A driver on a thread of its own.
struct Side {
    device: DeviceId,
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<NodeStatus>,
    commands: mpsc::Receiver<network::Command>,
    hears: mpsc::Sender<network::Event>,
    /// By how much its wall clock is off.
    off_ms: Arc<AtomicI64>,
    metrics: Metrics,
    stop: CancellationToken,
    _peers: watch::Sender<Vec<network::PeerInfo>>,
    _veils: crate::veil::Veils,
    _dir: tempfile::TempDir,
}

impl Side {
    fn start(name: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let home = Home::at(dir.path().join("home"));
        let unlocked = unlocked(&home, name);
        let identity = profile::setup(&unlocked.secrets, false, false).expect("keys").identity;
        let (requests, asked) = mpsc::channel(64);
        let (publish, status) = watch::channel(NodeStatus::starting(home.socket(), Instant::now()));
        let (network, commands) = mpsc::channel(1_024);
        let (hears, heard) = mpsc::channel(64);
        let (peers, seen) = watch::channel(Vec::new());
        let (metrics, stop) = (Metrics::new(profile::wall_clock()), CancellationToken::new());
        let off_ms = Arc::new(AtomicI64::new(0));
        let veils = crate::veil::start(crate::veil::Settings::default());
        let (asker, told) = veils.asker();
        let ends = Ends {
            requests: asked,
            mail: Mail { door: Door::closed(), asker, told },
            events: broadcast::channel(64).0,
            status: publish,
            network,
            heard,
            peers: seen,
            counters: Arc::default(),
            metrics: metrics.clone(),
            heartbeat: Heartbeat::new(Instant::now()),
            stop: stop.clone(),
            settings: watch::channel(Settings::default()).1,
            external: Vec::new(),
            clock: clock(&off_ms),
            listens: false,
        };
        let factory = Factory {
            dir: home.data(),
            secrets: unlocked.secrets,
            keys: unlocked.store_keys,
            greet: false,
            read_receipts: false,
            place: None,
        };
        let driver = Driver::new(ends, factory).expect("a driver");
        spawn(driver);
        let device = identity.device().id();
        Self {
            device,
            requests,
            status,
            commands,
            hears,
            off_ms,
            metrics,
            stop,
            _peers: peers,
            _veils: veils,
            _dir: dir,
        }
    }

    async fn ask(&self, command: Command) -> Result<Reply, CommandError> {
        let (reply, answer) = oneshot::channel();
        let request = Request { command, reply, span: tracing::Span::current() };
        self.requests.send(request).await.expect("it runs");
        timeout(PATIENCE, answer).await.expect("in time").expect("an answer")
    }

    async fn tell(&self, event: network::Event) {
        self.hears.send(event).await.expect("it runs");
    }

    async fn until(&mut self, holds: impl FnMut(&NodeStatus) -> bool) {
        timeout(PATIENCE, self.status.wait_for(holds)).await.expect("in time").expect("it runs");
    }

    fn set_clock(&self, off_ms: i64) {
        self.off_ms.store(off_ms, Ordering::Relaxed);
    }

    fn sample(&self, line: &str) -> bool {
        let text = self.metrics.encode(crate::metrics::Format::Classic, profile::wall_clock());
        text.lines().any(|found| found == line)
    }
}

/// A fresh profile, open.
fn unlocked(home: &Home, name: &str) -> Unlocked {
    let wanted = NewProfile {
        name: name.to_owned(),
        credentials: Credentials::default(),
        allow_no_passphrase: true,
        recover: None,
    };
    profile::create_profile(home, wanted).expect("a profile");
    profile::unlock(home, Credentials::default()).expect("opens")
}

/// The system's clock, off by what the test says.
fn clock(off_ms: &Arc<AtomicI64>) -> Clock {
    let off = Arc::clone(off_ms);
    Clock::with_wall(move || {
        UnixMillis(profile::wall_clock().0.saturating_add_signed(off.load(Ordering::Relaxed)))
    })
}

/// Runs a driver on a thread of its own, with the log of this one.
fn spawn(driver: Driver) {
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let run = || runtime.expect("a runtime").block_on(driver.run());
        tracing::dispatcher::with_default(&dispatch, run);
    });
}

impl Drop for Side {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Carries what one side sends to the other until `bob` has shown a message; returns every frame.
async fn carry(alice: &mut Side, bob: &mut Side) -> Vec<Vec<u8>> {
    let (mut frames, mut number) = (Vec::new(), 0);
    loop {
        let command = tokio::select! {
            command = alice.commands.recv() => (true, command.expect("it runs")),
            command = bob.commands.recv() => (false, command.expect("it runs")),
            () = tokio::time::sleep(Duration::from_millis(800)) => return frames,
        };
        let (from, to) = if command.0 { (&*alice, &*bob) } else { (&*bob, &*alice) };
        match command.1 {
            network::Command::Send { token, frame, .. } => {
                number += 1;
                frames.push(frame.clone());
                to.tell(network::Event::Frame { peer: from.device, number, bytes: frame }).await;
                from.tell(network::Event::Accepted { peer: to.device, token }).await;
            }
            network::Command::Connect { .. } => {
                from.tell(network::Event::Connected { peer: to.device, prefix: Prefix::Unknown })
                    .await;
                to.tell(network::Event::Connected { peer: from.device, prefix: Prefix::Unknown })
                    .await;
            }
            network::Command::Refuse { .. } => panic!("nothing is refused here"),
        }
    }
}

async fn acquainted() -> (Side, Side) {
    let (mut alice, mut bob) = (Side::start("alice"), Side::start("bob"));
    let invited = alice.ask(Command::Invite { once: true, expires: None }).await;
    let Ok(Reply::Invitation(invitation)) = invited else { panic!("{invited:?}") };
    let added = bob.ask(Command::AddContact { link: invitation.link, name: None }).await;
    assert!(added.is_ok(), "{added:?}");
    bob.tell(network::Event::Connected { peer: alice.device, prefix: Prefix::Unknown }).await;
    alice.tell(network::Event::Connected { peer: bob.device, prefix: Prefix::Unknown }).await;
    assert!(!carry(&mut alice, &mut bob).await.is_empty());
    (alice, bob)
}

async fn send(from: &Side, to: &str, expires: Option<Duration>) -> MessageState {
    let command = Command::Send { to: Who(to.to_owned()), text: "hello".to_owned(), expires };
    match from.ask(command).await {
        Ok(Reply::Delivery(view)) => MessageState(view.id),
        other => panic!("{other:?}"),
    }
}

struct MessageState(bitchat_protocol::id::MessageId);

impl MessageState {
    async fn at(&self, side: &Side) -> String {
        match side.ask(Command::Delivery(self.0)).await {
            Ok(Reply::Delivery(view)) => format!("{:?}", view.state),
            other => panic!("{other:?}"),
        }
    }
}

/// An hour ahead and back: the warning stands meanwhile, and nothing expires for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_is_a_warning_and_expires_nothing() {
    let (alice, mut bob) = acquainted().await;
    bob.tell(network::Event::Disconnected { peer: alice.device }).await;
    let message = send(&bob, "alice", Some(Duration::from_secs(600))).await;

    bob.set_clock(HOUR_MS);
    bob.until(|status| status.degraded().contains(&Rung::Clock)).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    assert_eq!(message.at(&bob).await, "Queued");
    let warning = |status: &NodeStatus| {
        let mut found = status.warnings.iter();
        found.find(|warning| warning.code == WarningCode::ClockSkew).cloned()
    };
    let said = warning(&bob.status.borrow()).expect("a warning").message;
    assert!(said.contains("ahead by 3600 s") || said.contains("ahead by 3599 s"), "{said}");
    assert!(bob.sample("bitchat_degraded{rung=\"clock\"} 1"));

    bob.set_clock(-HOUR_MS);
    bob.until(|status| warning(status).is_some_and(|said| said.message.contains("back"))).await;
    let meanwhile = send(&bob, "alice", Some(Duration::from_secs(600))).await;
    bob.set_clock(0);
    bob.until(|status| warning(status).is_none()).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;

    assert_eq!([message.at(&bob).await, meanwhile.at(&bob).await], ["Queued", "Queued"]);
    assert!(bob.sample("bitchat_degraded{rung=\"clock\"} 0"));
}

/// One id names every line about a request or a frame, two never mix, and no peer gets one.
#[tokio::test(flavor = "multi_thread")]
async fn a_correlation_id_is_in_every_line_of_its_request_and_in_no_frame() {
    let log = Log::default();
    let lines = tracing_subscriber::fmt::layer().json().with_writer(log.writer());
    let subscriber = tracing_subscriber::registry().with(lines);
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let (mut alice, mut bob) = acquainted().await;
    let ids = ["feedfacecafebeef", "0123456789abcdef"];

    for id in ids {
        let span = tracing::info_span!("request", id);
        send(&bob, "alice", None).instrument(span).await;
    }
    let frames = carry(&mut alice, &mut bob).await;

    let text = log.text();
    for id in ids {
        let of = text.lines().filter(|line| line.contains(id)).collect::<Vec<_>>();
        assert!(of.iter().any(|line| line.contains("Queued")), "the engine's line: {of:?}");
        assert!(of.iter().any(|line| line.contains("\"durable\"")), "the store's line: {of:?}");
    }
    assert!(!text.lines().any(|line| ids.iter().all(|id| line.contains(id))), "two ids mix");
    let of_frames: Vec<String> = frame_ids(&text);
    assert!(of_frames.len() > 2, "{of_frames:?}");
    assert!(frames.len() > 2, "{}", frames.len());
    for id in ids.into_iter().chain(of_frames.iter().map(String::as_str)) {
        let raw = u64::from_str_radix(id, 16).expect("hex");
        for needle in [id.as_bytes(), &raw.to_be_bytes(), &raw.to_le_bytes()] {
            let crosses = |frame: &Vec<u8>| frame.windows(needle.len()).any(|part| part == needle);
            assert!(!frames.iter().any(crosses), "{id} crossed the link");
        }
    }
}

/// The ids of spans of frames.
fn frame_ids(text: &str) -> Vec<String> {
    let mut ids = std::collections::BTreeSet::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let span = &line["span"];
        if span["name"] == "frame" {
            ids.extend(span["id"].as_str().map(ToOwned::to_owned));
        }
    }
    ids.into_iter().collect()
}

/// What a subscriber wrote.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().expect("lock").clone()).expect("UTF-8")
    }

    fn writer(&self) -> impl Fn() -> Self + use<> {
        let log = self.clone();
        move || log.clone()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
