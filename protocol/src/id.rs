//! Identifiers: one newtype each, so that no two of them can be mixed up.
//!
//! Text forms are canonical: `parse(print(x)) == x` and every other spelling is refused.
//! See docs/SPEC.md, section "Identifiers".

use std::fmt::{self, Debug, Display, Formatter};
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use rand_core::CryptoRng;

use crate::error::Malformed;

/// Human-readable part of an account id.
const ACCOUNT_PREFIX: &str = "bchat";

/// An account: its Ed25519 public key. Shown as bech32m with the prefix `bchat`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(pub [u8; 32]);

/// A device: its Ed25519 public key, which is also the libp2p key behind its `PeerId`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub [u8; 32]);

/// A message: 16 random bytes chosen by its sender. Shown as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub [u8; 16]);

/// A session: 8 bytes of a hash of its handshake's transcript.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub [u8; 8]);

/// Finds an invitation at its issuer: 16 random bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvitationToken(pub [u8; 16]);

/// Names one frame handed to the network until its fate is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SendToken(pub u64);

impl AccountId {
    /// The last 8 characters of the text form in two groups: enough to tell contacts apart on a line.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let text = self.to_string();
        let (_, tail) = text.split_at(text.len().saturating_sub(8));
        let (left, right) = tail.split_at(tail.len() / 2);
        format!("{left}-{right}")
    }
}

impl MessageId {
    /// A fresh id.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl InvitationToken {
    /// A fresh token.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }
}

impl Display for AccountId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let prefix = Hrp::parse(ACCOUNT_PREFIX).map_err(|_| fmt::Error)?;
        bech32::encode_lower_to_fmt::<Bech32m, _>(f, prefix, &self.0).map_err(|_| fmt::Error)
    }
}

impl FromStr for AccountId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let checked =
            CheckedHrpstring::new::<Bech32m>(text).map_err(|_| Malformed("account id"))?;
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let id = Self(exactly(&bytes, "account id")?);
        if id.to_string() == text { Ok(id) } else { Err(Malformed("account id")) }
    }
}

impl Display for MessageId {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for MessageId {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("message id");
        if text.len() != 32 || !text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(WRONG);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| WRONG)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// `bytes` as an array of exactly `N` bytes.
///
/// # Errors
///
/// [`Malformed`] with `what` if the length differs.
pub fn exactly<const N: usize>(bytes: &[u8], what: &'static str) -> Result<[u8; N], Malformed> {
    bytes.try_into().map_err(|_| Malformed(what))
}

/// Ids in logs and panics stay anonymous: four hexadecimal digits are enough to follow one through a test.
macro_rules! short_debug {
    ($($name:ident),+) => {$(
        impl Debug for $name {
            fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
                let [first, second, ..] = self.0;
                write!(f, concat!(stringify!($name), "({:02x}{:02x}..)"), first, second)
            }
        }
    )+};
}
short_debug!(AccountId, DeviceId, MessageId, SessionId, InvitationToken);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_id_survives_print_and_parse() {
        let id = AccountId([7; 32]);

        let text = id.to_string();

        assert!(text.starts_with("bchat1"));
        assert_eq!(text.parse::<AccountId>(), Ok(id));
    }

    #[test]
    fn only_the_canonical_spelling_of_an_account_id_is_accepted() {
        let text = AccountId([7; 32]).to_string();

        assert!(text.to_uppercase().parse::<AccountId>().is_err());
        assert!(format!(" {text}").parse::<AccountId>().is_err());
        assert!(text.replacen('1', "2", 1).parse::<AccountId>().is_err());
    }

    #[test]
    fn a_message_id_is_32_lower_case_digits() {
        let id = MessageId([0xAB; 16]);

        assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
        assert!("AB".repeat(16).parse::<MessageId>().is_err());
        assert!(format!("+{}", "a".repeat(31)).parse::<MessageId>().is_err());
    }
}
