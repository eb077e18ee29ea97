//! The engine: one profile's protocol as a state machine without sockets, clocks or threads.
//!
//! ```text
//!   Input --handle(input, now)--> Engine --poll_output()--> Output
//!                                   |
//!                                   +--poll_timeout()--> when to call with Input::Timeout
//! ```
//!
//! # Contract (docs/decisions/0001-sans-io-engine.md)
//!
//! - [`Engine::handle`] never fails, never blocks and never panics on remote bytes; failures are outputs.
//! - After each `handle` the driver drains [`Engine::poll_output`] to `None`.
//! - No output that depends on a write leaves before `Input::Persisted` proves its batch durable.
//! - Everything is bounded; while [`Engine::is_full`], the driver feeds nothing but `Persisted`.
//!
//! One file for each kind of input: `request`, `send`, `contacts` and `forget` (commands), `frame`, `admit` and
//! `deliver` (what arrives), `receipts` (what is said of it), `drain` and `ask` (what leaves), `ladder` (what
//! became of it), `prekeys` (what others ask for), `export` and `import` (files), `mailbox` (nodes that keep
//! envelopes), `connection`, `breakers` (whether to try at all), `timeout`. What may leave when: `store::Commit`.
//!
//! See docs/SPEC.md, section "Delivery".

pub mod command;
pub mod input;
pub mod output;

mod admit;
mod archive;
mod ask;
mod breakers;
mod connection;
mod contacts;
mod copies;
mod deliver;
mod drain;
mod export;
mod forget;
mod frame;
mod heal;
mod import;
mod invite;
mod keys;
mod ladder;
mod limits;
mod mailbox;
mod prekeys;
mod receipts;
mod repeat;
mod request;
mod send;
mod settings;
mod start;
mod timeout;
mod timer;
mod view;

pub use crate::id::SendToken;
pub use crate::outbox::DeliveryState;
pub use archive::{BackupCursor, BackupPage};
pub use breakers::{BreakerView, WithheldView};
pub use command::{
    Command, CommandError, ContactView, DeliveryView, Extent, IdentityView, InvitationView,
    KeyChangeView, MessageView, QueueView, Reply, TrackView, WaitView, Who,
};
pub use copies::{later_generation, restored_key};
pub use export::{Export, ExportView};
pub use import::{IMPORT_MAX, ImportView};
pub use input::{CommandId, Input};
pub use limits::LimitSettings;
pub use mailbox::{MailboxState, MailboxView};
pub use output::{Event, Fact, Output};
pub use settings::Settings;
pub use start::Setup;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand_core::CryptoRng;

use crate::contact::Book;
use crate::copies::Copies;
use crate::envelope::Receipts;
use crate::error::Error;
use crate::id::{AccountId, DeviceId, InvitationToken, MessageId};
use crate::identity::Identity;
use crate::inbox::{Conversations, Held};
use crate::invitation::Issued;
use crate::outbox::{Outbox, Place};
use crate::prekey::{Pool, Prekeys};
use crate::resilience::RetryBudget;
use crate::resilience::breaker::Breakers;
use crate::session::Sessions;
use crate::store::{BatchId, Commit, Overlay, Store, StoreError};
use crate::time::{ExpiryClock, Moment, Now};

use ask::Asked;
use breakers::Attempts;
use heal::Heals;
use limits::Limits;
use mailbox::Mail;
use timeout::Purge;
use timer::{Reason, Timers};

/// Writes or outputs that may wait before the driver must stop feeding.
const BACKLOG_MAX: usize = 8_192;

/// The longest that a write may wait for company.
const SEAL_WITHIN: Duration = Duration::from_millis(5);

