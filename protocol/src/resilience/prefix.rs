//! Where a link comes from, as coarse as a limit needs it and no finer.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// The part of an address that one party usually has to itself: an IPv4 address, or the first 64
/// bits of an IPv6 address. Never logged: `Debug` shows the family only.
///
/// Loopback and private addresses count like others. Whoever shares one (a household behind one
/// NAT, programs of one machine) shares a limit, which binds no contact.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Prefix {
    /// The link has no address of its own (a relay), or nobody said.
    Unknown,
    /// `/32`
    V4([u8; 4]),
    /// `/64`
    V6([u8; 8]),
}

impl Prefix {
    /// Of an address; an IPv4 address inside IPv6 counts as IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => Self::of_v6(address),
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = address.octets();
        Self::V6([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "Unknown",
            Self::V4(_) => "V4(..)",
            Self::V6(_) => "V6(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Prefix {
        Prefix::of(text.parse().expect("an address"))
    }

    #[test]
    fn one_party_has_one_prefix_and_debug_does_not_show_it() {
        assert_eq!(of("192.0.2.7"), Prefix::V4([192, 0, 2, 7]));
        assert_eq!(of("::ffff:192.0.2.7"), of("192.0.2.7"));
        assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
        assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
        assert_eq!(format!("{:?} {:?}", of("192.0.2.7"), of("2001:db8::1")), "V4(..) V6(..)");
    }
}
