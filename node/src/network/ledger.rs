//! Which sends of one stream are not accepted yet, and which may still be refused.
//!
//! ```text
//!        settled, may still be refused          in flight
//!   first ........................... accepted ............ written
//! ```
//!
//! Sans-IO. Each token gets exactly one of accepted, refused and failed; a token that was accepted
//! may be refused once more, because the peer's engine looks at a frame after its network took it.

use std::collections::VecDeque;

use bitchat_protocol::engine::SendToken;
use bitchat_protocol::error::Malformed;

/// Accepted sends that are remembered for a late refusal; an older refusal is not reported.
const SETTLED_MAX: u64 = 4_096;

/// The sends of one stream, numbered from 1 as the peer counts them.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Frames before the first slot.
    forgotten: u64,
    /// Frames that the peer accepted.
    accepted: u64,
    /// `None`: refused already.
    slots: VecDeque<Option<SendToken>>,
}

impl Ledger {
    /// Notes that the next frame belongs to `token`.
    pub(super) fn push(&mut self, token: SendToken) {
        self.slots.push_back(Some(token));
    }

    /// Frames that were written and not accepted.
    pub(super) fn in_flight(&self) -> u64 {
        self.written().saturating_sub(self.accepted)
    }

    /// The peer read the first `upto` frames: the tokens that this settles.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the peer accepts what was never written.
    pub(super) fn accept(&mut self, upto: u64) -> Result<Vec<SendToken>, Malformed> {
        if upto > self.written() {
            return Err(Malformed("acknowledgement"));
        }
        let skip = self.accepted.saturating_sub(self.forgotten);
        let take = upto.saturating_sub(self.accepted);
        let settled = self.slots.iter().skip(size(skip)).take(size(take)).flatten().copied();
        let settled = settled.collect();
        self.accepted = self.accepted.max(upto);
        while self.accepted.saturating_sub(self.forgotten) > SETTLED_MAX {
            self.slots.pop_front();
            self.forgotten += 1;
        }
        Ok(settled)
    }

    /// The peer refuses frame `number`. `None`: refused before or too long ago.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if no such frame was written.
    pub(super) fn refuse(&mut self, number: u64) -> Result<Option<SendToken>, Malformed> {
        if number == 0 || number > self.written() {
            return Err(Malformed("refusal"));
        }
        let Some(index) = number.checked_sub(self.forgotten + 1) else { return Ok(None) };
        Ok(self.slots.get_mut(size(index)).and_then(Option::take))
    }

    /// The stream broke: the tokens that nobody accepted or refused.
    pub(super) fn fail(&mut self) -> Vec<SendToken> {
        let settled = self.accepted.saturating_sub(self.forgotten);
        self.accepted = self.written();
        self.slots.iter().skip(size(settled)).flatten().copied().collect()
    }

    fn written(&self) -> u64 {
        self.forgotten + u64::try_from(self.slots.len()).unwrap_or(u64::MAX)
    }
}

/// A difference of positions; the slots fit in memory, so it does in `usize`.
fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ledger(frames: u64) -> Ledger {
        let mut ledger = Ledger::default();
        (1..=frames).for_each(|number| ledger.push(SendToken(number)));
        ledger
    }

    #[test]
    fn accepting_settles_each_token_once_and_the_rest_fails() {
        let mut ledger = ledger(5);

        assert_eq!(ledger.accept(2), Ok(vec![SendToken(1), SendToken(2)]));
        assert_eq!(ledger.accept(2), Ok(vec![]));
        assert_eq!(ledger.in_flight(), 3);
        assert_eq!(ledger.fail(), [SendToken(3), SendToken(4), SendToken(5)]);
        assert_eq!(ledger.fail(), []);
    }

    #[test]
    fn a_refusal_before_acceptance_replaces_it_and_one_after_comes_too() {
        let mut ledger = ledger(3);

        assert_eq!(ledger.refuse(2), Ok(Some(SendToken(2))));
        assert_eq!(ledger.accept(2), Ok(vec![SendToken(1)]));
        assert_eq!(ledger.refuse(1), Ok(Some(SendToken(1))));
        assert_eq!(ledger.refuse(1), Ok(None));
        assert_eq!(ledger.fail(), [SendToken(3)]);
    }

    #[test]
    fn a_peer_cannot_settle_what_was_not_sent() {
        let mut ledger = ledger(1);

        assert!(ledger.accept(2).is_err());
        assert!(ledger.refuse(0).is_err());
        assert!(ledger.refuse(2).is_err());
        assert_eq!(ledger.fail(), [SendToken(1)]);
    }

    #[test]
    fn old_acceptances_are_forgotten() {
        let mut ledger = ledger(3 * SETTLED_MAX);

        assert_eq!(ledger.accept(3 * SETTLED_MAX).map(|settled| settled.len()), Ok(12_288));

        assert_eq!(ledger.slots.len(), 4_096);
        assert_eq!(ledger.refuse(1), Ok(None));
        assert_eq!(ledger.refuse(3 * SETTLED_MAX), Ok(Some(SendToken(3 * SETTLED_MAX))));
    }

    proptest! {
        /// Accepted, refused before acceptance, or failed: one of them, for each token.
        #[test]
        fn every_token_has_exactly_one_fate(steps in prop::collection::vec((0u8..3, 0u64..40), 0..200)) {
            let mut ledger = Ledger::default();
            let (mut pushed, mut accepted) = (0, 0);
            let mut fates = Vec::new();
            for (step, number) in steps {
                match step {
                    0 => { pushed += 1; ledger.push(SendToken(pushed)); }
                    1 => if let Ok(tokens) = ledger.accept(number) {
                        fates.extend(tokens);
                        accepted = accepted.max(number);
                    },
                    _ => if let Ok(Some(token)) = ledger.refuse(number) && number > accepted {
                        fates.push(token);
                    },
                }
            }
            fates.extend(ledger.fail());
            fates.sort();
            prop_assert_eq!(fates, (1..=pushed).map(SendToken).collect::<Vec<_>>());
        }
    }
}