/// One profile's protocol.
pub struct Engine<S, R> {
    identity: Identity,
    nickname: String,
    prekeys: Prekeys,
    pool: Pool,
    pool_dirty: bool,
    /// Questions for one-time keys, at most one for each contact.
    asked: BTreeMap<DeviceId, Asked>,
    store: Overlay<S>,
    rng: R,
    now: Now,
    expiry: ExpiryClock,
    book: Book,
    sessions: Sessions,
    conversations: Conversations,
    held: Held,
    outbox: Outbox,
    invitations: BTreeMap<InvitationToken, Issued>,
    limits: Limits,
    heals: Heals,
    mail: Mail,
    links: BTreeSet<DeviceId>,
    /// Devices that were shown the newest record of their account on their link.
    shown: BTreeSet<DeviceId>,
    copies: Copies,
    breakers: Breakers,
    /// Dials and frames that the breakers let through.
    attempts: Attempts,
    addresses: Vec<String>,
    record: Vec<u8>,
    /// Sequence of our record that a contact's device was told since this process started.
    told: BTreeMap<DeviceId, u64>,
    record_sequence: u64,
    /// What is to be said of messages when the batch is sealed.
    receipts: BTreeMap<AccountId, Receipts>,
    /// Notices of what was read, for contacts without a link.
    unsaid: BTreeMap<AccountId, Vec<MessageId>>,
    /// Whether contacts are told what was read, unless their own setting says otherwise.
    read_receipts: bool,
    budget: RetryBudget,
    /// Ids of sends that are remembered.
    send_ids: u64,
    tokens: BTreeMap<SendToken, Place>,
    next_token: u64,
    next_cursor: u64,
    greet: VecDeque<AccountId>,
    greet_rounds: u32,
    purge: Purge,
    outbox_dirty: bool,
    /// Whether what is written should go to the disk now; see [`Engine::seal_soon`].
    seal_now: bool,
    timers: Timers,
    commit: Commit<Output>,
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Takes one input.
    pub fn handle(&mut self, input: Input, now: Now) {
        self.now = now;
        self.watch_clock();
        let decides = matches!(input, Input::Accepted { .. } | Input::Persisted(_));
        let done = match input {
            Input::Command { id, command } => {
                self.command(id, command);
                Ok(())
            }
            Input::Frame { peer, number, bytes } => {
                self.frame(peer, number, &bytes);
                Ok(())
            }
            Input::Connected { peer, prefix } => self.connected(peer, prefix),
            Input::Disconnected { peer } => self.disconnected(peer),
            Input::Discovered { peer, addresses } => self.discovered(peer, addresses),
            Input::Accepted { peer, token } => {
                self.answered(peer, token);
                self.accepted(token)
            }
            Input::SendFailed { peer, token } | Input::Refused { peer, token, .. }
                if self.is_prekey_question(peer, token) =>
            {
                self.prekeys_denied(peer)
            }
            Input::SendFailed { token, .. } => self.send_failed(token),
            Input::Refused { peer, token, code, retry_after } => {
                self.answered(peer, token);
                self.refused(token, code, retry_after)
            }
            Input::Addresses(addresses) => self.addresses_changed(addresses),
            Input::Place(place) => {
                self.placed(place);
                Ok(())
            }
            Input::Answered { request, frame } => self.node_answered(request, &frame),
            Input::Unanswered { request, why } => self.node_unanswered(request, why),
            Input::Settings(settings) => {
                self.set(settings);
                Ok(())
            }
            Input::Stop => {
                self.save_limits();
                Ok(())
            }
            Input::Timeout => self.timeout(),
            Input::Persisted(durable) => {
                self.store.persisted(durable.batch());
                self.commit.persisted(durable.batch());
                Ok(())
            }
        };
        if let Err(error) = done {
            self.fact(Fact::Refused(error.label()));
        }
        self.report_breakers();
        // An acceptance decides for itself; a proof of durability writes nothing.
        self.seal_now |= !decides && self.has_writes();
    }

    fn command(&mut self, id: CommandId, command: Command) {
        if let Command::MailboxTest(node) = command {
            return self.mailbox_test(id, node); // Its reply comes with the node's answer.
        }
        let reply = self.request(command);
        self.after_writes(Output::Reply { id, reply });
    }

    fn set(&mut self, settings: Settings) {
        self.breakers.set_policy(settings.breaker);
        self.limits.set(settings.limits);
    }

