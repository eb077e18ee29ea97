//! What mailboxes count: those that this node keeps for others.

use std::time::Duration;

use bitchat_protocol::mailbox::RefusalCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::families::FLUSH_BUCKETS;
use super::label::label;

label! {
    /// Why an envelope went without its owner.
    EvictionCause {
        /// Its time was up.
        Expired => "expired",
        /// The rental lapsed or was ended.
        Rental => "rental",
    }
}

label! {
    /// Why a question was refused.
    RefusedAs {
        /// It could not be taken as it is.
        Rejected => "rejected",
        /// Too much to do.
        Busy => "busy",
        /// The fault is here.
        Internal => "internal",
        /// No room in the queue, or for the tag.
        QuotaExceeded => "quota_exceeded",
        /// No such queue or tag.
        Unknown => "unknown",
        /// More work, or the operator's word.
        Unpaid => "unpaid",
        /// This node keeps no mailboxes.
        NoMailboxes => "no_mailboxes",
    }
}

impl From<RefusalCode> for RefusedAs {
    fn from(code: RefusalCode) -> Self {
        match code {
            RefusalCode::Rejected => Self::Rejected,
            RefusalCode::Busy => Self::Busy,
            RefusalCode::Internal => Self::Internal,
            RefusalCode::QuotaExceeded => Self::QuotaExceeded,
            RefusalCode::Unknown => Self::Unknown,
            RefusalCode::Unpaid => Self::Unpaid,
            RefusalCode::NoMailboxes => Self::NoMailboxes,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByCause {
    cause: EvictionCause,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRefusal {
    code: RefusedAs,
}

/// The families. Cheap to clone.
#[derive(Clone, Debug)]
pub struct MailboxMetrics {
    bytes: Gauge,
    messages: Gauge,
    rentals: Gauge,
    custody: Counter,
    evictions: Family<ByCause, Counter>,
    refusals: Family<ByRefusal, Counter>,
    flush_seconds: Histogram,
}

impl MailboxMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let mailbox = Self {
            bytes: Gauge::default(),
            messages: Gauge::default(),
            rentals: Gauge::default(),
            custody: Counter::default(),
            evictions: Family::default(),
            refusals: Family::default(),
            flush_seconds: Histogram::new(FLUSH_BUCKETS),
        };
        let registry = registry.sub_registry_with_prefix("mailbox");
        registry.register("bytes", "Bytes kept for others", mailbox.bytes.clone());
        registry.register("messages", "Envelopes kept for others", mailbox.messages.clone());
        registry.register("rentals", "Mailboxes rented out", mailbox.rentals.clone());
        registry.register(
            "custody",
            "Deposits that were answered with custody, after their flush",
            mailbox.custody.clone(),
        );
        registry.register(
            "evictions",
            "Envelopes that went without their owner",
            mailbox.evictions.clone(),
        );
        registry.register(
            "refusals",
            "Questions of others that were refused",
            mailbox.refusals.clone(),
        );
        registry.register(
            "flush_seconds",
            "Time of one durable write of the store of mailboxes",
            mailbox.flush_seconds.clone(),
        );
        for &cause in EvictionCause::ALL {
            drop(mailbox.evictions.get_or_create(&ByCause { cause }));
        }
        for &code in RefusedAs::ALL {
            drop(mailbox.refusals.get_or_create(&ByRefusal { code }));
        }
        mailbox
    }

    /// What is kept now.
    pub fn kept(&self, rentals: u64, envelopes: u64, bytes: u64) {
        for (gauge, value) in
            [(&self.rentals, rentals), (&self.messages, envelopes), (&self.bytes, bytes)]
        {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }

    /// Custody was given.
    pub fn custody(&self) {
        self.custody.inc();
    }

    /// So many envelopes went without their owner.
    pub fn evicted(&self, cause: EvictionCause, envelopes: u64) {
        self.evictions.get_or_create(&ByCause { cause }).inc_by(envelopes);
    }

    /// A question was refused.
    pub fn refused(&self, code: RefusalCode) {
        self.refusals.get_or_create(&ByRefusal { code: code.into() }).inc();
    }

    /// One durable write.
    pub fn flushed(&self, took: Duration) {
        self.flush_seconds.observe(took.as_secs_f64());
    }
}
