//! Attempts under clocks that lie.

use super::*;

fn at(wall_ms: u64, uptime_ms: u64, boot: &str) -> Reading {
    Reading { wall_ms, uptime: Some((uptime_ms, boot.to_owned())) }
}

/// After 7 failures: a pause of 4 seconds.
fn record(at: Reading) -> Record {
    Record { failures: 7, at }
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn keystore() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("keystore.json");
    (dir, path)
}

fn fail(keystore: &Path) {
    let mut attempt = Attempt::admit(keystore).expect("free");
    attempt.count().expect("counted");
    attempt.wrong();
}

/// So many failures, whose pause is over.
fn long_ago(keystore: &Path, failures: u32) {
    let record = Record { failures, at: Reading { wall_ms: 0, uptime: None } };
    let text = serde_json::to_string(&record).expect("serialises");
    put(&keystore.with_extension("attempts"), &text);
}

/// A file that says so, in both slots.
pub(in super::super) fn put(path: &Path, text: &str) {
    drop(fs::remove_file(path));
    Slots::read(path).expect("reads").0.write(text).expect("writes");
}

fn paused(keystore: &Path) -> Option<Duration> {
    match Attempt::admit(keystore) {
        Err(KeystoreError::Paused { retry_after }) => Some(retry_after),
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    }
}

#[test]
fn five_are_free_then_the_pause_doubles_up_to_a_quarter_of_an_hour() {
    let pauses: Vec<u64> = (0..18).map(|failures| pause(failures).as_secs()).collect();

    assert_eq!(pauses[..5], [0; 5]);
    assert_eq!(pauses[5..15], [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]);
    assert_eq!(pauses[15..], [900; 3]);
    assert_eq!(pause(u32::MAX), seconds(900));
}

#[test]
fn the_wall_clock_is_not_asked_while_the_machine_runs() {
    let record = record(at(1_000_000, 50_000, "a"));

    for wall_ms in [0, 1_000_000, u64::MAX] {
        assert_eq!(record.verdict(&at(wall_ms, 51_000, "a")), Verdict::Wait(seconds(3)));
        assert_eq!(record.verdict(&at(wall_ms, 54_000, "a")), Verdict::Free);
    }
}

#[test]
fn after_a_restart_the_wall_clock_counts() {
    let record = record(at(1_000_000, 50_000, "a"));

    assert_eq!(record.verdict(&at(1_001_000, 90_000, "b")), Verdict::Wait(seconds(3)));
    assert_eq!(record.verdict(&at(1_004_000, 10, "b")), Verdict::Free);
    let silent = Reading { wall_ms: 1_004_000, uptime: None };
    assert_eq!(record.verdict(&silent), Verdict::Free);
}

#[test]
fn a_clock_set_back_starts_the_pause_anew_and_never_locks_for_longer() {
    let (_dir, keystore) = keystore();
    let future = Record { failures: 7, at: Reading { wall_ms: u64::MAX, uptime: None } };
    let path = keystore.with_extension("attempts");
    put(&path, &serde_json::to_string(&future).expect("serialises"));

    let first = paused(&keystore);
    let read = read(&path, &Reading::now()).expect("reads").1;

    assert_eq!(first, Some(seconds(4)));
    let soon = Reading { wall_ms: read.at.wall_ms + 4_000, uptime: None };
    assert_eq!(read.verdict(&soon), Verdict::Free, "the pause runs now: {read:?}");
}

#[test]
fn a_clock_set_forward_gives_one_attempt_and_not_two() {
    let mut record = record(at(1_000_000, 50_000, "a"));
    let jumped = at(9_000_000_000, 10, "b");
    assert_eq!(record.verdict(&jumped), Verdict::Free);

    // The attempt at the new time fails.
    record = Record { failures: record.failures + 1, at: jumped };

    let next = at(9_000_000_100, 110, "b");
    assert!(matches!(record.verdict(&next), Verdict::Wait(_)));
    let back = at(1_000_000, 10, "c");
    assert_eq!(record.verdict(&back), Verdict::Again);
}

