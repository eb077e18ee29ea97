//! Building an engine from what lies in the store.
//!
//! See docs/SPEC.md, section "Delivery".

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rand_core::CryptoRng;

use super::Engine;
use super::breakers::Attempts;
use super::copies::read_copies;
use super::heal::Heals;
use super::limits::Limits;
use super::mailbox::Mail;
use super::timeout::Purge;
use super::timer::{Reason, Timers};
use crate::contact::{Book, CONTACTS_MAX, Contact};
use crate::error::Error;
use crate::id::InvitationToken;
use crate::identity::Identity;
use crate::inbox::{Conversations, Held};
use crate::invitation::{ContactRecord, Issued};
use crate::outbox::{self, Outbox, PAUSE_MAX};
use crate::prekey::{Pool, Prekeys};
use crate::resilience::breaker::{BREAKERS_MAX, Breakers, Policy};
use crate::resilience::{RetryBudget, SavedLimit};
use crate::session::Sessions;
use crate::store::{Commit, Key, Overlay, Store, StoreError, Table};
use crate::time::{ExpiryClock, Now};

/// Who the engine is and how it begins.
#[derive(Debug)]
pub struct Setup {
    /// Our device and certificate.
    pub identity: Identity,
    /// As we call ourselves.
    pub nickname: String,
    /// Whether to dial contacts at the start (a daemon does, a single command does not).
    pub greet: bool,
    /// Whether contacts are told what was read; a contact's own setting goes before.
    pub read_receipts: bool,
}

/// Rows read at a time.
const PAGE: usize = 1_000;

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Loads what a profile knows; a first start makes its prekeys and record.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if a row cannot be read: nothing is ever made anew over a row that exists.
    pub fn start(setup: Setup, store: S, mut rng: R, now: Now) -> Result<Self, Error> {
        let prekeys = known_or_new_prekeys(&store, &mut rng, now)?;
        let pool = Pool::load(&store)?;
        let record = store.get(&record_key())?.unwrap_or_default();
        let (book, copies) = (read_book(&store)?, read_copies(&store, &setup.identity)?);
        let next_cursor = store
            .scan_back(Table::Inbox, &[], None, 1)?
            .first()
            .and_then(crate::store::Row::number)
            .map_or(1, |last| last.saturating_add(1));
        let mut engine = Self {
            identity: setup.identity,
            nickname: setup.nickname,
            prekeys,
            pool,
            pool_dirty: true,
            asked: BTreeMap::new(),
            held: Held::load(&store)?,
            outbox: read_outbox(&store, now)?,
            send_ids: outbox::count_send_ids(&store)?,
            invitations: read_invitations(&store)?,
            rng,
            now,
            expiry: ExpiryClock::starting(now),
            book,
            sessions: Sessions::default(),
            conversations: Conversations::default(),
            limits: read_limits(&store, now)?,
            store: Overlay::new(store),
            heals: Heals::default(),
            mail: Mail::default(),
            links: BTreeSet::new(),
            shown: BTreeSet::new(),
            copies,
            breakers: Breakers::new(Policy::default(), BREAKERS_MAX),
            attempts: Attempts::default(),
            addresses: Vec::new(),
            record,
            told: BTreeMap::new(),
            record_sequence: 0,
            receipts: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            read_receipts: setup.read_receipts,
            budget: RetryBudget::new(now.mono),
            tokens: BTreeMap::new(),
            next_token: 0,
            next_cursor,
            greet: VecDeque::new(),
            greet_rounds: 0,
            purge: Purge::Seen(None),
            outbox_dirty: true,
            seal_now: true,
            timers: Timers::default(),
            commit: Commit::new(),
        };
        engine.begin(setup.greet)?;
        Ok(engine)
    }

    /// Issues the record if there is none that lasts, and sets every deadline.
    fn begin(&mut self, greets: bool) -> Result<(), Error> {
        self.load_rentals()?;
        match ContactRecord::verify(&self.record, self.now.wall) {
            Ok(record) => {
                self.named_mailboxes(record.mailboxes());
                self.addresses = record.addresses().to_vec();
                self.record_sequence = record.sequence();
                if greets || record.certificate() != self.identity.certificate() {
                    // One for each run, so that two copies that run can be told apart.
                    self.issue_record()?;
                }
            }
            Err(_) => self.issue_record()?,
        }
        let now = self.now.mono;
        for account in self.held.accounts().collect::<Vec<_>>() {
            self.set_held_timer(account);
        }
        for account in self.outbox.queues().map(|(account, _)| *account).collect::<Vec<_>>() {
            self.timers.set(Reason::Retry(account), now);
        }
        self.want_owed_notices()?;
        if greets {
            self.timers.set(Reason::Greet, now);
        }
        self.schedule_limits();
        self.timers.set(Reason::Maintenance, now + Duration::from_secs(60));
        if self.pool.is_low() {
            self.refill_prekeys();
        }
        self.report_prekeys();
        self.report_outbox();
        self.report_copies();
        self.report_keys();
        self.report_breakers();
        self.greet_after_restore()
    }

    /// Makes and stores a new signed record of ourselves.
    pub(super) fn issue_record(&mut self) -> Result<(), Error> {
        let mailboxes = self.record_mailboxes();
        let (identity, wall) = (&self.identity, self.now.wall);
        let places = (self.addresses.as_slice(), mailboxes.as_slice());
        self.record = ContactRecord::issue_naming(identity, &mut self.prekeys, places, wall)?;
        self.named_mailboxes(&mailboxes);
        self.record_sequence = ContactRecord::parse(&self.record)?.sequence();
        let sequence = self.record_sequence;
        self.change_copies(|copies| copies.issue(sequence));
        self.store.put(prekeys_key(), self.prekeys.encode());
        self.store.put(record_key(), self.record.clone());
        Ok(())
    }
}

