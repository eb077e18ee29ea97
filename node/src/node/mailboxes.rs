//! Starts what keeps mailboxes for others, if the configuration says so.

use std::thread::JoinHandle;
use std::time::Duration;

use bitchat_protocol::mailbox::host::HostSettings;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::control::NodeStatus;
use crate::driver::{CALLS_MAX, Door};
use crate::error::NodeError;
use crate::home::Home;
use crate::keystore::Unlocked;
use crate::mailbox::{Ends, Factory, Keeper};
use crate::metrics::Metrics;
use crate::network::Network;
use crate::veil::Veils;

const MIB: u64 = 1024 * 1024;

/// What the thread is joined with.
pub(super) struct Around<'a> {
    pub(super) network: &'a Network,
    pub(super) veils: &'a Veils,
    pub(super) status: watch::Sender<NodeStatus>,
    pub(super) metrics: Metrics,
    pub(super) stop: &'a CancellationToken,
}

/// The thread. Dropped: it is stopped and waited for.
#[derive(Debug)]
pub(super) struct Mailboxes {
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Mailboxes {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("the thread of mailboxes panicked");
        }
    }
}

/// Opens the store of mailboxes and runs a host on a thread of its own. Without `settings` nobody is let in.
pub(super) async fn start(
    home: &Home,
    settings: Option<&config::Mailbox>,
    unlocked: &Unlocked,
    around: Around<'_>,
) -> Result<(Door, Option<Mailboxes>), NodeError> {
    let Some(settings) = settings else { return Ok((Door::closed(), None)) };
    let stop = around.stop.child_token();
    let (calls, called) = mpsc::channel(CALLS_MAX);
    let (asker, told) = around.veils.asker();
    let ends = Ends {
        calls: called,
        asker,
        told,
        network: around.network.commands(),
        status: around.status,
        metrics: around.metrics,
        stop: stop.clone(),
    };
    let factory = Factory {
        dir: home.mailboxes(),
        keys: unlocked.store_keys.of_mailboxes(),
        device: unlocked.secrets.device_seed.duplicate(),
        settings: host_settings(settings),
    };
    let opened = tokio::task::spawn_blocking(move || Keeper::new(ends, factory)).await;
    let keeper = opened.map_err(|_| NodeError::Unavailable)??;
    let run = move || match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime.block_on(keeper.run()),
        Err(error) => tracing::error!(%error, "no runtime for mailboxes"),
    };
    let thread = std::thread::Builder::new().name("mailbox".to_owned()).spawn(run);
    let thread = thread.map_err(|error| NodeError::StoreFailed { reason: error.to_string() })?;
    Ok((Door::open(calls), Some(Mailboxes { stop, thread: Some(thread) })))
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
