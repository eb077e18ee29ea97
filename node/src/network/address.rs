//! Who and where: device ids as peer ids, and the guard that every address passes before it is dialled.
//!
//! An address is text from a contact, an invitation or the local network. It passes if it is
//! `/ip4|ip6|dns|dns4|dns6/../tcp/..` or `../udp/../quic-v1`, spelled canonically, with at most a
//! `/p2p` of the very device that is meant. Private ranges pass (contacts on the same network are
//! the rule); what is nobody's address, a cloud's metadata service, or one of our own local ports
//! does not.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bitchat_proto::limits::{ADDRESS_BYTES_MAX, ADDRESSES_MAX};
use bitchat_protocol::error::Malformed;
use bitchat_protocol::id::DeviceId;
use bitchat_protocol::resilience::Prefix;
use libp2p::identity::{PublicKey, ed25519};
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

/// Devices whose local addresses are kept.
const BOOK_DEVICES_MAX: usize = 256;
/// Local addresses kept for one device.
const BOOK_ADDRESSES_MAX: usize = 8;

/// Where the metadata services of the great clouds listen.
const METADATA_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xFD00, 0xEC2, 0, 0, 0, 0, 0, 0x254);

/// The device behind a peer id; only an inlined Ed25519 key has one.
pub(super) fn device_of(peer: &PeerId) -> Option<DeviceId> {
    let bytes = peer.to_bytes();
    let encoded = bytes.strip_prefix(&[0x00, 0x24])?; // identity multihash of 36 bytes
    let key = PublicKey::try_decode_protobuf(encoded).ok()?.try_into_ed25519().ok()?;
    Some(DeviceId(key.to_bytes()))
}

/// The peer id of a device; fails on bytes that are no point of the curve.
pub(super) fn peer_of(device: &DeviceId) -> Result<PeerId, Malformed> {
    let key = ed25519::PublicKey::try_from_bytes(&device.0).map_err(|_| Malformed("device id"))?;
    Ok(PublicKey::from(key).to_peer_id())
}

/// Refuses addresses that must not be dialled whoever names them.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard {
    /// Ports of our own control and metrics listeners.
    pub(super) own_ports: Vec<u16>,
}

impl Guard {
    /// The addresses of `texts` that may be dialled to reach `peer`, and how many may not.
    pub(super) fn admit(&self, peer: &PeerId, texts: &[String]) -> (Vec<Multiaddr>, usize) {
        let mut admitted: Vec<Multiaddr> = Vec::new();
        for text in texts.iter().take(ADDRESSES_MAX) {
            if let Ok(address) = self.check(peer, text) {
                admitted.push(address);
            }
        }
        let refused = texts.len().saturating_sub(admitted.len());
        (admitted, refused)
    }

    fn check(&self, peer: &PeerId, text: &str) -> Result<Multiaddr, Malformed> {
        const WRONG: Malformed = Malformed("address");
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(WRONG);
        }
        let address: Multiaddr = text.parse().map_err(|_| WRONG)?;
        if address.to_string() != text {
            return Err(WRONG);
        }
        let mut parts = address.iter().skip(if is_tcp(&address) { 2 } else { 3 });
        let foreign = match (parts.next(), parts.next()) {
            (None, None) => false,
            (Some(Protocol::P2p(named)), None) => named != *peer,
            _ => true,
        };
        if foreign || !self.allows(&address) {
            return Err(WRONG);
        }
        Ok(address)
    }

    /// Whether the transport may be used; names are looked at again after they are resolved.
    pub(super) fn allows(&self, address: &Multiaddr) -> bool {
        let mut parts = address.iter();
        let (host, transport, third) = (parts.next(), parts.next(), parts.next());
        let ((Some(Protocol::Tcp(port)), _) | (Some(Protocol::Udp(port)), Some(Protocol::QuicV1))) =
            (transport, third)
        else {
            return false;
        };
        let ip = match host {
            Some(Protocol::Ip4(ip)) => IpAddr::V4(ip),
            Some(Protocol::Ip6(ip)) => ip.to_canonical(),
            Some(Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)) => return port != 0,
            _ => return false,
        };
        port != 0 && !is_nobody(ip) && !(ip.is_loopback() && self.own_ports.contains(&port))
    }
}

