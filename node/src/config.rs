//! Configuration: flags over environment over `config.toml` over defaults.
//!
//! ```text
//!   flag     --listen X               ┐
//!   env      BITCHAT_NETWORK__LISTEN  ├─> one value and its origin for each key ─> Config
//!   file     [network] listen = [X]   │
//!   default                           ┘
//! ```
//!
//! Only keys of [`key::KEYS`] exist: each is read by something, except the `enabled` switches of
//! parts that this version does not have, which refuse to be switched on. A key that is not known
//! is an error that names the nearest one. Secrets are refused, wherever they stand.

use std::net::SocketAddr;
use std::time::Duration;

use bitchat_protocol::engine::{LimitSettings, Settings};
use bitchat_protocol::mailbox::{ACCESS_BYTES_MAX, WORK_BITS};
use bitchat_protocol::resilience::breaker::Policy;
use tracing_subscriber::EnvFilter;

pub mod key;
mod problem;
mod sources;
mod value;

pub use problem::ConfigError;
pub use sources::{Origin, Row, Sources};
pub use value::Value;

use sources::Settled;

/// Words of `mailbox.access`.
const ACCESS_WORDS_MAX: usize = 1_024;

/// A minute of a fast machine; more would shut everybody out.
const WORK_BITS_MAX: u32 = 30;

/// Everything that can be set, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[network]`
    pub network: Network,
    /// `[metrics]`
    pub metrics: Metrics,
    /// `[log]`
    pub log: Log,
    /// `[limits]`
    pub limits: Limits,
    /// `[privacy]`
    pub privacy: Privacy,
    /// `[breaker]`
    pub breaker: Policy,
    /// `[mailbox]`
    pub mailbox: Mailbox,
    settled: Settled,
}

/// The peer plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Multiaddresses, each with `/p2p/...`, to dial at the start.
    pub bootstrap: Vec<String>,
    /// Multiaddresses at which we are reachable although we cannot see it.
    pub external: Vec<String>,
    /// Whether to look for peers on the local network.
    pub mdns: bool,
}

/// Health and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Where they are served; `None`: nowhere.
    pub listen: Option<SocketAddr>,
}

/// Logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level or directives.
    pub level: String,
    /// How they look.
    pub format: LogFormat,
}

/// How logs look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// For machines.
    Json,
}

/// Bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Links to peers at once.
    pub connections: u32,
    /// Links to one peer at once.
    pub connections_per_peer: u32,
    /// Inbound connections a second from one address prefix.
    pub prefix_connections: u32,
    /// KiB a second from one contact.
    pub contact_messages: u32,
    /// Handshakes a second of all strangers.
    pub stranger_handshakes: u32,
}

/// Keeping messages for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Whether it is done.
    pub enabled: bool,
    /// Words that let somebody rent; empty: anybody who does the work.
    pub access: Vec<String>,
    /// Mailboxes rented out at once.
    pub rentals_max: u32,
    /// MiB of all mailboxes.
    pub total_mib: u32,
    /// MiB of one mailbox.
    pub queue_mib: u32,
    /// Envelopes of one mailbox.
    pub queue_envelopes: u32,
    /// How long an envelope is kept.
    pub keep_days: u32,
    /// Zero bits of a stranger's work.
    pub work_bits: u32,
}

/// What others learn of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Privacy {
    /// Whether senders are told that their messages were read.
    pub read_receipts: bool,
}

impl Config {
    /// Puts the sources together and checks every value.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first key that is unknown, secret, of the wrong kind, out of range,
    /// or not available in this version.
    pub fn load(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let settled = Settled::from(sources)?;
        for name in key::ABSENT {
            if settled.flag(name)? {
                return Err(ConfigError::NotAvailable { key: name });
            }
        }
        let network = Network {
            listen: settled.addresses("network.listen")?,
            bootstrap: settled.addresses("network.bootstrap")?,
            external: settled.addresses("network.external")?,
            mdns: settled.flag("network.mdns")?,
        };
        if let Some(bad) = network.bootstrap.iter().find(|address| !address.contains("/p2p/")) {
            return Err(
                settled.bad("network.bootstrap", format!("{bad} has no /p2p/PEER at its end"))
            );
        }
        let metrics = Metrics { listen: loopback(&settled)? };
        let log = Log { level: level(&settled)?, format: log_format(&settled)? };
        let limits = Limits {
            connections: settled.number("limits.connections", 1..=65_536)?,
            connections_per_peer: settled.number("limits.connections_per_peer", 1..=64)?,
            prefix_connections: settled.number("limits.prefix_connections", 1..=10_000)?,
            contact_messages: settled.number("limits.contact_messages", 100..=1_000_000)?,
            stranger_handshakes: settled.number("limits.stranger_handshakes", 1..=1_000)?,
        };
        let privacy = Privacy { read_receipts: settled.flag("privacy.read_receipts")? };
        let breaker = breaker(&settled)?;
        let mailbox = mailbox(&settled)?;
        Ok(Self { network, metrics, log, limits, privacy, breaker, mailbox, settled })
    }

