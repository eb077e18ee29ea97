//! Prekeys at rest.
//!
//! See docs/SPEC.md, section "Prekeys".

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;
use zeroize::Zeroize;

use super::{KEPT_MAX, Prekey, Prekeys, Ring};
use crate::crypto::{DhSecret, KemSecret, Secret};
use crate::error::Malformed;
use crate::time::UnixMillis;

const WRONG: Malformed = Malformed("prekeys at rest");

impl Prekeys {
    /// The bytes that are stored. They hold secrets: the store seals them.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut record = self.to_record();
        let bytes = record.encode_to_vec();
        let keys = record.signed.iter_mut().chain(&mut record.kem);
        keys.for_each(|key| key.secret.zeroize());
        bytes
    }

    /// Reads what [`Prekeys::encode`] wrote.
    ///
    /// # Errors
    ///
    /// As [`Prekeys::from_record`].
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        Self::from_record(rest::Prekeys::decode(bytes).map_err(|_| WRONG)?)
    }

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

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::prekey::ROTATION;

    #[test]
    fn prekeys_come_back_as_they_were() {
        let prekeys = rotated();

        let restored = Prekeys::from_record(prekeys.to_record()).expect("our own record");

        assert_eq!(restored.sequence, 7);
        for id in [1, 2] {
            let keys = [&prekeys, &restored].map(|keys| {
                let (signed, kem) = (keys.signed_by_id(id), keys.kem_by_id(id));
                (signed.expect("kept"), kem.expect("kept"))
            });
            let [(signed, kem), (signed_restored, kem_restored)] = keys;
            assert_eq!(signed.secret.secret(), signed_restored.secret.secret());
            assert_eq!(kem.secret.seed(), kem_restored.secret.seed());
            assert_eq!(signed.created, signed_restored.created);
        }
        assert_eq!(restored.signed().id(), 2);
    }

    #[test]
    fn a_record_that_is_not_ours_is_refused() {
        let change = |change: fn(&mut rest::Prekeys)| {
            let mut record = rotated().to_record();
            change(&mut record);
            Prekeys::from_record(record)
        };

        assert!(change(|_| {}).is_ok());
        assert!(change(|record| record.signed[0].secret[0] ^= 8).is_err(), "a damaged secret");
        assert!(change(|record| record.kem[1].secret[0] ^= 1).is_err(), "a damaged seed");
        assert!(change(|record| record.kem[0].id = 1).is_err(), "an id twice");
        assert!(change(|record| record.kem[0].id = 0).is_err(), "id 0");
        assert!(change(|record| record.signed.clear()).is_err(), "no key");
        assert!(change(|record| record.kem[0].secret.truncate(63)).is_err(), "a cut seed");
    }

    #[test]
    fn too_many_keys_are_refused() {
        let mut record = rotated().to_record();
        let key = record.signed[0].clone();
        let more = (10..17).map(|id| rest::Prekey { id, ..key.clone() });
        record.signed.extend(more);

        assert!(Prekeys::from_record(record).is_err());
    }

    fn rotated() -> Prekeys {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut prekeys = Prekeys::generate(&mut rng, UnixMillis(1));
        prekeys.rotate(&mut rng, UnixMillis(1).plus(ROTATION));
        prekeys.sequence = 7;
        prekeys
    }
}
