//! What the operator is told: metrics as things happen, the status once a second.

use bitchat_protocol::mailbox::RefusalCode;
use bitchat_protocol::mailbox::host::{Eviction, HostFact, HostView};
use tokio::sync::watch;

use crate::control::{NodeStatus, Serving};
use crate::metrics::{EvictionCause, Metrics};

/// Where it is told, and what is told there now.
pub(super) struct Counted {
    status: watch::Sender<NodeStatus>,
    metrics: Metrics,
    serving: Serving,
}

impl Counted {
    pub(super) fn new(
        status: watch::Sender<NodeStatus>,
        metrics: Metrics,
        serving: Serving,
    ) -> Self {
        Self { status, metrics, serving }
    }

    /// Something happened.
    #[expect(clippy::cognitive_complexity, reason = "a tracing macro counts as seven branches")]
    pub(super) fn fact(&mut self, fact: HostFact) {
        let mailbox = self.metrics.mailbox();
        match fact {
            HostFact::Deposited(_) | HostFact::Again => {
                mailbox.custody();
                self.serving.custody = self.serving.custody.saturating_add(1);
            }
            HostFact::Evicted(why, envelopes) => {
                let cause = match why {
                    Eviction::Expired => EvictionCause::Expired,
                    Eviction::RentalOver => EvictionCause::Rental,
                };
                mailbox.evicted(cause, u64::from(envelopes));
                self.serving.evictions =
                    self.serving.evictions.saturating_add(u64::from(envelopes));
            }
            HostFact::Refused(code) => self.refused(code),
            HostFact::BoundReached(bound) => {
                tracing::warn!(bound, "a bound of mailboxes was reached");
            }
            HostFact::StoreFailed => tracing::error!("the store of mailboxes does not read"),
            HostFact::Bug(what) => tracing::error!(what, "bug in mailboxes"),
            HostFact::Rented
            | HostFact::Ended(_)
            | HostFact::Fetched(_)
            | HostFact::Taken(_)
            | HostFact::Prekeys
            | HostFact::Malformed
            | HostFact::RateLimited(_)
            | HostFact::Fellow { .. }
            | HostFact::Copied => tracing::trace!(?fact),
        }
    }

    /// A question was refused, by the host or in its place.
    pub(super) fn refused(&mut self, code: RefusalCode) {
        self.metrics.mailbox().refused(code);
        self.serving.refusals = self.serving.refusals.saturating_add(1);
    }

    /// What is kept now; without a view what was known last.
    pub(super) fn report(&mut self, view: Option<HostView>, is_taking: bool) {
        if let Some(HostView { rentals, envelopes, bytes, .. }) = view {
            self.metrics.mailbox().kept(rentals, envelopes, bytes);
            (self.serving.rentals, self.serving.envelopes) = (rentals, envelopes);
            self.serving.bytes = bytes;
        }
        self.serving.is_taking = is_taking;
        self.status.send_if_modified(|status| {
            let changed = status.serving.as_ref() != Some(&self.serving);
            if changed {
                status.serving = Some(self.serving.clone());
            }
            changed
        });
    }
}
