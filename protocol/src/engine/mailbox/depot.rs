//! What is known of a contact's mailboxes, and how many questions are on their way to them.
//!
//! See docs/SPEC.md, section "The client".

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_core::CryptoRng;

use super::super::Engine;
use super::super::timer::Reason;
use super::receipts::Notice;
use super::work::{Job, WORK_BITS_MAX};
use super::{Gate, Purpose, WITHIN};
use crate::contact::Contact;
use crate::crypto::digest;
use crate::error::Error;
use crate::id::{AccountId, DeviceId, MessageId};
use crate::identity::Certificate;
use crate::invitation::{ContactRecord, RecordMailbox};
use crate::mailbox::{ACTIVE_MAX, Admission, Deposited, Epoch, Question, Tag, Veil, WORK_BITS};
use crate::store::Store;
use crate::time::{Moment, UnixMillis};

/// How long a link may take before mailboxes are asked.
pub(super) const LINK_WAIT: Duration = Duration::from_secs(3);

/// How long receipts gather before they are left with mailboxes.
const GATHER: Duration = Duration::from_secs(2);

/// Questions on their way: to one node, for one contact, and in all.
const NODE_FLIGHTS: usize = 64;
const CONTACT_FLIGHTS: usize = 160;
const FLIGHTS: usize = 512;

/// Before there may be room for another question.
pub(super) const ROOM_PAUSE: Duration = Duration::from_millis(200);

/// Nodes that a stranger works for: each costs a core some time.
const STRANGER_NODES: usize = 3;

/// The way to one contact's mailboxes.
#[derive(Debug)]
pub(super) struct Depot {
    /// As whom we ask for this contact.
    pub veil: Veil,
    pub recipient: Certificate,
    /// Best first.
    pub mailboxes: Vec<RecordMailbox>,
    /// Whether the contact changed since it was read.
    pub stale: bool,
    pub gates: BTreeMap<DeviceId, Gate>,
    /// Nodes that want work: they do not know our token.
    pub paid: BTreeMap<DeviceId, u32>,
    pub rows: BTreeMap<u64, Row>,
    /// When there is something to do for a row.
    pub due: BTreeSet<(Moment, u64)>,
    /// Rows up to this one were taken up.
    pub upto: u64,
    pub notice: Option<Notice>,
    /// Whether a node is asked for one-time prekeys of the contact.
    pub asks_prekeys: bool,
    flights: usize,
}

/// A row of the outbox on its way.
#[derive(Debug)]
pub(super) struct Row {
    pub message: MessageId,
    pub deposited: Deposited,
    /// Nodes that are being asked, or worked for.
    pub asking: BTreeSet<DeviceId>,
}

/// What a seal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cargo {
    /// A row of the outbox, in this attempt. Places are used again; messages are not.
    Row { sequence: u64, message: MessageId, attempt: u32 },
    /// Receipts that are owed: which of the notices of this process.
    Notice(u64),
}

/// A seal on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub account: AccountId,
    pub cargo: Cargo,
    pub seal_hash: [u8; 32],
    pub until: UnixMillis,
    /// Work that was done for it; 0: it showed a token.
    pub bits: u32,
}

impl Depot {
    /// How many nodes are to keep something.
    pub(super) fn target(&self) -> usize {
        let most = if self.paid.is_empty() { ACTIVE_MAX } else { STRANGER_NODES };
        self.mailboxes.len().min(most)
    }

    /// Nodes that may be asked now, best first; and when another may be.
    pub(super) fn open(&self, now: Moment) -> (Vec<DeviceId>, Option<Moment>) {
        let gate = |node: &DeviceId| self.gates.get(node).copied().unwrap_or_default();
        let nodes = self.mailboxes.iter().map(|mailbox| mailbox.device);
        let (open, closed): (Vec<_>, Vec<_>) = nodes.partition(|node| gate(node).is_open(now));
        (open, closed.iter().filter_map(|node| gate(node).not_before).min())
    }

    /// Where a node is.
    pub(super) fn place(&self, node: DeviceId) -> Option<(DeviceId, Vec<String>)> {
        self.mailbox(node).map(|mailbox| (node, mailbox.addresses.clone()))
    }

