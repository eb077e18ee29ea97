//! Refusals by rate limits in the last minute, by class.

use std::collections::VecDeque;

use bitchat_protocol::resilience::Class;

use crate::control::Rejections;

/// Seconds that are remembered.
const SECONDS: usize = 60;

/// One count for each second.
#[derive(Debug, Default)]
pub(super) struct Rejected {
    now: Rejections,
    before: VecDeque<Rejections>,
}

impl Rejected {
    pub(super) fn count(&mut self, class: Class) {
        if let Some(count) = self.now.0.get_mut(class as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// A second is over: what the last minute had.
    pub(super) fn second(&mut self) -> Rejections {
        self.before.push_back(std::mem::take(&mut self.now));
        if self.before.len() > SECONDS {
            self.before.pop_front();
        }
        let mut sums = Rejections::default();
        for second in &self.before {
            for (sum, count) in sums.0.iter_mut().zip(second.0) {
                *sum = sum.saturating_add(count);
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_counted_for_a_minute() {
        let mut rejected = Rejected::default();
        rejected.count(Class::Prekey);

        let seen: Vec<_> = (0..61).map(|_| rejected.second().0[Class::Prekey as usize]).collect();

        assert_eq!(seen.iter().sum::<u64>(), 60);
        assert_eq!(seen.last(), Some(&0));
    }
}