/// Addresses seen on the local network: unproven, bounded, used when a `Connect` asks.
#[derive(Debug, Default)]
pub(super) struct AddressBook {
    devices: BTreeMap<DeviceId, Vec<Multiaddr>>,
}

impl AddressBook {
    /// Adds an address. False: known already, or the book is full.
    pub(super) fn insert(&mut self, device: DeviceId, address: Multiaddr) -> bool {
        if self.devices.len() >= BOOK_DEVICES_MAX && !self.devices.contains_key(&device) {
            return false;
        }
        let addresses = self.devices.entry(device).or_default();
        let room = addresses.len() < BOOK_ADDRESSES_MAX && !addresses.contains(&address);
        if room {
            addresses.push(address);
        }
        room
    }

    /// Removes an address.
    pub(super) fn remove(&mut self, device: &DeviceId, address: &Multiaddr) {
        if let Some(addresses) = self.devices.get_mut(device) {
            addresses.retain(|known| known != address);
            if addresses.is_empty() {
                self.devices.remove(device);
            }
        }
    }

    /// The addresses of a device.
    pub(super) fn of(&self, device: &DeviceId) -> &[Multiaddr] {
        self.devices.get(device).map_or(&[], Vec::as_slice)
    }
}

/// Parses an operator's listen address.
pub(super) fn listenable(text: &str) -> Result<Multiaddr, Malformed> {
    const WRONG: Malformed = Malformed("listen address");
    let address: Multiaddr = text.parse().map_err(|_| WRONG)?;
    let parts: Vec<_> = address.iter().collect();
    match parts.as_slice() {
        [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Tcp(_)]
        | [Protocol::Ip4(_) | Protocol::Ip6(_), Protocol::Udp(_), Protocol::QuicV1] => Ok(address),
        _ => Err(WRONG),
    }
}

/// Whether the second part is TCP.
pub(super) fn is_tcp(address: &Multiaddr) -> bool {
    matches!(address.iter().nth(1), Some(Protocol::Tcp(_)))
}

/// The prefix of a connection's other end; a name or a relay has none.
pub(super) fn prefix_of(address: &Multiaddr) -> Prefix {
    match address.iter().next() {
        Some(Protocol::Ip4(ip)) => Prefix::of(ip.into()),
        Some(Protocol::Ip6(ip)) => Prefix::of(ip.into()),
        _ => Prefix::Unknown,
    }
}

