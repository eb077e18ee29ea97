//! Orders to the nodes that we rent at: one after the other at each node, the most urgent first.
//!
//! See docs/SPEC.md, section "The client".

use std::time::Duration;

use rand_core::CryptoRng;

use super::super::timer::Reason;
use super::super::{Engine, Fact};
use super::command::MailboxState;
use super::rental::Rent;
use super::work::{Job, WORK_BITS_MAX};
use super::{Purpose, WITHIN};
use crate::error::Error;
use crate::id::{AccountId, DeviceId};
use crate::mailbox::{
    Answer, CURSORS_MAX, Offer, Order, Question, RefusalCode, RequestId, SignedOrder, Unanswered,
};
use crate::store::Store;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long a node that we rent at no more is tried: then its queue lapses by itself.
const FAREWELL: Duration = DAY.saturating_mul(7);

/// An order that is under way.
#[derive(Debug)]
pub(super) enum Ordered {
    Rent,
    Tags { added: Vec<AccountId>, removed: Vec<AccountId> },
    Taken(Vec<u64>),
    Fellows,
    Stock,
    End,
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Whatever is to be done at a node now.
    pub(in crate::engine) fn run_rental(&mut self, node: DeviceId) -> Result<(), Error> {
        let (now, wall) = (self.now.mono, self.now.wall);
        let Some(rent) = self.mail.rents.get_mut(&node) else { return Ok(()) };
        let ends_by = self.expiry.wall(); // A clock that jumps ends nothing.
        let gave_up = rent.rental.removed.is_some_and(|at| ends_by.since(at) > FAREWELL);
        let idle = rent.order.is_none() && rent.fetch.is_none();
        if idle && rent.rental.removed.is_some() && (gave_up || !rent.rental.rented) {
            return self.forget_rental(node);
        }
        if rent.rental.rented && rent.rental.until <= ends_by {
            self.lapse(node)?;
        }
        if self.mail.rents.get(&node).is_some_and(|r| r.order.is_none() && r.orders.is_open(now))
            && let Some((order, ordered)) = self.next_order(node)
        {
            self.give_order(node, &order, ordered);
        }
        self.next_fetch(node);
        let Some(rent) = self.mail.rents.get(&node) else { return Ok(()) };
        let closed = [rent.orders.not_before, rent.fetches.not_before];
        let opens = closed.into_iter().flatten().filter(|at| *at > now).min();
        let renewal =
            now + DAY.saturating_sub(wall.since(rent.rental.renewed)).max(super::RETRY_MIN);
        self.timers.set(Reason::Mailbox(node), opens.unwrap_or(renewal).min(renewal));
        Ok(())
    }

    fn next_order(&mut self, node: DeviceId) -> Option<(Order, Ordered)> {
        let wall = self.now.wall;
        let rent = self.mail.rents.get(&node)?;
        let leaves = rent.rental.removed.is_some();
        if !leaves && (!rent.rental.rented || !rent.tests.is_empty() || is_due(rent, wall)) {
            if rent.working {
                return None;
            }
            let access = rent.rental.access.clone();
            let request_tag = Some(rent.rental.request_tag);
            return Some((Order::Rent { access, request_tag, work: rent.work }, Ordered::Rent));
        }
        if !rent.rental.rented {
            return None;
        }
        if !rent.taken.is_empty() {
            let cursors: Vec<_> = rent.taken.iter().take(CURSORS_MAX).copied().collect();
            return Some((Order::Taken(cursors.clone()), Ordered::Taken(cursors)));
        }
        if leaves {
            return rent.drained.then_some((Order::End, Ordered::End));
        }
        if let Some(tags) = self.tags_order(node) {
            return Some(tags);
        }
        let rent = self.mail.rents.get_mut(&node)?;
        if std::mem::take(&mut rent.fellows) {
            let (rank, fellows) = (rent.rental.rank, self.fellows_of(node));
            return Some((Order::Fellows { rank, fellows }, Ordered::Fellows));
        }
        match self.stock_order(node) {
            Ok(stock) => stock,
            Err(error) => {
                self.fact(Fact::Refused(error.label()));
                None
            }
        }
    }

    fn give_order(&mut self, node: DeviceId, order: &Order, ordered: Ordered) {
        let Some(rent) = self.mail.rents.get(&node) else { return };
        let signed = SignedOrder::sign(order, &rent.rental.key(), node, rent.asker);
        let (place, veil) = (rent.place(), rent.veil.duplicate());
        let question = Question::Order(signed);
        let id = self.ask_node(place, veil, question, (Purpose::Order(ordered), WITHIN));
        if let Some(rent) = self.mail.rents.get_mut(&node) {
            rent.order = Some(id);
        }
    }

