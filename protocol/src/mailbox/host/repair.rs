//! Repair without the owner: active nodes ask one another whether they live, and copy what they hold
//! to a standby when one does not.
//!
//! ```text
//!   actives, by rank:  0   1   2 (dead)   3   4        standbys: 5  6 ..
//!                          |
//!                          +-- the living one before it copies its own envelopes --> 5, if it lives
//! ```
//!
//! The standby cannot tell the copies from a sender's deposits: the same bytes, a token of the owner.
//! What it has already it answers with the same custody.
//!
//! See docs/SPEC.md, section "Repair".

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand_core::CryptoRng;

use super::record::{Envelope, FellowRow, FellowsRow, fellows_key};
use super::rental::{Mate, Rental};
use super::{Host, HostFact, HostOutput, Refusal};
use crate::id::DeviceId;
use crate::mailbox::{
    Admission, Answer, Ask, Fellow, Question, QueueKey, RefusalCode, Request, RequestId, Response,
    Token, Veil,
};
use crate::store::{Store, Table};
use crate::time::Moment;

/// Ranks below are active.
const ACTIVE: u32 = 5;

/// Between two questions to a node; the second when few of an owner's actives answer.
const PROBE: Duration = Duration::from_secs(3_600);
const PROBE_HURRY: Duration = Duration::from_secs(600);

/// So many of an owner's active nodes should answer.
const ANSWER_MIN: usize = 3;

/// Questions in a row without an answer after which a node counts as dead.
const MISSED_MAX: u32 = 2;

/// Questions on their way at once.
const ASKS_MAX: usize = 32;

/// How long one may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Envelopes that one round copies of one queue to one node.
const ROUND_MAX: u32 = 2_048;

/// After so many copies it is written down how far they came; a crash repeats at most as many.
const NOTE_EVERY: u32 = 16;

/// What is known of a fellow node.
#[derive(Debug, Default)]
struct Probe {
    missed: u32,
    next: Option<Moment>,
    /// Queues of ours that it is a fellow for.
    queues: BTreeSet<QueueKey>,
}

/// Envelopes of one queue on their way to one node.
#[derive(Debug)]
struct Copying {
    veil: Veil,
    left: u32,
}

#[derive(Clone, Copy, Debug)]
enum Asked {
    Probe(DeviceId),
    Copy(QueueKey, DeviceId, u64),
}

/// Fellow nodes, questions to them and copies.
#[derive(Debug, Default)]
pub(super) struct Repair {
    probes: BTreeMap<DeviceId, Probe>,
    due: BTreeSet<(Moment, DeviceId)>,
    copying: BTreeMap<(QueueKey, DeviceId), Copying>,
    asked: BTreeMap<RequestId, Asked>,
    veils: u64,
}

impl Repair {
    /// While as many questions are on their way as may be, an answer goes on, not the clock.
    pub(super) fn deadline(&self) -> Option<Moment> {
        let (at, _) = self.due.first()?;
        (self.asked.len() < ASKS_MAX).then_some(*at)
    }

    /// Nodes that are asked, and those of them that count as dead.
    pub(super) fn counts(&self) -> (u64, u64) {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let dead = self.probes.values().filter(|probe| probe.missed >= MISSED_MAX).count();
        (count(self.probes.len()), count(dead))
    }

    fn lives(&self, device: DeviceId) -> bool {
        self.probes.get(&device).is_none_or(|probe| probe.missed < MISSED_MAX)
    }

    fn set_due(&mut self, device: DeviceId, at: Moment) {
        if let Some(probe) = self.probes.get_mut(&device) {
            if let Some(before) = probe.next.replace(at) {
                self.due.remove(&(before, device));
            }
            self.due.insert((at, device));
        }
    }

