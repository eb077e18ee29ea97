//! The queue of one contact: what waits, what is on its way, when to try again.
//!
//! See docs/SPEC.md, section "Delivery".

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::{DeliveryState, OutboxRow};
use crate::envelope::{Body, Content};
use crate::id::{MessageId, SendToken, SessionId};
use crate::time::{Moment, UnixMillis};

/// Messages that may be encrypted on a session and not receipted: no more than the keys that the
/// recipient keeps for messages that did not come yet.
pub(super) const ENCRYPTED_MAX: usize = 2_000;

/// Frames handed to the network and not accepted by the peer. Half of what the network queues.
pub const IN_FLIGHT_MAX: usize = 512;

/// Where a row is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// To be handed to the network.
    Waiting,
    /// Handed over.
    Sending(SendToken),
    /// The peer's node has the bytes; its receipt is awaited.
    Accepted,
}

/// What the index knows of a row.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Message.
    pub message: MessageId,
    /// Where it is.
    pub stage: Stage,
    /// The session that it is encrypted on.
    pub session: Option<SessionId>,
    /// When it was queued.
    pub created: UnixMillis,
    /// When it is given up.
    pub expires: UnixMillis,
    /// How often it was handed over since the process started.
    pub attempts: u32,
    /// The last hand-over.
    pub token: Option<SendToken>,
    /// How far it got.
    pub state: DeliveryState,
    /// Bytes of its content.
    pub bytes: usize,
    /// Whether the user wrote it; a greeting is nobody's message.
    pub is_shown: bool,
}

impl Entry {
    pub(super) fn of(row: &OutboxRow) -> Self {
        Self {
            message: row.message,
            stage: Stage::Waiting,
            session: row.encrypted.as_ref().map(|(session, _)| *session),
            created: row.created,
            expires: row.expires,
            attempts: 0,
            token: None,
            state: DeliveryState::Queued,
            bytes: row.content.len(),
            is_shown: !matches!(
                Content::decode(&row.content),
                Ok(Content { body: Body::Hello, .. })
            ),
        }
    }
}

/// Rows for one contact, oldest first.
#[derive(Debug, Default)]
pub struct Queue {
    entries: BTreeMap<u64, Entry>,
    /// To be handed over for the first time, or anew on a fresh link or session.
    waiting: BTreeSet<u64>,
    /// To be handed over again although nothing says that the last time was in vain: each costs a retry.
    repeats: BTreeSet<u64>,
    sending: BTreeSet<u64>,
    encrypted: usize,
    last: u64,
    /// Attempts to reach the contact that failed in a row.
    pub failures: u32,
    /// Times in a row that a receipt was overdue.
    pub overdue: u32,
    /// Nothing is handed over before this, for a reason of our own.
    pub paused_until: Option<Moment>,
    /// Nothing is handed over before this, because the contact said so. No fresh link ends it.
    pub(super) told_until: Option<Moment>,
    /// Whether one repeat may leave whatever the budget says: a new step of the back-off began.
    pub step_begun: bool,
    /// What hindered the contact's messages last, and when.
    pub trouble: Option<(&'static str, UnixMillis)>,
    /// Times in a row that the contact was asked for its record.
    pub asked: u32,
    /// It is not asked again before this.
    pub ask_again: Option<Moment>,
}

impl Queue {
    pub(super) const fn next_sequence(&self) -> u64 {
        self.last.saturating_add(1)
    }

    pub(super) fn insert(&mut self, sequence: u64, entry: Entry) {
        self.last = self.last.max(sequence);
        self.encrypted = self.encrypted.saturating_add(usize::from(entry.session.is_some()));
        self.waiting.insert(sequence);
        self.entries.insert(sequence, entry);
    }

    pub(super) fn remove(&mut self, sequence: u64) -> Option<Entry> {
        let entry = self.entries.remove(&sequence)?;
        self.encrypted = self.encrypted.saturating_sub(usize::from(entry.session.is_some()));
        self.no_longer_waits(sequence);
        self.sending.remove(&sequence);
        Some(entry)
    }

    fn no_longer_waits(&mut self, sequence: u64) {
        self.waiting.remove(&sequence);
        self.repeats.remove(&sequence);
    }

    /// Until when nothing may be handed over, if not now.
    #[must_use]
    pub fn closed_until(&self, now: Moment) -> Option<Moment> {
        self.paused_until.max(self.told_until).filter(|until| now < *until)
    }

    /// The oldest row that may be handed over now; without `repeats`, the oldest that is none.
    #[must_use]
    pub fn next_to_send(&self, now: Moment, repeats: bool) -> Option<(u64, &Entry)> {
        if self.closed_until(now).is_some() || self.sending.len() >= IN_FLIGHT_MAX {
            return None;
        }
        let repeat = self.repeats.first().filter(|_| repeats);
        let sequence = match (self.waiting.first(), repeat) {
            (Some(waiting), Some(repeat)) => *waiting.min(repeat),
            (Some(only), None) | (None, Some(only)) => *only,
            (None, None) => return None,
        };
        let entry = self.entries.get(&sequence)?;
        self.fits(entry).then_some((sequence, entry))
    }

    /// Whether handing over a row now would be a repeat, which the retry budget pays for.
    #[must_use]
    pub fn is_repeat(&self, sequence: u64) -> bool {
        self.repeats.contains(&sequence)
    }

    /// A row reached a state.
    pub fn reached(&mut self, sequence: u64, state: DeliveryState) {
        if let Some(entry) = self.entries.get_mut(&sequence) {
            entry.state = entry.state.max(state);
        }
    }