    pub(super) fn order_settled(
        &mut self,
        (node, request): (DeviceId, RequestId),
        ordered: Ordered,
        answer: Result<Answer, Unanswered>,
        after: Duration,
    ) -> Result<(), Error> {
        let Some(rent) = self.mail.rents.get_mut(&node) else { return Ok(()) };
        if rent.order != Some(request) {
            return Ok(());
        }
        rent.order = None;
        if answer.is_ok() {
            rent.round_trip = Some(after);
        }
        if matches!(answer, Ok(Answer::Done | Answer::Offer(_))) {
            (rent.trouble, rent.error) = (None, None);
            rent.orders = super::Gate::default();
        }
        let tested = matches!(ordered, Ordered::Rent);
        let done = match (ordered, answer) {
            (Ordered::Rent, Ok(Answer::Offer(offer))) => self.rented(node, offer),
            (Ordered::Tags { added, removed }, Ok(Answer::Done)) => {
                self.tags_left(node, &added, &removed);
                Ok(())
            }
            (Ordered::Taken(cursors), Ok(Answer::Done)) => {
                rent.taken.retain(|cursor| !cursors.contains(cursor));
                rent.rental.cursor = rent.behind();
                self.save_rental(node);
                Ok(())
            }
            (Ordered::Fellows | Ordered::Stock, Ok(Answer::Done)) => Ok(()),
            (Ordered::End, Ok(Answer::Done)) => return self.forget_rental(node),
            (ordered, answer) => self.order_failed(node, ordered, answer),
        };
        if tested {
            self.tests_done(node);
        }
        done?;
        self.run_rental(node)
    }

    /// The node keeps a queue for us.
    fn rented(&mut self, node: DeviceId, offer: Offer) -> Result<(), Error> {
        let wall = self.now.wall;
        let Some(rent) = self.mail.rents.get_mut(&node) else { return Ok(()) };
        let is_new = !rent.rental.rented;
        rent.rental.rented = true;
        rent.rental.renewed = wall;
        rent.rental.until = offer.until;
        rent.offer = Some(offer);
        rent.restocked = false;
        rent.work = 0;
        if !is_new {
            rent.lapses = 0;
        }
        if is_new {
            rent.fellows = true;
            rent.fetches = super::Gate::default();
        }
        self.save_rental(node);
        if is_new {
            self.compare_all_tags();
        }
        self.publish_rentals()
    }

    /// The node keeps no queue for us, or no longer: what we told it is gone.
    pub(super) fn lapse(&mut self, node: DeviceId) -> Result<(), Error> {
        let Some(rent) = self.mail.rents.get_mut(&node) else { return Ok(()) };
        rent.rental.rented = false;
        (rent.rental.cursor, rent.next, rent.again) = (0, 0, None);
        rent.taken.clear();
        // One that rents and forgets must not make us issue record after record.
        rent.orders.failures = rent.lapses;
        rent.orders.close(self.now.mono, Duration::ZERO, &mut self.rng);
        rent.lapses = rent.lapses.saturating_add(1);
        rent.error = Some("the node knows no queue of ours");
        for admitted in rent.admitted.values_mut() {
            admitted.confirmed = false;
        }
        self.save_rental(node);
        self.publish_rentals()
    }

    fn order_failed(
        &mut self,
        node: DeviceId,
        ordered: Ordered,
        answer: Result<Answer, Unanswered>,
    ) -> Result<(), Error> {
        let Some(rent) = self.mail.rents.get_mut(&node) else { return Ok(()) };
        let known_no_more = !matches!(ordered, Ordered::Rent);
        match ordered {
            Ordered::Tags { added, removed } => {
                rent.unsure.extend(added.into_iter().chain(removed))
            }
            Ordered::Fellows => rent.fellows = true,
            Ordered::Rent | Ordered::Taken(_) | Ordered::Stock | Ordered::End => {}
        }
        let now = self.now.mono;
        match answer {
            Ok(Answer::Refused { code: RefusalCode::Unknown, .. }) if known_no_more => {
                return self.lapse(node);
            }
            Ok(Answer::Refused { code: RefusalCode::Unpaid, work_bits, .. })
                if (1..=WORK_BITS_MAX).contains(&work_bits) && rent.work == 0 =>
            {
                let subject = rent.rental.queue().0;
                let working = self.add_job(Job::for_rental(node, subject, work_bits));
                if let Some(rent) = self.mail.rents.get_mut(&node) {
                    rent.working = working;
                    if !working {
                        rent.orders.close(now, Duration::ZERO, &mut self.rng);
                    }
                }
            }
            Ok(Answer::Refused { code, retry_after, .. }) => {
                rent.work = 0;
                rent.orders.close(now, retry_after, &mut self.rng);
                rent.trouble = Some(MailboxState::Refused(code));
                rent.error = Some(words(code));
            }
            Ok(_) => {
                rent.orders.close(now, Duration::ZERO, &mut self.rng);
                rent.error = Some("an answer to something else");
            }
            Err(why) => {
                rent.orders.close(now, Duration::ZERO, &mut self.rng);
                rent.trouble = Some(MailboxState::Unreachable);
                rent.error = Some(unanswered(why));
            }
        }
        Ok(())
    }
}

fn is_due(rent: &Rent, wall: crate::time::UnixMillis) -> bool {
    // Under a clock that went back it is due, too.
    wall.since(rent.rental.renewed) >= DAY || rent.rental.renewed > wall
}

/// A refusal for people.
pub(super) const fn words(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::Rejected => "refused",
        RefusalCode::Busy => "busy",
        RefusalCode::Internal => "the fault is at the node",
        RefusalCode::QuotaExceeded => "no room",
        RefusalCode::Unknown => "the node knows no queue of ours",
        RefusalCode::Unpaid => {
            "the operator's word is missing or wrong, or too much work is asked for"
        }
        RefusalCode::NoMailboxes => "the node keeps no mailboxes",
    }
}

/// The lack of an answer for people.
pub(super) const fn unanswered(why: Unanswered) -> &'static str {
    match why {
        Unanswered::Unreachable => "not reached",
        Unanswered::Silent => "no answer",
        Unanswered::Full => "too many questions wait here",
    }
}