    /// A queue has these fellows from now on.
    fn set_fellows(&mut self, queue: QueueKey, devices: &[DeviceId]) {
        for device in devices {
            self.probes.entry(*device).or_default();
        }
        let due = &mut self.due;
        self.probes.retain(|device, probe| {
            if devices.contains(device) {
                probe.queues.insert(queue);
            } else {
                probe.queues.remove(&queue);
            }
            let stays = !probe.queues.is_empty();
            if let Some(at) = probe.next.filter(|_| !stays) {
                due.remove(&(at, *device));
            }
            stays
        });
        self.copying.retain(|(of, device), _| *of != queue || devices.contains(device));
    }
}

/// Whom we copy to because an active node is dead, if that is ours to do.
fn targets(rental: &Rental, node: DeviceId, repair: &Repair) -> Vec<DeviceId> {
    let mut actives: Vec<(u32, DeviceId)> =
        rental.mates.iter().map(|m| (m.rank, m.device)).collect();
    actives.push((rental.rank, node));
    actives.retain(|(rank, _)| *rank < ACTIVE);
    actives.sort_unstable();
    let mut standbys: Vec<&Mate> = rental.mates.iter().filter(|mate| mate.rank >= ACTIVE).collect();
    standbys.sort_unstable_by_key(|mate| (mate.rank, mate.device));
    let standbys: Vec<DeviceId> =
        standbys.iter().map(|mate| mate.device).filter(|device| repair.lives(*device)).collect();
    let lives = |device: DeviceId| device == node || repair.lives(device);
    let mut chosen = Vec::new();
    let mut dead_before = 0usize;
    for (place, (_, device)) in actives.iter().enumerate() {
        if lives(*device) {
            continue;
        }
        let before = actives.iter().take(place).rev().chain(actives.iter().skip(place).rev());
        let copier = before.map(|(_, device)| *device).find(|device| lives(*device));
        // Each dead one has a standby of its own, as far as there are any.
        let standby = dead_before.checked_rem(standbys.len()).and_then(|at| standbys.get(at));
        dead_before = dead_before.saturating_add(1);
        if copier == Some(node) {
            chosen.extend(standby.filter(|standby| !chosen.contains(*standby)).copied());
        }
    }
    chosen
}

impl<S: Store, R: CryptoRng> Host<S, R> {
    /// Begins to ask the fellows of a queue, if this node is one of its active ones.
    pub(super) fn watch_fellows(&mut self, queue: QueueKey) {
        let Some(rental) = self.rental(queue) else { return };
        let watched = rental.mates.iter().filter(|_| rental.rank < ACTIVE);
        let devices: Vec<_> = watched.map(|mate| mate.device).collect();
        let is_new = |device: &&DeviceId| !self.repair.probes.contains_key(device);
        let new: Vec<_> = devices.iter().filter(is_new).copied().collect();
        self.repair.set_fellows(queue, &devices);
        for device in new {
            let wait = self.jittered(PROBE_HURRY);
            self.repair.set_due(device, self.now.mono + wait);
        }
    }

    pub(super) fn forget_fellows(&mut self, queue: QueueKey) {
        self.repair.set_fellows(queue, &[]);
    }

    /// Between nine and eleven tenths of a wait.
    fn jittered(&mut self, wait: Duration) -> Duration {
        let tenth = wait / 10;
        let part = u32::try_from(self.rng.next_u64() >> 48).unwrap_or(0);
        wait - tenth + (tenth * 2 / 65_536).saturating_mul(part)
    }

    /// Asks those whose time it is.
    pub(super) fn probe(&mut self) {
        while let Some((at, device)) = self.repair.due.first().copied() {
            if at > self.now.mono || self.repair.asked.len() >= ASKS_MAX {
                return;
            }
            self.repair.due.remove(&(at, device));
            let Some(probe) = self.repair.probes.get_mut(&device) else { continue };
            probe.next = None;
            let queue = probe.queues.first().copied();
            let found = queue.map_or(Ok(None), |queue| self.fellow(queue, device));
            let Ok(Some(row)) = found else {
                self.repair.set_due(device, self.now.mono + PROBE);
                continue;
            };
            let veil = self.veil();
            self.ask(Asked::Probe(device), row.fellow, veil, Question::Offer);
        }
    }

