//! Contact records: how to start a session with a device and where it may be found.
//!
//! See docs/SPEC.md, section "Contact record".

use std::time::Duration;

use bitchat_proto::{limits, wire};
use prost::Message;

use super::check_addresses;
use crate::crypto::{DhPublic, KemPublic, Label, verify};
use crate::error::{Error, Malformed};
use crate::id::{DeviceId, exactly};
use crate::identity::{Certificate, Identity};
use crate::prekey::Prekeys;
use crate::time::UnixMillis;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a record that we issue is good: as long as its prekeys are kept after they are replaced,
/// so that a record that verifies never names a key that is gone.
pub const RECORD_VALIDITY: Duration = crate::prekey::RETENTION;

/// How long a record of anybody may be good.
const LIFETIME_MAX: Duration = DAY.saturating_mul(60);

/// How far the clock of an issuer may be ahead of ours.
const SKEW: Duration = Duration::from_secs(10 * 60);

/// Mailboxes in a record, and addresses of one.
const MAILBOXES_MAX: usize = 10;
const NODE_ADDRESSES_MAX: usize = 4;

/// A node where envelopes for the owner of a record may be left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMailbox {
    /// Whose mailboxes.
    pub device: DeviceId,
    /// Where it is: 1 to 4 multiaddresses.
    pub addresses: Vec<String>,
    /// For strangers, who pay with work; `None`: they cannot.
    pub request_tag: Option<[u8; 32]>,
}

/// A verified contact record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactRecord {
    certificate: Certificate,
    signed_prekey: (u32, DhPublic),
    kem_prekey: (u32, KemPublic),
    addresses: Vec<String>,
    created: UnixMillis,
    expires: UnixMillis,
    sequence: u64,
    mailboxes: Vec<RecordMailbox>,
}

impl ContactRecord {
    /// Issues our record over the current prekeys and the next sequence; returns the encoded
    /// `SignedRecord`. Store `prekeys` before the record leaves.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if `addresses` are no multiaddresses, too many or too long: the caller
    /// chooses the best ones.
    pub fn issue(
        identity: &Identity,
        prekeys: &mut Prekeys,
        addresses: &[String],
        now: UnixMillis,
    ) -> Result<Vec<u8>, Error> {
        Self::issue_naming(identity, prekeys, (addresses, &[]), now)
    }

    /// As [`ContactRecord::issue`], with mailboxes, best first: as many as fit in.
    ///
    /// # Errors
    ///
    /// As [`ContactRecord::issue`].
    pub fn issue_naming(
        identity: &Identity,
        prekeys: &mut Prekeys,
        (addresses, mailboxes): (&[String], &[RecordMailbox]),
        now: UnixMillis,
    ) -> Result<Vec<u8>, Error> {
        check_addresses(addresses)?;
        let sequence = prekeys.next_sequence(now)?;
        let mut record = Self {
            certificate: identity.certificate().clone(),
            signed_prekey: (prekeys.signed().id(), prekeys.signed().secret().public()),
            kem_prekey: (prekeys.kem().id(), prekeys.kem().secret().public().clone()),
            addresses: addresses.to_vec(),
            created: now,
            expires: now.plus(RECORD_VALIDITY),
            sequence,
            mailboxes: mailboxes.iter().take(MAILBOXES_MAX).cloned().collect(),
        };
        loop {
            let signed = record.sign(identity);
            if signed.len() <= limits::RECORD_BYTES_MAX || !record.shorten() {
                return Ok(signed);
            }
        }
    }

    fn sign(&self, identity: &Identity) -> Vec<u8> {
        let record = self.to_wire().encode_to_vec();
        let signature = identity.device().signing().sign(Label::ContactRecord, &record).to_vec();
        wire::SignedRecord { record, signature }.encode_to_vec()
    }

    /// Leaves out second addresses of mailboxes, then the last of the mailboxes; says whether there was one.
    fn shorten(&mut self) -> bool {
        if let Some(long) = self.mailboxes.iter_mut().rev().find(|one| one.addresses.len() > 1) {
            long.addresses.truncate(1);
            return true;
        }
        self.mailboxes.pop().is_some()
    }

    /// Parses an encoded `SignedRecord` and verifies everything, time included.
    ///
    /// # Errors
    ///
    /// As [`ContactRecord::parse`] and [`ContactRecord::check_time`].
    pub fn verify(bytes: &[u8], now: UnixMillis) -> Result<Self, Error> {
        let record = Self::parse(bytes)?;
        record.check_time(now)?;
        Ok(record)
    }

