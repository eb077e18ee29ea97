//! Our rentals: what is known of each, at rest and since the start, and the record that names them.
//!
//! See docs/SPEC.md, section "The client".

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_core::CryptoRng;

use super::super::Engine;
use super::super::input::CommandId;
use super::super::timer::Reason;
use super::Gate;
use super::command::MailboxState;
use crate::error::Error;
use crate::id::{AccountId, DeviceId};
use crate::invitation::RecordMailbox;
use crate::mailbox::{Admitted, NODE_ADDRESSES_MAX, Offer, Rental, RequestId, Veil};
use crate::store::{Store, StoreError, Table};
use crate::time::{Moment, UnixMillis};

/// A rental and what is under way.
#[derive(Debug)]
pub(super) struct Rent {
    pub rental: Rental,
    /// As whom we ask there.
    pub veil: Veil,
    pub asker: DeviceId,
    /// Contacts that are let in, or may be.
    pub admitted: BTreeMap<AccountId, Admitted>,
    /// Contacts whose tags are to be compared with what the node has.
    pub unsure: BTreeSet<AccountId>,
    /// The order that is under way.
    pub order: Option<RequestId>,
    pub orders: Gate,
    /// Times that the node forgot us, since a day went well.
    pub lapses: u32,
    /// The fetch that is under way.
    pub fetch: Option<RequestId>,
    pub fetches: Gate,
    /// Pages in a row that brought nothing of use.
    pub idle: u32,
    /// Envelopes that it handed out lately: the same again is no use.
    pub handed: BTreeSet<[u8; 32]>,
    /// Where the next fetch begins.
    pub next: u64,
    /// The first envelope that must be fetched again: it came too soon.
    pub again: Option<u64>,
    /// Whether a fetch said that nothing lies there, since the start or the removal.
    pub drained: bool,
    /// Imported, and not deleted at the node yet.
    pub taken: Vec<u64>,
    /// Found for a new rental.
    pub work: u64,
    /// Whether work is being done.
    pub working: bool,
    /// Whether the node is to be told of our other nodes.
    pub fellows: bool,
    pub offer: Option<Offer>,
    /// When one-time prekeys were left last, since the start.
    pub stocked: Option<Moment>,
    /// Whether some were left since the node said how many there are.
    pub restocked: bool,
    pub trouble: Option<MailboxState>,
    pub fetched: Option<UnixMillis>,
    pub error: Option<&'static str>,
    pub round_trip: Option<Duration>,
    pub tests: Vec<CommandId>,
}

impl Rent {
    pub(super) fn new(rental: Rental, veil: Veil) -> Self {
        Self {
            next: rental.cursor,
            asker: veil.device(),
            rental,
            veil,
            admitted: BTreeMap::new(),
            unsure: BTreeSet::new(),
            order: None,
            orders: Gate::default(),
            lapses: 0,
            fetch: None,
            fetches: Gate::default(),
            idle: 0,
            handed: BTreeSet::new(),
            again: None,
            drained: false,
            taken: Vec::new(),
            work: 0,
            working: false,
            fellows: true,
            offer: None,
            stocked: None,
            restocked: false,
            trouble: None,
            fetched: None,
            error: None,
            round_trip: None,
            tests: Vec::new(),
        }
    }

    /// Whatever went wrong before: the next attempt is now.
    pub(super) fn try_now(&mut self) {
        self.orders.not_before = None;
        self.fetches.not_before = None;
        self.drained = false;
    }

    /// Where the first fetch after a restart begins: what came too soon, and what the node did not say yet
    /// that it deleted, is handed out once more, or it would lie there until its time is over.
    pub(super) fn behind(&self) -> u64 {
        let open = self.taken.iter().copied().chain(self.again).min();
        open.map_or(self.next, |first| self.next.min(first.saturating_sub(1)))
    }

    /// Whether envelopes may be left there for us.
    pub(super) fn is_active(&self) -> bool {
        self.rental.rented && self.rental.removed.is_none()
    }

    /// Where it is.
    pub(super) fn place(&self) -> (DeviceId, Vec<String>) {
        (self.rental.node, self.rental.addresses.clone())
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Reads what we rent. Before our record is issued: it names them.
    pub(in crate::engine) fn load_rentals(&mut self) -> Result<(), Error> {
        for value in self.whole_table(Table::Rental)? {
            let rental = Rental::decode(&value)?;
            let veil = self.veil();
            self.mail.rents.insert(rental.node, Rent::new(rental, veil));
        }
        for value in self.whole_table(Table::Admitted)? {
            let (node, admitted) = Admitted::decode(&value)?;
            match self.mail.rents.get_mut(&node) {
                Some(rent) => drop(rent.admitted.insert(admitted.account, admitted)),
                None => self.store.delete(Admitted::key_of(node, admitted.account)),
            }
        }
        let now = self.now.mono;
        for node in self.mail.rents.keys().copied().collect::<Vec<_>>() {
            self.timers.set(Reason::Mailbox(node), now);
        }
        self.compare_all_tags();
        Ok(())
    }

    fn whole_table(&self, table: Table) -> Result<Vec<Vec<u8>>, StoreError> {
        const PAGE: usize = 1_000;
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let (values, next) = self.store.walk(table, after.as_ref(), PAGE)?;
            all.extend(values);
            match next {
                Some(cursor) => after = Some(cursor),
                None => return Ok(all),
            }
        }
    }

    pub(super) fn save_rental(&mut self, node: DeviceId) {
        if let Some(rent) = self.mail.rents.get(&node) {
            self.store.put(Rental::key_of(node), rent.rental.encode());
        }
    }

    /// Nothing of it is left.
    pub(super) fn forget_rental(&mut self, node: DeviceId) -> Result<(), Error> {
        self.tests_done(node);
        if let Some(rent) = self.mail.rents.remove(&node) {
            for account in rent.admitted.keys() {
                self.store.delete(Admitted::key_of(node, *account));
            }
        }
        self.store.delete(Rental::key_of(node));
        self.timers.cancel(Reason::Mailbox(node));
        self.publish_rentals()
    }

    /// As our record names them, best first.
    pub(in crate::engine) fn record_mailboxes(&self) -> Vec<RecordMailbox> {
        let mut active: Vec<_> = self.mail.rents.values().filter(|rent| rent.is_active()).collect();
        active.sort_by_key(|rent| rent.rental.rank);
        let entry = |rent: &&Rent| RecordMailbox {
            device: rent.rental.node,
            addresses: rent.rental.addresses.iter().take(NODE_ADDRESSES_MAX).cloned().collect(),
            request_tag: Some(rent.rental.request_tag.0),
        };
        active.iter().map(entry).collect()
    }

    /// What our record says now.
    pub(in crate::engine) fn named_mailboxes(&mut self, named: &[RecordMailbox]) {
        self.mail.published = named.to_vec();
    }

    /// Issues the record anew if it names other mailboxes than those that are active, and tells contacts.
    pub(super) fn publish_rentals(&mut self) -> Result<(), Error> {
        let active = self.record_mailboxes();
        if active == self.mail.published {
            return Ok(());
        }
        self.issue_record()?;
        for rent in self.mail.rents.values_mut() {
            rent.fellows = true;
        }
        self.compare_all_tags();
        self.tell_record()
    }
}
