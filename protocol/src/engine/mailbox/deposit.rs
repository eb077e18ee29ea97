//! Rows of the outbox, left with the mailboxes of their recipient.
//!
//! The seal for a node is the same bytes at every retry: what it is made from lies in the store before it
//! leaves, and so does who gave custody. A node hands out each seal once, so when receipts stay away for
//! long, another attempt makes other seals of the same envelope.
//!
//! See docs/SPEC.md, section "The client".

use std::collections::BTreeSet;
use std::time::Duration;

use rand_core::CryptoRng;

use super::super::timer::Reason;
use super::super::{Engine, Fact};
use super::depot::{Cargo, Flight, ROOM_PAUSE, Row};
use crate::crypto::digest;
use crate::envelope::Frame;
use crate::error::Error;
use crate::id::{AccountId, DeviceId, MessageId};
use crate::mailbox::{Answer, Custody, Deposited, RefusalCode, Unanswered};
use crate::outbox::{CustodyReceipt, Place};
use crate::sealed;
use crate::store::Store;
use crate::time::Moment;

/// Rows at a time.
const PORTION: usize = 16;

/// After so long without a receipt another attempt begins; doubles.
const ATTEMPT: Duration = Duration::from_secs(6 * 3600);
const ATTEMPT_MAX: Duration = Duration::from_secs(48 * 3600);

/// The longest that a seal is left.
const KEPT_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// A node that keeps a seal for less is no help, unless less was asked for.
const KEPT_MIN: Duration = Duration::from_secs(3600);

/// How far a node's clock may be off when it says until when.
const SKEW: Duration = Duration::from_secs(600);

/// Before a row is looked at again that could not be encrypted.
const HELD_BACK: Duration = Duration::from_secs(10);

