//! Connections come and go: what the swarm says, and what a `Connect` starts.

use std::mem::take;
use std::time::Instant;

use bitchat_protocol::id::DeviceId;
use libp2p::core::ConnectedPoint;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, SwarmEvent};
use libp2p::{Multiaddr, PeerId, mdns, ping};

use super::super::address::{device_of, is_tcp, peer_of, prefix_of};
use super::super::link::{Budget, Link};
use super::super::peer::{Connection, Dial, Peer};
use super::super::swarm::BehaviourEvent;
use super::super::{Event, Path};
use super::Hub;

impl Hub {
    /// One event of the swarm.
    #[allow(clippy::wildcard_enum_match_arm, reason = "libp2p adds events as it likes")]
    pub(super) fn on_swarm(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Ping(event)) => self.on_ping(event),
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(event)) => self.on_mdns(event),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_established(peer_id, connection_id, &endpoint);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, endpoint, .. } => {
                self.on_closed(&peer_id, connection_id, &endpoint);
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer), connection_id, .. } => {
                self.on_dial_failed(&peer, connection_id);
            }
            SwarmEvent::IncomingConnectionError { .. } => {
                self.counters().connections_refused.one();
            }
            SwarmEvent::NewListenAddr { .. }
            | SwarmEvent::ExpiredListenAddr { .. }
            | SwarmEvent::ListenerClosed { .. } => self.on_listeners(),
            _ => {}
        }
    }

    /// Dials unless the device is connected; a dial under way takes the addresses along.
    pub(super) fn connect(&mut self, device: DeviceId, addresses: &[String]) {
        let Ok(id) = peer_of(&device) else {
            return self.tell(Event::Disconnected { peer: device });
        };
        let (mut admitted, refused) = self.guard.admit(&id, addresses);
        self.counters().addresses_refused.more(u64::try_from(refused).unwrap_or(u64::MAX));
        for address in self.book.of(&device) {
            if !admitted.contains(address) {
                admitted.push(address.clone());
            }
        }
        let peer = self.peers.entry(device).or_insert_with(|| Peer::new(id));
        if !peer.connections.is_empty() {
            return;
        }
        match &mut peer.dial {
            Some(dial) => {
                dial.owed = true;
                dial.next = admitted;
            }
            None => self.dial(device, id, admitted),
        }
    }

    fn dial(&mut self, device: DeviceId, id: PeerId, addresses: Vec<Multiaddr>) {
        // A reused port would meet the peer's own dial half-way: a simultaneous open of TCP, in
        // which both sides are the dialler and neither handshake succeeds.
        let options = DialOpts::peer_id(id)
            .condition(PeerCondition::Always)
            .addresses(addresses)
            .allocate_new_port()
            .build();
        let connection = options.connection_id();
        if let Some(peer) = self.peers.get_mut(&device) {
            peer.dial = Some(Dial { id: connection, owed: true, next: Vec::new() });
        }
        if self.swarm.dial(options).is_err() {
            self.on_dial_failed(&id, connection);
        }
    }

    fn on_dial_failed(&mut self, id: &PeerId, connection: ConnectionId) {
        let Some(device) = device_of(id) else { return };
        let Some(peer) = self.peers.get_mut(&device) else { return };
        let Some(dial) = peer.dial.take_if(|dial| dial.id == connection) else { return };
        let (connected, forgotten) = (!peer.connections.is_empty(), peer.is_forgotten());
        self.counters().dials_failed.one();
        if !connected && dial.owed && !dial.next.is_empty() {
            return self.dial(device, *id, dial.next);
        }
        if forgotten {
            self.peers.remove(&device);
        }
        if !connected && dial.owed {
            self.tell(Event::Disconnected { peer: device });
        }
    }

    fn on_established(&mut self, id: PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(device) = device_of(&id) else {
            self.swarm.close_connection(connection);
            return self.counters().connections_refused.one();
        };
        let ((path, outbound), prefix) =
            (route(endpoint), prefix_of(endpoint.get_remote_address()));
        self.counters().connections_opened.of(path, outbound).one();
        let peer = self.peers.entry(device).or_insert_with(|| Peer::new(id));
        peer.dial.take_if(|dial| dial.id == connection);
        if let Some(dial) = &mut peer.dial {
            dial.owed = false;
        }
        let stale = if outbound { Vec::new() } else { peer.take_stale(Instant::now()) };
        if !stale.is_empty() {
            // A peer dials only when it has no connection: it restarted, or its path broke. What we
            // sent over the old ones may be lost, and over UDP nothing else would tell us for long.
            peer.streams.clear();
            if let Some(link) = peer.link.take() {
                link.cut();
            }
        }
        let since = Instant::now();
        peer.connections.push(Connection {
            id: connection,
            path,
            outbound,
            since,
            prefix,
            rtt: None,
        });
        if !stale.is_empty() {
            for old in stale {
                self.swarm.close_connection(old);
            }
            self.tell(Event::Disconnected { peer: device });
        }
        let Some(peer) = self.peers.get_mut(&device) else { return };
        if peer.link.is_none() {
            let budget = Budget::within(&self.queued_bytes);
            let (link, handle) = Link::new(device, id, outbound, budget, self.links.clone());
            peer.link = Some(handle);
            self.tasks.spawn(link.run());
            self.tell(Event::Connected { peer: device, prefix });
        }
        self.touch();
    }

    fn on_closed(&mut self, id: &PeerId, connection: ConnectionId, endpoint: &ConnectedPoint) {
        let Some(device) = device_of(id) else { return };
        let (path, outbound) = route(endpoint);
        self.counters().connections_closed.of(path, outbound).one();
        let Some(peer) = self.peers.get_mut(&device) else { return };
        let known = peer.connections.len();
        peer.connections.retain(|known| known.id != connection);
        if peer.connections.is_empty() && known > 0 {
            peer.streams.clear();
            if let Some(link) = peer.link.take() {
                link.cut();
            }
            if peer.is_forgotten() {
                self.peers.remove(&device);
            }
            self.tell(Event::Disconnected { peer: device });
        }
        self.touch();
    }

    fn on_ping(&mut self, event: ping::Event) {
        match event.result {
            Ok(rtt) => {
                let peer = device_of(&event.peer).and_then(|device| self.peers.get_mut(&device));
                let mut connections = peer.into_iter().flat_map(|peer| &mut peer.connections);
                if let Some(known) = connections.find(|known| known.id == event.connection) {
                    known.rtt = Some(rtt);
                    self.touch();
                }
            }
            Err(ping::Failure::Unsupported) => {}
            // A half-open path: nobody answers, and TCP alone would notice after a quarter of an hour.
            Err(ping::Failure::Timeout | ping::Failure::Other { .. }) => {
                self.swarm.close_connection(event.connection);
            }
        }
    }

    fn on_mdns(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(seen) => {
                for (id, address) in seen {
                    self.on_discovered(&id, address);
                }
            }
            mdns::Event::Expired(gone) => {
                for (id, address) in gone {
                    if let Some(device) = device_of(&id) {
                        self.book.remove(&device, &without_peer(address));
                    }
                }
            }
        }
    }

    fn on_discovered(&mut self, id: &PeerId, address: Multiaddr) {
        let address = without_peer(address);
        let Some(device) = device_of(id).filter(|_| self.guard.allows(&address)) else {
            return self.counters().addresses_refused.one();
        };
        if self.book.insert(device, address) {
            let addresses = self.book.of(&device).iter().map(Multiaddr::to_string).collect();
            self.tell(Event::Discovered { peer: device, addresses });
        }
    }

    /// Tells the listen addresses if they changed.
    pub(super) fn on_listeners(&mut self) {
        let mut addresses: Vec<_> = self.swarm.listeners().map(Multiaddr::to_string).collect();
        addresses.sort();
        if addresses != self.listening {
            self.listening.clone_from(&addresses);
            self.tell(Event::Listening(take(&mut addresses)));
        }
    }
}

/// The address without the `/p2p` that mDNS appends.
fn without_peer(mut address: Multiaddr) -> Multiaddr {
    if matches!(address.iter().last(), Some(libp2p::multiaddr::Protocol::P2p(_))) {
        address.pop();
    }
    address
}

fn route(endpoint: &ConnectedPoint) -> (Path, bool) {
    let (address, outbound) = match endpoint {
        ConnectedPoint::Dialer { address, .. } => (address, true),
        ConnectedPoint::Listener { local_addr, .. } => (local_addr, false),
    };
    (if is_tcp(address) { Path::Tcp } else { Path::Quic }, outbound)
}