    fn fits(&self, entry: &Entry) -> bool {
        entry.session.is_some() || self.encrypted < ENCRYPTED_MAX
    }

    /// Whether a row is encrypted, or may be: the recipient keeps no more keys.
    #[must_use]
    pub fn may_encrypt(&self, sequence: u64) -> bool {
        self.entries.get(&sequence).is_some_and(|entry| self.fits(entry))
    }

    /// The row that follows a place.
    #[must_use]
    pub fn next_after(&self, sequence: u64) -> Option<u64> {
        let after = (Bound::Excluded(sequence), Bound::Unbounded);
        self.entries.range(after).next().map(|(sequence, _)| *sequence)
    }

    /// A row was encrypted on a session.
    pub fn encrypted(&mut self, sequence: u64, session: SessionId) {
        if let Some(entry) = self.entries.get_mut(&sequence) {
            self.encrypted = self.encrypted.saturating_add(usize::from(entry.session.is_none()));
            entry.session = Some(session);
        }
    }

    /// A row was handed to the network; returns the token of the hand-over before, if there was one.
    pub fn handed_over(&mut self, sequence: u64, token: SendToken) -> Option<SendToken> {
        let entry = self.entries.get_mut(&sequence)?;
        entry.attempts = entry.attempts.saturating_add(1);
        entry.stage = Stage::Sending(token);
        let before = entry.token.replace(token);
        self.no_longer_waits(sequence);
        self.sending.insert(sequence);
        before
    }

    /// The peer accepted a row; says whether that is news.
    pub fn accepted(&mut self, sequence: u64, token: SendToken) -> bool {
        let Some(entry) =
            self.entries.get_mut(&sequence).filter(|e| e.stage == Stage::Sending(token))
        else {
            return false;
        };
        entry.stage = Stage::Accepted;
        self.sending.remove(&sequence);
        let is_news = entry.state < DeliveryState::Sent;
        entry.state = entry.state.max(DeliveryState::Sent);
        is_news
    }

    /// A row did not leave.
    pub fn failed(&mut self, sequence: u64, token: SendToken) {
        if let Some(entry) =
            self.entries.get_mut(&sequence).filter(|e| e.stage == Stage::Sending(token))
        {
            entry.stage = Stage::Waiting;
            self.sending.remove(&sequence);
            self.waiting.insert(sequence);
        }
    }

    /// Nothing is handed over before `until`; a longer pause that stands is not cut short.
    pub fn pause(&mut self, until: Moment) {
        self.paused_until = self.paused_until.max(Some(until));
    }

    /// Every row is to be handed over again, byte-identical.
    pub fn restart(&mut self) {
        for (sequence, entry) in &mut self.entries {
            entry.stage = Stage::Waiting;
            self.waiting.insert(*sequence);
        }
        self.repeats.clear();
        self.sending.clear();
    }

    /// Up to `limit` accepted rows, oldest first, are to be handed over again: their receipts are
    /// overdue. Says how many.
    pub fn repeat_oldest(&mut self, limit: usize) -> usize {
        let overdue = self.entries.iter_mut().filter(|(_, entry)| entry.stage == Stage::Accepted);
        let mut count = 0;
        for (sequence, entry) in overdue.take(limit) {
            entry.stage = Stage::Waiting;
            self.repeats.insert(*sequence);
            count += 1;
        }
        count
    }

    /// Rows that were encrypted on a session other than `session` are to be encrypted again.
    pub fn forget_other_sessions(&mut self, session: SessionId) {
        for (sequence, entry) in &mut self.entries {
            if entry.session.is_some_and(|used| used != session) {
                entry.session = None;
                entry.stage = Stage::Waiting;
                self.encrypted = self.encrypted.saturating_sub(1);
                self.sending.remove(sequence);
                self.repeats.remove(sequence);
                self.waiting.insert(*sequence);
            }
        }
    }

    /// One row is to be handed over again, however far it got.
    pub fn repeat(&mut self, sequence: u64) {
        if let Some(entry) = self.entries.get_mut(&sequence)
            && !self.waiting.contains(&sequence)
        {
            entry.stage = Stage::Waiting;
            self.sending.remove(&sequence);
            self.repeats.insert(sequence);
        }
    }

    /// Whether a row is to be handed over.
    #[must_use]
    pub fn is_waiting(&self, sequence: u64) -> bool {
        self.waiting.contains(&sequence) || self.repeats.contains(&sequence)
    }

    /// What the index knows of a row.
    #[must_use]
    pub fn entry(&self, sequence: u64) -> Option<&Entry> {
        self.entries.get(&sequence)
    }

    /// The oldest row.
    #[must_use]
    pub fn first(&self) -> Option<u64> {
        self.entries.keys().next().copied()
    }

    /// The message of a row.
    #[must_use]
    pub fn message(&self, sequence: u64) -> Option<MessageId> {
        self.entries.get(&sequence).map(|entry| entry.message)
    }

    /// The session that a row is encrypted on.
    #[must_use]
    pub fn session(&self, sequence: u64) -> Option<SessionId> {
        self.entries.get(&sequence).and_then(|entry| entry.session)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a receipt is awaited for a row that the peer accepted.
    #[must_use]
    pub fn awaits_receipt(&self) -> bool {
        self.entries.values().next().is_some_and(|entry| entry.stage == Stage::Accepted)
    }

    /// Every row, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(sequence, entry)| (*sequence, entry))
    }

    pub(super) fn oldest(&self) -> Option<UnixMillis> {
        self.entries.values().next().map(|entry| entry.created)
    }
}
