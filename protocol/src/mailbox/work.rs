//! Work: what a deposit costs whom the owner does not know.
//!
//! `work` is good if SHA-256 of the label, the node, the subject and `work` (be64) begins with so many
//! zero bits. The subject binds it to one thing: the tag and the seal, or the queue to be rented.
//!
//! See docs/SPEC.md, section "Mailboxes".

use crate::crypto::digest;
use crate::id::DeviceId;

/// Zero bits that a node asks for at least: about 100 ms of a core.
pub const WORK_BITS: u32 = 18;

/// Whether `work` was done for the node and the subject.
#[must_use]
pub fn is_work(node: DeviceId, subject: &[u8; 32], work: u64, bits: u32) -> bool {
    let parts =
        [b"bitchat/1 mailbox work\0".as_slice(), &node.0, subject, &work.to_be_bytes()].concat();
    let hash = digest(&parts);
    let mut zeros = 0;
    for byte in hash {
        zeros += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    zeros >= bits
}

/// Does the work: tries at most `tries` numbers from `first` on. `None`: not found yet.
#[must_use]
pub fn find_work(
    node: DeviceId,
    subject: &[u8; 32],
    (first, tries): (u64, u64),
    bits: u32,
) -> Option<u64> {
    (first..first.saturating_add(tries)).find(|work| is_work(node, subject, *work, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_good_for_its_node_and_subject_only() {
        let (node, subject) = (DeviceId([1; 32]), [2; 32]);
        let work = find_work(node, &subject, (0, 1 << 20), 12).expect("one in 4,096");

        assert!(is_work(node, &subject, work, 12));
        assert!(!is_work(DeviceId([9; 32]), &subject, work, 12));
        assert!(!is_work(node, &[9; 32], work, 12));
        assert!(!is_work(node, &subject, work, 40));
    }

    #[test]
    fn a_search_goes_on_where_it_stopped() {
        let (node, subject) = (DeviceId([1; 32]), [3; 32]);
        let whole = find_work(node, &subject, (0, 1 << 20), 10).expect("one in 1,024");
        let mut first = 0;
        let found = loop {
            match find_work(node, &subject, (first, 100), 10) {
                Some(work) => break work,
                None => first += 100,
            }
        };
        assert_eq!(found, whole);
    }
}
