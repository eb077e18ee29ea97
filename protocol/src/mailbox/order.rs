//! What the owner of a queue orders, and the signature that proves it is the owner.
//!
//! The signature binds the node and the link's device: an order cannot be used at another node or by
//! whoever saw it.
//!
//! See docs/SPEC.md, section "Mailboxes".

use bitchat_proto::limits::ADDRESSES_MAX;
use bitchat_proto::wire;
use prost::Message;

use super::{QueueKey, Tag, Token};
use crate::crypto::{Label, SigningSecret, Transcript, verify};
use crate::envelope::prekeys;
use crate::error::{Error, Malformed};
use crate::id::{DeviceId, exactly};
use crate::prekey::SignedPrekey;
use crate::time::UnixMillis;

/// Tags of one order.
pub const TAGS_MAX: usize = 512;

/// Cursors of one order.
pub const CURSORS_MAX: usize = 2_048;

/// Nodes that keep envelopes for one owner.
pub const MAILBOXES_MAX: usize = 10;

/// Prekeys of each kind in one order: a frame holds them.
pub const STOCK_MAX: usize = 64;

/// Bytes of an operator's word.
pub const ACCESS_BYTES_MAX: usize = 128;

/// Another node of the same owner.
#[derive(Debug, PartialEq, Eq)]
pub struct Fellow {
    /// Its place; 0 is the best.
    pub rank: u32,
    /// Who it is.
    pub device: DeviceId,
    /// Where it is.
    pub addresses: Vec<String>,
    /// Lets this node deposit there.
    pub token: Token,
}

/// One order.
#[derive(Debug, PartialEq, Eq)]
pub enum Order {
    /// Begin or renew a rental.
    Rent {
        /// The operator's word; empty if none is asked for.
        access: String,
        /// Strangers who did the work may deposit under this tag.
        request_tag: Option<Tag>,
        /// For a new rental; its subject is the queue's key.
        work: u64,
    },
    /// Change the tags that let somebody in.
    Tags {
        /// To be let in until then.
        add: Vec<(Tag, UnixMillis)>,
        /// No longer.
        remove: Vec<Tag>,
    },
    /// Envelopes behind a cursor; wait for one if there is none.
    Fetch {
        /// The last one seen.
        after: u64,
        /// At most this long, in milliseconds.
        wait_ms: u64,
    },
    /// These are durable at the owner.
    Taken(Vec<u64>),
    /// The rental is over.
    End,
    /// Prekeys to hand out.
    Stock {
        /// Of X25519.
        x25519: Vec<SignedPrekey>,
        /// Of ML-KEM-1024.
        ml_kem: Vec<SignedPrekey>,
    },
    /// The owner's other nodes.
    Fellows {
        /// Of the node that gets this order.
        rank: u32,
        /// The others.
        fellows: Vec<Fellow>,
    },
}

/// An order as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedOrder {
    /// Whose.
    pub queue: QueueKey,
    body: Vec<u8>,
    signature: Vec<u8>,
}

impl SignedOrder {
    /// Signs an order with the queue's key, for one node, over a link of `asker`.
    #[must_use]
    pub fn sign(order: &Order, key: &SigningSecret, node: DeviceId, asker: DeviceId) -> Self {
        let body = order.to_wire().encode_to_vec();
        let queue = QueueKey(key.public());
        let signature = key.sign(Label::MailboxOrder, &encoding(queue, node, asker, &body));
        Self { queue, body, signature: signature.to_vec() }
    }

    /// Checks who ordered and reads what.
    ///
    /// # Errors
    ///
    /// [`Error::NotAuthentic`] if the queue's key did not sign it for this node and this link,
    /// [`Error::Malformed`] if it is no order.
    pub fn open(&self, node: DeviceId, asker: DeviceId) -> Result<Order, Error> {
        let text = encoding(self.queue, node, asker, &self.body);
        verify(&self.queue.0, Label::MailboxOrder, &text, &self.signature)?;
        Ok(Order::parse(&self.body)?)
    }

    pub(super) fn to_wire(&self) -> wire::MailboxOrder {
        wire::MailboxOrder {
            queue: self.queue.0.to_vec(),
            body: self.body.clone(),
            signature: self.signature.clone(),
        }
    }

