//! `bitchat daemon`: run the node until it is told to stop.
//!
//! Prints one line that begins with `ready` on stderr when it serves. Reads the settings again at SIGHUP. Exit codes: 0 stopped by
//! SIGINT or SIGTERM · 1 configuration, passphrase missing · 3 an address cannot be listened on ·
//! 9 the profile is in use or damaged · 12 wrong passphrase.

use std::future::{Future, pending};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bitchat_node::Mode;
use bitchat_node::error::Category;
use bitchat_node::telemetry::Format;
use serde_json::json;
use tokio::signal::unix::SignalKind;

use crate::args::Globals;
use crate::attach::{Context, Started, start};
use crate::client::{Client, Socket, Status};
use crate::error::{Stop, UserError};
use crate::output::{Output, stamp};
use crate::settings::{self, Overrides};
use crate::signals;

/// `timeout` and others signal the process and its group: what comes this soon is the same wish.
const SAME_WISH: Duration = Duration::from_millis(500);

/// How often a starting node is asked whether it serves.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Run the node: listen, deliver, and serve the other commands
#[derive(Debug, clap::Args)]
pub(crate) struct Daemon {
    /// Listen on this multiaddress (repeatable), such as /ip4/0.0.0.0/tcp/0
    #[arg(long, value_name = "MULTIADDR")]
    listen: Vec<String>,
    /// Serve metrics and health here, or `off`
    #[arg(long, value_name = "ADDR|off")]
    metrics: Option<String>,
    /// Do not look for devices on the local network
    #[arg(long)]
    no_mdns: bool,
}

impl Daemon {
    pub(crate) async fn run(self, context: &Context, out: &mut Output) -> Result<(), Stop> {
        let socket = context.home.socket();
        if Socket::find(&socket).await?.is_some() {
            return Err(already().into());
        }
        let overrides = self.overrides(&context.globals);
        let config = settings::load(&context.home, &overrides)?;
        let level = settings::start_log(&config)?;
        let format = config.log.format;
        let (first, second) = (stop_signal(1)?, stop_signal(2)?);
        let mut hangups = signals::take(SignalKind::hangup())?;
        let Started::Here(node) = start(context, config, Mode::Daemon, None, out).await? else {
            return Err(already().into());
        };
        let reload = node.reload();
        // A terminal that closes must not end the node; a service manager means this by it.
        let read_again = async {
            while hangups.recv().await.is_some() {
                reload.apply(settings::read(&context.home, &overrides), &level);
            }
            pending().await
        };
        tokio::select! {
            ended = node.run_until(first) => Ok(ended?),
            () = second => Err(impatient().into()),
            () = announce(socket, format, out) => Ok(()),
            () = read_again => Ok(()),
        }
    }

    fn overrides(&self, globals: &Globals) -> Overrides {
        let mut overrides = Overrides::of(globals);
        for address in &self.listen {
            overrides.set("network.listen", Some(address.clone()));
        }
        overrides.set("metrics.listen", self.metrics.clone());
        overrides.set("network.mdns", self.no_mdns.then(|| "false".to_owned()));
        overrides
    }
}

/// Says that the node serves, once it does; never ends.
async fn announce(socket: PathBuf, format: Format, out: &mut Output) {
    let status = serving(&socket).await;
    match format {
        Format::Pretty => out.complain(&ready_line(&status, &socket)),
        Format::Json => out.log(&ready_object(&status, &socket)),
    }
    pending().await
}

/// Asks the node over its own socket until it is ready: what others will see.
async fn serving(socket: &Path) -> Status {
    loop {
        if let Ok(Some(found)) = Socket::find(socket).await
            && let Ok(status) = Client::Daemon(found).status().await
            && status.ready
        {
            return status;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn ready_line(status: &Status, socket: &Path) -> String {
    let metrics = status.other.get("metrics").and_then(|value| value.as_str()).unwrap_or("off");
    let addresses = status.addresses.join(",");
    format!("ready addresses={addresses} metrics={metrics} socket={}", socket.display())
}

/// In the shape of the JSON log.
fn ready_object(status: &Status, socket: &Path) -> serde_json::Value {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    json!({
        "timestamp": stamp(u64::try_from(millis).unwrap_or_default()).replace(' ', "T"),
        "level": "INFO",
        "target": "bitchat",
        "fields": {
            "message": "ready",
            "addresses": status.addresses,
            "metrics": status.other.get("metrics"),
            "socket": socket.display().to_string(),
        },
    })
}

/// Ends when SIGINT or SIGTERM has come `times` times, at least [`SAME_WISH`] apart.
pub(super) fn stop_signal(times: u8) -> Result<impl Future<Output = ()>, UserError> {
    let mut interrupt = signals::take(SignalKind::interrupt())?;
    let mut terminate = signals::take(SignalKind::terminate())?;
    Ok(async move {
        let mut counted = 0;
        let mut last: Option<Instant> = None;
        while counted < times {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if last.is_none_or(|last| last.elapsed() >= SAME_WISH) {
                counted += 1;
                last = Some(Instant::now());
            }
        }
    })
}

fn already() -> UserError {
    let message = "a daemon runs for this profile already";
    UserError::new(Category::Store, "daemon_running", message, "talk to it: `bitchat status`")
}

fn impatient() -> UserError {
    let hint = "nothing durable is lost; the next start picks it up";
    UserError::new(Category::Internal, "stopped_hard", "stopped without finishing", hint)
}
