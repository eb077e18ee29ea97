//! Emptying our queues: a long question at each node, its envelopes treated as those of a file.
//!
//! What is taken is deleted there only when it is durable here. A node that invents envelopes or cursors,
//! or hands out the same ones for ever, is asked more and more seldom.
//!
//! See docs/SPEC.md, section "The client".

use std::time::Duration;

use rand_core::CryptoRng;

use super::super::frame::Taken;
use super::super::import::Fate;
use super::super::{Engine, Fact};
use super::command::MailboxState;
use super::order::{unanswered, words};
use super::{Purpose, WITHIN};
use crate::crypto::digest;
use crate::error::Error;
use crate::id::DeviceId;
use crate::mailbox::{
    Answer, Order, Page, Question, RefusalCode, RequestId, SignedOrder, Unanswered,
};
use crate::store::Store;

/// How long a node waits for an envelope before it says that there is none.
const WAIT: Duration = Duration::from_secs(60);

/// A page that came sooner although it is empty is no use.
const SOON: Duration = Duration::from_secs(5);

/// Pages in a row that bring nothing before we ask more seldom.
const IDLE_MAX: u32 = 8;

/// Envelopes that wait to be deleted: more are not fetched.
const TAKEN_MAX: usize = 4_096;

/// Before what came too soon is fetched again.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn next_fetch(&mut self, node: DeviceId) {
        let now = self.now.mono;
        let Some(rent) = self.mail.rents.get(&node) else { return };
        let leaves = rent.rental.removed.is_some();
        let idle = rent.fetch.is_none() && rent.fetches.is_open(now) && !(leaves && rent.drained);
        if !idle || !rent.rental.rented || rent.taken.len() >= TAKEN_MAX {
            return;
        }
        let wait = if leaves || rent.again.is_some() { Duration::ZERO } else { WAIT };
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let order = Order::Fetch { after: rent.next, wait_ms };
        let signed = SignedOrder::sign(&order, &rent.rental.key(), node, rent.asker);
        let (place, veil) = (rent.place(), rent.veil.duplicate());
        let asked = (Purpose::Fetch, WITHIN.saturating_add(wait));
        let id = self.ask_node(place, veil, Question::Order(signed), asked);
        if let Some(rent) = self.mail.rents.get_mut(&node) {
            rent.fetch = Some(id);
        }
    }

    pub(super) fn fetch_settled(
        &mut self,
        (node, request): (DeviceId, RequestId),
        answer: Result<Answer, Unanswered>,
        after: Duration,
    ) -> Result<(), Error> {
        let now = self.now.mono;
        let Some(rent) = self.mail.rents.get_mut(&node).filter(|r| r.fetch == Some(request)) else {
            return Ok(());
        };
        rent.fetch = None;
        let done = match answer {
            Ok(Answer::Page(page)) => self.page(node, page, after),
            Ok(Answer::Refused { code: RefusalCode::Unknown, .. }) => self.lapse(node),
            Ok(Answer::Refused { code, retry_after, .. }) => {
                rent.fetches.close(now, retry_after, &mut self.rng);
                rent.error = Some(words(code));
                Ok(())
            }
            Ok(_) => {
                rent.fetches.close(now, Duration::ZERO, &mut self.rng);
                rent.error = Some("an answer to something else");
                Ok(())
            }
            Err(why) => {
                rent.fetches.close(now, Duration::ZERO, &mut self.rng);
                rent.trouble = Some(MailboxState::Unreachable);
                rent.error = Some(unanswered(why));
                Ok(())
            }
        };
        done.and(self.run_rental(node))
    }

    fn page(&mut self, node: DeviceId, page: Page, after: Duration) -> Result<(), Error> {
        let now = self.now.mono;
        let Some(rent) = self.mail.rents.get_mut(&node) else { return Ok(()) };
        if page.next < rent.next || page.items.first().is_some_and(|i| i.cursor <= rent.next) {
            rent.fetches.close(now, Duration::ZERO, &mut self.rng);
            rent.error = Some("cursors that do not rise");
            return Ok(());
        }
        rent.fetched = Some(self.now.wall);
        if rent.trouble == Some(MailboxState::Unreachable) {
            (rent.trouble, rent.error) = (None, None);
        }
        let is_empty = page.items.is_empty();
        let mut useful = is_empty && after >= SOON;
        let mut failed = None;
        for item in page.items {
            let is_news = self.is_news(node, &item.seal);
            match self.take_seal(&item.seal, is_news) {
                Ok(Some(use_)) => {
                    useful |= use_;
                    self.taken(node, item.cursor);
                }
                Ok(None) => self.too_soon(node, item.cursor),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let Some(rent) = self.mail.rents.get_mut(&node) else { return Ok(()) };
        if failed.is_none() {
            rent.next = page.next;
        }
        rent.rental.cursor = rent.behind();
        rent.idle = if useful { 0 } else { rent.idle.saturating_add(1) };
        rent.fetches.failures = rent.idle.saturating_sub(IDLE_MAX);
        if rent.idle > IDLE_MAX || failed.is_some() {
            rent.fetches.close(now, Duration::ZERO, &mut self.rng);
        } else {
            rent.fetches.not_before = None;
        }
        if !page.more
            && let Some(again) = rent.again.take()
        {
            rent.next = again.saturating_sub(1);
            rent.fetches.close(now, BUSY_PAUSE, &mut self.rng);
        } else {
            rent.drained = is_empty;
        }
        if !is_empty {
            self.save_rental(node);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Whether the node hands this envelope out for the first time, as far as we remember.
    fn is_news(&mut self, node: DeviceId, seal: &[u8]) -> bool {
        let Some(rent) = self.mail.rents.get_mut(&node) else { return false };
        if rent.handed.len() >= TAKEN_MAX {
            rent.handed.clear();
        }
        rent.handed.insert(digest(seal))
    }

    /// One envelope: whether it was of use; `None` if it is to come again. What another node brought
    /// before is of use: that is what several nodes are for.
    fn take_seal(&mut self, seal: &[u8], is_news: bool) -> Result<Option<bool>, Error> {
        match self.import_one(seal) {
            Ok(Fate::Taken(Taken::Message | Taken::Notice)) => Ok(Some(true)),
            Ok(Fate::Taken(Taken::Duplicate)) => Ok(Some(is_news)),
            Ok(Fate::Taken(Taken::Unreadable) | Fate::NotForUs) => Ok(Some(false)),
            Err(Error::Busy { .. }) => Ok(None),
            Err(error @ Error::Store(_)) => Err(error),
            Err(error) => {
                self.fact(Fact::Refused(error.label()));
                Ok(Some(false))
            }
        }
    }

    fn taken(&mut self, node: DeviceId, cursor: u64) {
        if let Some(rent) = self.mail.rents.get_mut(&node) {
            rent.next = cursor;
            rent.taken.push(cursor);
        }
    }

    fn too_soon(&mut self, node: DeviceId, cursor: u64) {
        if let Some(rent) = self.mail.rents.get_mut(&node) {
            rent.next = cursor;
            rent.again = Some(rent.again.unwrap_or(cursor));
        }
    }
}
