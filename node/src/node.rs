//! A whole node: a profile's lock, store, engine, network, control API, health and metrics.

mod links;
mod listeners;
mod lookout;
mod mailboxes;
mod ports;
mod reload;

pub use reload::Reload;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::Router;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::control::{self, Handle, NodeStatus, Stale, Warning};
use crate::driver::{Clock, Driver, Ends, Factory};
use crate::error::NodeError;
use crate::home::{Home, HomeLock};
use crate::http::{self, Health, Heartbeat};
use crate::keystore::{Protection, Unlocked};
use crate::metrics::{Metrics, WarningCode};
use crate::network::Network;
use crate::profile::{self, Credentials};
use links::{dial_bootstrap, start_network};
use listeners::{Listener, Serving};
use mailboxes::{Around, Mailboxes};
use ports::Ports;

/// Requests that wait for the engine.
const REQUESTS_MAX: usize = 1_024;

/// Events that a slow listener may lag behind before it loses the oldest and asks again.
const EVENTS_MAX: usize = 4_096;

/// How long a daemon may take from bound listeners to serving.
const READY_WITHIN: Duration = Duration::from_secs(10);

/// What a node is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Serves until it is told to stop.
    Daemon,
    /// Carries out one command in this process: listens nowhere, dials only for what waits.
    Command,
}

/// What a node is built from.
#[derive(Debug)]
pub struct NodeOptions {
    /// Which profile.
    pub home: Home,
    /// Opens its key store.
    pub credentials: Credentials,
    /// Settings.
    pub config: Config,
    /// What for.
    pub mode: Mode,
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    handle: Handle,
    status: watch::Receiver<NodeStatus>,
    stop: CancellationToken,
    engine: Option<JoinHandle<()>>,
    network: Option<Network>,
    mailboxes: Option<Mailboxes>,
    reload: Reload,
    servers: Vec<tokio::task::JoinHandle<()>>,
    socket: Option<PathBuf>,
    _lock: HomeLock,
}

impl Node {
    /// Takes the profile's lock, opens everything and returns when it serves.
    ///
    /// # Errors
    ///
    /// [`NodeError`]: no profile, loose modes, lock held, wrong passphrase, damaged store, address
    /// taken. Nothing keeps running then.
    pub async fn start(options: NodeOptions) -> Result<Self, NodeError> {
        let NodeOptions { home, credentials, config, mode } = options;
        if !home.has_profile() {
            return Err(NodeError::NoProfile { home: home.root().to_owned() });
        }
        let lock = home.check().and_then(|()| home.lock())?;
        let unlocked = unlock(&home, credentials).await?;
        let metrics = Metrics::new(profile::wall_clock());
        let (network, heard) = start_network(&home, &config, &unlocked, mode).await?;
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        let (publish, status) = watch::channel(NodeStatus::starting(home.socket(), Instant::now()));
        publish.send_modify(|status| status.warnings = standing_warnings(&unlocked));
        let (change, settings) = watch::channel(config.engine());
        let (stop, heartbeat) = (CancellationToken::new(), Heartbeat::new(Instant::now()));
        let handle = Handle::new(requests, events.clone(), status.clone(), metrics.clone());
        let around = Around { network: &network, status: &publish, metrics: &metrics, stop: &stop };
        let (mail, mailboxes) = mailboxes::start(&home, &config, mode, &unlocked, around).await?;
        let ends = Ends {
            requests: asked,
            events,
            status: publish.clone(),
            network: network.commands(),
            heard,
            peers: network.peers(),
            mail,
            counters: network.counters(),
            metrics: metrics.clone(),
            heartbeat: heartbeat.clone(),
            settings,
            stop: stop.clone(),
            clock: Clock::system(),
            external: config.network.external.clone(),
            listens: mode == Mode::Daemon && !config.network.listen.is_empty(),
        };
        let engine = start_engine(ends, factory(&home, unlocked, &config, mode)).await?;
        if mode == Mode::Daemon {
            dial_bootstrap(&network, &config.network.bootstrap)?;
        }
        let mut node = Self {
            handle,
            status,
            stop,
            engine: Some(engine),
            network: Some(network),
            mailboxes: Some(mailboxes),
            reload: Reload::new(config.clone(), change, publish.clone()),
            servers: Vec::new(),
            socket: None,
            _lock: lock,
        };
        if mode == Mode::Daemon {
            node.serve(&home, &config, metrics, heartbeat, &publish).await?;
        }
        Ok(node)
    }

