//! A transport that dials only what the guard allows; below the resolver it sees what names stand for.

use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::{Multiaddr, Transport};

use super::address::Guard;

/// `inner` behind a guard.
pub(super) struct Guarded<T> {
    pub(super) inner: T,
    pub(super) guard: Guard,
}

impl<T: Transport + Unpin> Transport for Guarded<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<T::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<T::Dial, TransportError<T::Error>> {
        if self.guard.allows(&address) {
            self.inner.dial(address, options)
        } else {
            Err(TransportError::MultiaddrNotSupported(address))
        }
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::core::Endpoint;
    use libp2p::core::transport::PortUse;
    use libp2p::tcp;

    #[tokio::test]
    async fn an_address_that_is_not_allowed_does_not_reach_the_transport() {
        let inner = tcp::tokio::Transport::new(tcp::Config::default());
        let mut guarded = Guarded { inner, guard: Guard { own_ports: vec![9464] } };

        for (text, dialled) in [
            ("/ip4/127.0.0.1/tcp/4001", true),
            ("/ip4/127.0.0.1/tcp/9464", false),
            ("/ip4/169.254.169.254/tcp/80", false),
        ] {
            let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
            let dial = guarded.dial(text.parse().expect("an address"), options);
            assert_eq!(dial.is_ok(), dialled, "{text}");
        }
    }
}
