//! What a ratchet message says.

use bitchat_proto::limits::{
    NAME_BYTES_MAX, PARENTS_MAX, RECEIPT_IDS_MAX, RECORD_BYTES_MAX, TEXT_BYTES_MAX,
    UNREADABLE_IDS_MAX,
};
use bitchat_proto::prost::Message;
use bitchat_proto::wire;

use crate::error::Malformed;
use crate::id::{InvitationToken, MessageId, exactly};
use crate::time::UnixMillis;

/// The plaintext of a ratchet message.
#[derive(Clone)]
pub struct Content {
    /// Lamport clock of the conversation.
    pub lamport: u64,
    /// Number among the sender device's ordered messages, from 1; 0 if not ordered.
    pub sequence: u64,
    /// Newest messages that the sender had seen, at most 3.
    pub parents: Vec<MessageId>,
    /// By the sender's clock: a label only.
    pub sent: UnixMillis,
    /// Who the sender is, while the session is unconfirmed or when its record changed.
    pub introduction: Option<Introduction>,
    /// The rest.
    pub body: Body,
}

/// What a message is about.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// A text for a person.
    Text(String),
    /// What became of messages of the recipient of this, at its sender's. Not receipted.
    Receipts(Receipts),
    /// Here I am.
    Hello,
    /// My record changed; see the introduction. Not receipted.
    Update,
    /// These messages could not be opened. Not receipted.
    Unreadable(Vec<MessageId>),
    /// Something that a later version sends and this one does not know.
    Unknown,
}

/// What a device says of messages that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipts {
    /// They are on its disk.
    pub delivered: Vec<MessageId>,
    /// Its user says that they were read.
    pub read: Vec<MessageId>,
}

impl Receipts {
    /// Of messages that are on the disk.
    #[must_use]
    pub const fn delivered(delivered: Vec<MessageId>) -> Self {
        Self { delivered, read: Vec::new() }
    }
}

/// Lets the responder answer, and admits a stranger who holds an invitation.
#[derive(Clone)]
pub struct Introduction {
    /// Of the invitation, if there was one.
    pub token: Option<InvitationToken>,
    /// As the sender calls itself.
    pub nickname: String,
    /// Signed contact record of the sender.
    pub record: Vec<u8>,
}

impl Content {
    /// The bytes inside the ratchet message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let raw = |ids: &[MessageId]| ids.iter().map(|id| id.0.to_vec()).collect();
        let body = match &self.body {
            Body::Text(text) => Some(wire::content::Body::Text(wire::Text { text: text.clone() })),
            Body::Receipts(receipts) => Some(wire::content::Body::Receipts(wire::Receipts {
                delivered: raw(&receipts.delivered),
                read: raw(&receipts.read),
            })),
            Body::Hello => Some(wire::content::Body::Hello(wire::Hello {})),
            Body::Update => Some(wire::content::Body::Update(wire::Update {})),
            Body::Unreadable(ids) => {
                Some(wire::content::Body::Unreadable(wire::Unreadable { messages: raw(ids) }))
            }
            Body::Unknown => None,
        };
        wire::Content {
            lamport: self.lamport,
            sequence: self.sequence,
            parents: self.parents.iter().map(|id| id.0.to_vec()).collect(),
            sent_ms: self.sent.0,
            introduction: self.introduction.as_ref().map(Introduction::to_wire),
            body,
        }
        .encode_to_vec()
    }

    /// Parses what a peer wrote.
    ///
    /// # Errors
    ///
    /// [`Malformed`] names the part that is wrong or too long.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let content = wire::Content::decode(bytes).map_err(|_| Malformed("content"))?;
        let body = match content.body {
            Some(wire::content::Body::Text(text)) if text.text.len() <= TEXT_BYTES_MAX => {
                Body::Text(text.text)
            }
            Some(wire::content::Body::Text(_)) => return Err(Malformed("text length")),
            Some(wire::content::Body::Receipts(receipts)) => Body::Receipts(Receipts {
                delivered: ids(&receipts.delivered, RECEIPT_IDS_MAX, "receipts")?,
                read: ids(&receipts.read, RECEIPT_IDS_MAX, "receipts")?,
            }),
            Some(wire::content::Body::Hello(_)) => Body::Hello,
            Some(wire::content::Body::Update(_)) => Body::Update,
            Some(wire::content::Body::Unreadable(unreadable)) => {
                Body::Unreadable(ids(&unreadable.messages, UNREADABLE_IDS_MAX, "unreadable")?)
            }
            None => Body::Unknown,
        };
        Ok(Self {
            lamport: content.lamport,
            sequence: content.sequence,
            parents: ids(&content.parents, PARENTS_MAX, "parents")?,
            sent: UnixMillis(content.sent_ms),
            introduction: content.introduction.map(Introduction::from_wire).transpose()?,
            body,
        })
    }
}

