//! An item's bytes: `rest::BackupItem`.

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest::backup_item::Item as Kind;
use bitchat_proto::rest::{self, BackupItem};
use zeroize::{Zeroize, Zeroizing};

use super::{Counts, Head, Item, Saved, WRONG};
use crate::contact::{self, Contact};
use crate::crypto::Secret;
use crate::error::Malformed;
use crate::id::{AccountId, exactly};
use crate::inbox::{Conversation, Stored};
use crate::outbox::Delivery;
use crate::time::UnixMillis;

impl Item {
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let kind = match self {
            Self::Head(head) => Kind::Head(head.to_rest()),
            Self::Contact(contact) => Kind::Contact(contact.to_rest()),
            Self::Message(saved) => Kind::Message(rest::BackupMessage {
                account: saved.account.0.to_vec(),
                index: saved.index,
                message: Some(saved.message.to_rest()),
                delivery: saved.delivery.as_ref().map(Delivery::to_rest),
            }),
            Self::Conversation(account, conversation) => {
                Kind::Conversation(rest::BackupConversation {
                    account: account.0.to_vec(),
                    conversation: Some(conversation.to_rest()),
                })
            }
            Self::End(counts) => Kind::End(rest::BackupEnd {
                contacts: counts.contacts,
                verified: counts.verified,
                messages: counts.messages,
                conversations: counts.conversations,
            }),
        };
        let mut item = BackupItem { item: Some(kind) };
        let bytes = Zeroizing::new(item.encode_to_vec());
        if let Some(Kind::Head(head)) = &mut item.item {
            head.phrase_entropy.zeroize();
        }
        bytes
    }

    /// # Errors
    ///
    /// [`Malformed`] if no version wrote it, or it holds what no profile could.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let item = BackupItem::decode(bytes).map_err(|_| WRONG)?;
        Ok(match item.item.ok_or(WRONG)? {
            Kind::Head(head) => Self::Head(Head::from_rest(head)?),
            Kind::Contact(row) => {
                let contact = Contact::from_rest(row)?;
                contact::usable(&contact.name).map_err(|_| Malformed("contact name"))?;
                Self::Contact(Box::new(contact))
            }
            Kind::Message(row) => Self::Message(Box::new(Saved {
                account: AccountId(exactly(&row.account, "message")?),
                index: row.index,
                message: Stored::from_rest(row.message.ok_or(WRONG)?)?,
                delivery: row.delivery.map(Delivery::from_rest).transpose()?,
            })),
            Kind::Conversation(row) => Self::Conversation(
                AccountId(exactly(&row.account, "conversation")?),
                Conversation::from_rest(row.conversation.ok_or(WRONG)?)?,
            ),
            Kind::End(end) => Self::End(Counts {
                contacts: end.contacts,
                verified: end.verified,
                messages: end.messages,
                conversations: end.conversations,
            }),
        })
    }
}

impl Head {
    fn to_rest(&self) -> rest::BackupHead {
        rest::BackupHead {
            phrase_entropy: self.phrase_entropy.expose().to_vec(),
            nickname: self.nickname.clone(),
            number: self.number,
            generation: self.generation,
            created_ms: self.created.0,
            history: self.history,
        }
    }

    fn from_rest(mut row: rest::BackupHead) -> Result<Self, Malformed> {
        let phrase_entropy = Secret::from_slice(&row.phrase_entropy);
        row.phrase_entropy.zeroize();
        if !row.nickname.is_empty() {
            contact::usable(&row.nickname).map_err(|_| Malformed("nickname"))?;
        }
        Ok(Self {
            phrase_entropy: phrase_entropy.ok_or(Malformed("phrase"))?,
            nickname: row.nickname,
            number: row.number,
            generation: row.generation,
            created: UnixMillis(row.created_ms),
            history: row.history,
        })
    }
}
