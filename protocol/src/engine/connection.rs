//! Links that come and go, and the fate of what was handed to them.
//!
//! See docs/SPEC.md, section "Delivery".

use std::time::Duration;

use rand_core::CryptoRng;

use super::timer::Reason;
use super::{DeliveryState, Engine};
use crate::envelope::Body;
use crate::error::{Code, Error};
use crate::id::{DeviceId, SendToken};
use crate::outbox::PAUSE_MAX;
use crate::resilience::Prefix;
use crate::store::Store;

/// Pause after a peer says that it is busy without saying for how long.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// Pause before a send that failed on a standing link (its queue was full) is tried again.
const FULL_PAUSE: Duration = Duration::from_millis(50);

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn connected(&mut self, peer: DeviceId, prefix: Prefix) -> Result<(), Error> {
        self.limits.linked(peer, prefix);
        if self.links.insert(peer) {
            self.told.remove(&peer); // What told it meanwhile may lie in a mailbox or a file.
        }
        self.link_came(peer);
        let Some(contact) = self.book.of_device(&peer) else {
            self.show_newest(peer); // If it is one that a contact had before.
            return Ok(());
        };
        let account = contact.account;
        self.timers.cancel(Reason::Retry(account));
        self.deposits_linked(account);
        if let Some(queue) = self.outbox.queue_mut(&account) {
            queue.failures = 0;
            queue.paused_until = None;
            (queue.asked, queue.ask_again) = (0, None);
            queue.restart();
        }
        let drained = self.drain(account);
        self.pay_owed(account)?;
        if self.told.get(&peer) != Some(&self.record_sequence) {
            self.send_unqueued(account, peer, Body::Update)?;
        }
        drained
    }

    pub(super) fn disconnected(&mut self, peer: DeviceId) -> Result<(), Error> {
        let stood = self.links.remove(&peer);
        self.told.remove(&peer);
        self.limits.unlinked(&peer);
        let unlinked = self.prekeys_unlinked(peer);
        self.shown.remove(&peer);
        let account = self.book.of_device(&peer).map(|contact| contact.account);
        self.link_went(peer, account);
        let Some(account) = account else {
            return unlinked;
        };
        self.timers.cancel(Reason::Retry(account));
        self.timers.cancel(Reason::Receipt(account));
        if let Some(queue) = self.outbox.queue_mut(&account) {
            queue.restart();
            queue.failures = if stood { 1 } else { queue.failures.saturating_add(1) };
            self.trouble(account, if stood { "the link broke" } else { "nobody answered" });
            self.want_link(account);
            self.want_deposit(account, !stood);
        }
        unlinked
    }

    /// A contact for whom something waits is near: no reason to wait out the back-off.
    pub(super) fn discovered(
        &mut self,
        peer: DeviceId,
        addresses: Vec<String>,
    ) -> Result<(), Error> {
        let Some(contact) = self.book.of_device(&peer) else {
            return Ok(());
        };
        let account = contact.account;
        if self.links.contains(&peer) || self.attempts.is_dialling(&peer) {
            return Ok(());
        }
        drop(addresses); // The network keeps them and uses them when told to connect.
        if let Some(queue) = self.outbox.queue_mut(&account) {
            queue.failures = 0;
            self.timers.set(Reason::Retry(account), self.now.mono);
        }
        Ok(())
    }

    pub(super) fn accepted(&mut self, token: SendToken) -> Result<(), Error> {
        let Some((account, sequence)) = self.tokens.get(&token).copied() else {
            return Ok(());
        };
        let Some(queue) = self.outbox.queue_mut(&account) else {
            return Ok(());
        };
        let message = queue.message(sequence);
        if queue.accepted(sequence, token)
            && let Some(message) = message
        {
            self.set_delivery(message, DeliveryState::Sent, "accepted by the recipient's node")?;
        }
        let before = self.store.open_writes();
        let drained = self.drain(account);
        if self.store.open_writes() == before && !self.sessions.is_dirty() {
            self.seal_soon();
        } else {
            self.seal_now = true;
        }
        self.await_receipts(account);
        drained
    }

    pub(super) fn send_failed(&mut self, token: SendToken) -> Result<(), Error> {
        let Some((account, sequence)) = self.tokens.remove(&token) else {
            return Ok(());
        };
        if let Some(queue) = self.outbox.queue_mut(&account) {
            queue.failed(sequence, token);
            queue.pause(self.now.mono + FULL_PAUSE);
            self.timers.set_if_none(Reason::Retry(account), self.now.mono + FULL_PAUSE);
        }
        Ok(())
    }

    pub(super) fn refused(
        &mut self,
        token: SendToken,
        code: Code,
        retry_after: Duration,
    ) -> Result<(), Error> {
        let Some((account, sequence)) = self.tokens.get(&token).copied() else {
            return Ok(());
        };
        let Some(queue) = self.outbox.queue_mut(&account) else {
            return Ok(());
        };
        match code {
            // Of a hand-over that is being repeated: the next one decides.
            Code::Stranger if queue.is_waiting(sequence) => {}
            Code::Stranger => {
                let message = queue.message(sequence).ok_or(Error::Bug("outbox index"))?;
                self.finish(
                    message,
                    DeliveryState::Rejected,
                    "the recipient does not know this account",
                )?;
            }
            Code::Unsupported => {
                let message = queue.message(sequence).ok_or(Error::Bug("outbox index"))?;
                let evidence = "the recipient's program cannot read this kind of message";
                self.finish(message, DeliveryState::Rejected, evidence)?;
            }
            Code::Busy | Code::Internal => {
                let pause = match retry_after {
                    Duration::ZERO => BUSY_PAUSE,
                    told => told.clamp(FULL_PAUSE, PAUSE_MAX),
                };
                queue.pause(self.now.mono + pause);
                queue.repeat(sequence);
                queue.step_begun = true;
                self.timers.set_if_none(Reason::Retry(account), self.now.mono + pause);
                if !retry_after.is_zero() {
                    self.told_to_wait(account, pause);
                }
                self.trouble(account, "the recipient's node is busy");
            }
            // It could not be opened there. The row stays; it is sent again when its receipt is overdue.
            Code::Rejected => {
                self.trouble(account, "the recipient's node could not take it");
                self.founding_refused(account)?;
            }
        }
        Ok(())
    }

    pub(super) fn addresses_changed(&mut self, addresses: Vec<String>) -> Result<(), Error> {
        let addresses = crate::invitation::best_addresses(addresses);
        if addresses != self.addresses {
            self.addresses = addresses;
            self.network_changed();
            self.issue_record()?;
            self.greet_rounds = 0;
            self.tell_record()?;
        }
        Ok(())
    }

    /// Sends our new record to every contact that is connected.
    pub(super) fn tell_record(&mut self) -> Result<(), Error> {
        let connected: Vec<_> = self
            .book
            .iter()
            .filter(|contact| self.links.contains(&contact.device))
            .map(|contact| (contact.account, contact.device))
            .collect();
        for (account, device) in connected {
            self.send_unqueued(account, device, Body::Update)?;
        }
        Ok(())
    }
}