    pub(super) fn from_wire(raw: wire::MailboxOrder) -> Result<Self, Malformed> {
        let queue = QueueKey(exactly(&raw.queue, "queue")?);
        Ok(Self { queue, body: raw.body, signature: raw.signature })
    }
}

fn encoding(queue: QueueKey, node: DeviceId, asker: DeviceId, body: &[u8]) -> [u8; 32] {
    let mut transcript = Transcript::new(b"bitchat/1 mailbox order");
    transcript.add("node", &node.0);
    transcript.add("asker", &asker.0);
    transcript.add("queue", &queue.0);
    transcript.add("body", body);
    transcript.finish()
}

impl Order {
    fn to_wire(&self) -> wire::MailboxBody {
        use wire::mailbox_body::Body;
        let body = match self {
            Self::Rent { access, request_tag, work } => Body::Rent(wire::MailboxRent {
                access: access.clone(),
                request_tag: request_tag.map(|tag| tag.0.to_vec()).unwrap_or_default(),
                work: *work,
            }),
            Self::Tags { add, remove } => {
                let tag = |(tag, until): &(Tag, UnixMillis)| wire::MailboxTag {
                    tag: tag.0.to_vec(),
                    until_ms: until.0,
                };
                Body::Tags(wire::MailboxTags {
                    add: add.iter().map(tag).collect(),
                    remove: remove.iter().map(|tag| tag.0.to_vec()).collect(),
                })
            }
            Self::Fetch { after, wait_ms } => {
                Body::Fetch(wire::MailboxFetch { after: *after, wait_ms: *wait_ms })
            }
            Self::Taken(cursors) => Body::Taken(wire::MailboxTaken { cursors: cursors.clone() }),
            Self::End => Body::End(wire::MailboxEnd {}),
            Self::Stock { x25519, ml_kem } => Body::Stock(wire::MailboxStock {
                x25519: x25519.iter().cloned().map(prekeys::key).collect(),
                ml_kem: ml_kem.iter().cloned().map(prekeys::key).collect(),
            }),
            Self::Fellows { rank, fellows } => Body::Fellows(wire::MailboxFellows {
                rank: *rank,
                fellows: fellows.iter().map(Fellow::to_wire).collect(),
            }),
        };
        wire::MailboxBody { body: Some(body) }
    }

    fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        use wire::mailbox_body::Body;
        const WRONG: Malformed = Malformed("mailbox order");
        let raw = wire::MailboxBody::decode(bytes).map_err(|_| WRONG)?;
        Ok(match raw.body.ok_or(WRONG)? {
            Body::Rent(rent) => Self::parse_rent(rent)?,
            Body::Tags(tags) => Self::parse_tags(&tags)?,
            Body::Fetch(fetch) => Self::Fetch { after: fetch.after, wait_ms: fetch.wait_ms },
            Body::Taken(taken) if taken.cursors.len() <= CURSORS_MAX => Self::Taken(taken.cursors),
            Body::End(wire::MailboxEnd {}) => Self::End,
            Body::Stock(stock)
                if stock.x25519.len() <= STOCK_MAX && stock.ml_kem.len() <= STOCK_MAX =>
            {
                let x25519 = stock.x25519.into_iter().map(prekeys::parse_x25519);
                let ml_kem = stock.ml_kem.into_iter().map(prekeys::parse_ml_kem);
                Self::Stock {
                    x25519: x25519.collect::<Result<_, _>>()?,
                    ml_kem: ml_kem.collect::<Result<_, _>>()?,
                }
            }
            Body::Fellows(raw) if raw.fellows.len() < MAILBOXES_MAX => {
                let fellows = raw.fellows.into_iter().map(Fellow::from_wire);
                Self::Fellows { rank: raw.rank, fellows: fellows.collect::<Result<_, _>>()? }
            }
            Body::Taken(_) | Body::Stock(_) | Body::Fellows(_) => return Err(WRONG),
        })
    }

    fn parse_rent(raw: wire::MailboxRent) -> Result<Self, Malformed> {
        if raw.access.len() > ACCESS_BYTES_MAX {
            return Err(Malformed("mailbox access"));
        }
        let request_tag = match raw.request_tag.as_slice() {
            [] => None,
            tag => Some(Tag(exactly(tag, "tag")?)),
        };
        Ok(Self::Rent { access: raw.access, request_tag, work: raw.work })
    }

    fn parse_tags(raw: &wire::MailboxTags) -> Result<Self, Malformed> {
        if raw.add.len() > TAGS_MAX || raw.remove.len() > TAGS_MAX {
            return Err(Malformed("mailbox tags"));
        }
        let tag = |bytes: &Vec<u8>| exactly(bytes, "tag").map(Tag);
        let add = raw.add.iter().map(|raw| Ok((tag(&raw.tag)?, UnixMillis(raw.until_ms))));
        let remove = raw.remove.iter().map(tag);
        Ok(Self::Tags {
            add: add.collect::<Result<_, Malformed>>()?,
            remove: remove.collect::<Result<_, _>>()?,
        })
    }
}

