//! Mailboxes: nodes that keep sealed envelopes until their owner fetches them.
//!
//! ```text
//!   sender ── token, seal ──> node (custody, signed) <── order signed by the queue's key ── owner
//! ```
//!
//! A node sees queues, tags and seals: no account, no device that anybody has as a contact, no text.
//! Both ends ask over links whose identity was made for the purpose ([`Veil`]). See docs/SPEC.md,
//! section "Mailboxes", and docs/decisions/0026.
//!
//! # What this module does not do
//!
//! It does not decide what to deposit where; that is the engine's. The nodes' side is in [`host`].

pub mod host;

mod address;
mod ask;
mod client;
mod custody;
mod order;
mod peek;
mod wire;
mod work;

pub use address::{ContactSecret, EPOCH, Epoch, QueueKey, Tag, Token};
pub use ask::{Ask, RequestId, Unanswered, Veil};
pub use client::{
    ACTIVE_MAX, Admitted, Deposited, NODE_ADDRESSES_MAX, Poured, Rental, WEEKS_AHEAD,
};
pub use custody::Custody;
pub use order::{
    ACCESS_BYTES_MAX, CURSORS_MAX, Fellow, MAILBOXES_MAX, Order, STOCK_MAX, SignedOrder, TAGS_MAX,
};
pub use peek::{is_request, request_id};
pub use wire::{
    Admission, Answer, DEPOSIT_BYTES_MAX, Item, Offer, Page, Question, RefusalCode, Request,
    Response,
};
pub use work::{WORK_BITS, find_work, is_work};
