//! What goes on when a part fails: a full disk, a stopped process, a listener that is lost, a store
//! that is not what was written.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Daemon, Finished, Profile, Stage, TCP, eventually};
use crate::monitoring::sample;
use crate::small_disk::SmallDisk;

const MIB: u64 = 1024 * 1024;

/// Health and metrics at an address that is known: no command needs to answer for it.
struct Health(String);

impl Health {
    fn of(profile: &Profile) -> Self {
        let status = &profile.json(&["status"])[0];
        Self(status["metrics"].as_str().expect("metrics are served").to_owned())
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.0).expect("a listener");
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("written");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        let code = reply.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        (code, reply.split_once("\r\n\r\n").expect("a body").1.to_owned())
    }

    fn rung(&self, rung: &str) -> f64 {
        sample(&self.get("/metrics").1, &format!("bitchat_degraded{{rung=\"{rung}\"}}"))
    }

    fn is_ready(&self) -> bool {
        self.get("/readyz").0 == 200
    }
}

fn send(from: &Profile, to: &str, text: &str, wait: &str, within: &str) -> Finished {
    from.run(&["send", to, text, "--wait", wait, "--timeout", within])
}

fn degradation(profile: &Profile) -> Vec<String> {
    let status = &profile.json(&["status"])[0];
    let words = status["degradation"].as_array().expect("a list").iter();
    words.map(|word| word.as_str().expect("a word").to_owned()).collect()
}

fn texts(profile: &Profile, with: &str) -> Vec<String> {
    let messages = profile.json(&["history", with]);
    messages.iter().map(|m| m["text"].as_str().expect("a text").to_owned()).collect()
}

fn count(texts: &[String], text: &str) -> usize {
    texts.iter().filter(|found| *found == text).count()
}

fn init(home: PathBuf, name: &str) -> Profile {
    let profile = Profile::at(home);
    let made = profile.run(&["init", "--name", name, "--no-passphrase"]);
    assert_eq!(made.code, 0, "{made:?}");
    profile
}

/// Alice lives on the small disk.
fn on_a_small_disk(stage: &Stage, disk: &SmallDisk) -> [(Profile, Daemon); 2] {
    let (alice, bob) = (init(disk.at.join("alice"), "alice"), stage.profile("bob"));
    let (at_alice, at_bob) = (alice.daemon(TCP), bob.daemon(TCP));
    bob.add(&alice);
    eventually("alice knows bob", || alice.run(&["contact", "show", "bob"]).code == 0);
    let before = send(&bob, "alice", "before", "delivered", "30s");
    assert_eq!(before.code, 0, "{before:?}");
    [(alice, at_alice), (bob, at_bob)]
}

#[test]
fn a_full_disk_refuses_before_a_ratchet_step_and_loses_nothing_in_either_direction() {
    let stage = Stage::new();
    let Some(disk) = SmallDisk::mount(stage.path("small"), 96) else { return };
    let [(alice, _a), (bob, mut at_bob)] = on_a_small_disk(&stage, &disk);
    let health = Health::of(&alice);
    assert!(health.is_ready());

    disk.fill(8 * MIB);
    eventually("it says that it is full", || !health.is_ready());
    assert!(health.get("/readyz").1.contains("[-] storage"));
    assert_eq!((health.get("/livez").0, degradation(&alice)), (200, vec!["storage".to_owned()]));
    assert!(health.rung("storage") > 0.5);
    let human = alice.run(&["status"]).stdout;
    assert!(human.contains("degradation   storage") && human.contains("disk is full"), "{human}");

    let inward = send(&bob, "alice", "to the full one", "delivered", "2s");
    let outward = send(&alice, "bob", "from the full one", "queued", "5s");
    assert_eq!((inward.code, outward.code), (6, 9), "{inward:?} {outward:?}");
    assert!(outward.stderr.contains("no space left"), "{outward:?}");
    assert_eq!(texts(&alice, "bob"), ["before"], "reading goes on");
    assert_eq!(alice.receive(), ["before"], "what was printed may be acknowledged");

    disk.fill(0);
    std::thread::sleep(Duration::from_secs(2)); // It is looked at each second.
    assert_eq!(at_bob.stop(), 0); // A new link makes her engine write.
    let _at_bob = bob.daemon(&at_bob.addresses[0]);
    eventually("the link is back", || !alice.json(&["peers"]).is_empty());
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(texts(&alice, "bob"), ["before"], "reading goes on with no byte left");
    assert_eq!((health.get("/livez").0, health.get("/readyz").0), (200, 503));

    disk.empty();
    let freed = Instant::now();
    eventually("it is ready again", || health.is_ready());
    assert!(freed.elapsed() < Duration::from_secs(5), "{:?}", freed.elapsed());
    eventually("what was refused came", || count(&texts(&alice, "bob"), "to the full one") == 1);
    let after = send(&alice, "bob", "from the full one", "delivered", "30s");
    assert_eq!(after.code, 0, "{after:?}");
    assert_eq!((alice.receive(), bob.receive()), one_each("to the full one", "from the full one"));
    assert!(alice.receive().is_empty());
    assert_no_heals(&[&alice, &bob]);
    assert!(degradation(&alice).is_empty());
}

