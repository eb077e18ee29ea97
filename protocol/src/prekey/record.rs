//! Prekeys at rest.

use bitchat_proto::rest;
use zeroize::Zeroize;

use super::{KEPT_MAX, Prekey, Prekeys, Ring};
use crate::crypto::{DhSecret, KemSecret, Secret};
use crate::error::Malformed;
use crate::time::UnixMillis;

const WRONG: Malformed = Malformed("prekeys at rest");

impl Prekeys {
    /// The form that is stored. It holds secrets: encode it, zero it, seal it.
    #[must_use]
    pub fn to_record(&self) -> rest::Prekeys {
        let signed = self
            .signed
            .iter()
            .map(|key| write(key, key.secret.secret().expose(), key.secret.public().as_bytes()));
        let kem = self
            .kem
            .iter()
            .map(|key| write(key, key.secret.seed().expose(), key.secret.public().as_bytes()));
        rest::Prekeys { signed: signed.collect(), kem: kem.collect(), sequence: self.sequence }
    }

    /// Reads what [`Prekeys::to_record`] wrote and zeroes it.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if the record is not one of ours: a secret that does not give its public key,
    /// ids that repeat, no key or too many.
    pub fn from_record(record: rest::Prekeys) -> Result<Self, Malformed> {
        let signed = read(record.signed, |secret, public| {
            let secret = DhSecret::from_secret(Secret::from_slice(secret)?);
            (secret.public().as_bytes() == public).then_some(secret)
        });
        let kem = read(record.kem, |seed, public| {
            let secret = KemSecret::from_seed(Secret::from_slice(seed)?);
            (secret.public().as_bytes() == public).then_some(secret)
        });
        Ok(Self { signed: signed?, kem: kem?, sequence: record.sequence })
    }
}

fn write<S>(key: &Prekey<S>, secret: &[u8], public: &[u8]) -> rest::Prekey {
    rest::Prekey {
        id: key.id,
        secret: secret.to_vec(),
        public: public.to_vec(),
        created_ms: key.created.0,
    }
}

fn read<S>(
    records: Vec<rest::Prekey>,
    parse: impl Fn(&[u8], &[u8]) -> Option<S>,
) -> Result<Ring<S>, Malformed> {
    let count = records.len();
    let mut keys: Vec<Prekey<S>> = Vec::new();
    for mut record in records {
        let secret = parse(&record.secret, &record.public);
        record.secret.zeroize();
        let fresh = record.id != 0 && keys.iter().all(|key| key.id != record.id);
        // The loop goes on after a bad key, so that the secrets behind it are zeroed as well.
        if let (Some(secret), true) = (secret, fresh) {
            keys.push(Prekey { id: record.id, secret, created: UnixMillis(record.created_ms) });
        }
    }
    if keys.len() != count || count > KEPT_MAX {
        return Err(WRONG);
    }
    let mut keys = keys.into_iter();
    let current = keys.next().ok_or(WRONG)?;
    Ok(Ring { current, previous: keys.collect() })
}
