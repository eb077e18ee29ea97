//! A peer that takes connections and never answers: it is left alone, and nothing else is.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{Daemon, Profile, Stage, TCP, eventually};
use crate::monitoring::get;

/// Takes every connection on a port, holds it, and says nothing.
struct BlackHole {
    taken: Arc<AtomicUsize>,
    stop: Arc<AtomicUsize>,
    port: u16,
}

impl BlackHole {
    /// At the port of `address`, which somebody has just left.
    fn at(address: &str) -> Self {
        let port: u16 = address.rsplit('/').next().unwrap().parse().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let (taken, stop) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (count, ends) = (Arc::clone(&taken), Arc::clone(&stop));
        std::thread::spawn(move || {
            let mut held: Vec<TcpStream> = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) > 0 {
                    return;
                }
                held.push(stream);
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { taken, stop, port }
    }

    fn dials(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

impl Drop for BlackHole {
    fn drop(&mut self) {
        self.stop.store(1, Ordering::SeqCst);
        drop(TcpStream::connect(("127.0.0.1", self.port))); // Wakes the thread.
    }
}

/// Tells a daemon to read its settings again, and waits until `holds`.
fn reload(profile: &Profile, daemon: &Daemon, config: &str, holds: impl Fn(&Value) -> bool) {
    fs::write(profile.home().join("config.toml"), config).expect("written");
    let pid = daemon.pid().to_string();
    assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill").success());
    eventually("the settings are read again", || holds(&profile.json(&["status"])[0]));
}

fn warns(status: &Value, code: &str) -> bool {
    status["warnings"].as_array().expect("warnings").iter().any(|warning| warning["code"] == code)
}

/// What `peers` says about the breaker of dials to a contact.
fn dial_breaker(profile: &Profile, contact: &str) -> Option<Value> {
    let peers = profile.json(&["peers"]);
    let peer = peers.iter().find(|peer| peer["contact"] == contact)?;
    let breakers = peer["breakers"].as_array()?.iter();
    breakers.clone().find(|breaker| breaker["operation"] == "dial").cloned()
}

/// Hardening test E2, over real daemons; the threshold is 1 instead of 5 because each dial into
/// the hole takes ten seconds.
#[test]
fn open_breaker_blocks_without_io() {
    let stage = Stage::new();
    let [(alice, at_alice), (bob, mut at_bob)] = stage.acquainted(TCP);
    let carol = stage.profile("carol");
    let _at_carol = carol.daemon(TCP);
    carol.add(&alice);
    eventually("alice knows carol", || alice.run(&["contact", "show", "carol"]).code == 0);
    // What changes with the address of a listener waits for the next start, and is named.
    let config = "[breaker]\nfailures = 1\n[limits]\nconnections = 100\n";
    reload(&alice, &at_alice, config, |status| warns(status, "restart_needed"));
    at_bob.kill();
    let hole = BlackHole::at(&at_bob.addresses[0]);
    eventually("the link is gone", || {
        alice.json(&["contact", "show", "bob"])[0]["connected"] == false
    });

    assert_eq!(alice.run(&["send", "bob", "0"]).code, 0);
    eventually("the breaker opens", || {
        dial_breaker(&alice, "bob").is_some_and(|breaker| breaker["state"] == "open")
    });
    let before = hole.dials();
    assert!(before <= 1, "the threshold that was read again does not hold: {before} dials");
    for number in 1..=20 {
        assert_eq!(alice.run(&["send", "bob", &number.to_string()]).code, 0);
    }
    let waited = ["send", "bob", "21", "--wait", "delivered", "--timeout", "500ms", "--json"];
    let waited = alice.run(&waited);
    let error: Value = serde_json::from_str(waited.stderr.trim()).expect("an error in JSON");
    let sent = alice.run(&["send", "carol", "hi", "--wait", "delivered", "--timeout", "30s"]);

    assert_eq!((waited.code, &error["error"]["code"]), (7, &"peer_unavailable".into()));
    let left = error["error"]["retry_after_ms"].as_u64().expect("a time");
    assert!((1..=60_000).contains(&left), "{left}");
    assert_eq!(sent.code, 0, "others are not affected: {sent:?}");
    let rows = alice.json(&["queue", "list"]);
    assert_eq!(rows.len(), 22);
    assert!(rows.iter().all(|row| row["attempts"] == 0), "{rows:?}");
    let status = &alice.json(&["status"])[0];
    assert_eq!(status["breakers"]["open"], 1, "{status}");
    let metrics = get(&alice, "/metrics").1;
    let open = "bitchat_breaker_peers{operation=\"dial\",state=\"open\"} 1";
    assert!(metrics.contains(open), "{metrics}");
    assert!(alice.run(&["peers"]).stdout.contains("dial open for"));
    assert_eq!(hole.dials(), before, "dialled while open");

    // Bob comes back and connects by himself: nothing was lost.
    drop(hole);
    let _at_bob = bob.daemon_soon(&at_bob.addresses[0]);
    let mut texts = Vec::new();
    eventually("bob has them all", || {
        texts.extend(bob.receive());
        texts.len() >= 22
    });
    assert_eq!(texts, (0..22).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn at_a_hangup_good_settings_are_taken_and_bad_ones_leave_the_old_in_force() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let daemon = alice.daemon(TCP);
    let is_loud = || daemon.log().iter().any(|line| line.contains("DEBUG"));

    reload(&alice, &daemon, "[breaker]\nfailures = 0\n", |s| warns(s, "config_rejected"));
    let status = &alice.json(&["status"])[0];
    assert!(status["warnings"].to_string().contains("breaker.failures"), "{status}");
    assert!(!is_loud(), "nothing of a refused file holds");

    let file = "[log]\nlevel = \"debug\"\n[metrics]\nlisten = \"off\"\n[network]\nmdns = true\n";
    reload(&alice, &daemon, file, |status| !warns(status, "config_rejected"));
    // Flags win over the file here as at the start, so neither of these has changed.
    assert!(!warns(&alice.json(&["status"])[0], "restart_needed"));
    eventually("the log is louder", is_loud);

    let file = "[limits]\nconnections = 77\n";
    reload(&alice, &daemon, file, |status| warns(status, "restart_needed"));
    let named = alice.json(&["status"])[0]["warnings"].to_string();
    assert!(named.contains("limits.connections") && !named.contains("log.level"), "{named}");
    reload(&alice, &daemon, "", |status| !warns(status, "restart_needed"));
}

/// A reload must not be needed for the daemon to live through the end of its terminal.
#[test]
fn a_hangup_without_a_file_changes_nothing() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let mut daemon = alice.daemon(TCP);
    let pid = daemon.pid().to_string();

    for _ in 0..3 {
        assert!(Command::new("kill").args(["-HUP", &pid]).status().expect("kill").success());
        std::thread::sleep(Duration::from_millis(20));
    }

    let status = &alice.json(&["status"])[0];
    assert!(!warns(status, "config_rejected") && !warns(status, "restart_needed"), "{status}");
    assert_eq!(daemon.stop(), 0);
}
