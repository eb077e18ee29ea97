//! Inbound connections by address prefix, before any handshake: a door for floods of connections.
//!
//! A denied connection is closed before its Noise or TLS handshake, which is what costs. Contacts that
//! share a prefix with a flood wait for it to end, or are dialled by us: what we dial is not asked.

use std::convert::Infallible;
use std::num::NonZeroU32;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bitchat_protocol::resilience::{Keyed, Prefix, Quota, Refused};
use bitchat_protocol::time::Moment;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::address::prefix_of;

/// Prefixes told apart; those without a place share one limit.
const PREFIXES: usize = 8_000;

/// Bursts are this many seconds of the rate: a household whose line comes back.
const BURST_SECONDS: u32 = 5;

/// Denies inbound connections of a prefix that come too fast.
pub(super) struct Admission {
    started: Instant,
    limits: Keyed<Prefix>,
}

/// Why a connection was denied.
#[derive(Debug, thiserror::Error)]
#[error("too many connections from one address")]
struct TooMany;

impl Admission {
    pub(super) fn new(rate: u32) -> Self {
        let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
        let burst = rate.saturating_mul(NonZeroU32::new(BURST_SECONDS).unwrap_or(rate));
        let quota = Quota::new(burst, Duration::from_secs(1) / rate.get());
        Self { started: Instant::now(), limits: Keyed::new(quota, PREFIXES) }
    }

    fn admit(&mut self, address: &Multiaddr) -> Result<(), Refused> {
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.limits.admit(prefix_of(address), Moment::from_nanos(nanos), 1)
    }
}

impl NetworkBehaviour for Admission {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.admit(remote).map_err(|_| ConnectionDenied::new(TooMany))
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_gets_its_burst_and_others_theirs() {
        let mut admission = Admission::new(2);
        let address = |host: u8| format!("/ip4/192.0.2.{host}/tcp/4001").parse().expect("address");

        let flood = (0..1_000).filter(|_| admission.admit(&address(1)).is_ok()).count();

        assert!((10..=12).contains(&flood), "{flood}");
        assert!(admission.admit(&address(2)).is_ok());
    }
}
