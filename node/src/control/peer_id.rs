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

/// More characters than any `PeerId` of ours has.
const LENGTH_MAX: usize = 64;

/// The `PeerId` text of a device.
#[must_use]
pub fn text(device: &DeviceId) -> String {
    let bytes: Vec<u8> = PREFIX.iter().chain(&device.0).copied().collect();
    base58(&bytes)
}

/// The device of a `PeerId` text; `None` for anything but an Ed25519 key in its one spelling.
#[must_use]
pub fn parse(text: &str) -> Option<DeviceId> {
    let mut bytes: Vec<u8> = Vec::new(); // Least significant first.
    for character in text.bytes().take(LENGTH_MAX) {
        let mut carry = ALPHABET.iter().position(|known| *known == character)?;
        for byte in &mut bytes {
            carry += usize::from(*byte) * 58;
            *byte = u8::try_from(carry % 256).unwrap_or_default();
            carry /= 256;
        }
        while carry > 0 {
            bytes.push(u8::try_from(carry % 256).unwrap_or_default());
            carry /= 256;
        }
    }
    bytes.push(0); // The multihash begins with one zero byte, which base58 writes as a digit.
    bytes.reverse();
    let key = bytes.strip_prefix(&PREFIX)?.try_into().ok()?;
    let device = DeviceId(key);
    (self::text(&device) == text).then_some(device)
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
    fn a_peer_id_survives_print_and_parse_and_nothing_else_parses() {
        for byte in [0, 1, 7, 255] {
            let device = DeviceId([byte; 32]);
            assert_eq!(parse(&text(&device)), Some(device));
            assert_eq!(parse(&text(&device)[1..]), None);
        }
        for bad in ["", "1", "12D3Koo", "0OIl", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

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