    fn veil(&mut self) -> Veil {
        self.repair.veils = self.repair.veils.saturating_add(1);
        Veil::random(self.repair.veils, &mut self.rng)
    }

    fn fellow(&self, queue: QueueKey, device: DeviceId) -> Result<Option<FellowRow>, Refusal> {
        let Some(row) = self.store.get(&fellows_key(queue))? else { return Ok(None) };
        let fellows = FellowsRow::decode(&row)?.fellows;
        Ok(fellows.into_iter().find(|row| row.fellow.device == device))
    }

    fn ask(&mut self, asked: Asked, fellow: Fellow, veil: Veil, question: Question) {
        let request = RequestId::random(&mut self.rng);
        let frame = Request { id: request, question }.encode();
        self.repair.asked.insert(request, asked);
        let Fellow { device: node, addresses, .. } = fellow;
        let ask = Ask { request, node, addresses, veil, frame, within: WITHIN };
        self.commit.at_once(HostOutput::Ask(ask));
    }

    /// An answer to a question of ours came, or will not.
    pub(super) fn asked(&mut self, request: RequestId, frame: Option<&[u8]>) {
        let Some(asked) = self.repair.asked.remove(&request) else { return };
        let response = frame.and_then(|frame| Response::decode(frame).ok());
        let answer = response.filter(|response| response.id == request).map(|r| r.answer);
        match asked {
            Asked::Probe(device) => self.probed(device, answer.as_ref()),
            Asked::Copy(queue, device, cursor) => {
                if self.copied(queue, device, cursor, answer.as_ref()).is_err() {
                    self.fact(HostFact::StoreFailed);
                    self.repair.copying.remove(&(queue, device));
                }
            }
        }
        self.probe();
    }

    fn probed(&mut self, device: DeviceId, answer: Option<&Answer>) {
        let Some(probe) = self.repair.probes.get_mut(&device) else { return };
        let answers = match answer {
            Some(Answer::Offer(_)) => true,
            Some(Answer::Refused { code, .. }) => *code != RefusalCode::NoMailboxes,
            _ => false,
        };
        let lived = probe.missed < MISSED_MAX;
        probe.missed = if answers { 0 } else { probe.missed.saturating_add(1) };
        let lives = probe.missed < MISSED_MAX;
        let queues: Vec<_> = probe.queues.iter().copied().collect();
        if lives != lived {
            self.fact(HostFact::Fellow { answers: lives });
        }
        let hurry = queues.iter().any(|queue| self.few_answer(*queue));
        let wait = self.jittered(if hurry { PROBE_HURRY } else { PROBE });
        self.repair.set_due(device, self.now.mono + wait);
        for queue in queues {
            self.repair_queue(queue);
        }
    }

    fn few_answer(&self, queue: QueueKey) -> bool {
        let Some(rental) = self.rental(queue) else { return false };
        let actives = || rental.mates.iter().filter(|mate| mate.rank < ACTIVE);
        let answer = actives()
            .filter(|mate| self.repair.probes.get(&mate.device).is_none_or(|p| p.missed == 0));
        let all = actives().count().saturating_add(1);
        answer.count().saturating_add(1) < ANSWER_MIN.min(all)
    }

    fn repair_queue(&mut self, queue: QueueKey) {
        let Some(rental) = self.rental(queue) else { return };
        if rental.rank >= ACTIVE || rental.envelopes == 0 {
            return;
        }
        for device in targets(rental, self.node, &self.repair) {
            if self.repair.copying.contains_key(&(queue, device))
                || self.repair.asked.len() >= ASKS_MAX
            {
                continue;
            }
            let veil = self.veil();
            self.repair.copying.insert((queue, device), Copying { veil, left: ROUND_MAX });
            if self.copy_next(queue, device).is_err() {
                self.fact(HostFact::StoreFailed);
                self.repair.copying.remove(&(queue, device));
            }
        }
    }