fn prekeys_key() -> Key {
    Key::of(Table::Meta, b"prekeys")
}

fn record_key() -> Key {
    Key::of(Table::Meta, b"record")
}

fn known_or_new_prekeys(
    store: &impl Store,
    rng: &mut impl CryptoRng,
    now: Now,
) -> Result<Prekeys, StoreError> {
    match store.get(&prekeys_key())? {
        Some(value) => read_prekeys(&value),
        None => Ok(Prekeys::generate(rng, now.wall)),
    }
}

fn read_prekeys(value: &[u8]) -> Result<Prekeys, StoreError> {
    Prekeys::decode(value).map_err(|_| StoreError::Corrupt("prekeys"))
}

/// Calls `each` with every value of a table.
fn for_each(
    store: &impl Store,
    table: Table,
    mut each: impl FnMut(&[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let (values, next) = store.walk(table, after.as_ref(), PAGE)?;
        values.iter().try_for_each(|value| each(value))?;
        match next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(()),
        }
    }
}

/// What waits, and who asked not to be sent to. A clock that went back makes no pause longer than any may be.
fn read_outbox(store: &impl Store, now: Now) -> Result<Outbox, StoreError> {
    let mut outbox = Outbox::load(store)?;
    for (account, until) in outbox::pauses(store)? {
        outbox.told(account, now.mono + until.since(now.wall).min(PAUSE_MAX));
    }
    Ok(outbox)
}

fn read_limits(store: &impl Store, now: Now) -> Result<Limits, StoreError> {
    let mut limits = Limits::new();
    for_each(store, Table::Limiter, |value| {
        let saved = SavedLimit::decode(value).map_err(|_| StoreError::Corrupt("limiter row"))?;
        limits.restore(&saved, now);
        Ok(())
    })?;
    Ok(limits)
}

fn read_book(store: &impl Store) -> Result<Book, StoreError> {
    let mut book = Book::default();
    for_each(store, Table::Contact, |value| {
        let contact =
            Contact::from_record(value).map_err(|_| StoreError::Corrupt("contact row"))?;
        if book.len() < CONTACTS_MAX {
            book.insert(contact);
        }
        Ok(())
    })?;
    Ok(book)
}

fn read_invitations(store: &impl Store) -> Result<BTreeMap<InvitationToken, Issued>, StoreError> {
    let mut invitations = BTreeMap::new();
    for_each(store, Table::Invitation, |value| {
        let (token, issued) = Issued::decode(value)?;
        invitations.insert(token, issued);
        Ok(())
    })?;
    Ok(invitations)
}