fn one_each(alice: &str, bob: &str) -> (Vec<String>, Vec<String>) {
    (vec![alice.to_owned()], vec![bob.to_owned()])
}

/// A ratchet that had moved on without its message would have had to start anew.
fn assert_no_heals(profiles: &[&Profile]) {
    for profile in profiles {
        let exposition = Health::of(profile).get("/metrics").1;
        let heals =
            exposition.lines().filter(|line| line.starts_with("bitchat_session_heals_total"));
        assert!(heals.clone().count() > 0 && heals.clone().all(|line| line.ends_with(" 0")));
    }
}

/// The other direction, and a daemon that starts while there is no room.
#[test]
fn what_a_full_disk_holds_is_there_after_a_restart_on_the_full_disk() {
    let stage = Stage::new();
    let Some(disk) = SmallDisk::mount(stage.path("small"), 96) else { return };
    let [(alice, mut at_alice), (bob, mut at_bob)] = on_a_small_disk(&stage, &disk);
    assert_eq!(at_bob.stop(), 0);
    let queued = send(&alice, "bob", "queued before", "queued", "5s");
    assert_eq!(queued.code, 0, "{queued:?}");

    disk.fill(8 * MIB);
    eventually("it says that it is full", || degradation(&alice).contains(&"storage".to_owned()));
    at_alice.kill();
    let listed = alice.json(&["history", "bob"]);
    let _at_bob = bob.daemon(&at_bob.addresses[0]);
    let refused = send(&alice, "bob", "too late", "queued", "5s");
    disk.empty();
    let _at_alice = alice.daemon_soon(&at_alice.addresses[0]);

    assert_eq!(listed.len(), 2, "read without a daemon, on the full disk: {listed:?}");
    assert_eq!(refused.code, 9, "{refused:?}");
    eventually("what was queued came", || {
        texts(&bob, "alice").contains(&"queued before".to_owned())
    });
    assert_eq!(bob.receive(), ["queued before"]);
    assert_eq!(alice.receive(), ["before"]);
}

fn signal(daemon: &Daemon, name: &str) {
    let pid = daemon.pid().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().expect("kill runs").success());
}

/// The receiver's process stands still, its kernel goes on taking bytes.
fn a_receiver_that_stands_still_for(pause: Duration) {
    let stage = Stage::new();
    let [(alice, at_alice), (bob, _b)] = stage.acquainted(TCP);
    let before = send(&bob, "alice", "before", "delivered", "30s");
    assert_eq!(before.code, 0, "{before:?}");

    signal(&at_alice, "-STOP");
    let stopped = Instant::now();
    let first = send(&bob, "alice", "to one who stands still", "delivered", "1s");
    let second = send(&bob, "alice", "and again", "queued", "5s");
    std::thread::sleep(pause.saturating_sub(stopped.elapsed()));
    signal(&at_alice, "-CONT");

    assert_eq!((first.code, second.code), (6, 0), "{first:?} {second:?}");
    eventually("both are delivered", || bob.json(&["queue", "list"]).is_empty());
    assert_eq!(alice.receive(), ["before", "to one who stands still", "and again"]);
    assert!(alice.receive().is_empty());
    let warnings = alice.json(&["status"])[0]["warnings"].clone();
    assert!(!warnings.to_string().contains("clock_skew"), "{warnings}");
    assert_eq!(Health::of(&alice).get("/livez").0, 200);
}