/// The pause after an answer that makes no sense, or for which only the contact can help.
const NONSENSE_PAUSE: Duration = Duration::from_secs(600);

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn deposit_rows(&mut self, account: AccountId) -> Result<(), Error> {
        self.take_up_rows(account);
        for _ in 0..PORTION {
            let now = self.now.mono;
            let Some(depot) = self.mail.depots.get_mut(&account) else { return Ok(()) };
            let Some((at, sequence)) = depot.due.first().copied().filter(|(at, _)| *at <= now)
            else {
                return Ok(());
            };
            depot.due.remove(&(at, sequence));
            if let Err(error) = self.deposit_row((account, sequence)) {
                self.look_again((account, sequence), HELD_BACK);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Rows that were queued since the last time.
    fn take_up_rows(&mut self, account: AccountId) {
        let now = self.now.mono;
        let Some(queue) = self.outbox.queue(&account) else { return };
        let Some(depot) = self.mail.depots.get_mut(&account) else { return };
        while let Some(sequence) = queue.next_after(depot.upto) {
            depot.upto = sequence;
            depot.due.insert((now, sequence));
        }
    }

    fn look_again(&mut self, (account, sequence): Place, wait: Duration) {
        let at = self.now.mono + wait;
        if let Some(depot) = self.mail.depots.get_mut(&account) {
            depot.due.insert((at, sequence));
        }
    }

    fn deposit_row(&mut self, place: Place) -> Result<(), Error> {
        let (account, sequence) = place;
        let queue = self.outbox.queue(&account);
        let Some(entry) = queue.and_then(|queue| queue.entry(sequence)) else { return Ok(()) };
        let (message, expires) = (entry.message, entry.expires);
        if !queue.is_some_and(|queue| queue.may_encrypt(sequence)) {
            self.look_again(place, HELD_BACK);
            return Ok(());
        }
        let depot = self.mail.depots.get(&account).ok_or(Error::Bug("depot"))?;
        let (recipient, target) = (depot.recipient.clone(), depot.target());
        self.found_anew_if_overdue(place, recipient.device())?;
        let (session, frame) = self.frame_of(place, recipient.device())?;
        let queue = self.outbox.queue_mut(&account).ok_or(Error::Bug("outbox index"))?;
        queue.encrypted(sequence, session);
        let Frame::Envelope(envelope) = Frame::decode(&frame)? else {
            return Err(Error::Bug("a row that holds no envelope"));
        };
        let letter = envelope.to_letter();
        self.ready_row(place, message, digest(&letter))?;
        let (open, opens) = self.open_nodes(account);
        for node in open {
            let Some(row) = self.row(place) else { return Ok(()) };
            let busy = row.asking.len().saturating_add(row.deposited.keepers.len());
            if busy >= target {
                break;
            }
            if row.asking.contains(&node) || row.deposited.keepers.contains_key(&node) {
                continue;
            }
            if !self.has_room(account, node) {
                self.look_again(place, ROOM_PAUSE);
                return Ok(());
            }
            let Some(row) = self.row_mut(place) else { return Ok(()) };
            row.asking.insert(node);
            let cargo = Cargo::Row { sequence, message, attempt: row.deposited.attempt };
            let mut rng = row.deposited.randomness(node, &recipient.to_bytes());
            let seal = sealed::seal(&self.identity, &recipient, &letter, &mut rng)?;
            let until = expires.min(self.now.wall.plus(KEPT_MAX));
            self.send_seal((account, node), cargo, (seal, until))?;
        }
        self.set_row_deadline(place, target, opens);
        Ok(())
    }

    fn open_nodes(&self, account: AccountId) -> (Vec<DeviceId>, Option<Moment>) {
        self.mail.depots.get(&account).map(|depot| depot.open(self.now.mono)).unwrap_or_default()
    }

    fn row(&self, (account, sequence): Place) -> Option<&Row> {
        self.mail.depots.get(&account)?.rows.get(&sequence)
    }

    fn row_mut(&mut self, (account, sequence): Place) -> Option<&mut Row> {
        self.mail.depots.get_mut(&account)?.rows.get_mut(&sequence)
    }

    /// Reads what is known of a row's seals, or begins; begins again if the letter is another one, or if
    /// receipts stay away.
    fn ready_row(
        &mut self,
        place: Place,
        message: MessageId,
        letter: [u8; 32],
    ) -> Result<(), Error> {
        let wall = self.now.wall;
        let (mut row, mut is_new) = match self.take_row(place) {
            Some(row) => (row, false),
            None => match self.store.get(&Deposited::key_of(place))? {
                Some(value) => (Row::of(message, Deposited::decode(&value)?), false),
                None => {
                    let deposited = Deposited::new(wall, letter, &mut self.rng);
                    (Row::of(message, deposited), true)
                }
            },
        };
        row.deposited.keepers.retain(|_, until| *until > wall);
        let overdue = wall.since(row.deposited.begun) >= attempt_wait(row.deposited.attempt);
        if row.deposited.letter != letter || overdue && !row.deposited.keepers.is_empty() {
            row.deposited.begin_again(wall, letter);
            row.asking.clear();
            is_new = true;
        }
        if is_new {
            self.store.put(Deposited::key_of(place), row.deposited.encode(place));
        }
        if let Some(depot) = self.mail.depots.get_mut(&place.0) {
            depot.rows.insert(place.1, row);
        }
        Ok(())
    }

    /// Receipts stay away although nodes gave custody: whoever is to read it may have lost the session,
    /// and without a link nobody says so. One that the contact has not answered shows it how to begin.
    fn found_anew_if_overdue(&mut self, place: Place, device: DeviceId) -> Result<(), Error> {
        let known = match self.row(place) {
            Some(row) => Some((row.deposited.begun, row.deposited.attempt)),
            None => match self.store.get(&Deposited::key_of(place))? {
                Some(value) => {
                    let deposited = Deposited::decode(&value)?;
                    Some((deposited.begun, deposited.attempt))
                }
                None => None,
            },
        };
        let wall = self.now.wall;
        let overdue =
            known.is_some_and(|(begun, attempt)| wall.since(begun) >= attempt_wait(attempt));
        if !overdue
            || self.links.contains(&device)
            || self.sessions.preferred(device, &self.store)?.is_none()
            || self.sessions.is_unconfirmed(device, &self.store)?
        {
            return Ok(());
        }
        match self.start_session(place.0, device) {
            Ok(session) => {
                if let Some(queue) = self.outbox.queue_mut(&place.0) {
                    queue.forget_other_sessions(session);
                }
                Ok(())
            }
            // Without a record that holds, what there is has to do.
            Err(Error::Stale(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take_row(&mut self, (account, sequence): Place) -> Option<Row> {
        self.mail.depots.get_mut(&account)?.rows.remove(&sequence)
    }

    /// When there is something to do for a row that no answer will bring about.
    fn set_row_deadline(&mut self, place: Place, target: usize, opens: Option<Moment>) {
        let (now, wall) = (self.now.mono, self.now.wall);
        let Some(row) = self.row(place) else { return };
        let lacks = row.asking.len().saturating_add(row.deposited.keepers.len()) < target;
        let attempt = attempt_wait(row.deposited.attempt);
        let next = now + attempt.saturating_sub(wall.since(row.deposited.begun)) + ROOM_PAUSE;
        let at = opens.filter(|_| lacks).map_or(next, |opens| opens.min(next));
        if let Some(depot) = self.mail.depots.get_mut(&place.0) {
            depot.due.insert((at, place.1));
        }
    }

    pub(super) fn deposit_settled(
        &mut self,
        node: DeviceId,
        flight: Flight,
        answer: Result<Answer, Unanswered>,
    ) -> Result<(), Error> {
        let account = flight.account;
        self.flown(account, node);
        let mut kept = None;
        match answer {
            Ok(Answer::Custody(custody)) if self.is_good(node, &flight, &custody) => {
                kept = Some(custody);
                if let Some(depot) = self.mail.depots.get_mut(&account) {
                    depot.gates.remove(&node);
                }
            }
            Ok(Answer::Refused { code, retry_after, work_bits }) => {
                let unknown = matches!(code, RefusalCode::Unknown | RefusalCode::Unpaid);
                if !unknown || !self.must_work(node, &flight, work_bits) {
                    let least = if unknown { NONSENSE_PAUSE } else { Duration::ZERO };
                    self.refused_by(account, node, retry_after.max(least));
                }
            }
            Ok(_) => {
                self.fact(Fact::BoundReached("custody that does not hold"));
                self.refused_by(account, node, NONSENSE_PAUSE);
            }
            Err(_) => self.refused_by(account, node, Duration::ZERO),
        }
        let done = match (flight.cargo, kept) {
            (Cargo::Row { sequence, message, attempt }, Some(custody)) => {
                self.kept(((account, sequence), message), attempt, node, &custody)
            }
            (Cargo::Notice(number), Some(_)) => self.notice_kept(account, number),
            (_, None) => Ok(()),
        };
        self.landed(account, node, flight.cargo);
        done
    }

    /// A node is asked no longer for this: what is left to do is done soon.
    pub(super) fn landed(&mut self, account: AccountId, node: DeviceId, cargo: Cargo) {
        let now = self.now.mono;
        let Some(depot) = self.mail.depots.get_mut(&account) else { return };
        match cargo {
            Cargo::Row { sequence, message, attempt } => {
                if let Some(row) = depot.rows.get_mut(&sequence)
                    && row.message == message
                    && row.deposited.attempt == attempt
                {
                    row.asking.remove(&node);
                    depot.due.retain(|(_, other)| *other != sequence);
                    depot.due.insert((now, sequence));
                }
            }
            Cargo::Notice(number) => {
                if let Some(notice) = &mut depot.notice
                    && notice.number == number
                {
                    notice.asking.remove(&node);
                    notice.again = Some(now);
                }
            }
        }
        self.timers.set(Reason::Deposit(account), now);
    }

    /// Whether this is the node's word for the seal, for a time that makes sense.
    fn is_good(&self, node: DeviceId, flight: &Flight, custody: &Custody) -> bool {
        let least = flight.until.min(self.now.wall.plus(KEPT_MIN));
        let sane = custody.until >= least && custody.until <= flight.until.plus(SKEW);
        sane && custody.verify_hash(node, &flight.seal_hash).is_ok()
    }

    /// A node keeps a row: written down, shown to the user.
    fn kept(
        &mut self,
        (place, message): (Place, MessageId),
        attempt: u32,
        node: DeviceId,
        custody: &Custody,
    ) -> Result<(), Error> {
        if self.outbox.place(&message) != Some(place) {
            return Ok(()); // It is delivered, or has ended.
        }
        if let Some(row) = self.row_mut(place)
            && row.message == message
            && row.deposited.attempt == attempt
        {
            row.deposited.keepers.insert(node, custody.until);
            let value = row.deposited.encode(place);
            self.store.put(Deposited::key_of(place), value);
        }
        let asked = self.mail.depots.get(&place.0).map_or(1, super::depot::Depot::target);
        let receipt = CustodyReceipt {
            mailbox: node,
            envelope: custody.seal_hash,
            until: custody.until,
            bytes: custody.encode(),
            at: self.now.wall,
        };
        self.custody(message, receipt, asked)
    }

    /// A row of the outbox is gone.
    pub(in crate::engine) fn forget_deposit(&mut self, place: Place) {
        if let Some(depot) = self.mail.depots.get_mut(&place.0) {
            depot.rows.remove(&place.1);
            if self.outbox.queue(&place.0).is_none() {
                depot.upto = 0; // Places are counted from the beginning again.
                depot.due.clear();
            }
        }
        self.store.delete(Deposited::key_of(place));
    }
}

impl Row {
    const fn of(message: MessageId, deposited: Deposited) -> Self {
        Self { message, deposited, asking: BTreeSet::new() }
    }
}

fn attempt_wait(attempt: u32) -> Duration {
    ATTEMPT.saturating_mul(1 << attempt.min(8)).min(ATTEMPT_MAX)
}
