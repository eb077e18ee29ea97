//! Listeners that come back: the chat goes on while one is down, with a warning, and it is tried
//! again.
//!
//! ```text
//!   bind ──ok──> serve ──ends although nobody stopped it, or is lost──┐
//!    ^  └─fails─> warning ──> 1, 2, 4 .. 30 s ─────────────────────────┤
//!    └─────────────────────────────────────────────────────────────────┘
//! ```

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::control::{NodeStatus, Warning};
use crate::error::NodeError;
use crate::metrics::WarningCode;

/// Before a listener is bound again; doubles, so that a log is not flooded.
pub(super) const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// How often the socket's file is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A bound listener that serves until it is stopped.
pub(super) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A listener and what its absence is called.
pub(super) struct Listener {
    /// The warning while it is down.
    pub(super) down: WarningCode,
    /// What users and programs cannot do meanwhile.
    pub(super) meaning: &'static str,
    pub(super) status: watch::Sender<NodeStatus>,
    pub(super) stop: CancellationToken,
    /// Before it is bound again; doubles.
    pub(super) retry: Duration,
}

impl Listener {
    /// Keeps a listener up until the node stops, from a first attempt on that may have failed.
    pub(super) fn keep<B, F>(
        self,
        mut bound: Result<Serving, NodeError>,
        mut bind: B,
    ) -> tokio::task::JoinHandle<()>
    where
        B: FnMut() -> F + Send + 'static,
        F: Future<Output = Result<Serving, NodeError>> + Send,
    {
        self.report(&bound);
        tokio::spawn(async move {
            let mut pause = self.retry;
            loop {
                if let Ok(serving) = bound {
                    pause = self.retry;
                    // In a task of its own: its panic ends the listener, not this loop.
                    let ended = tokio::spawn(serving).await;
                    if self.stop.is_cancelled() {
                        return;
                    }
                    let ended =
                        ended.err().map_or_else(|| "it ended".to_owned(), |e| e.to_string());
                    self.warn(&ended);
                }
                tokio::select! {
                    () = self.stop.cancelled() => return,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(RETRY_MAX);
                bound = bind().await;
                self.report(&bound);
            }
        })
    }

    fn report(&self, bound: &Result<Serving, NodeError>) {
        match bound {
            Ok(_) => self.status.send_modify(|status| status.warn(self.down, None)),
            Err(error) => self.warn(&error.message()),
        }
    }

    fn warn(&self, why: &str) {
        let message = format!("{}: {why}", self.meaning);
        tracing::warn!(code = self.down.as_str(), "{message}");
        let hint = "messages go on; it is tried again by itself".to_owned();
        let warning = Warning { code: self.down, message, hint };
        self.status.send_modify(|status| status.warn(self.down, Some(warning)));
    }
}

/// Ends when another file, or none, is where the socket was made: nobody could reach it any more.
pub(super) async fn lost(socket: &Path) {
    let made = identity(socket);
    while made.is_some() && identity(socket) == made {
        sleep(LOOK_EVERY).await;
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    use super::*;
    use crate::metrics::label::Rung;

    /// Binds: the first panics, the second cannot be had, the third stays.
    #[tokio::test]
    async fn a_listener_that_dies_or_cannot_be_bound_comes_back_with_a_warning_in_between() {
        let status = watch::Sender::new(NodeStatus::starting(PathBuf::new(), Instant::now()));
        let mut seen = status.subscribe();
        let (binds, stop) = (Arc::new(AtomicU32::new(0)), CancellationToken::new());
        let counted = Arc::clone(&binds);

        let listener = Listener {
            down: WarningCode::MetricsDown,
            meaning: "metrics are not served",
            status: status.clone(),
            stop: stop.clone(),
            retry: Duration::from_millis(10),
        };
        let stopped = stop.clone();
        let kept = listener.keep(Err(NodeError::Unavailable), move || {
            let (number, stopped) = (counted.fetch_add(1, Ordering::Relaxed), stopped.clone());
            async move {
                match number {
                    0 => Ok(Box::pin(dies()) as Serving),
                    1 => Err(NodeError::Unavailable),
                    _ => Ok(Box::pin(stopped.cancelled_owned()) as Serving),
                }
            }
        });

        let down = |status: &NodeStatus| status.degraded() == [Rung::Metrics];
        let back = async {
            seen.wait_for(down).await.expect("the warning");
            seen.wait_for(|status| !down(status)).await.expect("it is back");
        };
        tokio::time::timeout(Duration::from_secs(20), back).await.expect("in time");
        assert_eq!(binds.load(Ordering::Relaxed), 3);
        stop.cancel();
        kept.await.expect("it ends with the node");
    }

    /// A listener whose task panics at its first step.
    async fn dies() {
        std::future::ready(()).await;
        panic!("dies");
    }
}
