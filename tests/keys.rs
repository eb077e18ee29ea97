//! Passphrase, key file, pauses, rotation: what guards a profile on its disk.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bitchat_protocol::crypto::digest;

use crate::harness::{Finished, Profile, Stage, TCP, private_file};

const OLD: &str = "cobalt sundial otter quarry\n";
const NEW: &str = "velvet anchor mosaic turnip\n";
const WRONG: &str = "cobalt sundial otter quarrx\n";

/// A directory with passphrase files `old`, `new` and `wrong`.
fn stage() -> (Stage, [String; 3]) {
    let stage = Stage::new();
    let files = [("old", OLD), ("new", NEW), ("wrong", WRONG)].map(|(name, text)| {
        private_file(&stage.path(name), text);
        text_of(&stage.path(name))
    });
    (stage, files)
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("a temporary path").to_owned()
}

/// A new profile with the passphrase in `file`, and further flags.
fn guarded(stage: &Stage, file: &str, flags: &[&str]) -> Profile {
    let profile = Profile::at(stage.path("home"));
    let made = profile.run(&[&["init", "--passphrase-file", file], flags].concat());
    assert_eq!(made.code, 0, "{made:?}");
    profile
}

fn id(profile: &Profile, flags: &[&str]) -> Finished {
    profile.run(&[&["id"], flags].concat())
}

fn refused(finished: &Finished, code: i32, words: &str) {
    assert_eq!(finished.code, code, "{finished:?}");
    assert!(finished.stderr.contains(words), "{words:?} in {finished:?}");
    assert!(finished.stderr.contains("hint: "), "{finished:?}");
}

