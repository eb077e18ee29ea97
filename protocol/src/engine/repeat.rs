//! Which row leaves next, and whether the retry budget lets it.

use rand_core::CryptoRng;

use super::drain::RETRY_MIN;
use super::timer::Reason;
use super::{Engine, Fact};
use crate::id::AccountId;
use crate::store::Store;

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn next_row(&self, account: AccountId, repeats: bool) -> Option<u64> {
        let queue = self.outbox.queue(&account)?;
        queue.next_to_send(self.now.mono, repeats).map(|(sequence, _)| sequence)
    }

    /// Whether the retry budget lets a row leave. What goes out for the first time, or anew on a fresh link
    /// or session, costs nothing; nor does the first repeat of each step of a contact's back-off.
    pub(super) fn may_hand_over(&mut self, account: AccountId, sequence: u64) -> bool {
        let Some(queue) = self.outbox.queue_mut(&account) else {
            return false;
        };
        if !queue.is_repeat(sequence) {
            if queue.entry(sequence).is_some_and(|entry| entry.attempts == 0) {
                self.budget.sent();
            }
            return true;
        }
        if std::mem::take(&mut queue.step_begun) {
            return true;
        }
        match self.budget.take(self.now.mono) {
            Ok(()) => true,
            Err(wait) => {
                self.fact(Fact::RetryHeld);
                let again = self.now.mono + wait.max(RETRY_MIN);
                self.timers.set_if_none(Reason::Retry(account), again);
                false
            }
        }
    }
}
