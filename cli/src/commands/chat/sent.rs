//! A message of this chat on its way.

use crate::args::State;
use crate::client::Delivery;
use crate::commands::send::reaches;
use crate::error::Stop;
use crate::output::{Output, mark};
use crate::sanitise;

/// Characters of a text that recall which message a mark is about.
const RECALL_CHARS: usize = 40;

/// A message that was sent in this chat.
#[derive(Debug)]
pub(super) struct Sent {
    /// Where it is, as far as was shown.
    pub(super) delivery: Delivery,
    recall: String,
}

impl Sent {
    /// A message that was just queued.
    pub(super) fn new(delivery: Delivery, text: &str) -> Self {
        let line = sanitise::line(text);
        let recall = match line.char_indices().nth(RECALL_CHARS) {
            Some((end, _)) => format!("{}…", line.get(..end).unwrap_or(&line)),
            None => line,
        };
        Self { delivery, recall }
    }

    /// Takes the present state; says whether it is another one.
    pub(super) fn advance(&mut self, delivery: Delivery) -> bool {
        let moved = delivery.state != self.delivery.state;
        self.delivery = delivery;
        moved
    }

    /// Prints mark and text.
    pub(super) fn show(&self, out: &mut Output) -> Result<(), Stop> {
        out.answer(&self.delivery, |paint| {
            format!("  {} {}", mark(&self.delivery.state, paint), self.recall)
        })
    }

    /// Whether nobody need wait for it at the end of input.
    pub(super) fn has_left(&self) -> bool {
        reaches(&self.delivery.state, State::Sent) || self.has_failed()
    }

    /// Whether no other mark is to come.
    pub(super) fn is_settled(&self) -> bool {
        self.has_arrived() || self.has_failed()
    }

    /// Whether the contact's device has it.
    pub(super) fn has_arrived(&self) -> bool {
        reaches(&self.delivery.state, State::Delivered)
    }

    /// Whether the contact may still say that it has read it.
    pub(super) fn may_be_read(&self) -> bool {
        self.has_arrived() && !self.is_read()
    }

    /// Whether the contact says that it has read it.
    pub(super) fn is_read(&self) -> bool {
        reaches(&self.delivery.state, State::Read)
    }

    fn has_failed(&self) -> bool {
        matches!(self.delivery.state.as_str(), "expired" | "undeliverable" | "rejected")
    }
}
