//! The text form of a device: libp2p's `PeerId`, from the 32 key bytes alone.
//!
//! ```text
//!   00 24 | 08 01 12 20 | key 32        identity multihash of the protobuf-encoded Ed25519 key,
//!                                       in base58btc: `12D3KooW...`, 52 characters
//! ```
//!
//! See the libp2p specification, "Peer Ids and Keys". libp2p's own types stop at `node::network`.

use bitchat_protocol::id::DeviceId;

/// Multihash code "identity", its length 36, then protobuf: key type Ed25519, 32 bytes.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Base58btc: no 0, O, I, l.
const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// The `PeerId` text of a device.
#[must_use]
pub fn text(device: &DeviceId) -> String {
    let bytes: Vec<u8> = PREFIX.iter().chain(&device.0).copied().collect();
    base58(&bytes)
}

/// Base58btc of a few bytes; quadratic, as base conversion is.
fn base58(bytes: &[u8]) -> String {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut digits: Vec<u8> = Vec::new(); // Least significant first.
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = remainder(carry);
            carry /= 58;
        }
        while carry > 0 {
            digits.push(remainder(carry));
            carry /= 58;
        }
    }
    let leading = std::iter::repeat_n(0, zeros);
    leading.chain(digits.into_iter().rev()).map(character).collect()
}

/// `carry % 58`, which always fits.
fn remainder(carry: u32) -> u8 {
    u8::try_from(carry % 58).unwrap_or_default()
}

fn character(digit: u8) -> char {
    ALPHABET.get(usize::from(digit)).copied().map_or('1', char::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base58_agrees_with_its_specification() {
        assert_eq!(base58(b"Hello World!"), "2NEpo7TZRRrLZSi2U");
        assert_eq!(base58(&[0x00, 0x00, 0x28, 0x7f, 0xb4, 0xcd]), "11233QC4");
        assert_eq!(base58(&[]), "");
    }

    #[test]
    fn a_device_is_shown_as_libp2p_shows_it() {
        // The public key of the test vector in libp2p's "Peer Ids and Keys".
        let key = [
            0x1e, 0xd1, 0xe8, 0xfa, 0xe2, 0xc4, 0xa1, 0x44, 0xb8, 0xbe, 0x8f, 0xd4, 0xb4, 0x7b,
            0xf3, 0xd3, 0xb3, 0x4b, 0x87, 0x1c, 0x3c, 0xac, 0xf6, 0x01, 0x0f, 0x0e, 0x42, 0xd4,
            0x74, 0xfc, 0xe2, 0x7e,
        ];

        assert_eq!(text(&DeviceId(key)), "12D3KooWBtg3aaRMjxwedh83aGiUkwSxDwUZkzuJcfaqUmo7R3pq");
    }
}
