//! The real node: in this process without a daemon, in another one with it.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bitchat_node::home::Home;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{FakeDaemon, Ran, bitchat};

fn run(home: &Path, line: &str) -> Ran {
    Ran::from(bitchat(line).env("BITCHAT_HOME", home).output().unwrap())
}

fn run_with(home: &Path, line: &str, input: &str) -> Ran {
    let mut command = bitchat(line);
    command.env("BITCHAT_HOME", home).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Ran::from(child.wait_with_output().unwrap())
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"))
}

fn profile(name: &str) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let ran = run(home.path(), &format!("init --no-passphrase --name {name}"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    home
}

#[test]
fn a_profile_is_made_once_and_its_words_restore_the_account() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());

    let made = run(first.path(), "init --no-passphrase --name ann --json");
    let again = run(first.path(), "init --no-passphrase");
    let words = json(&made)["phrase"].as_str().unwrap().to_owned();
    let restored = run_with(second.path(), "init --no-passphrase --recover --json", &words);

    assert!(made.stdout.starts_with(r#"{"schema":1,"account":"bchat1"#));
    assert_eq!(words.split(' ').count(), 24);
    assert!(made.stderr.contains("not protected by a passphrase"));
    assert_eq!(again.code, Some(1));
    assert_eq!(json(&restored)["account"], json(&made)["account"]);
    assert_ne!(json(&restored)["device"], json(&made)["device"]);
}

#[test]
fn a_passphrase_opens_what_it_closed() {
    let home = tempfile::tempdir().unwrap();
    let phrase = "copper lantern drifting ninety\n";

    let weak = run_with(home.path(), "init --passphrase-file -", "password\n");
    let made = run_with(home.path(), "init --passphrase-file - --name ann", phrase);
    let right = run_with(home.path(), "id --passphrase-file -", phrase);
    let wrong =
        run_with(home.path(), "id --passphrase-file -", "copper lantern drifting ninety-one\n");
    let none = run(home.path(), "id");

    assert_eq!(weak.code, Some(1), "{}", weak.stderr);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert_eq!(right.code, Some(0), "{}", right.stderr);
    assert_eq!(wrong.code, Some(12), "{}", wrong.stderr);
    assert_eq!(none.code, Some(1));
    assert!(none.stderr.contains("--passphrase-file"), "{}", none.stderr);
}

#[test]
fn a_passphrase_file_that_others_may_read_is_pointed_out() {
    use std::os::unix::fs::PermissionsExt;
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("passphrase");
    std::fs::write(&file, "copper lantern drifting ninety\n").unwrap();
    let init = |mode: u32, name: &str| {
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        let mut command = bitchat("init");
        command.arg("--home").arg(home.path().join(name)).arg("--passphrase-file").arg(&file);
        Ran::from(command.output().unwrap())
    };

    let (loose, tight) = (init(0o644, "a"), init(0o600, "b"));

    assert_eq!((loose.code, tight.code), (Some(0), Some(0)));
    assert!(loose.stderr.contains("others may read the passphrase file"));
    assert!(!tight.stderr.contains("others may read"));
}

#[test]
fn a_held_lock_with_a_dead_socket_names_the_process_at_once() {
    let home = profile("ann");
    let _lock = Home::at(home.path()).lock().unwrap();
    std::os::unix::net::UnixListener::bind(home.path().join("bitchat.sock")).map(drop).unwrap();
    let started = Instant::now();

    let ran = run(home.path(), "status");

    assert_eq!(ran.code, Some(9));
    assert!(ran.stderr.contains(&format!("process {}", std::process::id())), "{}", ran.stderr);
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// A daemon has its lock before its socket.
#[test]
fn a_daemon_that_is_about_to_serve_is_waited_for() {
    let home = profile("ann");
    let _lock = Home::at(home.path()).lock().unwrap();
    let mut command = bitchat("id");
    command.env("BITCHAT_HOME", home.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    // Long enough for the command to find the lock held, and far below what it waits.
    std::thread::sleep(Duration::from_millis(300));
    let daemon = FakeDaemon::start_in(home);
    let identity =
        json!({ "account": "bchat1ann", "device": "d", "nickname": "ann", "addresses": [] });
    daemon.answer("GET /v1/identity", 200, identity);

    let ran = Ran::from(child.wait_with_output().unwrap());

    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("bchat1ann"), "{}", ran.stdout);
}

#[test]
fn a_daemon_that_hangs_is_named_within_seconds() {
    let home = profile("ann");
    let (mut daemon, _) = start_daemon(home.path(), "");
    let signal = |name: &str| {
        let pid = daemon.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-STOP");
    let started = Instant::now();

    let ran = run(home.path(), "id");

    let took = started.elapsed();
    signal("-CONT");
    let awake = run(home.path(), "id");
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_eq!(ran.code, Some(9), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("process {}", daemon.id())), "{}", ran.stderr);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(awake.code, Some(0), "{}", awake.stderr);
}

/// A node that thinks is no node that hangs.
#[test]
fn a_request_that_takes_long_is_waited_for_while_the_daemon_lives() {
    let daemon = FakeDaemon::start();

    let ran = daemon.run("receive --timeout 3s");

    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(daemon.asked("GET /v1/alive").len(), 1);
}

#[test]
fn without_a_daemon_a_message_to_somebody_absent_stays_queued_and_says_what_it_needs() {
    let (ann, bob) = (profile("ann"), profile("bob"));
    let link = run(bob.path(), "contact invite").stdout;
    let added = run_with(ann.path(), "contact add - --name bob", &link);
    assert_eq!(added.code, Some(0), "{}", added.stderr);

    let sent = run(ann.path(), "send bob hi --timeout 300ms --json");
    let queue = run(ann.path(), "queue list --json");

    assert_eq!(sent.code, Some(6), "{}", sent.stderr);
    assert!(sent.stderr.contains("start one with `bitchat daemon`"), "{}", sent.stderr);
    assert_eq!(json(&sent)["state"], "queued");
    let id = json(&sent)["id"].to_string();
    assert!(queue.stdout.contains(&format!(r#""id":{id}"#)), "{}", queue.stdout);
}

#[test]
fn a_daemon_says_ready_and_stops_when_told() {
    for (flags, json_log) in [("", false), (" --log-format json", true)] {
        let home = profile("ann");
        let (mut daemon, ready) = start_daemon(home.path(), flags);

        let status = run(home.path(), "status --json");

        assert_eq!(status.code, Some(0), "{}", status.stderr);
        assert_eq!(json(&status)["ready"], true);
        if json_log {
            let line: Value = serde_json::from_str(&ready).unwrap();
            assert_eq!(line["fields"]["addresses"], json(&status)["addresses"]);
        } else {
            assert!(ready.starts_with("ready addresses=/ip4/127.0.0.1/tcp/"), "{ready}");
        }
        let told = Command::new("kill").arg(daemon.id().to_string()).status().unwrap();
        assert!(told.success());
        assert_eq!(daemon.wait().unwrap().code(), Some(0));
    }
}

/// `timeout` signals its child and then the group of its child.
#[test]
fn two_signals_at_once_stop_a_daemon_in_good_order() {
    let home = profile("ann");
    let (mut daemon, _) = start_daemon(home.path(), "");
    let both = format!("kill -TERM {0}; kill -INT {0}", daemon.id());

    assert!(Command::new("sh").args(["-c", &both]).status().unwrap().success());

    assert_eq!(daemon.wait().unwrap().code(), Some(0));
}

/// Starts a daemon and waits for its ready line.
fn start_daemon(home: &Path, flags: &str) -> (Child, String) {
    let line = format!("daemon --listen /ip4/127.0.0.1/tcp/0 --metrics off --no-mdns{flags}");
    let mut command = bitchat(&line);
    let mut child = command.env("BITCHAT_HOME", home).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let is_ready =
        |line: &String| line.starts_with("ready") || line.contains(r#""message":"ready""#);
    let ready = lines.find(is_ready).expect("a ready line");
    std::thread::spawn(move || lines.for_each(drop));
    (child, ready)
}

#[test]
fn the_demo_delivers_a_message_each_way_survives_an_outage_and_leaves_nothing_behind() {
    let scratch = tempfile::tempdir().unwrap();

    let ran = Ran::from(bitchat("demo").env("TMPDIR", scratch.path()).output().unwrap());

    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for rung in ["queued", "sent", "delivered"] {
        let shown = ran.stdout.lines().filter(|line| line.contains(rung) && line.ends_with(" ms"));
        assert_eq!(shown.count(), 3, "{rung}: {}", ran.stdout);
    }
    assert_eq!(ran.stdout.matches("Hello Bob. Nobody else can read this.").count(), 3);
    let (_, away) = ran.stdout.split_once("bob's node is stopped").unwrap();
    let (waits, arrives) = away.split_once("bob's node starts again").unwrap();
    assert!(waits.contains("queued ") && !waits.contains("sent "), "{away}");
    assert!(arrives.contains("delivered "), "{away}");
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}