/// Addresses that name no single host that anybody may offer.
fn is_nobody(ip: IpAddr) -> bool {
    let metadata = ip == IpAddr::V4(METADATA_V4) || ip == IpAddr::V6(METADATA_V6);
    metadata || ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::identity::Keypair;

    fn peer(seed: u8) -> PeerId {
        Keypair::ed25519_from_bytes([seed; 32]).expect("a seed").public().to_peer_id()
    }

    fn admits(text: &str) -> bool {
        let guard = Guard { own_ports: vec![9464] };
        guard.admit(&peer(1), &[text.to_owned()]).0.len() == 1
    }

    #[test]
    fn a_device_id_and_its_peer_id_name_the_same_key() {
        let device = device_of(&peer(1)).expect("an Ed25519 key");

        assert_eq!(peer_of(&device), Ok(peer(1)));
        assert_eq!(device_of(&PeerId::random()), None);
    }

    #[test]
    fn bytes_that_are_no_point_of_the_curve_are_no_peer() {
        let mut bytes = [0xFF; 32];
        bytes[0] = 2;
        let off_curve = (0..=255).any(|byte| {
            bytes[1] = byte;
            peer_of(&DeviceId(bytes)).is_err()
        });

        assert!(off_curve);
    }

    #[test]
    fn tcp_and_quic_addresses_pass() {
        for text in [
            "/ip4/127.0.0.1/tcp/4001",
            "/ip4/192.168.1.7/udp/4001/quic-v1",
            "/ip6/::1/tcp/4001",
            "/dns/example.org/tcp/443",
            "/dns4/example.org/udp/443/quic-v1",
        ] {
            assert!(admits(text), "{text}");
            assert!(admits(&format!("{text}/p2p/{}", peer(1))), "{text}");
        }
    }

    #[test]
    fn addresses_of_another_peer_or_shape_do_not_pass() {
        for text in [
            "",
            "/",
            "/ip4/127.0.0.1",
            "/ip4/127.0.0.1/tcp/0",
            "/ip4/127.0.0.1/udp/4001",
            "/ip4/127.0.0.1/tcp/4001/ws",
            "/ip4/127.0.0.1/tcp/04001",
            "/ip4/127.0.0.1/tcp/4001/",
            "/ip6/0:0:0:0:0:0:0:1/tcp/4001",
            "/dnsaddr/example.org",
            "/unix/tmp/socket",
            "/p2p-circuit",
            "127.0.0.1:4001",
        ] {
            assert!(!admits(text), "{text}");
        }
        assert!(!admits(&format!("/ip4/127.0.0.1/tcp/4001/p2p/{}", peer(2))));
        assert!(!admits(&format!("/ip4/127.0.0.1/tcp/4001/p2p/{}/p2p-circuit", peer(1))));
        assert!(!admits(&format!("/dns/{}/tcp/4001", "a".repeat(300))));
    }

    #[test]
    fn nobodys_addresses_and_our_own_ports_do_not_pass() {
        for text in [
            "/ip4/0.0.0.0/tcp/4001",
            "/ip4/255.255.255.255/udp/4001/quic-v1",
            "/ip4/224.0.0.251/udp/5353/quic-v1",
            "/ip4/169.254.169.254/tcp/80",
            "/ip6/::ffff:169.254.169.254/tcp/80",
            "/ip6/::/tcp/4001",
            "/ip4/127.0.0.1/tcp/9464",
        ] {
            assert!(!admits(text), "{text}");
        }
        assert!(admits("/ip4/10.0.0.1/tcp/9464"));
    }

    #[test]
    fn more_addresses_than_the_limit_are_cut_and_counted() {
        let texts: Vec<_> = (1..=40).map(|port| format!("/ip4/127.0.0.1/tcp/{port}")).collect();

        let (admitted, refused) = Guard::default().admit(&peer(1), &texts);

        assert_eq!((admitted.len(), refused), (16, 24));
    }

    #[test]
    fn the_book_is_bounded_for_each_device_and_in_all() {
        let mut book = AddressBook::default();
        for port in 1..=20 {
            let address = format!("/ip4/10.0.0.1/tcp/{port}").parse().expect("an address");
            book.insert(DeviceId([0; 32]), address);
        }
        for number in 0..1_000u16 {
            let [high, low] = number.to_be_bytes();
            let mut device = [1; 32];
            device[..2].copy_from_slice(&[high, low]);
            book.insert(DeviceId(device), "/ip4/10.0.0.1/tcp/1".parse().expect("an address"));
        }

        assert_eq!(book.of(&DeviceId([0; 32])).len(), 8);
        assert_eq!(book.devices.len(), 256);
    }

    #[test]
    fn only_ip_addresses_of_tcp_and_quic_can_be_listened_on() {
        assert!(listenable("/ip4/0.0.0.0/tcp/0").is_ok());
        assert!(listenable("/ip6/::/udp/4001/quic-v1").is_ok());
        for text in ["/dns/example.org/tcp/1", "/ip4/1.2.3.4/tcp/1/ws", "/ip4/1.2.3.4/udp/1", "x"] {
            assert!(listenable(text).is_err(), "{text}");
        }
    }
}
