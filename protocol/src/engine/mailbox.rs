//! Mailboxes of others that keep envelopes for us, and for those we write to.
//!
//! ```text
//!   rentals:  Rent -> Tags, Fellows, Stock      orders, one after the other, signed by the queue's key
//!             Fetch -> import -> Taken          a long question of its own, always under way
//!   depots:   a message without a link -> seals at up to five nodes of its recipient -> custody
//! ```
//!
//! What is asked is a value (`Output::Ask`); each has one answer or the word that there is none. `rental`
//! and `order` keep our own queues, `tags` says who is let in there, `fetch` empties them, `depot`, `deposit` and
//! `receipts` leave envelopes for contacts, `work` pays where nobody knows us.
//!
//! See docs/SPEC.md, section "The client".

mod command;
mod deposit;
mod depot;
mod fetch;
mod order;
mod prekeys;
mod receipts;
mod rental;
mod tags;
mod work;

pub use command::{MailboxState, MailboxView};

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use rand_core::CryptoRng;

use super::drain::{RETRY, RETRY_MIN};
use super::{Engine, Output};
use crate::error::Error;
use crate::id::{AccountId, DeviceId};
use crate::invitation::RecordMailbox;
use crate::mailbox::{
    Answer, Ask, Epoch, Question, Request, RequestId, Response, Unanswered, Veil,
};
use crate::store::Store;
use crate::time::Moment;

use depot::{Depot, Flight};
use order::Ordered;
use rental::Rent;
use tags::Shared;
use work::Job;

/// How long an answer may take, dialling included.
const WITHIN: Duration = Duration::from_secs(30);

/// The longest wait that a node may impose on us.
const TOLD_MAX: Duration = Duration::from_secs(3_600);

/// Everything about mailboxes that is in memory.
#[derive(Debug, Default)]
pub(super) struct Mail {
    rents: BTreeMap<DeviceId, Rent>,
    asks: BTreeMap<RequestId, Pending>,
    veils: u64,
    notices: u64,
    jobs: VecDeque<Job>,
    depots: BTreeMap<AccountId, Depot>,
    /// Questions about deposits that are on their way.
    flights: BTreeMap<DeviceId, usize>,
    /// What our record says.
    published: Vec<RecordMailbox>,
    shared: BTreeMap<AccountId, Shared>,
    /// The week that the tags were compared in.
    week: Epoch,
}

/// A question that waits for its answer.
#[derive(Debug)]
struct Pending {
    node: DeviceId,
    at: Moment,
    purpose: Purpose,
}

/// What was asked for.
#[derive(Debug)]
enum Purpose {
    Order(Ordered),
    Fetch,
    Deposit(Flight),
    Prekeys(AccountId, DeviceId),
}

/// An attempt that failed makes the next wait.
#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    failures: u32,
    not_before: Option<Moment>,
}

impl Gate {
    fn is_open(&self, now: Moment) -> bool {
        self.not_before.is_none_or(|at| at <= now)
    }

    /// Closes for the back-off, and for what the node asked for.
    fn close(&mut self, now: Moment, told: Duration, rng: &mut impl CryptoRng) {
        let wait = RETRY.wait(self.failures, rng).max(RETRY_MIN).max(told.min(TOLD_MAX));
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + wait);
    }

    /// Closed as it is, and for what the node asks for.
    fn extend(&mut self, now: Moment, told: Duration) {
        self.not_before = self.not_before.max(Some(now + told.min(TOLD_MAX)));
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    fn veil(&mut self) -> Veil {
        self.mail.veils = self.mail.veils.saturating_add(1);
        Veil::random(self.mail.veils, &mut self.rng)
    }

    /// Asks a node. What it is to be told about us is durable before.
    fn ask_node(
        &mut self,
        (node, addresses): (DeviceId, Vec<String>),
        veil: Veil,
        question: Question,
        (purpose, within): (Purpose, Duration),
    ) -> RequestId {
        let id = RequestId::random(&mut self.rng);
        let frame = Request { id, question }.encode();
        self.mail.asks.insert(id, Pending { node, at: self.now.mono, purpose });
        self.after_writes(Output::Ask(Ask { request: id, node, addresses, veil, frame, within }));
        id
    }

    /// A node answers.
    pub(super) fn node_answered(&mut self, request: RequestId, frame: &[u8]) -> Result<(), Error> {
        let Some(pending) = self.mail.asks.remove(&request) else { return Ok(()) };
        let response = Response::decode(frame).ok().filter(|response| response.id == request);
        match response {
            Some(response) => self.settle_ask(request, pending, Ok(response.answer)),
            None => self.settle_ask(request, pending, Err(Unanswered::Silent)),
        }
    }

    /// A node does not.
    pub(super) fn node_unanswered(
        &mut self,
        request: RequestId,
        why: Unanswered,
    ) -> Result<(), Error> {
        let Some(pending) = self.mail.asks.remove(&request) else { return Ok(()) };
        self.settle_ask(request, pending, Err(why))
    }

    fn settle_ask(
        &mut self,
        request: RequestId,
        pending: Pending,
        answer: Result<Answer, Unanswered>,
    ) -> Result<(), Error> {
        let Pending { node, at, purpose } = pending;
        let after = self.now.mono.since(at);
        match purpose {
            Purpose::Order(ordered) => self.order_settled((node, request), ordered, answer, after),
            Purpose::Fetch => self.fetch_settled((node, request), answer, after),
            Purpose::Deposit(flight) => self.deposit_settled(node, flight, answer),
            Purpose::Prekeys(account, device) => {
                self.node_prekeys((account, device), answer);
                Ok(())
            }
        }
    }
}
