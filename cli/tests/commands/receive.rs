//! `bitchat receive`: what was printed is acknowledged, and nothing else.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::io::ioctl_fionread;

use crate::support::{FakeDaemon, eventually, message};

fn with_three() -> FakeDaemon {
    let daemon = FakeDaemon::start();
    daemon.receive(message(1, "one")).receive(message(2, "two")).receive(message(5, "three"));
    daemon
}

#[test]
fn messages_are_printed_once_and_acknowledged() {
    let daemon = with_three();

    let first = daemon.run("receive --json");
    let second = daemon.run("receive --json");

    assert_eq!(first.stdout.lines().count(), 3);
    assert!(first.stdout.starts_with(r#"{"schema":1,"cursor":1,"#));
    assert_eq!(daemon.acknowledged(), 5);
    assert_eq!((second.code, second.stdout.as_str()), (Some(0), ""));
}

#[test]
fn a_line_for_people_has_time_name_fingerprint_mark_and_text() {
    let ran = with_three().run("receive --max 1");

    assert_eq!(ran.stdout, "2026-11-24 08:20:03Z  bob (aaaa-bbbb ✓)  one\n");
}

#[test]
fn since_reads_again_and_acknowledges_nothing() {
    let daemon = with_three();

    let ran = daemon.run("receive --json --since 1");

    assert_eq!(ran.stdout.lines().count(), 2);
    assert_eq!(daemon.acknowledged(), 0);
    assert!(daemon.asked("POST /v1/inbox/ack").is_empty());
}

#[test]
fn a_maximum_leaves_the_rest_for_the_next_time() {
    let daemon = with_three();

    let first = daemon.run("receive --json --max 2");
    let second = daemon.run("receive --json --max 2");

    assert_eq!((first.stdout.lines().count(), second.stdout.lines().count()), (2, 1));
}

#[test]
fn a_named_reader_has_its_own_cursor() {
    let daemon = with_three();

    daemon.run("receive --reader bot");

    assert!(daemon.asked("GET /v1/inbox")[0].query.starts_with("reader=bot&"));
    assert_eq!(daemon.asked("POST /v1/inbox/ack")[0].body["reader"], "bot");
}

#[test]
fn a_reader_that_went_away_is_success_and_nothing_is_acknowledged() {
    let daemon = with_three();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);

    let ended = daemon.command("receive").stdout(writer).stderr(Stdio::piped()).output().unwrap();

    assert_eq!(ended.status.code(), Some(0));
    assert!(ended.stderr.is_empty());
    assert_eq!(daemon.acknowledged(), 0);
}

/// `receive --follow` with a pipe that holds the first bytes, and nobody who has read them.
fn following(daemon: &FakeDaemon) -> (Child, BufReader<ChildStdout>) {
    let mut child =
        daemon.command("receive --follow --json").stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    eventually("something lies in the pipe", || ioctl_fionread(&stdout).unwrap() > 0);
    (child, BufReader::new(stdout))
}

/// As `bitchat receive --follow | head -1`: it takes what lies in the pipe, and prints one line.
#[test]
fn a_reader_that_ends_after_one_message_leaves_the_others_unread_and_is_noticed() {
    let (one, three) = (FakeDaemon::start(), with_three());
    one.receive(message(1, "one"));
    for daemon in [one, three] {
        let (mut child, mut stdout) = following(&daemon);
        let mut first = String::new();

        stdout.read_line(&mut first).unwrap();
        drop(stdout);

        eventually("it ends, though nothing comes", || child.try_wait().unwrap().is_some());
        assert!(child.wait().unwrap().success());
        assert!(first.contains(r#""text":"one""#), "{first}");
        assert_eq!(daemon.acknowledged(), 1);
    }
}

#[test]
fn what_nobody_took_from_the_pipe_comes_again_after_a_kill() {
    let daemon = with_three();
    let (mut child, mut stdout) = following(&daemon);

    stdout.read_line(&mut String::new()).unwrap();
    eventually("what was taken is acknowledged", || daemon.acknowledged() == 1);
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(daemon.run("receive").stdout.lines().count(), 2);
}

#[test]
fn a_caller_that_reads_only_at_the_end_gets_everything() {
    let daemon = with_three();
    let mut child = daemon.command("receive --json").stdout(Stdio::piped()).spawn().unwrap();

    assert!(child.wait().unwrap().success());

    assert_eq!(BufReader::new(child.stdout.take().unwrap()).lines().count(), 3);
    assert_eq!(daemon.acknowledged(), 5);
}

#[test]
fn a_full_disk_behind_stdout_is_an_error_and_nothing_is_acknowledged() {
    let daemon = with_three();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();

    let ended = daemon.command("receive").stdout(full).output().unwrap();

    assert_eq!(ended.status.code(), Some(3));
    assert_eq!(daemon.acknowledged(), 0);
}

#[test]
fn following_prints_what_comes_later_and_an_interrupt_is_success() {
    let daemon = FakeDaemon::start();
    let mut child = daemon.command("receive --follow").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    eventually("it waits", || !daemon.asked("GET /v1/inbox").is_empty());

    daemon.receive(message(1, "late riser"));

    assert!(lines.next().unwrap().unwrap().ends_with("late riser"));
    eventually("it acknowledges", || daemon.acknowledged() == 1);
    let interrupted =
        Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_first_message_is_waited_for_as_long_as_asked() {
    let daemon = FakeDaemon::start();

    let ran = daemon.run("receive --timeout 80ms");

    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
    assert!(daemon.asked("GET /v1/inbox")[0].query.contains("wait_ms="));
    assert!(!daemon.asked("GET /v1/inbox")[0].query.contains("wait_ms=0"));
}