    /// Opens the listeners of a daemon and waits until it is ready.
    async fn serve(
        &mut self,
        home: &Home,
        config: &Config,
        metrics: Metrics,
        heartbeat: Heartbeat,
        publish: &watch::Sender<NodeStatus>,
    ) -> Result<(), NodeError> {
        if let Some(address) = config.metrics.listen {
            let health = Health { status: self.status.clone(), heartbeat, metrics };
            self.keep_metrics(address, health, publish).await;
        }
        let looking = lookout::run(self.handle.clone(), publish.clone(), self.stop.clone());
        self.servers.push(tokio::spawn(looking));
        // The socket comes last: whoever finds it finds a node that answers. We hold the lock, so
        // nobody is behind a socket file that is there already.
        let mut status = self.status.clone();
        let ready = status.wait_for(|status| status.ready);
        let in_time = tokio::time::timeout(READY_WITHIN, ready).await;
        in_time.map_err(|_| NodeError::Unavailable)?.map_err(|_| NodeError::Unavailable)?;
        let before = Ports::read(&home.ports_file());
        Ports::of(&self.status.borrow().addresses).or(before).write(&home.ports_file());
        self.keep_control(home.socket(), publish)
    }

    /// Serves health and metrics, and again whenever they fail; the chat does not wait for them.
    async fn keep_metrics(
        &mut self,
        address: SocketAddr,
        health: Health,
        publish: &watch::Sender<NodeStatus>,
    ) {
        let meaning = "health and metrics are not served";
        let listener = self.listener(WarningCode::MetricsDown, meaning, publish);
        let (publish, stop) = (publish.clone(), self.stop.clone());
        let bind = move || serve_metrics(address, health.clone(), publish.clone(), stop.clone());
        self.servers.push(listener.keep(bind().await, bind));
    }

    /// Serves the control API, and again whenever it fails or its socket is lost. A node that nobody
    /// could ever talk to does not start.
    fn keep_control(
        &mut self,
        socket: PathBuf,
        publish: &watch::Sender<NodeStatus>,
    ) -> Result<(), NodeError> {
        let meaning = "commands cannot reach the daemon";
        let listener = self.listener(WarningCode::ControlDown, meaning, publish);
        let (router, stop) = (self.router(), self.stop.clone());
        self.socket = Some(socket.clone());
        let bind = move || serve_control(socket.clone(), router.clone(), stop.clone());
        let first = bind()?;
        self.servers.push(listener.keep(Ok(first), move || std::future::ready(bind())));
        Ok(())
    }

    fn listener(
        &self,
        down: WarningCode,
        meaning: &'static str,
        publish: &watch::Sender<NodeStatus>,
    ) -> Listener {
        let (status, stop) = (publish.clone(), self.stop.clone());
        Listener { down, meaning, status, stop, retry: listeners::RETRY_FIRST }
    }

    /// The control API, for use in this process.
    pub fn router(&self) -> Router {
        control::router(self.handle.clone())
    }

