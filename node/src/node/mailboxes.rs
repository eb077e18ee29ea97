//! Starts what asks mailbox nodes, and what keeps mailboxes for others if the configuration says so.

use std::thread::JoinHandle;
use std::time::Duration;

use bitchat_protocol::mailbox::host::HostSettings;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Mode;
use super::links::own_ports;
use crate::config::{self, Config};
use crate::control::NodeStatus;
use crate::driver::{CALLS_MAX, Call, Door, Mail};
use crate::error::NodeError;
use crate::home::Home;
use crate::keystore::Unlocked;
use crate::mailbox::{Ends, Factory, Keeper};
use crate::metrics::Metrics;
use crate::network::Network;
use crate::veil::{self, Veils};

const MIB: u64 = 1024 * 1024;

/// What the thread is joined with.
pub(super) struct Around<'a> {
    pub(super) network: &'a Network,
    pub(super) status: &'a watch::Sender<NodeStatus>,
    pub(super) metrics: &'a Metrics,
    pub(super) stop: &'a CancellationToken,
}

/// All that runs for mailboxes. Dropped: the thread is stopped and waited for, the links close.
#[derive(Debug)]
pub(super) struct Mailboxes {
    _keeper: Option<Thread>,
    _veils: Veils,
}

#[derive(Debug)]
struct Thread {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of mailboxes panicked");
        }
    }
}

/// Starts the links to mailbox nodes and, in a daemon that is to keep mailboxes, the thread that does.
pub(super) async fn start(
    home: &Home,
    config: &Config,
    mode: Mode,
    unlocked: &Unlocked,
    around: Around<'_>,
) -> Result<(Mail, Mailboxes), NodeError> {
    let own_ports = own_ports(config);
    let veils = veil::start(veil::Settings { own_ports, ..veil::Settings::default() });
    let (door, keeper) = if mode == Mode::Daemon && config.mailbox.enabled {
        let (calls, called) = mpsc::channel(CALLS_MAX);
        let factory = Factory {
            dir: home.mailboxes(),
            keys: unlocked.store_keys.of_mailboxes(),
            device: unlocked.secrets.device_seed.duplicate(),
            settings: host_settings(&config.mailbox),
        };
        (Door::open(calls), Some(keep(called, factory, &veils, &around).await?))
    } else {
        (Door::closed(), None)
    };
    let (asker, told) = veils.asker();
    Ok((Mail { door, asker, told }, Mailboxes { _keeper: keeper, _veils: veils }))
}

/// Opens the store of mailboxes and runs a host on a thread of its own.
async fn keep(
    calls: mpsc::Receiver<Call>,
    factory: Factory,
    veils: &Veils,
    around: &Around<'_>,
) -> Result<Thread, NodeError> {
    let stop = around.stop.child_token();
    let (asker, told) = veils.asker();
    let ends = Ends {
        calls,
        asker,
        told,
        network: around.network.commands(),
        status: around.status.clone(),
        metrics: around.metrics.clone(),
        stop: stop.clone(),
    };
    let opened = tokio::task::spawn_blocking(move || Keeper::new(ends, factory)).await;
    let keeper = opened.map_err(|_| NodeError::Unavailable)??;
    let run = move || match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime.block_on(keeper.run()),
        Err(error) => tracing::error!(%error, "no runtime for mailboxes"),
    };
    let thread = std::thread::Builder::new().name("mailbox".to_owned()).spawn(run);
    let thread = thread.map_err(|error| NodeError::StoreFailed { reason: error.to_string() })?;
    Ok(Thread { stop, thread: Some(thread) })
}

fn host_settings(settings: &config::Mailbox) -> HostSettings {
    HostSettings {
        access: settings.access.clone(),
        rentals_max: usize::try_from(settings.rentals_max).unwrap_or(usize::MAX),
        queue_bytes_max: u64::from(settings.queue_mib) * MIB,
        queue_envelopes_max: u64::from(settings.queue_envelopes),
        bytes_max: u64::from(settings.total_mib) * MIB,
        keep_max: Duration::from_secs(u64::from(settings.keep_days) * 24 * 3_600),
        work_bits: settings.work_bits,
    }
}
