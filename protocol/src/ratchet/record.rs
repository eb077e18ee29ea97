//! The ratchet at rest. Everything is checked on the way in; every copy is wiped.
//!
//! See docs/SPEC.md, section "Ratchet".

use bitchat_proto::rest;
use zeroize::Zeroize;

use crate::crypto::{Ciphertext, DecapsulationKey, DhPublic, DhSecret, Secret};
use crate::error::{Error, Malformed};
use crate::time::UnixMillis;

use super::chain::{OldChain, Receiving, Sending};
use super::healing::{Carried, Healing};
use super::{OLD_CHAINS_MAX, Ratchet, SKIPPED_KEYS_MAX};

impl Ratchet {
    /// The record; secrets in clear, so the caller seals it and then calls [`wipe`].
    #[must_use]
    pub fn to_record(&self) -> rest::Ratchet {
        let sending = self.sending.as_ref();
        let receiving = self.receiving.as_ref();
        let old = self.old.iter().map(|old| rest::OldChain {
            chain: old.index,
            header: bytes(&old.header),
            kept: old.kept,
        });
        rest::Ratchet {
            root: bytes(&self.root),
            dh_secret: bytes(self.ours.secret()),
            dh_remote: receiving.map_or_else(Vec::new, |chain| chain.theirs.as_bytes().to_vec()),
            chain_send: sending.map_or_else(Vec::new, |chain| bytes(&chain.chain)),
            chain_receive: receiving.map_or_else(Vec::new, |chain| bytes(&chain.chain)),
            header_send: sending.map_or_else(Vec::new, |chain| bytes(&chain.header)),
            header_receive: receiving.map_or_else(Vec::new, |chain| bytes(&chain.header)),
            next_header_send: bytes(&self.next_header_send),
            next_header_receive: bytes(&self.next_header_receive),
            sent: sending.map_or(0, |chain| chain.sent),
            received: receiving.map_or(0, |chain| chain.received),
            previous: self.previous,
            chain: receiving.map_or(0, |chain| chain.index),
            old: old.collect(),
            skipped: self.kept(),
            kem_seed: match &self.healing.carried {
                Carried::Key(secret) => secret.seed().expose().to_vec(),
                Carried::Nothing | Carried::Ciphertext(_) => Vec::new(),
            },
            kem_ciphertext: match &self.healing.carried {
                Carried::Ciphertext(ciphertext) => ciphertext.as_bytes().to_vec(),
                Carried::Nothing | Carried::Key(_) => Vec::new(),
            },
            turns: self.healing.turns,
            mixed_ms: self.healing.mixed.0,
        }
    }

    /// The ratchet of a record, which is wiped.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if a length, point or count is wrong, or if the parts contradict each
    /// other.
    pub fn from_record(mut record: rest::Ratchet) -> Result<Self, Error> {
        let ratchet = parse(&record);
        wipe(&mut record);
        Ok(ratchet?)
    }
}

/// Zeroes the secrets of a record.
pub fn wipe(record: &mut rest::Ratchet) {
    let rest::Ratchet {
        root,
        dh_secret,
        dh_remote: _,
        chain_send,
        chain_receive,
        header_send,
        header_receive,
        next_header_send,
        next_header_receive,
        sent: _,
        received: _,
        previous: _,
        chain: _,
        old,
        skipped: _,
        kem_seed,
        kem_ciphertext: _,
        turns: _,
        mixed_ms: _,
    } = record;
    let headers = [header_send, header_receive, next_header_send, next_header_receive];
    let keys = [root, dh_secret, chain_send, chain_receive, kem_seed];
    for secret in keys.into_iter().chain(headers) {
        secret.zeroize();
    }
    for chain in old {
        chain.header.zeroize();
    }
}

