//! Opening in two halves: plan a step without touching the ratchet, apply it once it is authentic.

use rand_core::CryptoRng;

use crate::crypto::{
    DhPublic, DhSecret, EncapsulationKey, HEADER_NONCE_BYTES, MlKem768, Secret, chain_step,
    open_body,
};
use crate::error::Error;
use crate::time::UnixMillis;

use super::chain::{Gap, OldChain, Receiving, Sending, Turned, root_step, skip};
use super::header::{Header, SealedHeader};
use super::healing::{Brought, Carried, Healing};
use super::skipped::Dropped;
use super::{
    EXHAUSTED, GAP_MAX, OLD_CHAINS_MAX, Opened, Ratchet, SKIPPED_KEYS_MAX, SkippedChange,
    SkippedKeys,
};

/// Whose header key opened the header.
pub(super) enum Place<'a> {
    /// The receiving chain in use.
    Current(&'a Receiving),
    /// The peer has turned its ratchet.
    Next,
    /// A closed chain, by its index.
    Old(u32),
}

/// What opening a message will do, if its body is authentic.
pub(super) struct Plan {
    key: Secret<32>,
    step: Step,
    keep: Vec<SkippedChange>,
    skipped: u32,
}

enum Step {
    /// A message that was overtaken takes its key out.
    Take(Dropped),
    /// The receiving chain goes on.
    Advance { chain: Secret<32>, received: u32 },
    /// A new receiving chain begins.
    Turn(Turn),
}

/// A new receiving chain.
struct Turn {
    turned: Turned,
    theirs: DhPublic,
    index: u32,
    received: u32,
    /// How many of the keys to keep belong to the chain before it.
    closed: u32,
    /// Whether the answer to our offer of an exchange was mixed in.
    mixed: bool,
    /// The peer's offer.
    offered: Option<EncapsulationKey<MlKem768>>,
}

/// Our half of a turn: a fresh ratchet key and the chain on it.
pub(super) struct Reply {
    ours: DhSecret,
    turned: Turned,
    carried: Carried,
    /// Whether either half of the turn has mixed a KEM exchange in.
    mixed: bool,
    now: UnixMillis,
}

impl Ratchet {
    /// Finds the key that opens the header: current, next, then closed chains, newest first.
    pub(super) fn locate(
        &self,
        associated: &[u8],
        sealed: &[u8],
    ) -> Result<(Place<'_>, [u8; HEADER_NONCE_BYTES], Header), Error> {
        let sealed = SealedHeader::parse(sealed)?;
        let current = self.receiving.iter().map(|chain| (Place::Current(chain), &chain.header));
        let next = std::iter::once((Place::Next, &self.next_header_receive));
        let old = self.old.iter().rev().map(|chain| (Place::Old(chain.index), &chain.header));
        for (place, key) in current.chain(next).chain(old) {
            if let Some(header) = Header::try_open(&sealed, key, associated)? {
                return Ok((place, sealed.nonce, header));
            }
        }
        Err(Error::Decrypt)
    }

    /// The step that a header asks for. Changes nothing; the work is bounded by [`GAP_MAX`] and
    /// done only for headers that the peer has sealed.
    pub(super) fn plan(
        &self,
        place: &Place<'_>,
        header: &Header,
        skipped: &impl SkippedKeys,
    ) -> Result<Plan, Error> {
        match place {
            Place::Next => self.plan_turn(header),
            Place::Current(current) if header.dh != current.theirs => Err(Error::Decrypt),
            Place::Current(current) if header.number >= current.received => {
                plan_advance(current, header.number)
            }
            Place::Current(current) => plan_take(current.index, header.number, skipped),
            Place::Old(index) => plan_take(*index, header.number, skipped),
        }
    }

    fn plan_turn(&self, header: &Header) -> Result<Plan, Error> {
        let receiving = self.receiving.as_ref();
        // A peer that was set back to a snapshot may claim fewer than it sent: then nothing is
        // missing there.
        let missing = receiving.map_or(0, |old| header.previous.saturating_sub(old.received));
        let skipped = check_jump(missing.saturating_add(header.number))?;
        let index = receiving.map_or(0, |old| old.index).checked_add(1).ok_or(EXHAUSTED)?;
        let (mix, offered) = match self.healing.bring(header.extension.as_ref())? {
            Brought::Nothing => (None, None),
            Brought::Key(key) => (None, Some(key)),
            Brought::Mix(mix) => (Some(mix), None),
        };
        let turned = root_step(&self.root, &self.ours.agree(&header.dh)?, mix.as_ref());

        let keep_new = header.number.min(SKIPPED_KEYS_MAX);
        let closed = missing.min(SKIPPED_KEYS_MAX - keep_new);
        let mut keep = Vec::new();
        if let Some(old) = receiving.filter(|_| closed > 0) {
            let (from, to) = (old.received, header.previous);
            skip(&old.chain, &Gap { index: old.index, from, to, keep: closed }, &mut keep);
        }
        let gap = Gap { index, from: 0, to: header.number, keep: keep_new };
        let (chain, key) = chain_step(&skip(&turned.chain, &gap, &mut keep));
        let received = header.number.checked_add(1).ok_or(EXHAUSTED)?;
        let turned = Turned { chain, ..turned };
        let (theirs, mixed) = (header.dh, mix.is_some());
        let turn = Turn { turned, theirs, index, received, closed, mixed, offered };
        Ok(Plan { key, step: Step::Turn(turn), keep, skipped })
    }

