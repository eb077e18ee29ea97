//! Safety numbers: what two people compare to know that nobody stands between them.

use crate::crypto::{Secret, expand};
use crate::id::AccountId;

/// Changes when the derivation does, so that numbers of two versions are never mistaken for an attack
/// that they are not, nor the other way round.
const VERSION: u8 = 1;

/// Bytes behind a group of 5 digits: 40 bits modulo 100,000 favour no group by more than 1 in 10^7.
const GROUP_BYTES: usize = 5;

/// 60 decimal digits in 12 groups of 5, the same for both sides and for every device of both
/// accounts.
#[must_use]
pub fn safety_number(ours: &AccountId, theirs: &AccountId) -> String {
    let (low, high) = if ours <= theirs { (ours, theirs) } else { (theirs, ours) };
    let input = [&[VERSION], low.0.as_slice(), high.0.as_slice()].concat();
    let bytes: Secret<60> = expand(b"", &input, b"bitchat/1 safety number");
    let groups: Vec<String> = bytes.expose().chunks_exact(GROUP_BYTES).map(group).collect();
    groups.join(" ")
}

fn group(bytes: &[u8]) -> String {
    let number = bytes.iter().fold(0u64, |sum, byte| (sum << 8) | u64::from(*byte));
    format!("{:05}", number % 100_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_safety_number_is_symmetric_and_has_12_groups_of_5_digits() {
        let (alice, bob) = (AccountId([1; 32]), AccountId([2; 32]));

        let number = safety_number(&alice, &bob);

        assert_eq!(number, safety_number(&bob, &alice));
        assert_eq!(number.split(' ').count(), 12);
        assert!(number.split(' ').all(|group| group.len() == 5));
        assert!(number.bytes().all(|c| c == b' ' || c.is_ascii_digit()));
    }

    /// Computed a second time by a Python program from RFC 5869.
    #[test]
    fn the_safety_number_matches_its_known_answer() {
        const KNOWN: &str =
            "79848 09724 10526 99742 89673 72701 04944 12856 54971 01873 57805 42368";

        assert_eq!(safety_number(&AccountId([2; 32]), &AccountId([1; 32])), KNOWN);
    }

    #[test]
    fn another_account_changes_the_safety_number() {
        let (alice, bob, mallory) = (AccountId([1; 32]), AccountId([2; 32]), AccountId([3; 32]));

        assert_ne!(safety_number(&alice, &bob), safety_number(&alice, &mallory));
        assert_ne!(safety_number(&alice, &bob), safety_number(&mallory, &bob));
    }
}
