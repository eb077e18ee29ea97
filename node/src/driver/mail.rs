//! Mailboxes, both ways: questions of ours go to the veils, those of peers to the door.

use bitchat_protocol::engine::Input;
use bitchat_protocol::mailbox::{Ask, is_request};
use tokio::sync::mpsc;

use super::Driver;
use super::door::{Door, is_ours};
use crate::network::Event;
use crate::veil::{Asker, Told};

/// The driver's ends of mailboxes.
#[derive(Debug)]
pub struct Mail {
    /// Questions of peers go there.
    pub door: Door,
    /// Asks mailbox nodes.
    pub asker: Asker,
    /// What became of these questions.
    pub told: mpsc::Receiver<Told>,
}

impl Driver {
    /// Sends a question of the engine on its way. What cannot go is told as any other end, but not
    /// from within the engine's outputs.
    pub(super) fn ask(&mut self, ask: Ask) {
        if let Err(told) = self.ends.mail.asker.ask(ask) {
            self.unasked.push_back(told);
        }
    }

    /// Whether the engine, if there is one, has room for an answer of a node and may write about it.
    pub(super) fn may_take_answers(&self, open: bool) -> bool {
        self.running.is_none() || (open && self.may_write())
    }

    /// Tells the engine what became of a question.
    pub(super) fn told(&mut self, Told { request, result }: Told) {
        self.feed(match result {
            Ok(frame) => Input::Answered { request, frame },
            Err(why) => Input::Unanswered { request, why },
        });
    }

    /// Takes out what is none of the engine's business: questions about mailboxes, the fate of the
    /// answers to them.
    pub(super) fn at_the_door(&mut self, event: Event) -> Option<Event> {
        match event {
            Event::Frame { peer, number, bytes } if is_request(&bytes) => {
                self.outgoing.extend(self.ends.mail.door.ask(peer, number, bytes));
                None
            }
            Event::Disconnected { peer } => {
                self.ends.mail.door.gone(peer);
                Some(event)
            }
            Event::Accepted { token, .. }
            | Event::SendFailed { token, .. }
            | Event::Refused { token, .. }
                if is_ours(token) =>
            {
                None
            }
            Event::Frame { .. }
            | Event::Connected { .. }
            | Event::Discovered { .. }
            | Event::Accepted { .. }
            | Event::SendFailed { .. }
            | Event::Refused { .. }
            | Event::Listening(_) => Some(event),
        }
    }
}