#[test]
fn attempts_are_counted_on_disk_and_a_right_one_forgets_them() {
    let (dir, keystore) = keystore();
    for _ in 0..FREE {
        fail(&keystore);
    }
    assert!(paused(&keystore).is_some_and(|pause| pause <= seconds(1)));

    long_ago(&keystore, FREE);
    let mut attempt = Attempt::admit(&keystore).expect("the pause is over");
    attempt.count().expect("counted");
    attempt.right();

    assert_eq!(paused(&keystore), None);
    let left: Vec<_> = fs::read_dir(dir.path()).expect("lists").map_while(Result::ok).collect();
    assert_eq!(left.len(), 2, "record and lock: {left:?}");
}

#[test]
fn an_attempt_that_was_killed_counts() {
    let (_dir, keystore) = keystore();

    for _ in 0..FREE {
        let mut attempt = Attempt::admit(&keystore).expect("free");
        attempt.count().expect("counted");
        drop(attempt);
    }

    assert!(paused(&keystore).is_some());
}

#[test]
fn many_at_once_get_no_more_tries_than_one() {
    let (_dir, keystore) = keystore();
    long_ago(&keystore, 10);
    let attempt = || {
        let attempt = Attempt::admit(&keystore);
        attempt.is_ok_and(|mut attempt| {
            attempt.count().expect("counted");
            attempt.wrong();
            true
        })
    };

    let tried = thread::scope(|scope| {
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(attempt)).collect();
        threads.into_iter().map(|thread| u32::from(thread.join().expect("no panic"))).sum::<u32>()
    });

    assert_eq!(tried, 1);
}

#[test]
fn a_record_of_nonsense_pauses_for_a_second_and_no_longer() {
    let (_dir, keystore) = keystore();
    for nonsense in ["", "{}", "{\"failures\":-1}", "\0\0\0"] {
        fs::write(keystore.with_extension("attempts"), nonsense).expect("writes");

        assert_eq!(paused(&keystore), Some(seconds(1)), "{nonsense:?}");
        let text = fs::read_to_string(keystore.with_extension("attempts")).expect("reads");
        assert!(text.starts_with(r#"{"failures":5,"at":{"wall_ms":1"#), "it runs now: {text}");
    }
}

/// On a file system without a free block: a profile opens, and what cannot be counted is not tried.
/// Skipped where this user may not mount one.
#[test]
fn a_full_disk_keeps_nobody_out_and_frees_no_attempt() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let Some(disk) = Mounted::at(dir.path()) else { return };
    let keystore = disk.0.join("keystore.json");
    Attempt::prepare(&keystore).expect("room");
    let full = fs::write(disk.0.join("filler"), vec![1; 1 << 20]);
    assert_eq!(full.map_err(|error| error.kind()), Err(io::ErrorKind::StorageFull));

    for _ in 0..FREE {
        fail(&keystore);
    }
    assert!(paused(&keystore).is_some(), "counted");

    let other = disk.0.join("other.json");
    let uncounted = Attempt::admit(&other).and_then(|mut attempt| attempt.count());
    assert!(matches!(uncounted, Err(KeystoreError::Io { .. })), "{uncounted:?}");
}

/// A small file system in memory.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: &Path) -> Option<Self> {
        let mount = |word: &str| {
            let mut command = std::process::Command::new(word);
            if word == "mount" {
                command.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]);
            }
            command.arg(path).stderr(std::process::Stdio::null()).status()
        };
        mount("mount").is_ok_and(|status| status.success()).then(|| Self(path.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(std::process::Command::new("umount").arg("-l").arg(&self.0).status());
    }
}

/// Whoever waits too long for another process learns that, and not that the passphrases were wrong.
#[test]
fn another_process_at_it_is_no_wrong_passphrase() {
    let (_dir, keystore) = keystore();
    let _held = Attempt::admit(&keystore).expect("free");

    let refused = lock_within(&keystore.with_extension("lock"), Duration::ZERO);

    assert!(matches!(refused, Err(KeystoreError::Contended)), "{refused:?}");
}
