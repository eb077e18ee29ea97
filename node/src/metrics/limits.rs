//! Rate limits at work.

use bitchat_protocol::resilience::{Class, Scope};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::label::{Limit, LimitScope};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByLimit {
    scope: LimitScope,
    class: Limit,
}

/// Refusals and keys.
#[derive(Clone, Debug, Default)]
pub(super) struct LimitMetrics {
    rejected: Family<ByLimit, Counter>,
    keys: Gauge,
}

impl LimitMetrics {
    /// Registers the families under `ratelimit_`, every series at zero.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "ratelimit_rejected",
            "Frames of peers that were refused because they came too often",
            self.rejected.clone(),
        );
        registry.register(
            "ratelimit_keys",
            "Devices and address prefixes that have a rate limit of their own",
            self.keys.clone(),
        );
        for &scope in LimitScope::ALL {
            for &class in Limit::ALL {
                drop(self.rejected.get_or_create(&ByLimit { scope, class }));
            }
        }
    }

    /// A frame was refused.
    pub(super) fn rejected(&self, scope: Scope, class: Class) {
        let (scope, class) = (scope.into(), class.into());
        self.rejected.get_or_create(&ByLimit { scope, class }).inc();
    }

    /// So many keys are told apart.
    pub(super) fn keys(&self, keys: usize) {
        self.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }
}

impl From<Class> for Limit {
    fn from(class: Class) -> Self {
        match class {
            Class::Handshake => Self::Handshake,
            Class::Message => Self::Message,
            Class::Prekey => Self::Prekey,
            Class::Deposit => Self::Deposit,
            Class::Fetch => Self::Fetch,
            Class::Task => Self::Task,
            Class::Record => Self::Record,
            Class::Fault => Self::Fault,
        }
    }
}

impl From<Scope> for LimitScope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Peer => Self::Peer,
            Scope::Prefix => Self::Prefix,
            Scope::Tier => Self::Tier,
            Scope::Global => Self::Global,
        }
    }
}
