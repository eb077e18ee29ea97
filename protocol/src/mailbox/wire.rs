//! Questions and answers as frames of a link.
//!
//! See docs/SPEC.md, section "Mailboxes".

mod answer;

pub use answer::{Answer, Item, Offer, Page, RefusalCode, Response};

use bitchat_proto::limits::FRAME_BYTES_MAX;
use bitchat_proto::wire::{self, link, mailbox_request};
use prost::Message;

use super::{RequestId, SignedOrder, Tag, Token};
use crate::crypto::digest;
use crate::error::Malformed;
use crate::id::exactly;
use crate::time::UnixMillis;

/// Bytes of a seal in a deposit: what a frame leaves. Texts need a third of it.
pub const DEPOSIT_BYTES_MAX: usize = FRAME_BYTES_MAX - 256;

/// Why somebody may deposit.
#[derive(Debug, PartialEq, Eq)]
pub enum Admission {
    /// The owner gave it to a contact.
    Token(Token),
    /// Anybody, for work under the owner's request tag.
    Work {
        /// The tag of the owner's record.
        tag: Tag,
        /// Found for [`Admission::subject`].
        work: u64,
    },
}

/// What is asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Question {
    /// Keep a seal.
    Deposit {
        /// Why we may.
        admission: Admission,
        /// As long as that, if the node agrees.
        until: UnixMillis,
        /// The sealed envelope.
        seal: Vec<u8>,
    },
    /// An owner's order.
    Order(SignedOrder),
    /// One-time prekeys of the owner.
    Prekeys(Admission),
    /// What the node offers.
    Offer,
}

/// A question and its id.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// Comes back in the answer.
    pub id: RequestId,
    /// What is asked.
    pub question: Question,
}

impl Admission {
    /// What the work is done for: the tag and the seal, or the tag alone when prekeys are asked for.
    #[must_use]
    pub fn subject(tag: &Tag, seal: &[u8]) -> [u8; 32] {
        digest(&[tag.0, digest(seal)].concat())
    }

    fn to_wire(&self) -> wire::MailboxAdmission {
        match self {
            Self::Token(token) => wire::MailboxAdmission {
                token: token.as_bytes().to_vec(),
                ..wire::MailboxAdmission::default()
            },
            Self::Work { tag, work } => {
                wire::MailboxAdmission { token: Vec::new(), tag: tag.0.to_vec(), work: *work }
            }
        }
    }

    fn parse(raw: Option<&wire::MailboxAdmission>) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("admission");
        let raw = raw.ok_or(WRONG)?;
        match (raw.token.as_slice(), raw.tag.as_slice()) {
            (token, []) if raw.work == 0 => Ok(Self::Token(Token::new(exactly(token, "token")?))),
            ([], tag) => Ok(Self::Work { tag: Tag(exactly(tag, "tag")?), work: raw.work }),
            _ => Err(WRONG),
        }
    }
}

impl Request {
    /// As a frame of a link.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use mailbox_request::Ask;
        let ask = match &self.question {
            Question::Deposit { admission, until, seal } => Ask::Deposit(wire::MailboxDeposit {
                admission: Some(admission.to_wire()),
                until_ms: until.0,
                seal: seal.clone(),
            }),
            Question::Order(order) => Ask::Order(order.to_wire()),
            Question::Prekeys(admission) => {
                Ask::Prekeys(wire::MailboxPrekeyRequest { admission: Some(admission.to_wire()) })
            }
            Question::Offer => Ask::Offer(wire::MailboxOffer::default()),
        };
        let request = wire::MailboxRequest { number: self.id.0, ask: Some(ask) };
        framed(link::Frame::MailboxRequest(request))
    }

    /// From a frame of a link.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is no such frame or breaks a limit.
    pub fn decode(frame: &[u8]) -> Result<Self, Malformed> {
        use mailbox_request::Ask;
        const WRONG: Malformed = Malformed("mailbox request");
        let Some(link::Frame::MailboxRequest(raw)) = unframed(frame)? else { return Err(WRONG) };
        let question = match raw.ask.ok_or(WRONG)? {
            Ask::Deposit(raw) if raw.seal.len() <= DEPOSIT_BYTES_MAX => Question::Deposit {
                admission: Admission::parse(raw.admission.as_ref())?,
                until: UnixMillis(raw.until_ms),
                seal: raw.seal,
            },
            Ask::Deposit(_) => return Err(Malformed("seal too long")),
            Ask::Order(raw) => Question::Order(SignedOrder::from_wire(raw)?),
            Ask::Prekeys(raw) => Question::Prekeys(Admission::parse(raw.admission.as_ref())?),
            Ask::Offer(_) => Question::Offer,
        };
        Ok(Self { id: RequestId(raw.number), question })
    }
}

fn framed(frame: link::Frame) -> Vec<u8> {
    wire::Link { frame: Some(frame) }.encode_to_vec()
}

fn unframed(frame: &[u8]) -> Result<Option<link::Frame>, Malformed> {
    Ok(wire::Link::decode(frame).map_err(|_| Malformed("frame"))?.frame)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use std::time::Duration;

    use crate::crypto::{Secret, SigningSecret};
    use crate::id::DeviceId;
    use crate::mailbox::Custody;
    use crate::mailbox::Order;
    use crate::prekey::Offer as PrekeyOffer;

    #[test]
    fn every_question_and_every_answer_comes_back() {
        let key = SigningSecret::from_seed(Secret::take(&mut [1; 32]));
        let order = SignedOrder::sign(&Order::End, &key, DeviceId([2; 32]), DeviceId([3; 32]));
        let token = || Admission::Token(Token::new([4; 32]));
        let work = || Admission::Work { tag: Tag([5; 32]), work: 6 };
        let deposit =
            |admission| Question::Deposit { admission, until: UnixMillis(7), seal: vec![8; 2_048] };
        for question in [
            deposit(token()),
            deposit(work()),
            Question::Order(order),
            Question::Prekeys(work()),
            Question::Offer,
        ] {
            let request = Request { id: RequestId(u64::MAX), question };
            assert_eq!(Request::decode(&request.encode()).expect("own encoding"), request);
        }
        let item = |cursor| Item { cursor, seal: vec![1] };
        for answer in [
            Answer::Custody(Custody::sign(&key, [9; 32], UnixMillis(10))),
            Answer::Refused {
                code: RefusalCode::Unpaid,
                retry_after: Duration::from_millis(11),
                work_bits: 12,
            },
            Answer::Offer(Offer { work_bits: 9, prekeys_left: (1, 2), ..Offer::default() }),
            Answer::Page(Page { items: vec![item(1), item(5)], next: 5, more: true }),
            Answer::Done,
            Answer::Prekeys(PrekeyOffer::default()),
            Answer::Summary(vec![[1; 32], [2; 32]]),
        ] {
            let again = Response { id: RequestId(1), answer };
            let frame = Response::encode(Response::decode(&again.encode()).expect("own encoding"));
            assert!(Response::decode(&frame).is_ok());
        }
    }

    #[test]
    fn cursors_that_do_not_rise_are_malformed() {
        let item = |cursor| Item { cursor, seal: vec![1] };
        for page in [
            Page { items: vec![item(2), item(2)], next: 2, more: false },
            Page { items: vec![item(2)], next: 1, more: false },
            Page { items: Vec::new(), next: 1, more: true },
        ] {
            let frame = Response { id: RequestId(1), answer: Answer::Page(page) }.encode();
            assert!(Response::decode(&frame).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Request::decode(&bytes);
            let _ = Response::decode(&bytes);
        }
    }
}
