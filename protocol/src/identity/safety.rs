//! Safety numbers: what two people compare to know that nobody stands between them.
//!
//! See docs/SPEC.md, section "Identities".

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::crypto::{Secret, digest, expand};
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

/// Begins a safety code.
const CODE_PREFIX: &str = "bitchat-safety:";

/// Tells a code that was read wrongly from one that does not match, which is an alarm.
const CHECK_BYTES: usize = 4;

/// Why a safety code does not confirm a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// It is none, or was read wrongly.
    #[error("it is cut short or was read wrongly")]
    Malformed,
    /// Another version made it.
    #[error("another version made it; compare the digits instead")]
    Version,
    /// It is what our own screen shows.
    #[error("it is your own; scan the one that the contact shows")]
    Own,
    /// Somebody stands between, or it is the code of somebody else.
    #[error("it does not match")]
    Mismatch,
}

/// What `shower` shows for `scanner` to scan. The two directions differ, so that nobody takes his own
/// screen for the other's; the hash names nobody to whom takes a picture of it.
#[must_use]
pub fn safety_code(shower: &AccountId, scanner: &AccountId) -> String {
    let hash = code_hash(shower, scanner);
    let body = [&[VERSION], hash.expose().as_slice()].concat();
    let check: Vec<u8> = digest(&body).into_iter().take(CHECK_BYTES).collect();
    format!("{CODE_PREFIX}{}", URL_SAFE_NO_PAD.encode([body, check].concat()))
}

fn code_hash(shower: &AccountId, scanner: &AccountId) -> Secret<32> {
    let input = [&[VERSION], shower.0.as_slice(), scanner.0.as_slice()].concat();
    expand(b"", &input, b"bitchat/1 safety code")
}

/// Compares what was scanned from the screen of `theirs`; in constant time.
///
/// # Errors
///
/// [`CodeError`] says what is wrong with it.
pub fn check_safety_code(
    ours: &AccountId,
    theirs: &AccountId,
    code: &str,
) -> Result<(), CodeError> {
    let text = code.trim().strip_prefix(CODE_PREFIX).ok_or(CodeError::Malformed)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CodeError::Malformed)?;
    let end = bytes.len().checked_sub(CHECK_BYTES).ok_or(CodeError::Malformed)?;
    let (body, check) = bytes.split_at(end);
    let (version, hash) = body.split_first().ok_or(CodeError::Malformed)?;
    if !digest(body).starts_with(check) {
        return Err(CodeError::Malformed);
    }
    if *version != VERSION {
        return Err(CodeError::Version);
    }
    let hash = Secret::from_slice(hash).ok_or(CodeError::Malformed)?;
    if hash == code_hash(theirs, ours) {
        Ok(())
    } else if hash == code_hash(ours, theirs) {
        Err(CodeError::Own)
    } else {
        Err(CodeError::Mismatch)
    }
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

    #[test]
    fn the_safety_code_of_the_other_side_matches_and_no_other_does() {
        let (alice, bob, mallory) = (AccountId([1; 32]), AccountId([2; 32]), AccountId([3; 32]));
        let shown_by_bob = safety_code(&bob, &alice);

        assert_eq!(check_safety_code(&alice, &bob, &format!(" {shown_by_bob}\n")), Ok(()));
        assert_eq!(
            check_safety_code(&alice, &bob, &safety_code(&alice, &bob)),
            Err(CodeError::Own)
        );
        for other in [safety_code(&mallory, &alice), safety_code(&bob, &mallory)] {
            assert_eq!(check_safety_code(&alice, &bob, &other), Err(CodeError::Mismatch));
        }
    }

    /// A misread letter must not look like an attack.
    #[test]
    fn a_safety_code_that_was_cut_or_misread_is_malformed_and_not_an_alarm() {
        let (alice, bob) = (AccountId([1; 32]), AccountId([2; 32]));
        let good = safety_code(&bob, &alice);
        for end in 0..good.len() {
            assert_eq!(
                check_safety_code(&alice, &bob, &good[..end]),
                Err(CodeError::Malformed),
                "{end}"
            );
        }
        for at in CODE_PREFIX.len()..good.len() {
            let mut misread = good.clone();
            let letter = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            misread.replace_range(at..=at, letter);
            assert_eq!(check_safety_code(&alice, &bob, &misread), Err(CodeError::Malformed));
        }
    }

    #[test]
    fn a_safety_code_of_another_version_says_so() {
        let body = [&[VERSION + 1], [7; 40].as_slice()].concat();
        let check = digest(&body)[..CHECK_BYTES].to_vec();
        let code = format!("{CODE_PREFIX}{}", URL_SAFE_NO_PAD.encode([body, check].concat()));

        let (alice, bob) = (AccountId([1; 32]), AccountId([2; 32]));
        assert_eq!(check_safety_code(&alice, &bob, &code), Err(CodeError::Version));
    }
}