#[test]
fn a_receiver_that_was_stopped_for_seconds_gets_each_message_once() {
    a_receiver_that_stands_still_for(Duration::from_secs(4));
}

/// The long form: `cargo test -p bitchat-tests -- --ignored stopped_for_a_minute`.
#[test]
#[ignore = "takes more than a minute"]
fn a_receiver_that_was_stopped_for_a_minute_gets_each_message_once() {
    a_receiver_that_stands_still_for(Duration::from_secs(60));
}

/// Whoever clears a directory for sockets must not end the chat, nor leave the daemon unreachable.
#[test]
fn a_lost_control_socket_comes_back_and_the_chat_goes_on_without_it() {
    let stage = Stage::new();
    let [(alice, _a), (bob, _b)] = stage.acquainted(TCP);
    let health = Health::of(&alice);
    let socket = alice.home().join("bitchat.sock");
    std::fs::remove_file(&socket).expect("the socket");
    std::fs::create_dir(&socket).expect("something in its place");
    eventually("it says that commands cannot reach it", || health.rung("control") > 0.5);

    let sent = send(&bob, "alice", "without a socket", "delivered", "30s");
    assert_eq!((sent.code, health.is_ready()), (0, true), "{sent:?}");

    std::fs::remove_dir(&socket).expect("removes");
    eventually("the socket is back", || health.rung("control") < 0.5);
    assert_eq!(alice.receive(), ["without a socket"]);
    let mode = socket.metadata().expect("exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(degradation(&alice).is_empty());
}

#[test]
fn metrics_whose_port_is_taken_are_served_beside_it_with_a_warning() {
    let stage = Stage::new();
    let (alice, bob) = (stage.profile("alice"), stage.profile("bob"));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let _at_alice = alice.daemon_with(TCP, &address);
    let _at_bob = bob.daemon(TCP);
    bob.add(&alice);

    let sent = send(&bob, "alice", "beside it", "delivered", "30s");

    assert_eq!((sent.code, degradation(&alice)), (0, Vec::<String>::new()), "{sent:?}");
    let status = &alice.json(&["status"])[0];
    assert!(status["warnings"].to_string().contains("metrics_port"), "{status}");
    assert_ne!(status["metrics"], address.as_str());
    assert_eq!(Health::of(&alice).get("/livez").0, 200);
}

/// Nobody is there: messages wait, and `status` says why.
#[test]
fn without_a_route_messages_wait_and_status_says_so() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    let health = Health::of(&bob);
    let before = send(&bob, "alice", "before", "delivered", "30s");
    assert_eq!((before.code, degradation(&bob)), (0, Vec::<String>::new()), "{before:?}");
    assert_eq!(at_alice.stop(), 0);

    assert_eq!(send(&bob, "alice", "for later", "queued", "5s").code, 0);

    eventually("the route is missed", || degradation(&bob) == ["route"]);
    assert!(health.rung("route") > 0.5 && health.is_ready());
    let _at_alice = alice.daemon(&at_alice.addresses[0]);
    eventually("it is delivered", || degradation(&bob).is_empty());
    assert_eq!(alice.receive(), ["before", "for later"]);
}

/// Files of the store, with what they hold.
fn store_files(home: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = crate::harness::files_below(&home.join("data"))
        .into_iter()
        .filter(|(_, bytes)| !bytes.is_empty())
        .map(|(path, _)| path)
        .collect();
    files.sort();
    files
}

