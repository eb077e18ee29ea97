//! Frames on a link, and the content that a ratchet message carries.
//!
//! ```text
//!   Link { Envelope { session, message, initial?, header, body } }      on the wire
//!                                                    body opens to Content { lamport, .., Text | Receipts | Hello }
//! ```
//!
//! Parsing enforces every limit of `bitchat_proto::limits`; generated types stop here.

mod content;
mod letter;
pub(crate) mod prekeys;

pub use content::{Body, Content, Introduction, Receipts};

use bitchat_proto::limits::{FRAME_BYTES_MAX, RECORD_BYTES_MAX};
use bitchat_proto::prost::Message;
use bitchat_proto::wire;

use crate::crypto::digest;
use crate::error::Malformed;
use crate::id::{InvitationToken, MessageId, SessionId, exactly};
use crate::prekey::Offer;
use crate::ratchet::Sealed;

/// One application frame of a link.
pub enum Frame {
    /// A ratchet message.
    Envelope(Envelope),
    /// Asks for the record behind a short invitation.
    RecordRequest(InvitationToken),
    /// The record asked for; `None` if no such invitation stands.
    RecordResponse(Option<Vec<u8>>),
    /// Asks for one-time prekeys, with the invitation that admits a stranger.
    PrekeyRequest(Option<InvitationToken>),
    /// The prekeys asked for, unchecked.
    PrekeyResponse(Offer),
}

/// A ratchet message in direct form.
pub struct Envelope {
    /// Selects the session.
    pub session: SessionId,
    /// Known before decryption, bound into the associated data.
    pub message: MessageId,
    /// Founds the session, until the responder has answered.
    pub initial: Option<wire::Initial>,
    /// What the ratchet made.
    pub sealed: Sealed,
}

impl Frame {
    /// The encoded `wire::Link`.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let frame = match self {
            Self::Envelope(envelope) => wire::link::Frame::Envelope(wire::Envelope {
                session: envelope.session.0.to_vec(),
                message: envelope.message.0.to_vec(),
                initial: envelope.initial,
                header: envelope.sealed.header,
                body: envelope.sealed.body,
            }),
            Self::RecordRequest(token) => {
                wire::link::Frame::RecordRequest(wire::RecordRequest { token: token.0.to_vec() })
            }
            Self::RecordResponse(record) => {
                wire::link::Frame::RecordResponse(wire::RecordResponse {
                    record: record.unwrap_or_default(),
                })
            }
            Self::PrekeyRequest(token) => wire::link::Frame::PrekeyRequest(prekeys::request(token)),
            Self::PrekeyResponse(offer) => {
                wire::link::Frame::PrekeyResponse(prekeys::response(offer))
            }
        };
        wire::Link { frame: Some(frame) }.encode_to_vec()
    }

    /// Parses an encoded `wire::Link`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is too long, does not decode, or is no application frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > FRAME_BYTES_MAX {
            return Err(Malformed("frame length"));
        }
        let link = wire::Link::decode(bytes).map_err(|_| Malformed("frame"))?;
        match link.frame {
            Some(wire::link::Frame::Envelope(envelope)) => Ok(Self::Envelope(Envelope {
                session: SessionId(exactly(&envelope.session, "session id")?),
                message: MessageId(exactly(&envelope.message, "message id")?),
                initial: envelope.initial,
                sealed: Sealed { header: envelope.header, body: envelope.body },
            })),
            Some(wire::link::Frame::RecordRequest(request)) => {
                Ok(Self::RecordRequest(InvitationToken(exactly(&request.token, "token")?)))
            }
            Some(wire::link::Frame::RecordResponse(response))
                if response.record.len() > RECORD_BYTES_MAX =>
            {
                Err(Malformed("record length"))
            }
            Some(wire::link::Frame::RecordResponse(response)) => {
                Ok(Self::RecordResponse(Some(response.record).filter(|record| !record.is_empty())))
            }
            Some(wire::link::Frame::PrekeyRequest(request)) => {
                Ok(Self::PrekeyRequest(prekeys::parse_request(&request)?))
            }
            Some(wire::link::Frame::PrekeyResponse(response)) => {
                Ok(Self::PrekeyResponse(prekeys::parse_response(response)?))
            }
            // The shell takes those of mailboxes out before.
            Some(
                wire::link::Frame::Accepted(_)
                | wire::link::Frame::Refusal(_)
                | wire::link::Frame::MailboxRequest(_)
                | wire::link::Frame::MailboxResponse(_),
            )
            | None => Err(Malformed("frame kind")),
        }
    }
}

impl Envelope {
    /// Tells a byte-identical retry from a new encryption of the same message.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        digest(&[self.sealed.header.as_slice(), self.sealed.body.as_slice()].concat())
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Envelope(_) => "Envelope",
            Self::RecordRequest(_) => "RecordRequest",
            Self::RecordResponse(_) => "RecordResponse",
            Self::PrekeyRequest(_) => "PrekeyRequest",
            Self::PrekeyResponse(_) => "PrekeyResponse",
        })
    }
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Envelope({:?}, {:?})", self.session, self.message)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Frame::decode(&bytes);
            let _ = Content::decode(&bytes);
        }

        #[test]
        fn an_envelope_survives_encoding(header in prop::collection::vec(any::<u8>(), 80), body in prop::collection::vec(any::<u8>(), 16..400)) {
            let sealed = Sealed { header: header.clone(), body: body.clone() };
            let envelope = Envelope { session: SessionId([1; 8]), message: MessageId([2; 16]), initial: None, sealed };

            let decoded = Frame::decode(&Frame::Envelope(envelope).encode()).expect("own encoding");

            let Frame::Envelope(envelope) = decoded else { panic!("kind") };
            prop_assert_eq!((envelope.sealed.header, envelope.sealed.body), (header, body));
        }
    }

    #[test]
    fn a_frame_above_the_limit_is_refused_before_it_is_decoded() {
        assert!(Frame::decode(&vec![0; FRAME_BYTES_MAX + 1]).is_err());
    }
}