    /// The rows that go with a plan: the key it takes, those above a bound, those too old.
    pub(super) fn dropped(
        &self,
        plan: &Plan,
        skipped: &impl SkippedKeys,
        now: UnixMillis,
    ) -> Result<Vec<Dropped>, Error> {
        let taken = match plan.step {
            Step::Take(row) => Some(row),
            Step::Advance { .. } | Step::Turn(_) => None,
        };
        let mut dropped = self.evictable(self.excess(plan), skipped, now)?;
        dropped.retain(|row| Some(*row) != taken);
        dropped.extend(taken);
        self.check_known(&dropped)?;
        Ok(dropped)
    }

    /// Rows that must go so that the plan stays within the bounds. Never more than there are: a
    /// plan keeps at most [`SKIPPED_KEYS_MAX`] keys.
    fn excess(&self, plan: &Plan) -> u32 {
        let total = self.kept().saturating_add(count(plan.keep.len()));
        let above = total.saturating_sub(SKIPPED_KEYS_MAX);
        let closes = match plan.step {
            Step::Turn(ref turn) => {
                self.receiving.as_ref().is_some_and(|chain| chain.kept > 0 || turn.closed > 0)
            }
            Step::Take(_) | Step::Advance { .. } => false,
        };
        let oldest = self.old.first().filter(|_| closes && self.old.len() >= OLD_CHAINS_MAX);
        oldest.map_or(above, |chain| above.max(chain.kept))
    }

    /// Carries a plan out. Cannot fail.
    pub(super) fn apply(
        &mut self,
        plan: Plan,
        reply: Option<Reply>,
        dropped: Vec<Dropped>,
        plaintext: Vec<u8>,
    ) -> Opened {
        self.forget(&dropped);
        let keep = count(plan.keep.len());
        let mut evicted = plan.skipped.saturating_sub(keep).saturating_add(count(dropped.len()));
        match plan.step {
            Step::Take(_) => evicted = evicted.saturating_sub(1),
            Step::Advance { chain, received } => {
                if let Some(current) = &mut self.receiving {
                    current.chain = chain;
                    current.received = received;
                    current.kept = current.kept.saturating_add(keep);
                }
            }
            Step::Turn(Turn { turned, theirs, index, received, closed, .. }) => {
                self.close(closed);
                let header = std::mem::replace(&mut self.next_header_receive, turned.next_header);
                let kept = keep.saturating_sub(closed);
                let chain = turned.chain;
                self.root = turned.root;
                self.receiving = Some(Receiving { index, theirs, chain, header, received, kept });
            }
        }
        let mixed = reply.as_ref().is_some_and(|reply| reply.mixed);
        if let Some(reply) = reply {
            self.answer(reply);
        }
        let mut changes = plan.keep;
        changes.extend(dropped.iter().map(|row| {
            let Dropped { chain, number } = *row;
            SkippedChange::Drop { chain, number }
        }));
        Opened { plaintext, changes, skipped: plan.skipped, evicted, mixed }
    }

    /// Ends the receiving chain; forgets it unless a message may still come.
    fn close(&mut self, closed: u32) {
        if let Some(Receiving { index, header, kept, .. }) = self.receiving.take() {
            let kept = kept.saturating_add(closed);
            if kept > 0 {
                self.old.push(OldChain { index, header, kept });
            }
        }
    }

    /// Begins our next sending chain.
    fn answer(&mut self, Reply { ours, turned, carried, mixed, now }: Reply) {
        let header = std::mem::replace(&mut self.next_header_send, turned.next_header);
        let before = self.sending.replace(Sending { chain: turned.chain, header, sent: 0 });
        self.previous = before.map_or(0, |chain| chain.sent);
        self.root = turned.root;
        self.ours = ours;
        self.healing.turned(carried, mixed, now);
    }
}

impl Plan {
    /// Opens the body.
    pub(super) fn open_body(
        &self,
        nonce: &[u8; HEADER_NONCE_BYTES],
        bound: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, Error> {
        open_body(&self.key, nonce, bound, sealed)
    }

    /// Our half of a turn, if the plan is one; made only when the peer's half is authentic.
    pub(super) fn reply(
        &self,
        healing: &Healing,
        now: UnixMillis,
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Reply>, Error> {
        let Step::Turn(turn) = &self.step else {
            return Ok(None);
        };
        let ours = DhSecret::random(rng);
        let (carried, mix) = healing.answer(turn.offered.as_ref(), turn.mixed, now, rng);
        let turned = root_step(&turn.turned.root, &ours.agree(&turn.theirs)?, mix.as_ref());
        let mixed = turn.mixed || mix.is_some();
        Ok(Some(Reply { ours, turned, carried, mixed, now }))
    }
}

fn plan_advance(current: &Receiving, number: u32) -> Result<Plan, Error> {
    let skipped = check_jump(number.saturating_sub(current.received))?;
    let received = number.checked_add(1).ok_or(EXHAUSTED)?;
    let keep = skipped.min(SKIPPED_KEYS_MAX);
    let gap = Gap { index: current.index, from: current.received, to: number, keep };
    let mut keep = Vec::new();
    let (chain, key) = chain_step(&skip(&current.chain, &gap, &mut keep));
    Ok(Plan { key, step: Step::Advance { chain, received }, keep, skipped })
}

fn plan_take(chain: u32, number: u32, skipped: &impl SkippedKeys) -> Result<Plan, Error> {
    let key = skipped.get(chain, number)?.ok_or(Error::Decrypt)?;
    Ok(Plan { key, step: Step::Take(Dropped { chain, number }), keep: Vec::new(), skipped: 0 })
}

const fn check_jump(jump: u32) -> Result<u32, Error> {
    if jump > GAP_MAX { Err(Error::CounterJump { jump, limit: GAP_MAX }) } else { Ok(jump) }
}

fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