    fn mailbox(&self, node: DeviceId) -> Option<&RecordMailbox> {
        self.mailboxes.iter().find(|mailbox| mailbox.device == node)
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Something waits for a contact, and no link may come.
    pub(in crate::engine) fn want_deposit(&mut self, account: AccountId, is_hopeless: bool) {
        let at = self.now.mono + if is_hopeless { Duration::ZERO } else { LINK_WAIT };
        if is_hopeless {
            self.timers.set(Reason::Deposit(account), at);
        } else {
            self.timers.set_if_none(Reason::Deposit(account), at);
        }
    }

    /// Receipts are owed to a contact without a link.
    pub(in crate::engine) fn want_notice(&mut self, account: AccountId) {
        self.timers.set_if_none(Reason::Deposit(account), self.now.mono + GATHER);
    }

    /// A link stands: what is owed goes over it.
    pub(in crate::engine) fn deposits_linked(&mut self, account: AccountId) {
        if let Some(depot) = self.mail.depots.get_mut(&account) {
            depot.notice = None;
        }
        self.timers.cancel(Reason::Deposit(account));
    }

    /// Whether mailboxes are the way: no link, or one that brings no receipts.
    pub(super) fn may_deposit(&self, account: AccountId) -> bool {
        let Some(contact) = self.book.get(&account).filter(|c| !Contact::is_blocked(c)) else {
            return false;
        };
        let overdue = self.outbox.queue(&account).is_some_and(|queue| queue.overdue > 0);
        overdue || !self.links.contains(&contact.device)
    }

    /// Whether a seal that was made is still to leave: the work for it takes its time.
    pub(super) fn is_wanted(&self, (account, node): (AccountId, DeviceId), cargo: Cargo) -> bool {
        let Some(depot) = self.mail.depots.get(&account) else { return false };
        let asks = match cargo {
            Cargo::Row { sequence, message, attempt } => {
                depot.rows.get(&sequence).is_some_and(|row| {
                    let is_same = row.message == message && row.deposited.attempt == attempt;
                    is_same && row.asking.contains(&node)
                })
            }
            Cargo::Notice(number) => depot
                .notice
                .as_ref()
                .is_some_and(|notice| notice.number == number && notice.asking.contains(&node)),
        };
        asks && self.may_deposit(account)
    }

    /// Leaves what waits for a contact with its mailboxes, as far as there is room.
    pub(in crate::engine) fn deposit(&mut self, account: AccountId) -> Result<(), Error> {
        if !self.may_deposit(account) || !self.refresh_depot(account)? {
            return Ok(());
        }
        let Some(depot) = self.mail.depots.get(&account) else { return Ok(()) };
        let device = depot.recipient.device();
        if !self.has_way(account, device)? {
            return Ok(());
        }
        if self.awaits_node_prekeys(account, device)? {
            return Ok(());
        }
        let done = self.deposit_receipts(account).and(self.deposit_rows(account));
        if let Some(depot) = self.mail.depots.get(&account) {
            let notice = depot.notice.as_ref().and_then(|notice| notice.again);
            let row = depot.due.first().map(|(at, _)| *at);
            if let Some(at) = row.into_iter().chain(notice).min() {
                self.timers.set(Reason::Deposit(account), at.max(self.now.mono));
            }
        }
        done
    }

    /// Reads a contact's mailboxes from its record; says whether there are any.
    fn refresh_depot(&mut self, account: AccountId) -> Result<bool, Error> {
        if self.mail.depots.get(&account).is_some_and(|depot| !depot.stale) {
            return Ok(true);
        }
        let Some(contact) = self.book.get(&account) else { return Ok(false) };
        let Some(bytes) = contact.record.as_deref() else { return Ok(false) };
        let record = ContactRecord::parse(bytes)?;
        let (mailboxes, recipient) = (record.mailboxes().to_vec(), record.certificate().clone());
        if mailboxes.is_empty() || recipient.device() != contact.device {
            self.mail.depots.remove(&account);
            return Ok(false);
        }
        if let Some(depot) = self.mail.depots.get_mut(&account) {
            (depot.mailboxes, depot.recipient, depot.stale) = (mailboxes, recipient, false);
            depot.paid.clear();
            depot.gates.clear();
            return Ok(true);
        }
        let depot = Depot {
            veil: self.veil(),
            recipient,
            mailboxes,
            stale: false,
            gates: BTreeMap::new(),
            paid: BTreeMap::new(),
            rows: BTreeMap::new(),
            due: BTreeSet::new(),
            upto: 0,
            notice: None,
            asks_prekeys: false,
            flights: 0,
        };
        self.mail.depots.insert(account, depot);
        Ok(true)
    }

    /// Whether a question to this node, for this contact, may leave now.
    pub(super) fn has_room(&self, account: AccountId, node: DeviceId) -> bool {
        let at_node = self.mail.flights.get(&node).copied().unwrap_or_default();
        let all: usize = self.mail.flights.values().sum();
        let for_contact = self.mail.depots.get(&account).map_or(0, |depot| depot.flights);
        at_node < NODE_FLIGHTS && all < FLIGHTS && for_contact < CONTACT_FLIGHTS
    }

    /// Sends a seal to a node, with the token of the week, or the work for it first.
    pub(super) fn send_seal(
        &mut self,
        (account, node): (AccountId, DeviceId),
        cargo: Cargo,
        (seal, until): (Vec<u8>, UnixMillis),
    ) -> Result<(), Error> {
        let depot = self.mail.depots.get(&account).ok_or(Error::Bug("depot"))?;
        let mailbox = depot.mailbox(node).ok_or(Error::Bug("mailbox of a depot"))?;
        if let Some(bits) = depot.paid.get(&node) {
            let tag = Tag(mailbox.request_tag.ok_or(Error::Bug("request tag"))?);
            let subject = Admission::subject(&tag, &seal);
            let job = Job::for_deposit(node, subject, *bits, (account, cargo, tag, seal, until));
            if !self.add_job(job) {
                self.refused_by(account, node, Duration::ZERO);
                self.landed(account, node, cargo);
            }
            return Ok(());
        }
        let week = Epoch::at(self.now.wall);
        let shared = self.shared(account)?.ok_or(Error::Stranger)?;
        let admission = Admission::Token(shared.theirs.token(node, week));
        self.fly((account, node), cargo, (admission, seal, until));
        Ok(())
    }

    pub(super) fn fly(
        &mut self,
        (account, node): (AccountId, DeviceId),
        cargo: Cargo,
        (admission, seal, until): (Admission, Vec<u8>, UnixMillis),
    ) {
        let Some(depot) = self.mail.depots.get_mut(&account) else { return };
        let Some(mailbox) = depot.mailbox(node) else {
            return self.landed(account, node, cargo);
        };
        let place = (node, mailbox.addresses.clone());
        let veil = depot.veil.duplicate();
        let bits = match admission {
            Admission::Token(_) => 0,
            Admission::Work { .. } => depot.paid.get(&node).copied().unwrap_or_default(),
        };
        depot.flights = depot.flights.saturating_add(1);
        let flights = self.mail.flights.entry(node).or_default();
        *flights = flights.saturating_add(1);
        let flight = Flight { account, cargo, seal_hash: digest(&seal), until, bits };
        let question = Question::Deposit { admission, until, seal };
        self.ask_node(place, veil, question, (Purpose::Deposit(flight), WITHIN));
    }

    /// A question about a contact's deposits has its answer, or none.
    pub(super) fn flown(&mut self, account: AccountId, node: DeviceId) {
        if let Some(depot) = self.mail.depots.get_mut(&account) {
            depot.flights = depot.flights.saturating_sub(1);
        }
        if let Some(flights) = self.mail.flights.get_mut(&node) {
            *flights = flights.saturating_sub(1);
            if *flights == 0 {
                self.mail.flights.remove(&node);
            }
        }
    }

    /// A node is not asked for this contact for a while.
    pub(super) fn refused_by(&mut self, account: AccountId, node: DeviceId, told: Duration) {
        if let Some(depot) = self.mail.depots.get_mut(&account) {
            let gate = depot.gates.entry(node).or_default();
            // Questions that were on their way together fail together, and count as one failure.
            if gate.is_open(self.now.mono) {
                gate.close(self.now.mono, told, &mut self.rng);
            } else {
                gate.extend(self.now.mono, told);
            }
        }
    }

    /// A node does not know our token, or wants more work: under the owner's request tag it takes it. Says
    /// whether asking again is of use.
    pub(super) fn must_work(&mut self, node: DeviceId, flight: &Flight, bits: u32) -> bool {
        let Some(depot) = self.mail.depots.get_mut(&flight.account) else { return false };
        let may = depot.mailbox(node).is_some_and(|mailbox| mailbox.request_tag.is_some());
        let bits = bits.max(WORK_BITS);
        if !may || bits > WORK_BITS_MAX || bits <= flight.bits {
            return false;
        }
        let known = depot.paid.entry(node).or_default();
        *known = bits.max(*known);
        true
    }

    /// A contact changed.
    pub(super) fn doubt_depot(&mut self, account: AccountId) {
        if self.book.get(&account).is_none() {
            self.mail.depots.remove(&account);
            self.timers.cancel(Reason::Deposit(account));
        } else if let Some(depot) = self.mail.depots.get_mut(&account) {
            depot.stale = true;
        }
    }
}
