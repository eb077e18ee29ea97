//! What the benches share: the program, its daemon, and the time of an fdatasync on the same disk.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running daemon; dropped, it is killed.
pub(crate) struct Daemon {
    pub(crate) child: Child,
    ready: String,
}

/// Runs a command of a profile; what it printed.
pub(crate) fn run(home: &Path, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_bitchat-under-test"))
        .arg("--home")
        .arg(home)
        .args(args)
        .output()
        .expect("the program");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").trim().to_owned()
}

impl Daemon {
    /// Starts it and waits until it is ready.
    pub(crate) fn start(home: &Path, listen: &str, metrics: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bitchat-under-test"))
            .args(["--home", home.to_str().unwrap(), "daemon", "--listen", listen])
            .args(["--metrics", metrics, "--no-mdns"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon");
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("ready"));
        let ready = ready.expect("ready");
        thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, ready }
    }

    /// The first value of a field of its `ready` line.
    pub(crate) fn field(&self, name: &str) -> String {
        let found = self.ready.split(' ').find_map(|word| word.strip_prefix(name));
        found.expect("a field").split(',').next().expect("one").to_owned()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// 4 KiB appended and fdatasynced, as a small commit does: 300 times.
pub(crate) fn fsync_times(dir: &Path) -> Vec<Duration> {
    let mut file = std::fs::File::create(dir.join("fsync")).expect("a file");
    (0..300)
        .map(|_| {
            file.write_all(&[7; 4096]).expect("written");
            let start = Instant::now();
            file.sync_data().expect("synced");
            start.elapsed()
        })
        .collect()
}

fn quantile(sorted: &[Duration], of_thousand: usize) -> Duration {
    sorted[(sorted.len() - 1) * of_thousand / 1000]
}

/// Prints the median and the 99th percentile.
pub(crate) fn report(name: &str, mut times: Vec<Duration>) {
    times.sort();
    println!("{name}: p50 {:.2?}, p99 {:.2?}", quantile(&times, 500), quantile(&times, 990));
}