    /// Copies the next envelope, or ends the round.
    fn copy_next(&mut self, queue: QueueKey, device: DeviceId) -> Result<(), Refusal> {
        let Some(copying) = self.repair.copying.get(&(queue, device)) else { return Ok(()) };
        let (veil, left) = (copying.veil.duplicate(), copying.left);
        let mate = self.rental(queue).and_then(|r| r.mates.iter().find(|m| m.device == device));
        let from = mate.map(|mate| mate.copied.saturating_add(1));
        let row = match from.filter(|_| left > 0) {
            Some(from) => {
                let from = from.to_be_bytes();
                self.store.scan(Table::MailboxEnvelope, &queue.0, &from, 1)?.pop()
            }
            None => None,
        };
        let (Some(row), Some(FellowRow { fellow, .. })) = (row, self.fellow(queue, device)?) else {
            return self.end_copying(queue, device);
        };
        let cursor = row.number().unwrap_or(0);
        let Envelope { until, seal, .. } = Envelope::decode(&row.value)?;
        let admission = Admission::Token(Token::new(*fellow.token.as_bytes()));
        let question = Question::Deposit { admission, until, seal };
        self.ask(Asked::Copy(queue, device, cursor), fellow, veil, question);
        Ok(())
    }

    fn copied(
        &mut self,
        queue: QueueKey,
        device: DeviceId,
        cursor: u64,
        answer: Option<&Answer>,
    ) -> Result<(), Refusal> {
        let Some(copying) = self.repair.copying.get_mut(&(queue, device)) else { return Ok(()) };
        copying.left = copying.left.saturating_sub(1);
        let left = copying.left;
        match answer {
            Some(Answer::Custody(custody)) if self.is_kept(queue, device, cursor, custody)? => {
                self.counts.copied = self.counts.copied.saturating_add(1);
                self.fact(HostFact::Copied);
            }
            // It will never be taken there: the next one may.
            Some(Answer::Refused { code: RefusalCode::Rejected, .. }) => {}
            _ => return self.end_copying(queue, device),
        }
        if let Some(rental) = self.rentals.get_mut(&queue)
            && let Some(mate) = rental.mates.iter_mut().find(|mate| mate.device == device)
        {
            mate.copied = mate.copied.max(cursor);
        }
        if left.is_multiple_of(NOTE_EVERY) {
            self.note_copied(queue)?;
        }
        self.copy_next(queue, device)
    }

    /// Whether custody holds; what was taken meanwhile needs none.
    fn is_kept(
        &self,
        queue: QueueKey,
        device: DeviceId,
        cursor: u64,
        custody: &crate::mailbox::Custody,
    ) -> Result<bool, Refusal> {
        let row = self.store.get(&super::record::envelope_key(queue, cursor))?;
        let Some(row) = row else { return Ok(true) };
        Ok(custody.verify(device, &Envelope::decode(&row)?.seal).is_ok())
    }

    fn end_copying(&mut self, queue: QueueKey, device: DeviceId) -> Result<(), Refusal> {
        self.repair.copying.remove(&(queue, device));
        self.note_copied(queue)
    }

    /// Writes down how far the copies of a queue came.
    fn note_copied(&mut self, queue: QueueKey) -> Result<(), Refusal> {
        let key = fellows_key(queue);
        let (Some(row), Some(rental)) = (self.store.get(&key)?, self.rental(queue)) else {
            return Ok(());
        };
        let mut row = FellowsRow::decode(&row)?;
        for fellow in &mut row.fellows {
            let mate = rental.mates.iter().find(|mate| mate.device == fellow.fellow.device);
            fellow.copied = mate.map_or(fellow.copied, |mate| mate.copied);
        }
        self.store.put(key, row.encode());
        Ok(())
    }
}
