//! What a user asks about mailboxes.
//!
//! See docs/SPEC.md, section "The client".

use std::time::Duration;

use rand_core::CryptoRng;

use super::super::command::{CommandError, Reply};
use super::super::input::CommandId;
use super::super::timer::Reason;
use super::super::{Engine, Output};
use super::rental::Rent;
use crate::id::DeviceId;
use crate::invitation::is_address;
use crate::mailbox::{MAILBOXES_MAX, NODE_ADDRESSES_MAX, RefusalCode, Rental};
use crate::store::Store;
use crate::time::UnixMillis;

/// Bytes of an operator's word.
const ACCESS_BYTES_MAX: usize = 128;

/// Tests of one node that wait for its answer.
const TESTS_MAX: usize = 16;

/// How a rental is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxState {
    /// The node has not said yes yet.
    Renting,
    /// It keeps envelopes for us.
    Active,
    /// It was not reached the last time.
    Unreachable,
    /// It refused the last time.
    Refused(RefusalCode),
    /// It did keep envelopes for us and does not any more.
    Lapsed,
}

/// A node that we rent at.
#[derive(Clone, Debug)]
pub struct MailboxView {
    /// Whose mailboxes.
    pub node: DeviceId,
    /// Where it is.
    pub addresses: Vec<String>,
    /// Its place; 0 is the best.
    pub rank: u32,
    /// How the rental is.
    pub state: MailboxState,
    /// Bytes that lie there for us, as it said last.
    pub bytes: u64,
    /// Bytes that may lie there; 0: not known.
    pub bytes_max: u64,
    /// Envelopes that lie there for us, as it said last.
    pub envelopes: u64,
    /// Envelopes that may lie there; 0: not known.
    pub envelopes_max: u64,
    /// End of the rental unless it is renewed.
    pub until: Option<UnixMillis>,
    /// When it answered a fetch last, since this process started.
    pub fetched: Option<UnixMillis>,
    /// What went wrong last, in words, since this process started.
    pub error: Option<&'static str>,
    /// From the last order to its answer, dialling included.
    pub round_trip: Option<Duration>,
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(in crate::engine) fn mailbox_add(
        &mut self,
        node: DeviceId,
        addresses: Vec<String>,
        access: String,
    ) -> Result<Reply, CommandError> {
        if node == self.identity.device().id() {
            return Err(CommandError::OutOfRange("this node keeps no mailbox for itself"));
        }
        if addresses.is_empty() || addresses.len() > NODE_ADDRESSES_MAX {
            return Err(CommandError::OutOfRange("a mailbox node has 1 to 4 addresses"));
        }
        if !addresses.iter().all(|address| is_address(address)) {
            return Err(CommandError::OutOfRange("not a multiaddress"));
        }
        if access.len() > ACCESS_BYTES_MAX {
            return Err(CommandError::OutOfRange("an operator's word has at most 128 bytes"));
        }
        if !self.mail.rents.contains_key(&node) {
            self.add_rental(node)?;
        }
        let Some(rent) = self.mail.rents.get_mut(&node) else {
            return Err(CommandError::Internal("rental"));
        };
        rent.rental.addresses = addresses;
        rent.rental.access = access;
        rent.rental.removed = None;
        rent.try_now();
        let view = rent.view(self.now.wall);
        self.save_rental(node);
        self.publish_rentals()?;
        self.timers.set(Reason::Mailbox(node), self.now.mono);
        Ok(Reply::Mailbox(view))
    }

    fn add_rental(&mut self, node: DeviceId) -> Result<(), CommandError> {
        if self.mail.rents.len() >= MAILBOXES_MAX {
            return Err(CommandError::OutOfRange("at most 10 mailbox nodes"));
        }
        let ranks: Vec<_> = self.mail.rents.values().map(|rent| rent.rental.rank).collect();
        let rank = (0..).find(|rank| !ranks.contains(rank)).unwrap_or_default();
        let rental = Rental::new(node, rank, &mut self.rng);
        let veil = self.veil();
        self.mail.rents.insert(node, Rent::new(rental, veil));
        Ok(())
    }

    pub(in crate::engine) fn mailbox_list(&self) -> Reply {
        let known = self.mail.rents.values().filter(|rent| rent.rental.removed.is_none());
        let mut views: Vec<_> = known.map(|rent| rent.view(self.now.wall)).collect();
        views.sort_by_key(|view| view.rank);
        Reply::Mailboxes(views)
    }

    /// The reply waits for the node.
    pub(in crate::engine) fn mailbox_test(&mut self, id: CommandId, node: DeviceId) {
        let rented = self.mail.rents.get_mut(&node).filter(|rent| rent.rental.removed.is_none());
        let Some(rent) = rented else {
            let reply = Err(CommandError::UnknownMailbox(node));
            return self.after_writes(Output::Reply { id, reply });
        };
        if rent.tests.len() >= TESTS_MAX {
            let reply = Ok(Reply::Mailbox(rent.view(self.now.wall)));
            return self.after_writes(Output::Reply { id, reply });
        }
        rent.tests.push(id);
        rent.try_now();
        self.timers.set(Reason::Mailbox(node), self.now.mono);
    }

    /// Whoever tests a node is told how it is.
    pub(super) fn tests_done(&mut self, node: DeviceId) {
        let Some(rent) = self.mail.rents.get_mut(&node) else { return };
        let view = rent.view(self.now.wall);
        for id in std::mem::take(&mut rent.tests) {
            self.after_writes(Output::Reply { id, reply: Ok(Reply::Mailbox(view.clone())) });
        }
    }

    pub(in crate::engine) fn mailbox_remove(
        &mut self,
        node: DeviceId,
    ) -> Result<Reply, CommandError> {
        let rented = self.mail.rents.get_mut(&node).filter(|rent| rent.rental.removed.is_none());
        let rent = rented.ok_or(CommandError::UnknownMailbox(node))?;
        rent.rental.removed = Some(self.now.wall);
        rent.try_now();
        self.tests_done(node);
        self.save_rental(node);
        self.publish_rentals()?;
        self.timers.set(Reason::Mailbox(node), self.now.mono);
        Ok(Reply::Done)
    }
}

impl Rent {
    pub(super) fn view(&self, now: UnixMillis) -> MailboxView {
        let offer = self.offer.clone().unwrap_or_default();
        let until = Some(self.rental.until).filter(|until| until.0 > 0);
        let was_rented = until.is_some();
        let state = match self.trouble {
            Some(state) => state,
            None if self.rental.rented && until.is_some_and(|until| until > now) => {
                MailboxState::Active
            }
            None if was_rented => MailboxState::Lapsed,
            None => MailboxState::Renting,
        };
        MailboxView {
            node: self.rental.node,
            addresses: self.rental.addresses.clone(),
            rank: self.rental.rank,
            state,
            bytes: offer.bytes,
            bytes_max: offer.bytes_max,
            envelopes: offer.envelopes,
            envelopes_max: offer.envelopes_max,
            until,
            fetched: self.fetched,
            error: self.error,
            round_trip: self.round_trip,
        }
    }
}