/// Wrong passphrases so many, the last one at this time.
fn attempts(profile: &Profile, failures: u32, wall_ms: u64) -> PathBuf {
    let path = profile.home().join("keystore.attempts");
    let line = format!(r#"{{"failures":{failures},"at":{{"wall_ms":{wall_ms},"uptime":null}}}} 1"#);
    let hash: String = digest(line.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let slot = format!("{:<4096}", format!("{line}\n{hash}\n"));
    std::fs::write(&path, slot.repeat(2)).expect("writes");
    path
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(now.as_millis()).expect("before the year 500 million")
}

#[test]
fn a_profile_with_a_key_file_needs_it_and_says_what_is_missing() {
    let (stage, [old, _, wrong]) = stage();
    let (key, other) = (text_of(&stage.path("key")), text_of(&stage.path("other")));
    let alice = guarded(&stage, &old, &["--key-file", &key]);
    private_file(&stage.path("other"), "0123456789abcdefghijklmnopqrstuvwxyz");
    let mode = std::fs::metadata(&key).expect("init made it").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let with = |file: &str, key: &str| id(&alice, &["--passphrase-file", file, "--key-file", key]);
    assert_eq!(with(&old, &key).code, 0);
    refused(&id(&alice, &["--passphrase-file", &old]), 1, "--key-file FILE");
    refused(&with(&old, &text_of(&stage.path("gone"))), 1, "does not exist");
    refused(&with(&old, &other), 12, "the right key file");
    refused(&with(&wrong, &key), 12, "the right key file");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("chmod");
    refused(&with(&old, &key), 1, "chmod 600");
    assert!(!stage.path("gone").exists(), "only init and passwd make one");
}

#[test]
fn a_key_file_in_the_home_or_without_passphrase_is_refused_before_there_is_a_profile() {
    let (stage, [old, ..]) = stage();
    let alice = Profile::at(stage.path("home"));
    let inside = text_of(&stage.path("home").join("key"));
    let outside = text_of(&stage.path("key"));

    let here = alice.run(&["init", "--passphrase-file", &old, "--key-file", &inside]);
    let alone = alice.run(&["init", "--no-passphrase", "--key-file", &outside]);

    refused(&here, 1, "keep it apart");
    refused(&alone, 1, "second factor");
    assert!(!stage.path("home").join("keystore.json").exists());
    assert!(!Path::new(&inside).exists() && !Path::new(&outside).exists());
}

/// Each command is a process of its own, so the count has to be on the disk.
#[test]
fn after_wrong_passphrases_the_next_one_waits_whatever_it_is() {
    let (stage, [old, _, wrong]) = stage();
    let alice = guarded(&stage, &old, &[]);
    for failures in 1..=2 {
        refused(&id(&alice, &["--passphrase-file", &wrong]), 12, "does not open");
        let record = std::fs::read_to_string(alice.home().join("keystore.attempts"));
        assert!(record.expect("counted").starts_with(&format!("{{\"failures\":{failures},")));
    }
    // The tenth, long after the ninth: 32 seconds.
    let record = attempts(&alice, 9, 0);
    refused(&id(&alice, &["--passphrase-file", &wrong]), 12, "does not open");

    let paused = id(&alice, &["--passphrase-file", &old]);
    let json = id(&alice, &["--passphrase-file", &old, "--json"]);
    let asked = alice.run(&["passwd", "--new-passphrase-file", &old]);

    refused(&paused, 5, "retry-after: ");
    refused(&asked, 5, "retry-after: ");
    let error: serde_json::Value = serde_json::from_str(json.stderr.trim()).expect("one object");
    assert_eq!(error["error"]["code"], "passphrase_pause");
    let wait = error["error"]["retry_after_ms"].as_u64().expect("a time");
    assert!((1..=32_000).contains(&wait), "{wait}");

    attempts(&alice, 10, now_ms() - 33_000);
    assert_eq!(id(&alice, &["--passphrase-file", &old]).code, 0);
    let record = std::fs::read_to_string(&record).expect("there");
    assert!(record.starts_with(r#"{"failures":0,"#), "the right one forgets the wrong ones");
}

#[test]
fn passwd_changes_what_opens_the_profile_and_a_refused_change_changes_nothing() {
    let (stage, [old, new, wrong]) = stage();
    let alice = guarded(&stage, &old, &[]);
    private_file(&stage.path("weak"), "password1\n");
    let weak = text_of(&stage.path("weak"));
    let passwd = |present: &str, to: &str| {
        alice.run(&["passwd", "--passphrase-file", present, "--new-passphrase-file", to])
    };
    let before = id(&alice, &["--passphrase-file", &old]).stdout;

    refused(&passwd(&wrong, &new), 12, "does not open");
    refused(&passwd(&old, &weak), 1, "too weak");
    assert_eq!(id(&alice, &["--passphrase-file", &old]).code, 0);
    assert_eq!(passwd(&old, &new).code, 0);

    assert_eq!(id(&alice, &["--passphrase-file", &new]).stdout, before);
    refused(&id(&alice, &["--passphrase-file", &old]), 12, "does not open");
    // Both on stdin, a line each.
    let args = ["passwd", "--passphrase-file", "-", "--new-passphrase-file", "-", "--json"];
    let back = alice.run_with(&args, &format!("{NEW}{OLD}"));
    assert_eq!(
        (back.code, back.stdout.trim()),
        (0, r#"{"schema":1,"changed":true,"key_file":false}"#)
    );
    assert_eq!(id(&alice, &["--passphrase-file", &old]).code, 0);
}

#[test]
fn passwd_adds_keeps_and_removes_a_key_file() {
    let (stage, [old, new, _]) = stage();
    let alice = guarded(&stage, &old, &[]);
    let key = text_of(&stage.path("key"));
    let passwd = |present: &str, to: &str, flags: &[&str]| {
        let args = ["passwd", "--passphrase-file", present, "--new-passphrase-file", to];
        let done = alice.run(&[&args, flags].concat());
        assert_eq!(done.code, 0, "{done:?}");
    };

    passwd(&old, &old, &["--new-key-file", &key]);
    refused(&id(&alice, &["--passphrase-file", &old]), 1, "--key-file");
    passwd(&old, &new, &["--key-file", &key]);
    refused(&id(&alice, &["--passphrase-file", &new]), 1, "--key-file");
    passwd(&new, &old, &["--key-file", &key, "--new-key-file", "none"]);

    assert_eq!(id(&alice, &["--passphrase-file", &old]).code, 0);
}

#[test]
fn a_profile_without_passphrase_warns_until_it_gets_one() {
    let (stage, [_, new, _]) = stage();
    let alice = stage.profile("alice");
    let warned = |flags: &[&str]| {
        let status = alice.json(&[&["status"], flags].concat());
        status[0]["warnings"].to_string().contains("no passphrase")
    };
    assert!(warned(&[]));

    let done = alice.run(&["passwd", "--new-passphrase-file", &new]);

    assert_eq!(done.code, 0, "{done:?}");
    assert!(!warned(&["--passphrase-file", &new]));
    refused(&id(&alice, &[]), 1, "--passphrase-file");
    assert!(!alice.home().join("keystore.key").exists(), "it opened old copies");
}

#[test]
fn the_keys_are_not_changed_under_a_running_daemon() {
    let (stage, [_, new, _]) = stage();
    let alice = stage.profile("alice");
    let _daemon = alice.daemon(TCP);

    refused(&alice.run(&["passwd", "--new-passphrase-file", &new]), 9, "stop it");
    refused(&alice.run(&["key", "rotate"]), 9, "stop it");
}

/// Moments between the start and the end of a command that takes so long, by a small generator.
fn moments(whole: Duration) -> impl Iterator<Item = Duration> {
    let mut state = 0x9E37_79B9_u32;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        whole.mul_f64(f64::from(state >> 16) / 65_536.0)
    })
}

/// How long a command takes that must succeed.
fn time_of(profile: &Profile, args: &[&str]) -> Duration {
    let started = Instant::now();
    let done = profile.run(args);
    assert_eq!(done.code, 0, "{done:?}");
    started.elapsed()
}

#[test]
fn a_rotation_killed_at_random_moments_loses_no_message_and_no_contact() {
    let stage = Stage::new();
    let (alice, bob) = (stage.profile("alice"), stage.profile("bob"));
    alice.add(&bob);
    for number in 0..5 {
        let queued = alice.run(&["send", "bob", &format!("text {number}"), "--wait", "queued"]);
        assert_eq!(queued.code, 0, "{queued:?}");
    }
    let texts = |profile: &Profile| -> Vec<String> {
        let history = profile.json(&["history", "bob"]);
        history.iter().map(|row| row["text"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let before = texts(&alice);
    assert_eq!(before.len(), 5);

    let whole = time_of(&alice, &["key", "rotate"]);
    for moment in moments(whole).take(10) {
        alice.kill_after(&["key", "rotate"], moment);

        assert_eq!(texts(&alice), before, "killed after {moment:?} of {whole:?}");
        let entries = std::fs::read_dir(alice.home()).expect("lists").map_while(Result::ok);
        let data = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("data"));
        assert_eq!(data.count(), 1, "the next start cleans up");
    }
    let done = alice.json(&["key", "rotate"]);

    assert!(done[0]["rows"].as_u64().is_some_and(|rows| rows > 5), "{done:?}");
    assert_eq!(texts(&alice), before);
}

#[test]
fn a_change_of_the_passphrase_killed_at_random_moments_leaves_the_old_or_the_new_one() {
    let (stage, [old, new, _]) = stage();
    let alice = guarded(&stage, &old, &[]);
    let passwd =
        |present, to| ["passwd", "--passphrase-file", present, "--new-passphrase-file", to];
    let opens = |file: &str| {
        let code = id(&alice, &["--passphrase-file", file]).code;
        // Wrong ones that are meant to be wrong, and killed ones: this is not about pauses.
        drop(std::fs::remove_file(alice.home().join("keystore.attempts")));
        assert!(code == 0 || code == 12, "{code}");
        code == 0
    };
    let whole = time_of(&alice, &passwd(&old, &new));
    let (mut present, mut next) = (&new, &old);

    for moment in moments(whole).take(4) {
        alice.kill_after(&passwd(present, next), moment);

        drop(std::fs::remove_file(alice.home().join("keystore.attempts")));
        let changed = opens(next);
        assert_eq!(opens(present), !changed, "killed after {moment:?} of {whole:?}");
        if changed {
            (present, next) = (next, present);
        }
    }
}

#[test]
fn a_daemon_leaves_no_core_dump_and_still_knows_itself() {
    let stage = Stage::new();
    let alice = stage.profile("alice");
    let daemon = alice.daemon(TCP);

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid()));
    let limits = limits.expect("anybody may read limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size"));

    let fields: Vec<_> = core.expect("a limit").split_whitespace().skip(4).take(2).collect();
    assert_eq!(fields, ["0", "0"], "soft and hard");
    let (_, exposition) = crate::monitoring::get(&alice, "/metrics");
    for family in ["process_open_fds", "process_resident_memory_bytes", "process_cpu_seconds"] {
        assert!(exposition.contains(&format!("\n{family}")), "{family}: {exposition}");
    }
}

#[test]
fn the_waiting_time_is_not_a_lock_out() {
    let (stage, [old, ..]) = stage();
    let alice = guarded(&stage, &old, &[]);
    // However many: never more than a quarter of an hour after the last.
    attempts(&alice, u32::MAX, now_ms() - Duration::from_secs(901).as_secs() * 1_000);

    assert_eq!(id(&alice, &["--passphrase-file", &old]).code, 0);
}

/// Whoever's `init` died before it showed the words is told how to see them.
#[test]
fn the_words_of_a_profile_are_shown_again_to_who_opens_it() {
    let (stage, [old, _, wrong]) = stage();
    let alice = Profile::at(stage.path("home"));
    let made = alice.run(&["init", "--passphrase-file", &old, "--json"]);
    let made: serde_json::Value = serde_json::from_str(&made.stdout).expect("one object");

    let again = alice.run(&["init", "--passphrase-file", &old]);
    let shown = alice.run(&["key", "words", "--passphrase-file", &old, "--json"]);

    refused(&again, 1, "`bitchat key words`");
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("one object");
    assert_eq!(shown["phrase"], made["phrase"]);
    assert_eq!(made["phrase"].as_str().map(|words| words.split(' ').count()), Some(24));
    refused(&alice.run(&["key", "words", "--passphrase-file", &wrong]), 12, "does not open");
    let reclaimed = alice.run(&["key", "reclaim", "--passphrase-file", &old]);
    refused(&reclaimed, 1, "no contact has shown");
}
