//! Tells questions from all other frames without reading them.
//!
//! See docs/SPEC.md, section "Mailboxes".

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::RequestId;

/// Field of `wire::Link` that holds a question.
const REQUEST: u32 = 9;

/// Field of `wire::MailboxRequest` that holds its number.
const NUMBER: u32 = 1;

/// Whether a frame is a question to a mailbox node. Looks at its first byte.
#[must_use]
pub fn is_request(frame: &[u8]) -> bool {
    let mut rest = frame;
    matches!(decode_key(&mut rest), Ok((REQUEST, WireType::LengthDelimited)))
}

/// The id of a question, for an answer that does not look at what is asked. `None`: the frame is no
/// question, or has no id, which counts as 0 in the encoding.
#[must_use]
pub fn request_id(frame: &[u8]) -> Option<RequestId> {
    if !is_request(frame) {
        return None;
    }
    let mut rest = frame;
    let (_, _) = decode_key(&mut rest).ok()?;
    let _length = decode_varint(&mut rest).ok()?;
    while !rest.is_empty() {
        let (field, kind) = decode_key(&mut rest).ok()?;
        if (field, kind) == (NUMBER, WireType::Varint) {
            return decode_varint(&mut rest).ok().map(RequestId);
        }
        skip_field(kind, field, &mut rest, DecodeContext::default()).ok()?;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Admission, Answer, Question, Request, Response, Tag};
    use super::*;
    use crate::time::UnixMillis;

    #[test]
    fn a_question_is_known_by_its_first_byte_and_its_number_is_found() {
        let id = RequestId(u64::MAX - 7);
        let admission = Admission::Work { tag: Tag([1; 32]), work: 2 };
        let deposit = Question::Deposit { admission, until: UnixMillis(3), seal: vec![4; 9_000] };
        for question in [deposit, Question::Offer] {
            let frame = Request { id, question }.encode();
            assert!(is_request(&frame));
            assert_eq!(request_id(&frame), Some(id));
        }
        let answer = Response { id, answer: Answer::Done }.encode();
        assert_eq!((is_request(&answer), request_id(&answer)), (false, None));
        assert!(!is_request(&[]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = request_id(&bytes);
            bytes.insert(0, 9 << 3 | 2);
            let _ = request_id(&bytes);
        }
    }
}
