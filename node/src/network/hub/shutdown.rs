//! The end: a second for what is queued, then every token has its fate and every connection is closed.

use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use super::super::{Command, Event};
use super::{Hub, Item, deliver};

/// What is queued may be accepted until then; afterwards it fails.
const LAST_WORDS: Duration = Duration::from_millis(1_100);
/// Failures are told and connections closed until then; afterwards they are dropped.
const LAST_STEPS: Duration = Duration::from_millis(1_700);

impl Hub {
    /// Ends everything within [`LAST_STEPS`].
    pub(super) async fn shut_down(&mut self) {
        let start = Instant::now();
        self.accepting.abort();
        self.ends.commands.close();
        while let Ok(command) = self.ends.commands.try_recv() {
            if let Command::Send { peer, token, .. } = command {
                self.tell(Event::SendFailed { peer, token });
            }
        }
        self.backlog.retain(|item| matches!(item, Item::Event(_)));
        let gone: Vec<_> = self
            .peers
            .values_mut()
            .flat_map(|peer| {
                peer.streams.drain(..).for_each(|stream| stream.task.abort());
                peer.link.take()
            })
            .map(|link| link.finish())
            .collect();
        self.settle(start + LAST_WORDS).await;
        gone.iter().for_each(|gone| gone.cancel());
        for peer in self.peers.values() {
            let _ = self.swarm.disconnect_peer_id(peer.id);
        }
        self.settle(start + LAST_STEPS).await;
        self.close(start + LAST_STEPS).await;
        self.tasks.abort_all();
        self.ends.peers.send_replace(Vec::new());
    }

    /// Polls the swarm and tells the driver until the links have ended or time is up.
    async fn settle(&mut self, until: Instant) {
        while !(self.tasks.is_empty() && self.backlog.is_empty()) {
            let waits = !self.backlog.is_empty();
            tokio::select! {
                biased;
                delivered = deliver(&self.ends.events, &mut self.backlog), if waits => {
                    if delivered.is_err() {
                        return;
                    }
                }
                _ = self.tasks.join_next(), if !self.tasks.is_empty() => {}
                _ = self.swarm.select_next_some() => {}
                () = sleep_until(until) => return,
            }
        }
    }

    /// Polls the swarm until its last connection is closed.
    async fn close(&mut self, until: Instant) {
        while self.swarm.connected_peers().next().is_some() {
            tokio::select! {
                _ = self.swarm.select_next_some() => {}
                () = sleep_until(until) => return,
            }
        }
    }
}
