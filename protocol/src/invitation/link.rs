//! Invitations as text: `bitchat:` and base64url.
//!
//! See docs/SPEC.md, section "Invitations".

use std::fmt::{self, Debug, Formatter};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bitchat_proto::{limits, wire};
use prost::Message;

use super::{ContactRecord, check_addresses};
use crate::crypto::digest;
use crate::error::{Error, Malformed};
use crate::id::{AccountId, DeviceId, InvitationToken, exactly};
use crate::time::UnixMillis;

const PREFIX: &str = "bitchat:";

const WRONG: Malformed = Malformed("invitation link");

/// Addresses of a short invitation and their bytes in all: two full IPv6 addresses with QUIC fit, and the
/// link stays below 400 characters, which a phone still reads from a terminal's QR code.
const SHORT_ADDRESSES: usize = 2;
const SHORT_ADDRESS_BYTES: usize = 128;

/// Bytes behind the invitation that tell a mistyped or cut link from a good one.
const CHECK_BYTES: usize = 4;

/// The first bytes of SHA-256. No protection against anybody: the record is signed.
fn check(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let [a, b, c, d, ..] = digest(bytes);
    [a, b, c, d]
}

/// Lets the holder become a contact of the inviter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Proves to the inviter that we were invited.
    pub token: InvitationToken,
    /// When it ceases to admit; `None`: never.
    pub expires: Option<UnixMillis>,
    /// How the inviter calls itself; a suggestion.
    pub nickname: String,
    /// Whom it leads to.
    pub target: Target,
}

/// Whom an invitation leads to.
#[derive(Clone, PartialEq, Eq)]
pub enum Target {
    /// An encoded `SignedRecord`, unverified: see [`ContactRecord::verify`].
    Record(Vec<u8>),
    /// What finds the record; the account makes it verifiable.
    Short {
        /// The inviter's account.
        account: AccountId,
        /// The inviter's device.
        device: DeviceId,
        /// Where the device may be found.
        addresses: Vec<String>,
    },
}

impl Invitation {
    /// The link: one line of text.
    #[must_use]
    pub fn to_link(&self) -> String {
        let mut bytes = self.to_wire().encode_to_vec();
        bytes.extend(check(&bytes));
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Parses a link; ASCII white space around it is ignored. Each invitation has one spelling.
    ///
    /// # Errors
    ///
    /// [`Malformed`] for everything that [`Invitation::to_link`] does not print.
    pub fn parse_link(text: &str) -> Result<Self, Malformed> {
        let text = text.trim_matches(|c: char| c.is_ascii_whitespace());
        if text.len() > limits::LINK_CHARS_MAX {
            return Err(Malformed("invitation link too long"));
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(WRONG)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| WRONG)?;
        let (bytes, sum) = bytes.split_last_chunk::<CHECK_BYTES>().ok_or(WRONG)?;
        if *sum != check(bytes) {
            return Err(Malformed("invitation link: a character is missing or wrong"));
        }
        let wire = wire::Invitation::decode(bytes).map_err(|_| WRONG)?;
        let invitation = Self::from_wire(wire)?;
        // Unknown fields, repeated fields and loose numbers do not come back as they were.
        if invitation.to_link() == text { Ok(invitation) } else { Err(WRONG) }
    }

    /// The same invitation for a QR code: it names the device instead of holding the record.
    ///
    /// # Errors
    ///
    /// As [`ContactRecord::parse`] if the record does not hold.
    pub fn to_short(&self) -> Result<Self, Error> {
        let Target::Record(record) = &self.target else {
            return Ok(self.clone());
        };
        let record = ContactRecord::parse(record)?;
        let target = Target::Short {
            account: record.certificate().account(),
            device: record.certificate().device(),
            addresses: short_addresses(record.addresses()),
        };
        Ok(Self { target, nickname: self.nickname.clone(), ..*self })
    }

    /// Whether it no longer admits at `now`.
    #[must_use]
    pub fn is_expired(&self, now: UnixMillis) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    fn to_wire(&self) -> wire::Invitation {
        let mut wire = wire::Invitation {
            token: self.token.0.to_vec(),
            // 0 says "never" on the wire; an expiry at the epoch stays one that has passed.
            expires_ms: self.expires.map_or(0, |expires| expires.0.max(1)),
            nickname: self.nickname.clone(),
            ..wire::Invitation::default()
        };
        match &self.target {
            Target::Record(record) => wire.record.clone_from(record),
            Target::Short { account, device, addresses } => {
                wire.account = account.0.to_vec();
                wire.device = device.0.to_vec();
                wire.addresses.clone_from(addresses);
            }
        }
        wire
    }

    fn from_wire(wire: wire::Invitation) -> Result<Self, Malformed> {
        let name = &wire.nickname;
        if name.len() > limits::NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(Malformed("invitation nickname"));
        }
        let token = InvitationToken(exactly(&wire.token, "invitation token")?);
        let expires = (wire.expires_ms != 0).then_some(UnixMillis(wire.expires_ms));
        let target = if wire.record.is_empty() {
            check_addresses(&wire.addresses)?;
            Target::Short {
                account: AccountId(exactly(&wire.account, "invitation account")?),
                device: DeviceId(exactly(&wire.device, "invitation device")?),
                addresses: wire.addresses,
            }
        } else if wire.record.len() <= limits::RECORD_BYTES_MAX {
            Target::Record(wire.record)
        } else {
            return Err(Malformed("invitation record too long"));
        };
        Ok(Self { token, expires, nickname: wire.nickname, target })
    }
}

/// The first addresses that fit.
fn short_addresses(addresses: &[String]) -> Vec<String> {
    let mut left = SHORT_ADDRESS_BYTES;
    let fits = |address: &&String| match left.checked_sub(address.len()) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    addresses.iter().filter(fits).take(SHORT_ADDRESSES).cloned().collect()
}

impl Debug for Target {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Record(record) => write!(f, "Record({} bytes)", record.len()),
            Self::Short { account, device, .. } => write!(f, "Short({account:?}, {device:?})"),
        }
    }
}