    /// What gives the node other settings while it runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// What the node is doing.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.status.borrow().clone()
    }

    /// Serves until `shutdown` resolves, then stops as [`Node::shutdown`].
    ///
    /// # Errors
    ///
    /// As [`Node::shutdown`].
    pub async fn run_until(self, shutdown: impl Future<Output = ()>) -> Result<(), NodeError> {
        shutdown.await;
        self.shutdown().await
    }

    /// Stops: no new requests, last writes to the disk, links closed, lock given back.
    ///
    /// # Errors
    ///
    /// [`NodeError::Unavailable`] if the engine's thread had ended by itself.
    pub async fn shutdown(mut self) -> Result<(), NodeError> {
        if let Some(socket) = self.socket.take() {
            drop(std::fs::remove_file(socket)); // A stale one does no harm: the lock decides.
        }
        self.stop.cancel();
        let engine = self.engine.take();
        let ended =
            tokio::task::spawn_blocking(move || engine.is_none_or(|engine| engine.join().is_ok()));
        let sound = ended.await.unwrap_or(false);
        let mailboxes = self.mailboxes.take();
        drop(tokio::task::spawn_blocking(move || drop(mailboxes)).await);
        if let Some(network) = self.network.take() {
            network.shutdown().await;
        }
        for server in std::mem::take(&mut self.servers) {
            drop(server.await);
        }
        if sound { Ok(()) } else { Err(NodeError::Unavailable) }
    }
}

impl Drop for Node {
    /// A node that is dropped without a shutdown (an error at the start) still lets go of its store.
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(engine) = self.engine.take() {
            drop(engine.join());
        }
    }
}

async fn serve_metrics(
    address: SocketAddr,
    health: Health,
    publish: watch::Sender<NodeStatus>,
    stop: CancellationToken,
) -> Result<Serving, NodeError> {
    let (listener, warning) = http::bind(address).await?;
    let bound = listener.local_addr().ok();
    publish.send_modify(|status| {
        status.metrics = bound;
        status.warn(WarningCode::MetricsPort, warning);
    });
    Ok(Box::pin(http::serve(listener, health, stop.cancelled_owned())))
}

fn serve_control(
    socket: PathBuf,
    router: Router,
    stop: CancellationToken,
) -> Result<Serving, NodeError> {
    let listener = control::bind(&socket, Stale::Replace)?;
    let over = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = listeners::lost(&socket) => {}
        }
    };
    Ok(Box::pin(control::serve(listener, router, over)))
}

async fn unlock(home: &Home, credentials: Credentials) -> Result<Unlocked, NodeError> {
    let home = home.clone();
    let work = move || profile::unlock(&home, credentials);
    tokio::task::spawn_blocking(work).await.map_err(|_| NodeError::Unavailable)?
}

fn standing_warnings(unlocked: &Unlocked) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if unlocked.protection == Protection::KeyFile {
        warnings.push(Warning {
            code: WarningCode::ConfigInsecure,
            message: "the key store has no passphrase: whoever reads the home has the keys"
                .to_owned(),
            hint: "give it one with `bitchat passwd`".to_owned(),
        });
    }
    if rustix::process::geteuid().is_root() {
        warnings.push(Warning {
            code: WarningCode::ConfigInsecure,
            message: "the node runs as root".to_owned(),
            hint: "run it as a user of its own".to_owned(),
        });
    }
    warnings
}

fn factory(home: &Home, unlocked: Unlocked, config: &Config, mode: Mode) -> Factory {
    Factory {
        dir: home.data(),
        secrets: unlocked.secrets,
        keys: unlocked.store_keys,
        greet: mode == Mode::Daemon,
        read_receipts: config.privacy.read_receipts,
        place: home.place(),
    }
}

/// Opens the store and runs the engine on a thread of its own.
async fn start_engine(ends: Ends, factory: Factory) -> Result<JoinHandle<()>, NodeError> {
    let failed = |error: std::io::Error| NodeError::StoreFailed { reason: error.to_string() };
    let opened = tokio::task::spawn_blocking(move || Driver::new(ends, factory)).await;
    let driver = opened.map_err(|_| NodeError::Unavailable)??;
    let thread = std::thread::Builder::new().name("engine".to_owned());
    // The runtime is made where it ends: dropping one inside another panics.
    let run = move || match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => runtime.block_on(driver.run()),
        Err(error) => tracing::error!(%error, "no runtime for the engine"),
    };
    thread.spawn(run).map_err(failed)
}
