//! `bitchat status`: is the node well?
//!
//! Exit codes: 0 it answered, ready or not; else those of reaching the node.

use serde_json::Value;

use crate::args::brief;
use crate::client::{self, Client};
use crate::error::Stop;
use crate::output::{Output, stamp};
use crate::sanitise;

/// Show how the node is: addresses, connections, what waits, warnings
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    /// First end a warning that only a person can judge: `copied_datadir`
    #[arg(long, value_name = "WARNING")]
    dismiss: Option<String>,
}

impl Status {
    pub(crate) async fn run(self, client: &Client, out: &mut Output) -> Result<(), Stop> {
        if let Some(code) = &self.dismiss {
            client.dismiss(code).await?;
        }
        let status = client.status().await?;
        let daemon = client.is_daemon();
        out.answer(&status, |_| describe(&status, daemon))
    }
}

fn describe(status: &client::Status, daemon: bool) -> String {
    let runs = if daemon { "by the daemon" } else { "for this command only" };
    let mut lines = vec![
        format!("ready         {}", if status.ready { "yes" } else { "no" }),
        format!("node runs     {runs}"),
    ];
    for (label, field) in [
        ("version", "version"),
        ("account", "account"),
        ("device", "device"),
        ("connections", "connections"),
        ("contacts", "contacts"),
        ("nat", "nat"),
        ("metrics", "metrics"),
        ("socket", "socket"),
        ("process", "pid"),
    ] {
        if let Some(value) = status.other.get(field).and_then(plain) {
            lines.push(format!("{label:<13} {value}"));
        }
    }
    let degraded = status.other.get("degradation").and_then(Value::as_array);
    let degraded: Vec<_> = degraded.into_iter().flatten().filter_map(plain).collect();
    let degraded = if degraded.is_empty() { "none".to_owned() } else { degraded.join(", ") };
    lines.push(format!("degradation   {degraded}"));
    if let Some(uptime) = status.other.get("uptime_ms").and_then(Value::as_u64) {
        lines.push(format!("up for        {}", brief(uptime)));
    }
    let oldest = status.outbox.oldest_ms.map(|oldest| format!(", oldest of {}", stamp(oldest)));
    lines.push(format!(
        "outbox        {} waiting{}",
        status.outbox.rows,
        oldest.unwrap_or_default()
    ));
    let prekeys = &status.prekeys;
    lines.push(format!(
        "prekeys       {} X25519, {} ML-KEM left; sessions without any: {}",
        prekeys.x25519, prekeys.ml_kem, prekeys.last_resort_sessions
    ));
    let breakers = &status.breakers;
    if breakers.open + breakers.half_open > 0 {
        let (open, trying) = (breakers.open, breakers.half_open);
        lines.push(format!("breakers      {open} open, {trying} half open; see `bitchat peers`"));
    }
    let addresses = status.addresses.iter();
    lines.extend(addresses.map(|address| format!("address       {}", sanitise::line(address))));
    for warning in &status.warnings {
        lines.push(format!("warning       {}", sanitise::line(&warning.message)));
        lines.push(format!("  hint        {}", sanitise::line(&warning.hint)));
    }
    lines.join("\n")
}

/// A word or number without JSON's quotes; `None` for everything else.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(sanitise::line(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            None
        }
    }
}
