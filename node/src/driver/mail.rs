//! Mailboxes, both ways: questions of ours go to the veils, those of peers to the door.

use bitchat_protocol::engine::Input;
use bitchat_protocol::mailbox::{Ask, is_request};

use super::Driver;
use super::door::is_ours;
use crate::network::Event;
use crate::veil::Told;

impl Driver {
    /// Sends a question of the engine on its way. What cannot go is told as any other end, but not
    /// from within the engine's outputs.
    pub(super) fn ask(&mut self, ask: Ask) {
        if let Err(told) = self.ends.asker.ask(ask) {
            self.unasked.push_back(told);
        }
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
                self.outgoing.extend(self.ends.door.ask(peer, number, bytes));
                None
            }
            Event::Disconnected { peer } => {
                self.ends.door.gone(peer);
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
