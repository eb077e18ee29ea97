//! The ladder: what each message of ours reached, and what the user may do about what waits.

use std::time::Duration;

use rand_core::CryptoRng;

use super::command::{CommandError, DeliveryView, QueueView, TrackView, WaitView};
use super::timer::Reason;
use super::{DeliveryState, Engine, Event, Fact, Output};
use crate::error::Error;
use crate::id::{AccountId, MessageId};
use crate::outbox::{self, CustodyReceipt, Delivery, Kept, OutboxRow, STORED_MIN, Stage};
use crate::store::{Store, StoreError};

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// A mailbox took custody of a message: `receipt` was verified by whoever calls. The message is `stored`
    /// when as many different mailboxes as [`STORED_MIN`], or as the recipient rents if those are fewer, say so.
    /// The receipt is kept whatever the state.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the message's row cannot be read.
    pub fn custody(
        &mut self,
        message: MessageId,
        receipt: CustodyReceipt,
        rented: usize,
    ) -> Result<(), Error> {
        let Some(mut delivery) = Delivery::read(&self.store, message)? else {
            return Ok(());
        };
        match delivery.keep(receipt) {
            Kept::Yes => delivery.write(&mut self.store, message),
            Kept::Known => {}
            Kept::NoRoom => self.fact(Fact::BoundReached("custody receipts")),
        }
        let needed = rented.clamp(1, STORED_MIN);
        let mailboxes = delivery.mailboxes(self.now.wall);
        if mailboxes >= needed {
            let evidence = format!("custody receipts of {mailboxes} mailboxes");
            self.set_delivery(message, DeliveryState::Stored, &evidence)?;
        }
        self.seal_now |= self.has_writes();
        Ok(())
    }

    /// The first state of a message.
    pub(super) fn begin_delivery(&mut self, id: MessageId, account: AccountId) -> DeliveryView {
        let delivery = Delivery::begin(account, self.now.wall);
        delivery.write(&mut self.store, id);
        self.delivery_view(id, &delivery)
    }

    /// Moves a message on, never back.
    pub(super) fn set_delivery(
        &mut self,
        id: MessageId,
        state: DeliveryState,
        evidence: &str,
    ) -> Result<(), Error> {
        let Some(mut delivery) = Delivery::read(&self.store, id)? else {
            return Ok(()); // Nobody is shown this message.
        };
        if delivery.reach(state, evidence, self.now.wall) {
            delivery.write(&mut self.store, id);
            self.outbox.reached(&id, state);
            self.fact(Fact::Reached { state, after: self.now.wall.since(delivery.queued()) });
            let view = self.delivery_view(id, &delivery);
            self.after_writes(Output::Event(Event::Delivery(view)));
        }
        Ok(())
    }

    /// Where a message of ours is; `None` if there never was such a message.
    pub(super) fn delivery(&self, id: MessageId) -> Result<Option<DeliveryView>, StoreError> {
        let delivery = Delivery::read(&self.store, id)?;
        Ok(delivery.map(|delivery| self.delivery_view(id, &delivery)))
    }

    fn delivery_view(&self, id: MessageId, delivery: &Delivery) -> DeliveryView {
        let newest = delivery.newest();
        DeliveryView {
            id,
            to: self.name_of(&delivery.account),
            state: newest.state,
            evidence: newest.evidence.clone(),
            at: newest.at,
        }
    }

    /// What waits, oldest first.
    pub(super) fn queue_views(&self) -> Vec<QueueView> {
        let mut views: Vec<_> = self
            .outbox
            .queues()
            .flat_map(|(account, queue)| queue.entries().map(move |(_, entry)| (account, entry)))
            .filter(|(_, entry)| entry.is_shown)
            .map(|(account, entry)| QueueView {
                id: entry.message,
                to: self.name_of(account),
                state: entry.state,
                created: entry.created,
                expires: entry.expires,
                attempts: entry.attempts,
                bytes: entry.bytes,
            })
            .collect();
        views.sort_by_key(|view| (view.created, view.id));
        views
    }

    /// Everything that is known of one message.
    pub(super) fn track(&self, id: MessageId) -> Result<TrackView, CommandError> {
        let delivery = Delivery::read(&self.store, id)?.ok_or(CommandError::UnknownMessage(id))?;
        Ok(TrackView {
            delivery: self.delivery_view(id, &delivery),
            steps: delivery.steps().cloned().collect(),
            custody: delivery.custody().to_vec(),
            late: delivery.late,
            waits: self.wait_view(id),
        })
    }

    fn wait_view(&self, id: MessageId) -> Option<WaitView> {
        let (account, _) = self.outbox.place(&id)?;
        let (entry, queue) = (self.outbox.entry(&id)?, self.outbox.queue(&account)?);
        let deadlines = [Reason::Retry(account), Reason::Receipt(account)];
        let next = deadlines.into_iter().filter_map(|reason| self.timers.get(reason)).min();
        let next = next.max(queue.closed_until(self.now.mono).filter(|_| next.is_some()));
        Some(WaitView {
            created: entry.created,
            expires: entry.expires,
            attempts: entry.attempts,
            bytes: entry.bytes,
            next_attempt: next.map(|at| self.now.wall_at(at)),
            trouble: queue.trouble,
            blocked: self.book.get(&account).is_some_and(crate::contact::Contact::is_blocked),
        })
    }

    /// Takes a message back that nobody has accepted.
    pub(super) fn cancel(&mut self, id: MessageId) -> Result<DeliveryView, CommandError> {
        let waits = self.outbox.entry(&id).filter(|entry| entry.is_shown);
        let entry = waits.ok_or(CommandError::NotWaiting(id))?.clone();
        if entry.state >= DeliveryState::Sent {
            return Err(CommandError::Accepted(id));
        }
        let evidence = if self.may_be_out(id, entry.attempts)? {
            "cancelled here; a copy had left before and may arrive all the same"
        } else {
            "cancelled before it left"
        };
        self.finish(id, DeliveryState::Undeliverable, evidence)?;
        self.delivery(id)?.ok_or(CommandError::UnknownMessage(id))
    }

    /// Whether a copy may be with somebody: it was encrypted, for a link or a file.
    fn may_be_out(&self, id: MessageId, attempts: u32) -> Result<bool, CommandError> {
        let Some(place) = self.outbox.place(&id) else { return Ok(false) };
        let row = self.store.get(&outbox::key_of(place))?;
        let row = row.ok_or(StoreError::Corrupt("outbox row"))?;
        Ok(attempts > 0 || OutboxRow::decode(&row)?.encrypted.is_some())
    }

    /// Tries a message now, whatever the back-off says; what the contact has asked for holds all the same.
    pub(super) fn retry_now(&mut self, id: MessageId) -> Result<TrackView, CommandError> {
        let place = self.outbox.place(&id).ok_or(CommandError::NotWaiting(id))?;
        if let Some(queue) = self.outbox.queue_mut(&place.0) {
            queue.failures = 0;
            queue.paused_until = None;
            queue.step_begun = true;
            if queue.entry(place.1).is_some_and(|entry| entry.stage == Stage::Accepted) {
                queue.repeat(place.1);
            }
        }
        self.timers.set(Reason::Retry(place.0), self.now.mono);
        self.track(id)
    }

    /// The contact asked us not to send for so long.
    pub(super) fn told_to_wait(&mut self, account: AccountId, wait: Duration) {
        if self.outbox.told(account, self.now.mono + wait) {
            outbox::remember_pause(&mut self.store, account, self.now.wall.plus(wait));
        }
    }

    /// The contact takes messages again, whatever it said before: it has begun a session with us.
    pub(super) fn welcome_again(&mut self, account: AccountId) {
        if self.outbox.welcome(&account) {
            outbox::forget_pause(&mut self.store, account);
        }
    }

    /// Notes what hindered a contact's messages.
    pub(super) fn trouble(&mut self, account: AccountId, what: &'static str) {
        let at = self.now.wall;
        if let Some(queue) = self.outbox.queue_mut(&account) {
            queue.trouble = Some((what, at));
        }
    }
}
