//! Carries out the engine's outputs.

use bitchat_protocol::engine::Output;

use super::{Driver, Running};
use crate::network;
use crate::store::Refused;

impl Driver {
    /// Carries out every output that the engine has ready.
    pub(super) fn settle(&mut self) {
        while let Some(output) =
            self.running.as_mut().and_then(|running| running.engine.poll_output())
        {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Persist(batch) => {
                self.traces.sealed(batch.id);
                let submitted =
                    self.running.as_ref().map(|Running { committer, .. }| committer.submit(batch));
                if let Some(Err(refused)) = submitted {
                    // The engine has one batch on its way at a time, so the queue is never full.
                    let (Refused::Busy(batch) | Refused::Stopped(batch)) = refused;
                    tracing::error!(batch = batch.id.0, "the store takes no batch");
                    self.abandon("the store takes no batch");
                }
            }
            Output::Send { peer, token, frame } => {
                tracing::trace!(token = token.0, bytes = frame.len(), "leaves");
                self.outgoing.push_back(network::Command::Send { peer, token, frame });
            }
            Output::Refuse { peer, number, code, retry_after } => {
                self.outgoing.push_back(network::Command::Refuse {
                    peer,
                    number,
                    code,
                    retry_after,
                });
            }
            Output::Connect { peer, addresses } => {
                self.outgoing.push_back(network::Command::Connect { peer, addresses });
            }
            Output::Ask(ask) => self.ask(ask),
            Output::Reply { id, reply } => {
                if let Some(waiting) = self.replies.remove(&id) {
                    drop(waiting.send(reply)); // Whoever asked may have gone.
                }
            }
            Output::Event(event) => drop(self.ends.events.send(event)), // Nobody may listen.
            Output::Fact(fact) => self.fact(&fact),
        }
    }
}