/// Whatever is done to a file of the store: all that was acknowledged is there, or a clear end with
/// exit 9 and a way out; never an empty store, never a new identity.
#[test]
fn a_store_that_was_cut_or_overwritten_anywhere_is_whole_or_says_what_is_wrong() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    for number in 0..8 {
        let sent = send(&bob, "alice", &format!("message {number}"), "delivered", "30s");
        assert_eq!(sent.code, 0, "{sent:?}");
    }
    let expected = texts(&alice, "bob");
    let account = alice.json(&["id"])[0]["account"].clone();
    assert_eq!((at_alice.stop(), expected.len()), (0, 8));

    let (mut state, mut whole, mut refused) = (0x1234_5678_9ABC_DEF1_u64, 0, 0);
    let mut below = |limit: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % limit.max(1)
    };
    for round in 0..12 {
        let home = stage.path(&format!("round-{round}"));
        let copied = Command::new("cp").arg("-r").arg(alice.home()).arg(&home).status();
        assert!(copied.expect("cp runs").success());
        let files = store_files(&home);
        // Most of what lies there is sled's log; every file has its turn.
        let db = home.join("data").join("db");
        let file = if round % 2 == 0 { db } else { files[below(files.len())].clone() };
        let mut bytes = std::fs::read(&file).expect("reads");
        let at = below(bytes.len());
        if round % 4 < 2 {
            bytes.truncate(at);
        } else {
            let end = (at + 1 + below(4_096)).min(bytes.len());
            bytes[at..end].iter_mut().for_each(|byte| *byte ^= 0x5A);
        }
        std::fs::write(&file, bytes).expect("damage");
        let copy = Profile::at(home);

        let history = copy.run(&["history", "bob", "--json"]);

        let what = format!("round {round}, {} at {at}: {history:?}", file.display());
        if history.code == 0 {
            assert_eq!(texts(&copy, "bob"), expected, "{what}");
            assert_eq!(copy.json(&["id"])[0]["account"], account, "{what}");
            whole += 1;
        } else {
            assert_eq!(history.code, 9, "{what}");
            let error: serde_json::Value =
                serde_json::from_str(history.stderr.lines().last().unwrap_or_default())
                    .unwrap_or_else(|_| panic!("no object: {what}"));
            let hint = error["error"]["hint"].as_str().unwrap_or_default();
            assert!(!hint.is_empty() && !history.stderr.contains("panicked"), "{what}");
            refused += 1;
        }
    }
    eprintln!("{whole} whole, {refused} refused");
    assert!(refused > 0, "nothing was damaged");
}

/// Two nodes that believe to be the same device: what either was told to be delivered is there once.
#[test]
fn of_a_home_that_was_copied_and_started_twice_nothing_that_was_delivered_is_lost() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _b)] = stage.acquainted(TCP);
    let mut told = vec!["before".to_owned()];
    assert_eq!(send(&alice, "bob", "before", "delivered", "30s").code, 0);
    assert_eq!(at_alice.stop(), 0);
    let twin = Profile::at(stage.path("twin"));
    let copied = Command::new("cp").arg("-r").args([alice.home(), twin.home()]).status();
    assert!(copied.expect("cp runs").success());
    std::fs::remove_file(twin.home().join("ports")).expect("it knew its port");
    let _running = [twin.daemon(TCP), alice.daemon(TCP)];

    for number in 0..6 {
        let (from, name) = if number % 2 == 0 { (&alice, "first") } else { (&twin, "second") };
        let text = format!("{number} from the {name}");
        let sent = send(from, "bob", &text, "delivered", "10s");
        assert!([0, 6].contains(&sent.code), "{sent:?}");
        told.extend((sent.code == 0).then_some(text));
    }

    let warned = |profile: &Profile| {
        let warnings = profile.json(&["status"])[0]["warnings"].to_string();
        warnings.contains("copied_datadir")
    };
    eventually("the copy says so", || warned(&twin));
    let received = bob.receive();
    for text in &told {
        assert_eq!(count(&received, text), 1, "{text:?} was delivered: {received:?}");
    }
    assert!(told.len() > 2, "{told:?}");
    let mut once = received.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), received.len(), "something came twice: {received:?}");
}
