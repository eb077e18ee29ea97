//! The standard `process_*` families, read from `/proc` when somebody asks.
//!
//! Elsewhere than on Linux only the start time is known, and the rest is left out.

use std::fs;

use bitchat_protocol::time::UnixMillis;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// `USER_HZ`: clock ticks a second in `/proc/*/stat`; 100 on every Linux that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

/// This process.
#[derive(Debug)]
pub(super) struct Process {
    started: UnixMillis,
}

impl Process {
    pub(super) const fn new(started: UnixMillis) -> Self {
        Self { started }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let started = std::time::Duration::from_millis(self.started.0).as_secs_f64();
        let gauges = [
            ("process_start_time_seconds", "Start time since 1970", Some(started)),
            ("process_resident_memory_bytes", "Resident memory", status_bytes("VmRSS:")),
            ("process_virtual_memory_bytes", "Virtual memory", status_bytes("VmSize:")),
            ("process_open_fds", "Open file descriptors", open_descriptors()),
            ("process_threads", "Threads", status_number("Threads:")),
        ];
        for (name, help, value) in gauges {
            let Some(value) = value else { continue };
            let metric = ConstGauge::new(value);
            let encoder = encoder.encode_descriptor(name, help, None, metric.metric_type())?;
            metric.encode(encoder)?;
        }
        let Some(seconds) = cpu_seconds() else { return Ok(()) };
        let metric = ConstCounter::new(seconds);
        let help = "User and system processor time";
        let encoder =
            encoder.encode_descriptor("process_cpu_seconds", help, None, metric.metric_type())?;
        metric.encode(encoder)
    }
}

/// A number of `/proc/self/status`.
fn status_number(field: &str) -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A size of `/proc/self/status`, which has them in KiB.
fn status_bytes(field: &str) -> Option<f64> {
    Some(status_number(field)? * 1_024.0)
}

fn open_descriptors() -> Option<f64> {
    // Less the one that reads the directory.
    let count = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    Some(f64::from(u32::try_from(count).ok()?))
}

fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name and may hold anything; it ends with the last `)`.
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11); // utime is field 14, stime field 15.
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}