    /// Parses an encoded `SignedRecord` and verifies everything but the time: for a record that is
    /// in the store already.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if a field has the wrong shape or a limit is passed,
    /// [`Error::NotAuthentic`] if a signature does not hold or one key serves two purposes.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        const WRONG: Malformed = Malformed("contact record");
        if bytes.len() > limits::RECORD_BYTES_MAX {
            return Err(Malformed("contact record too long").into());
        }
        let signed = wire::SignedRecord::decode(bytes).map_err(|_| WRONG)?;
        // What is not signed must not vary: a record has one spelling.
        if signed.encode_to_vec() != bytes {
            return Err(WRONG.into());
        }
        let wire = wire::ContactRecord::decode(signed.record.as_slice()).map_err(|_| WRONG)?;
        let certificate = Certificate::parse(wire.certificate.as_ref().ok_or(WRONG)?)?;
        verify(&certificate.device().0, Label::ContactRecord, &signed.record, &signed.signature)?;
        Self::from_verified(wire, certificate)
    }

    fn from_verified(wire: wire::ContactRecord, certificate: Certificate) -> Result<Self, Error> {
        check_addresses(&wire.addresses)?;
        let record = Self {
            signed_prekey: (wire.signed_prekey_id, DhPublic::parse(&wire.signed_prekey)?),
            kem_prekey: (wire.kem_prekey_id, KemPublic::parse(&wire.kem_prekey)?),
            addresses: wire.addresses,
            created: UnixMillis(wire.created_ms),
            expires: UnixMillis(wire.expires_ms),
            sequence: wire.sequence,
            mailboxes: parse_mailboxes(wire.mailboxes, certificate.device())?,
            certificate,
        };
        if record.signed_prekey.0 == 0 || record.kem_prekey.0 == 0 {
            return Err(Malformed("prekey id").into());
        }
        if record.signed_prekey.1 == record.certificate.identity_dh() {
            return Err(Error::NotAuthentic("one key for two purposes"));
        }
        let latest = record.created.plus(LIFETIME_MAX);
        if record.expires <= record.created || record.expires > latest {
            return Err(Malformed("contact record lifetime").into());
        }
        Ok(record)
    }

    /// Whether the record is good at `now`.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] if it is expired or created more than 10 minutes in the future.
    pub fn check_time(&self, now: UnixMillis) -> Result<(), Error> {
        if self.created > now.plus(SKEW) {
            return Err(Error::Stale("contact record from the future"));
        }
        if self.expires <= now {
            return Err(Error::Stale("contact record expired"));
        }
        Ok(())
    }

    /// Whether this record is newer than `other`, by (generation, sequence). Never true across
    /// accounts, and never for another device of the same generation: a key is not replaced
    /// silently.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.certificate, &other.certificate);
        if ours.account() != theirs.account() {
            return false;
        }
        let same_keys =
            ours.device() == theirs.device() && ours.identity_dh() == theirs.identity_dh();
        ours.generation() > theirs.generation()
            || (ours.generation() == theirs.generation()
                && same_keys
                && self.sequence > other.sequence)
    }

    fn to_wire(&self) -> wire::ContactRecord {
        wire::ContactRecord {
            certificate: Some(self.certificate.to_wire()),
            signed_prekey_id: self.signed_prekey.0,
            signed_prekey: self.signed_prekey.1.as_bytes().to_vec(),
            kem_prekey_id: self.kem_prekey.0,
            kem_prekey: self.kem_prekey.1.as_bytes().to_vec(),
            addresses: self.addresses.clone(),
            created_ms: self.created.0,
            expires_ms: self.expires.0,
            sequence: self.sequence,
            mailboxes: self.mailboxes.iter().map(RecordMailbox::to_wire).collect(),
        }
    }

    /// The certificate of the device that signed.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Id and key of the signed X25519 prekey.
    #[must_use]
    pub const fn signed_prekey(&self) -> (u32, DhPublic) {
        self.signed_prekey
    }

    /// Id and key of the last-resort ML-KEM prekey.
    #[must_use]
    pub const fn kem_prekey(&self) -> (u32, &KemPublic) {
        (self.kem_prekey.0, &self.kem_prekey.1)
    }

    /// Multiaddresses of the device, best first.
    #[must_use]
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Where envelopes for the device may be left, best first.
    #[must_use]
    pub fn mailboxes(&self) -> &[RecordMailbox] {
        &self.mailboxes
    }

    /// When the device signed, by its own clock.
    #[must_use]
    pub const fn created(&self) -> UnixMillis {
        self.created
    }

    /// From when on the record is refused.
    #[must_use]
    pub const fn expires(&self) -> UnixMillis {
        self.expires
    }

    /// Rises with every record of the device.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }
}

fn parse_mailboxes(
    raw: Vec<wire::Mailbox>,
    owner: DeviceId,
) -> Result<Vec<RecordMailbox>, Malformed> {
    const WRONG: Malformed = Malformed("mailboxes of a record");
    if raw.len() > MAILBOXES_MAX {
        return Err(WRONG);
    }
    let mut mailboxes: Vec<RecordMailbox> = Vec::with_capacity(raw.len());
    for raw in raw {
        let mailbox = RecordMailbox::from_wire(raw)?;
        let device = mailbox.device;
        if device == owner || mailboxes.iter().any(|other| other.device == device) {
            return Err(WRONG);
        }
        mailboxes.push(mailbox);
    }
    Ok(mailboxes)
}

impl RecordMailbox {
    fn to_wire(&self) -> wire::Mailbox {
        wire::Mailbox {
            device: self.device.0.to_vec(),
            addresses: self.addresses.clone(),
            request_tag: self.request_tag.map(|tag| tag.to_vec()).unwrap_or_default(),
        }
    }

    fn from_wire(raw: wire::Mailbox) -> Result<Self, Malformed> {
        if raw.addresses.is_empty() || raw.addresses.len() > NODE_ADDRESSES_MAX {
            return Err(Malformed("addresses of a mailbox"));
        }
        check_addresses(&raw.addresses)?;
        let request_tag = match raw.request_tag.as_slice() {
            [] => None,
            tag => Some(exactly(tag, "request tag")?),
        };
        Ok(Self {
            device: DeviceId(exactly(&raw.device, "mailbox device")?),
            addresses: raw.addresses,
            request_tag,
        })
    }
}