impl Fellow {
    fn to_wire(&self) -> wire::MailboxFellow {
        wire::MailboxFellow {
            rank: self.rank,
            device: self.device.0.to_vec(),
            addresses: self.addresses.clone(),
            token: self.token.as_bytes().to_vec(),
        }
    }

    fn from_wire(raw: wire::MailboxFellow) -> Result<Self, Malformed> {
        if raw.addresses.len() > ADDRESSES_MAX {
            return Err(Malformed("mailbox addresses"));
        }
        crate::invitation::check_addresses(&raw.addresses)?;
        Ok(Self {
            rank: raw.rank,
            device: DeviceId(exactly(&raw.device, "device")?),
            addresses: raw.addresses,
            token: Token::new(exactly(&raw.token, "token")?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::Secret;

    fn key() -> SigningSecret {
        SigningSecret::from_seed(Secret::take(&mut [1; 32]))
    }

    fn orders() -> Vec<Order> {
        let prekey = |length| SignedPrekey {
            id: 7,
            key: vec![1; length],
            expires: UnixMillis(9),
            signature: vec![2; 64],
        };
        let fellow = Fellow {
            rank: 1,
            device: DeviceId([4; 32]),
            addresses: vec!["/ip4/203.0.113.1/tcp/1".to_owned()],
            token: Token::new([5; 32]),
        };
        vec![
            Order::Rent { access: "word".to_owned(), request_tag: Some(Tag([3; 32])), work: 4 },
            Order::Rent { access: String::new(), request_tag: None, work: 0 },
            Order::Tags { add: vec![(Tag([1; 32]), UnixMillis(5))], remove: vec![Tag([2; 32])] },
            Order::Fetch { after: 7, wait_ms: 8 },
            Order::Taken(vec![1, 2, u64::MAX]),
            Order::End,
            Order::Stock { x25519: vec![prekey(32)], ml_kem: vec![prekey(1_568)] },
            Order::Fellows { rank: 2, fellows: vec![fellow] },
        ]
    }

    #[test]
    fn every_order_comes_back_at_its_node_over_its_link_and_nowhere_else() {
        let (node, asker) = (DeviceId([8; 32]), DeviceId([9; 32]));
        for order in orders() {
            let signed = SignedOrder::sign(&order, &key(), node, asker);
            let signed = SignedOrder::from_wire(signed.to_wire()).expect("own encoding");

            assert_eq!(signed.open(node, asker).expect("its node"), order);
            assert!(signed.open(DeviceId([1; 32]), asker).is_err());
            assert!(signed.open(node, DeviceId([1; 32])).is_err());
            let other = SignedOrder { queue: QueueKey([1; 32]), ..signed };
            assert!(other.open(node, asker).is_err());
        }
    }

    #[test]
    fn an_order_beyond_a_bound_is_malformed() {
        let (node, asker) = (DeviceId([8; 32]), DeviceId([9; 32]));
        for order in [
            Order::Taken(vec![0; CURSORS_MAX + 1]),
            Order::Tags {
                add: vec![(Tag([0; 32]), UnixMillis(0)); TAGS_MAX + 1],
                remove: Vec::new(),
            },
            Order::Rent { access: "x".repeat(ACCESS_BYTES_MAX + 1), request_tag: None, work: 0 },
        ] {
            let signed = SignedOrder::sign(&order, &key(), node, asker);
            assert!(matches!(signed.open(node, asker), Err(Error::Malformed(_))));
        }
    }
}