fn parse(record: &rest::Ratchet) -> Result<Ratchet, Malformed> {
    let old = parse_old(record)?;
    let kept = old
        .iter()
        .try_fold(record.skipped, |left, old| left.checked_sub(old.kept))
        .filter(|_| record.skipped <= SKIPPED_KEYS_MAX)
        .ok_or(Malformed("skipped keys"))?;
    let sending = parse_sending(record)?;
    let receiving = parse_receiving(record, kept)?;
    if sending.is_none() && receiving.is_some() {
        return Err(Malformed("sending chain"));
    }
    Ok(Ratchet {
        root: secret(&record.root, "root key")?,
        ours: DhSecret::from_secret(secret(&record.dh_secret, "ratchet key")?),
        sending,
        receiving,
        next_header_send: secret(&record.next_header_send, "header key")?,
        next_header_receive: secret(&record.next_header_receive, "header key")?,
        previous: record.previous,
        old,
        healing: parse_healing(record)?,
    })
}

fn parse_sending(record: &rest::Ratchet) -> Result<Option<Sending>, Malformed> {
    if record.chain_send.is_empty() && record.header_send.is_empty() {
        let fresh = record.sent == 0 && record.previous == 0;
        return fresh.then_some(None).ok_or(Malformed("sending chain"));
    }
    Ok(Some(Sending {
        chain: secret(&record.chain_send, "sending chain")?,
        header: secret(&record.header_send, "header key")?,
        sent: record.sent,
    }))
}

fn parse_receiving(record: &rest::Ratchet, kept: u32) -> Result<Option<Receiving>, Malformed> {
    const WRONG: Malformed = Malformed("receiving chain");
    if record.chain == 0 {
        let parts = [&record.dh_remote, &record.chain_receive, &record.header_receive];
        let fresh = parts.iter().all(|part| part.is_empty()) && record.received == 0;
        // `parse_old` admits only chains below this one, so none is there.
        return (fresh && kept == 0).then_some(None).ok_or(WRONG);
    }
    // A chain is founded by a message, and only numbers below the next one can be missing.
    if kept >= record.received {
        return Err(WRONG);
    }
    Ok(Some(Receiving {
        index: record.chain,
        theirs: DhPublic::parse(&record.dh_remote)?,
        chain: secret(&record.chain_receive, "receiving chain")?,
        header: secret(&record.header_receive, "header key")?,
        received: record.received,
        kept,
    }))
}

fn parse_healing(record: &rest::Ratchet) -> Result<Healing, Malformed> {
    const WRONG: Malformed = Malformed("KEM exchange");
    let carried = match (record.kem_seed.as_slice(), record.kem_ciphertext.as_slice()) {
        ([], []) => Carried::Nothing,
        (seed, []) => {
            let seed = Secret::from_slice(seed).ok_or(WRONG)?;
            Carried::Key(DecapsulationKey::from_seed(seed))
        }
        ([], ciphertext) => Carried::Ciphertext(Ciphertext::parse(ciphertext)?),
        _ => return Err(WRONG),
    };
    // Only the turn that founds a receiving chain begins an exchange, answers one or counts.
    let idle = matches!(carried, Carried::Nothing) && record.turns == 0 && record.mixed_ms == 0;
    if record.chain == 0 && !idle {
        return Err(WRONG);
    }
    Ok(Healing { carried, turns: record.turns, mixed: UnixMillis(record.mixed_ms) })
}

fn parse_old(record: &rest::Ratchet) -> Result<Vec<OldChain>, Malformed> {
    const WRONG: Malformed = Malformed("old chain");
    if record.old.len() > OLD_CHAINS_MAX {
        return Err(WRONG);
    }
    let mut old = Vec::with_capacity(record.old.len());
    let mut below = 0;
    for chain in &record.old {
        if chain.chain <= below || chain.chain >= record.chain || chain.kept == 0 {
            return Err(WRONG);
        }
        below = chain.chain;
        let header = secret(&chain.header, "header key")?;
        old.push(OldChain { index: chain.chain, header, kept: chain.kept });
    }
    Ok(old)
}

fn secret(bytes: &[u8], part: &'static str) -> Result<Secret<32>, Malformed> {
    Secret::from_slice(bytes).ok_or(Malformed(part))
}

fn bytes(secret: &Secret<32>) -> Vec<u8> {
    secret.expose().to_vec()
}