    /// What the engine is told, at the start and when the settings are read again.
    #[must_use]
    pub const fn engine(&self) -> Settings {
        let limits = LimitSettings {
            contact_messages: self.limits.contact_messages,
            stranger_handshakes: self.limits.stranger_handshakes,
        };
        Settings { breaker: self.breaker, limits }
    }

    /// Keys whose values differ from those of `other` and that hold only from the next start on.
    #[must_use]
    pub fn need_restart(&self, other: &Self) -> Vec<&'static str> {
        let (ours, theirs) = (self.settled.rows(), other.settled.rows());
        let differ = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours.value != theirs.value);
        differ.map(|(row, _)| row.key).filter(|key| !key::is_live(key)).collect()
    }

    /// Every key with its value and where that comes from, in the order of the example.
    #[must_use]
    pub fn show(&self) -> Vec<Row> {
        self.settled.rows()
    }

    /// The text of `contrib/config.example.toml`: every key with its default and what it does.
    #[must_use]
    pub fn example() -> String {
        key::example()
    }
}

/// A word that no order can carry would let nobody in.
fn mailbox(settled: &Settled) -> Result<Mailbox, ConfigError> {
    const ACCESS: &str = "mailbox.access";
    let access = settled.texts(ACCESS)?;
    if access.iter().any(|word| word.is_empty() || word.len() > ACCESS_BYTES_MAX) {
        let reason = format!("a word has 1 to {ACCESS_BYTES_MAX} bytes");
        return Err(settled.bad(ACCESS, reason));
    }
    if access.len() > ACCESS_WORDS_MAX {
        return Err(settled.bad(ACCESS, format!("more than {ACCESS_WORDS_MAX} words")));
    }
    Ok(Mailbox {
        enabled: settled.flag("mailbox.enabled")?,
        access,
        rentals_max: settled.number("mailbox.rentals_max", 1..=65_536)?,
        total_mib: settled.number("mailbox.total_mib", 1..=16_777_216)?,
        queue_mib: settled.number("mailbox.queue_mib", 1..=65_536)?,
        queue_envelopes: settled.number("mailbox.queue_envelopes", 1..=1_000_000)?,
        keep_days: settled.number("mailbox.keep_days", 1..=30)?,
        work_bits: settled.number("mailbox.work_bits", WORK_BITS..=WORK_BITS_MAX)?,
    })
}

/// The metrics address. Only loopback: whoever can read metrics sees when somebody writes.
fn loopback(settled: &Settled) -> Result<Option<SocketAddr>, ConfigError> {
    const KEY: &str = "metrics.listen";
    let text = settled.text(KEY)?;
    if text == "off" {
        return Ok(None);
    }
    let address: SocketAddr = text
        .parse()
        .map_err(|_| settled.bad(KEY, format!("{text} is neither an address with port nor off")))?;
    if address.ip().is_loopback() {
        return Ok(Some(address));
    }
    Err(settled.bad(KEY, format!("{} is not a loopback address", address.ip())))
}

/// The thresholds of the circuit breakers.
fn breaker(settled: &Settled) -> Result<Policy, ConfigError> {
    const MAX: &str = "breaker.open_seconds_max";
    let seconds = |name| settled.number(name, 1..=86_400).map(|n| Duration::from_secs(n.into()));
    let policy = Policy {
        failures: settled.number("breaker.failures", 1..=100)?,
        open_for: seconds("breaker.open_seconds")?,
        open_max: seconds(MAX)?,
        probes: settled.number("breaker.probes", 1..=16)?,
    };
    if policy.open_max < policy.open_for {
        return Err(settled.bad(MAX, "must not be below breaker.open_seconds".to_owned()));
    }
    Ok(policy)
}

/// What a level or directives let through.
pub(crate) fn log_filter(text: &str) -> Result<EnvFilter, String> {
    EnvFilter::builder().parse(text).map_err(|error| error.to_string())
}

fn level(settled: &Settled) -> Result<String, ConfigError> {
    const KEY: &str = "log.level";
    let text = settled.text(KEY)?;
    match log_filter(&text) {
        Ok(_) => Ok(text),
        Err(reason) => Err(settled.bad(KEY, reason)),
    }
}

fn log_format(settled: &Settled) -> Result<LogFormat, ConfigError> {
    const KEY: &str = "log.format";
    match settled.text(KEY)?.as_str() {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        other => Err(settled.bad(KEY, format!("{other} is neither pretty nor json"))),
    }
}

#[cfg(test)]
mod tests;
