//! Questions on a terminal: a real one, by a pseudo-terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

use crate::support::eventually;

const PHRASE: &str = "copper lantern drifting ninety";

const DAEMON: &str = "daemon --listen /ip4/127.0.0.1/tcp/0 --metrics off --no-mdns";

/// A program on a terminal of its own.
struct OnTerminal {
    child: Child,
    /// What a person sees and types.
    keys: File,
    /// What the program has.
    terminal: File,
    shown: String,
}

impl OnTerminal {
    fn start(home: &Path, line: &str) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let terminal = File::options().read(true).write(true).open(name).unwrap();
        let stream = || Stdio::from(terminal.try_clone().unwrap());
        let mut command = Command::new("setsid");
        command.args(["--ctty", env!("CARGO_BIN_EXE_bitchat")]).args(line.split(' '));
        command.env("BITCHAT_HOME", home).env_remove("BITCHAT_PASSPHRASE_FILE");
        command.env_remove("BITCHAT_KEY_FILE");
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        Self { child, keys: File::from(master), terminal, shown: String::new() }
    }

    /// Reads until the question is there, and says whether keys would be shown at that moment.
    fn wait_for(&mut self, question: &str) -> bool {
        let seen = self.shown.len();
        while !self.shown[seen..].contains(question) {
            let mut there = [PollFd::new(&self.keys, PollFlags::IN)];
            let patience = Timespec { tv_sec: 20, tv_nsec: 0 };
            let ready = poll(&mut there, Some(&patience)).unwrap();
            assert_eq!(ready, 1, "not shown in time: {question}, but {}", self.shown);
            let mut bytes = [0; 4_096];
            let read = self.keys.read(&mut bytes).unwrap();
            self.shown.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        }
        self.echoes()
    }

    fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn echoes(&self) -> bool {
        tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ECHO)
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it goes on: {}", self.shown);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn protected() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let mut init = OnTerminal::start(home.path(), "init --name ann");
    for question in ["New passphrase: ", "Again: "] {
        init.wait_for(question);
        init.type_in(&format!("{PHRASE}\n"));
    }
    init.wait_for("restore the account");
    assert!(init.end().success(), "{}", init.shown);
    home
}

#[test]
fn the_terminal_is_silent_before_the_question_is_seen_and_speaks_after_the_answer() {
    for _ in 0..8 {
        let home = tempfile::tempdir().unwrap();
        let mut init = OnTerminal::start(home.path(), "init --name ann");
        for question in ["New passphrase: ", "Again: "] {
            assert!(!init.wait_for(question), "keys are shown while it asks");
            init.type_in("password\n");
        }
        init.wait_for("error: ");

        assert_eq!(init.end().code(), Some(1), "{}", init.shown);
        assert!(init.echoes());
        let echoed = init.shown.split("error: ").next().unwrap();
        assert_eq!(echoed, "New passphrase: \r\nAgain: \r\nbitchat: ", "nothing was echoed");
    }
}

#[test]
fn whatever_ends_the_program_at_a_question_gives_the_terminal_back() {
    let home = protected();
    for (number, how) in [(2, "\u{3}"), (2, "-INT"), (15, "-TERM"), (1, "-HUP"), (3, "-QUIT")] {
        for line in ["id", DAEMON] {
            let mut asking = OnTerminal::start(home.path(), line);
            assert!(!asking.wait_for("Passphrase: "));

            if how.starts_with('-') {
                asking.signal(how)
            } else {
                asking.type_in(how)
            }

            assert_eq!(asking.end().signal(), Some(number), "{line} {how}: {}", asking.shown);
            assert!(asking.echoes(), "{line} {how}");
        }
    }
}

#[test]
fn at_the_end_of_input_there_is_no_passphrase() {
    let home = protected();
    let mut asking = OnTerminal::start(home.path(), "id");
    asking.wait_for("Passphrase: ");

    asking.type_in("\u{4}");
    asking.wait_for("error: ");

    assert_eq!(asking.end().code(), Some(1), "{}", asking.shown);
    assert!(asking.echoes());
}

/// The handlers that guard a question stay: they must not keep a signal from what comes after it.
#[test]
fn after_the_answer_a_signal_does_what_it_does_without_a_question() {
    let home = protected();
    let mut waiting = OnTerminal::start(home.path(), "receive --timeout 1h");
    waiting.wait_for("Passphrase: ");
    waiting.type_in(&format!("{PHRASE}\n"));
    eventually("the question is over", || waiting.echoes());
    waiting.signal("-TERM");
    assert_eq!(waiting.end().signal(), Some(15), "{}", waiting.shown);

    let mut daemon = OnTerminal::start(home.path(), DAEMON);
    daemon.wait_for("Passphrase: ");
    daemon.type_in(&format!("{PHRASE}\n"));
    daemon.wait_for("ready ");
    daemon.type_in("\u{3}");
    assert_eq!(daemon.end().code(), Some(0), "{}", daemon.shown);
}

/// Bytes on a terminal help nobody, and a program that waits for a file looks as if it hung.
#[test]
fn a_file_of_envelopes_is_neither_shown_on_a_terminal_nor_awaited_from_one() {
    let home = tempfile::tempdir().unwrap();
    let mut init = OnTerminal::start(home.path(), "init --name ann --no-passphrase");
    init.wait_for("restore the account");
    assert!(init.end().success(), "{}", init.shown);

    for line in ["export-envelope --all", "import-envelope"] {
        let mut refused = OnTerminal::start(home.path(), line);
        refused.wait_for("hint: ");
        assert_eq!(refused.end().code(), Some(1), "{line}: {}", refused.shown);
        assert!(!refused.shown.contains("bitchat envelopes"), "{}", refused.shown);
    }
}

#[test]
fn a_new_passphrase_is_asked_for_only_after_the_present_one_was_right() {
    let home = protected();
    let new = "velvet anchor mosaic turnip\n";
    let mut wrong = OnTerminal::start(home.path(), "passwd");
    wrong.wait_for("Passphrase: ");
    wrong.type_in("copper lantern drifting eighty\n");
    wrong.wait_for("error: ");
    assert_eq!(wrong.end().code(), Some(12), "{}", wrong.shown);
    assert!(!wrong.shown.contains("New passphrase"), "{}", wrong.shown);

    let mut right = OnTerminal::start(home.path(), "passwd");
    right.wait_for("Passphrase: ");
    right.type_in(&format!("{PHRASE}\n"));
    for question in ["New passphrase: ", "Again: "] {
        assert!(!right.wait_for(question), "keys are shown while it asks");
        right.type_in(new);
    }
    right.wait_for("from now on");
    assert!(right.end().success(), "{}", right.shown);

    let mut id = OnTerminal::start(home.path(), "id");
    id.wait_for("Passphrase: ");
    id.type_in(new);
    id.wait_for("account");
    assert!(id.end().success(), "{}", id.shown);
}