    /// The next thing to do; `None` when all is said.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.commit.poll() {
            return Some(output);
        }
        // A driver that may feed nothing more cannot bring the deadline that seals.
        let seals = self.seal_now || self.is_full();
        if self.store.in_flight() > 0 || !seals || !self.has_writes() {
            return None;
        }
        self.seal_now = false;
        self.timers.cancel(Reason::Seal);
        self.flush_receipts();
        self.report_outbox();
        self.report_prekeys();
        self.sessions.write(&mut self.store);
        self.conversations.write(&mut self.store);
        let Some(batch) = self.store.seal() else {
            self.commit.nothing_written(self.store.last_sealed());
            return self.commit.poll();
        };
        Some(Output::Persist(batch))
    }

    /// When to call with `Input::Timeout`, and why.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        self.timers.next()
    }

    /// Whether so much waits for the disk that nothing but `Persisted` should be fed.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.store.open_writes() > BACKLOG_MAX || self.commit.len() > BACKLOG_MAX
    }

    /// Whether nothing is written, withheld or on its way to the disk.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !self.has_writes() && self.store.in_flight() == 0 && self.commit.is_empty()
    }

    /// The store below, without what is not durable yet.
    pub const fn store(&self) -> &S {
        self.store.below()
    }

    fn has_writes(&self) -> bool {
        self.store.open_writes() > 0
            || self.sessions.is_dirty()
            || self.conversations.is_dirty()
            || !self.receipts.is_empty()
    }

    /// The batch that holds everything written so far.
    fn written(&self) -> BatchId {
        if self.has_writes() { self.store.open_batch() } else { self.store.last_sealed() }
    }

    fn after_writes(&mut self, output: Output) {
        self.commit.behind(self.written(), output);
    }

    fn at_once(&mut self, output: Output) {
        self.commit.at_once(output);
    }

    fn fact(&mut self, fact: Fact) {
        self.commit.at_once(Output::Fact(fact));
    }

    /// What was written may wait for company: nobody's message depends on it. An acceptance is most
    /// often followed by the receipt, and a flush for it alone would stand in the receipt's way.
    fn seal_soon(&mut self) {
        if !self.seal_now && self.has_writes() {
            self.timers.set_if_none(Reason::Seal, self.now.mono + SEAL_WITHIN);
        }
    }

    fn take_token(&mut self) -> SendToken {
        self.next_token = self.next_token.saturating_add(1);
        SendToken(self.next_token)
    }

    /// Once for each batch, not for each message: finding the oldest row costs a look at every queue.
    fn report_outbox(&mut self) {
        if !std::mem::take(&mut self.outbox_dirty) {
            return;
        }
        let (rows, oldest) = (self.outbox.shown(), self.outbox.oldest());
        self.fact(Fact::Outbox { rows, oldest_ms: oldest.map(|at| at.0) });
        self.set_expiry_timer();
    }

    /// Tells when the wall clock was set while we run, and when it is back.
    fn watch_clock(&mut self) {
        if self.expiry.read(self.now) {
            self.fact(Fact::ClockJumped { skew_ms: self.expiry.skew() });
        }
    }

    fn set_expiry_timer(&mut self) {
        match self.outbox.first_expiry() {
            Some((at, _)) => {
                let wait = at.since(self.expiry.wall());
                self.timers.set(Reason::Expiry, self.now.mono + wait);
            }
            None => self.timers.cancel(Reason::Expiry),
        }
    }
}

impl<S, R> std::fmt::Debug for Engine<S, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Engine({:?})", self.identity.account())
    }
}

/// A failure inside a command, in the words of the command line.
impl From<Error> for CommandError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(StoreError::Full) => Self::DiskFull,
            Error::Store(error) => Self::Store(error.to_string()),
            Error::Malformed(part) => Self::BadLink(part.0),
            Error::NotAuthentic(what) => Self::BadLink(what),
            Error::Stale(_) => Self::LinkExpired,
            Error::Untrusted => Self::KeyChanged,
            Error::Bug(what) | Error::Busy { what, .. } => Self::Internal(what),
            Error::CounterJump { .. } | Error::Decrypt | Error::Spent | Error::Stranger => {
                Self::Internal("unexpected refusal")
            }
        }
    }
}
