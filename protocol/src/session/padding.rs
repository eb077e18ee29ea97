//! Padding of what a ratchet message carries: lengths show few bits of what was written.
//!
//! ```text
//!   content || 80 || 00 ...      to the Padmé length of content and marker, at least 256 bytes
//! ```
//!
//! Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with
//! PURBs", section 4) keeps as many leading bits of a length as the length has digits, so it wastes
//! at most 12 % and leaks O(log log length) bits. Padding lies inside the encryption.
//!
//! See docs/SPEC.md, section "Frames".

use crate::error::Malformed;

/// No message is shorter: receipts, greetings and short texts look alike.
const FLOOR: usize = 256;

/// Ends the content; zeros follow.
const MARKER: u8 = 0x80;

/// The padded length for `length` bytes, marker included.
const fn padded(length: usize) -> usize {
    padme(length, FLOOR)
}

/// The Padmé length for `length` bytes, at least `floor`, which is 2 or more.
#[must_use]
pub const fn padme(length: usize, floor: usize) -> usize {
    if length <= floor {
        return floor;
    }
    let exponent = length.ilog2();
    let digits = exponent.ilog2() + 1;
    let mask = (1usize << (exponent - digits)) - 1;
    length.saturating_add(mask) & !mask
}

/// Pads `content`.
#[must_use]
pub fn pad(content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(padded(content.len().saturating_add(1)));
    bytes.extend_from_slice(content);
    bytes.push(MARKER);
    bytes.resize(padded(bytes.len()), 0);
    bytes
}

/// Takes the padding off an authenticated message.
///
/// # Errors
///
/// [`Malformed`] if it is not the one padding that the sender makes.
pub fn unpad(mut bytes: Vec<u8>) -> Result<Vec<u8>, Malformed> {
    const WRONG: Malformed = Malformed("padding");
    let marker = bytes.iter().rposition(|byte| *byte != 0).ok_or(WRONG)?;
    if bytes.get(marker) != Some(&MARKER) || bytes.len() != padded(marker.saturating_add(1)) {
        return Err(WRONG);
    }
    bytes.truncate(marker);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_follow_padme_above_the_floor() {
        assert_eq!([1, 256, 257, 1_000, 9_999].map(padded), [256, 256, 272, 1_024, 10_240]);
    }

    #[test]
    fn at_most_twelve_percent_are_wasted_above_the_floor() {
        for length in FLOOR..100_000 {
            let waste = padded(length) - length;
            assert!(waste * 100 <= length * 12, "{length} wastes {waste}");
        }
    }

    #[test]
    fn a_padding_that_pad_does_not_make_is_malformed() {
        let good = pad(b"text");
        let mut longer = good.clone();
        longer.extend([0; 8]);
        let mut unmarked = good.clone();
        unmarked[4] = 0x81;

        assert_eq!(unpad(good), Ok(b"text".to_vec()));
        for bad in [longer, unmarked, vec![0; 256], Vec::new(), b"text\x80".to_vec()] {
            assert!(unpad(bad).is_err());
        }
    }

    proptest! {
        #[test]
        fn every_content_survives_padding(content in prop::collection::vec(any::<u8>(), 0..2_000)) {
            prop_assert_eq!(unpad(pad(&content)), Ok(content));
        }
    }
}
