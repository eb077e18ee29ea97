//! What an eavesdropper and a thief of the disk see: nothing of ours.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use bitchat_node::keystore::{Factors, Keystore};
use bitchat_node::store::{SledStore, StoreOpenError};
use bitchat_protocol::id::AccountId;
use bitchat_protocol::store::{Store, Table};

use crate::harness::{Profile, QUIC, Stage, TCP, files_below, private_file};

/// Bytes that crossed a link, both ways.
type Recording = Arc<Mutex<Vec<u8>>>;

const TEXT: &str = "canary-text-7f3a9c";
const ANSWER: &str = "canary-answer-51be02";

/// A TCP proxy from `port` to `target` that records. It ends with the test's process.
fn record_tcp(port: u16, target: u16) -> Recording {
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port that the node left");
    let recording = Recording::default();
    let kept = Arc::clone(&recording);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(("127.0.0.1", target)).expect("the node listens");
            for (mut from, mut to) in [
                (client.try_clone().expect("clone"), server.try_clone().expect("clone")),
                (server, client),
            ] {
                let recording = Arc::clone(&kept);
                thread::spawn(move || {
                    let mut buffer = [0; 16 * 1024];
                    while let Ok(read @ 1..) = from.read(&mut buffer) {
                        recording.lock().expect("lock").extend_from_slice(&buffer[..read]);
                        if to.write_all(&buffer[..read]).is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    recording
}

/// A UDP proxy from `port` to `target`, for one client, that records.
fn record_udp(port: u16, target: u16) -> Recording {
    let front = UdpSocket::bind(("127.0.0.1", port)).expect("the port that the node left");
    let back = UdpSocket::bind("127.0.0.1:0").expect("a port");
    back.connect(("127.0.0.1", target)).expect("connect");
    let recording = Recording::default();
    let client = Arc::new(Mutex::new(None));
    let (front, back) = (Arc::new(front), Arc::new(back));
    for inward in [true, false] {
        let (front, back) = (Arc::clone(&front), Arc::clone(&back));
        let (kept, client) = (Arc::clone(&recording), Arc::clone(&client));
        thread::spawn(move || {
            let mut buffer = [0; 64 * 1024];
            loop {
                let read = if inward {
                    let Ok((read, from)) = front.recv_from(&mut buffer) else { return };
                    *client.lock().expect("lock") = Some(from);
                    drop(back.send(&buffer[..read]));
                    read
                } else {
                    let Ok(read) = back.recv(&mut buffer) else { continue };
                    if let Some(to) = *client.lock().expect("lock") {
                        drop(front.send_to(&buffer[..read], to));
                    }
                    read
                };
                kept.lock().expect("lock").extend_from_slice(&buffer[..read]);
            }
        });
    }
    recording
}

fn port_of(address: &str) -> u16 {
    address.split('/').nth(4).and_then(|port| port.parse().ok()).expect("a port")
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}

fn account(profile: &Profile) -> String {
    profile.json(&["id"])[0]["account"].as_str().expect("an account").to_owned()
}

/// Alice moves after she has made the invitation; at the port that it names the proxy listens.
fn an_eavesdropper_sees_nothing(listen: &str, record: fn(u16, u16) -> Recording) {
    let stage = Stage::new();
    let alice = stage.profile("nickname-alice-c41d");
    let bob = stage.profile("nickname-bob-88e0");
    let mut before = alice.daemon(listen);
    let link = alice.invite();
    assert_eq!(before.stop(), 0);
    std::fs::remove_file(alice.home().join("ports")).expect("she remembered her port");
    let at_alice = alice.daemon(listen);
    let recording = record(port_of(&before.addresses[0]), port_of(&at_alice.addresses[0]));
    let _at_bob = bob.daemon(listen);
    let added = bob.run(&["contact", "add", &link, "--name", "alice"]);
    assert_eq!(added.code, 0, "{added:?}");

    let sent = bob.run(&["send", "alice", TEXT, "--wait", "delivered", "--timeout", "30s"]);
    let name = alice.json(&["contact", "list"])[0]["name"].as_str().expect("a name").to_owned();
    let answered = alice.run(&["send", &name, ANSWER, "--wait", "delivered", "--timeout", "30s"]);

    assert_eq!((sent.code, answered.code), (0, 0), "{sent:?} {answered:?}");
    let heard = recording.lock().expect("lock").clone();
    assert!(heard.len() > 8_000, "the traffic went around the proxy: {} bytes", heard.len());
    for secret in
        [TEXT, ANSWER, "nickname-alice-c41d", "nickname-bob-88e0", &account(&alice), &account(&bob)]
    {
        assert!(!contains(&heard, secret.as_bytes()), "{secret} crossed the link in clear");
    }
}

#[test]
fn an_eavesdropper_on_tcp_sees_no_text_no_nickname_no_account() {
    an_eavesdropper_sees_nothing(TCP, record_tcp);
}

#[test]
fn an_eavesdropper_on_quic_sees_no_text_no_nickname_no_account() {
    an_eavesdropper_sees_nothing(QUIC, record_udp);
}

/// The scan itself is checked: it finds what is there in clear.
#[test]
fn the_scan_finds_what_is_in_clear() {
    assert!(contains(b"xxcanaryxx", b"canary"));
    assert!(!contains(b"xxcanarxx", b"canary"));
}

#[test]
fn a_stolen_disk_shows_no_message_nickname_passphrase_or_phrase() {
    let stage = Stage::new();
    let passphrase = "canary passphrase orbit velvet 93";
    let passphrase_file = stage.path("passphrase");
    private_file(&passphrase_file, passphrase);
    let file = passphrase_file.to_str().expect("UTF-8");
    let alice = Profile::at(stage.path("a")).with(&["--passphrase-file", file]);
    let made = alice.json(&["init", "--name", "canary-nickname-a"]);
    let words: Vec<_> = made[0]["phrase"].as_str().expect("24 words").split(' ').collect();
    let bob = stage.profile("canary-nickname-b");
    {
        let _at_alice = alice.daemon(TCP);
        let _at_bob = bob.daemon(TCP);
        bob.add(&alice);
        let sent = bob.run(&[
            "send",
            "canary-nickname-a",
            TEXT,
            "--wait",
            "delivered",
            "--timeout",
            "30s",
        ]);
        assert_eq!(sent.code, 0, "{sent:?}");
        let down = bob.run(&["send", "canary-nickname-a", ANSWER, "--wait", "queued"]);
        assert_eq!(down.code, 0, "{down:?}");
        assert_eq!(alice.receive().first().map(String::as_str), Some(TEXT));
    }

    assert_eq!(words.len(), 24);
    let phrases: Vec<String> = words.windows(3).map(|three| three.join(" ")).collect();
    let mut secrets = vec![TEXT, ANSWER, passphrase, "canary-nickname-a", "canary-nickname-b"];
    secrets.extend(phrases.iter().map(String::as_str));
    for home in [alice.home(), bob.home()] {
        let files = files_below(home);
        assert!(
            files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 10_000,
            "nothing was stored"
        );
        for (path, bytes) in files {
            for secret in &secrets {
                assert!(
                    !contains(&bytes, secret.as_bytes()),
                    "{secret} lies in {}",
                    path.display()
                );
            }
        }
    }
}

/// Whoever copied the disk before and gets the key store later: the old rows are there, their key is
/// not.
#[test]
fn a_conversation_that_was_removed_with_its_history_is_closed_in_older_copies_too() {
    let stage = Stage::new();
    let [(alice, mut at_alice), (bob, _at_bob)] = stage.acquainted(TCP);
    let sent = alice.run(&["send", "bob", TEXT, "--wait", "delivered", "--timeout", "30s"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    let account: AccountId = account(&bob).parse().expect("an account");
    assert_eq!(at_alice.stop(), 0);
    let data = alice.home().join("data");
    let copy = stage.path("copy");
    let copied = Command::new("cp").arg("-r").args([&data, &copy]).status();
    assert!(copied.expect("cp runs").success());
    let open = || {
        let keys = Keystore::open(&alice.home().join("keystore.json"), &Factors::default())
            .expect("opens");
        SledStore::open(&copy, keys.into_unlocked().store_keys)
    };
    let texts = open().expect("opens").scan(Table::Message, &account.0, &[], 10).expect("reads");
    assert!(contains(&texts[0].value, TEXT.as_bytes()), "the copy holds nothing to be erased");

    let removed = alice.run(&["contact", "remove", "bob", "--history", "--yes"]);

    assert_eq!(removed.code, 0, "{removed:?}");
    std::fs::copy(data.join("keys"), copy.join("keys")).expect("copies");
    let closed = open();
    let Err(StoreOpenError::Keys { fault, .. }) = closed else { panic!("{closed:?}") };
    assert_eq!(fault, "is newer than the store");
    assert!(alice.json(&["history", &account.to_string()]).is_empty());
}

/// Logs are read by others than the user: at the most detailed level they hold no word either.
#[test]
fn the_most_detailed_log_shows_no_message_and_no_name() {
    a_detailed_log_shows_nothing(&["-vvv"]);
}

#[test]
fn the_most_detailed_log_in_json_shows_no_message_and_no_name() {
    a_detailed_log_shows_nothing(&["-vvv", "--log-format", "json"]);
}

fn a_detailed_log_shows_nothing(flags: &[&str]) {
    let stage = Stage::new();
    let alice = stage.profile("canary-nickname-a").with(flags);
    let bob = stage.profile("canary-nickname-b").with(flags);
    let (at_alice, at_bob) = (alice.daemon(TCP), bob.daemon(TCP));
    bob.add(&alice);
    let sent =
        bob.run(&["send", "canary-nickname-a", TEXT, "--wait", "delivered", "--timeout", "30s"]);
    assert_eq!(sent.code, 0, "{sent:?}");

    let lines = [at_alice.log(), at_bob.log()].concat();

    let mut secrets = [TEXT, "canary-nickname-a", "canary-nickname-b"].map(String::from).to_vec();
    for profile in [&alice, &bob] {
        let id = &profile.json(&["id"])[0];
        secrets
            .extend(["account", "device"].map(|key| id[key].as_str().expect("an id").to_owned()));
    }
    assert!(lines.iter().any(|line| line.contains("TRACE")), "no detailed log: {lines:?}");
    assert!(lines.iter().any(|line| line.contains("frame")), "no frame: {lines:?}");
    for line in lines {
        for secret in &secrets {
            assert!(!line.contains(secret.as_str()), "{secret} is logged: {line}");
        }
    }
}