fn ids(raw: &[Vec<u8>], limit: usize, what: &'static str) -> Result<Vec<MessageId>, Malformed> {
    if raw.len() > limit {
        return Err(Malformed(what));
    }
    raw.iter().map(|id| exactly(id, what).map(MessageId)).collect()
}

impl Introduction {
    fn to_wire(&self) -> wire::Introduction {
        wire::Introduction {
            token: self.token.map(|token| token.0.to_vec()).unwrap_or_default(),
            nickname: self.nickname.clone(),
            record: self.record.clone(),
        }
    }

    fn from_wire(raw: wire::Introduction) -> Result<Self, Malformed> {
        if raw.nickname.len() > NAME_BYTES_MAX || raw.record.len() > RECORD_BYTES_MAX {
            return Err(Malformed("introduction length"));
        }
        let token = match raw.token.as_slice() {
            [] => None,
            bytes => Some(InvitationToken(exactly(bytes, "token")?)),
        };
        Ok(Self { token, nickname: raw.nickname, record: raw.record })
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Content(..)")
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(..)",
            Self::Receipts(_) => "Receipts(..)",
            Self::Hello => "Hello",
            Self::Update => "Update",
            Self::Unreadable(_) => "Unreadable",
            Self::Unknown => "Unknown",
        })
    }
}

impl std::fmt::Debug for Introduction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Introduction(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: String) -> Content {
        let (parents, sent) = (vec![MessageId([3; 16])], UnixMillis(5));
        Content {
            lamport: 9,
            sequence: 2,
            parents,
            sent,
            introduction: None,
            body: Body::Text(text),
        }
    }

    #[test]
    fn content_survives_encoding() {
        let content = text("héllo".to_owned());

        let decoded = Content::decode(&content.encode()).expect("own encoding");

        assert!(decoded.body == content.body);
        assert_eq!((decoded.lamport, decoded.sequence, decoded.sent), (9, 2, UnixMillis(5)));
        assert_eq!(decoded.parents, content.parents);
    }

    #[test]
    fn a_text_above_the_limit_is_refused() {
        let at = Content::decode(&text("a".repeat(TEXT_BYTES_MAX)).encode());
        let above = Content::decode(&text("a".repeat(TEXT_BYTES_MAX + 1)).encode());

        assert!(at.is_ok());
        assert!(above.is_err());
    }

    /// Whatever a later version adds to the bodies: the rest is read, and the body known as unknown.
    #[test]
    fn a_body_of_a_later_version_is_unknown_and_not_malformed() {
        let mut bytes = text(String::new()).encode();
        let body = bytes.len() - 2; // An empty text: its tag and its length.
        bytes.truncate(body);
        bytes.extend([0xba, 0x06, 0x02, 0x08, 0x01]); // Field 103, a message.

        let decoded = Content::decode(&bytes).expect("fields of a later version");

        assert!(decoded.body == Body::Unknown);
        assert_eq!((decoded.lamport, decoded.sequence), (9, 2));
    }
}
