//! The letter inside a seal: what a direct link carries, and its kind in front.
//!
//! ```text
//!   01 || canonical encoding of Envelope, whose `initial` lacks the certificate: the seal has it
//! ```
//!
//! So a letter cannot name another device than the one that sealed it.
//!
//! See docs/SPEC.md, section "Sealed envelopes".

use bitchat_proto::prost::Message;
use bitchat_proto::wire;

use super::Envelope;
use crate::error::Malformed;
use crate::id::{MessageId, SessionId, exactly};
use crate::identity::Certificate;
use crate::ratchet::Sealed;

/// A ratchet message. Other kinds are refused.
const RATCHET: u8 = 1;

impl Envelope {
    /// The letter to be sealed.
    #[must_use]
    pub fn to_letter(&self) -> Vec<u8> {
        let initial = self.initial.clone();
        let initial = initial.map(|initial| wire::Initial { certificate: Vec::new(), ..initial });
        let envelope = wire::Envelope {
            session: self.session.0.to_vec(),
            message: self.message.0.to_vec(),
            initial,
            header: self.sealed.header.clone(),
            body: self.sealed.body.clone(),
        };
        [[RATCHET].as_slice(), &envelope.encode_to_vec()].concat()
    }

    /// Parses a letter that `sender` has sealed.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is of another kind, in another encoding, or names a certificate itself.
    pub fn from_letter(letter: &[u8], sender: &Certificate) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("letter");
        let Some((&RATCHET, bytes)) = letter.split_first() else {
            return Err(Malformed("letter kind"));
        };
        let mut envelope = wire::Envelope::decode(bytes).map_err(|_| WRONG)?;
        if envelope.encode_to_vec() != bytes {
            return Err(WRONG);
        }
        if let Some(initial) = &mut envelope.initial {
            if !initial.certificate.is_empty() {
                return Err(WRONG);
            }
            initial.certificate = sender.to_wire().encode_to_vec();
        }
        Ok(Self {
            session: SessionId(exactly(&envelope.session, "session id")?),
            message: MessageId(exactly(&envelope.message, "message id")?),
            initial: envelope.initial,
            sealed: Sealed { header: envelope.header, body: envelope.body },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::identity::{Account, Device, Phrase};
    use crate::time::UnixMillis;

    fn certificate() -> Certificate {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let account = Account::from_phrase(&Phrase::generate(&mut rng).expect("32 bytes"));
        account.certify(&Device::random(&mut rng), 0, 1, UnixMillis(2))
    }

    fn envelope(initial: Option<wire::Initial>) -> Envelope {
        let sealed = Sealed { header: vec![3; 80], body: vec![4; 272] };
        Envelope { session: SessionId([1; 8]), message: MessageId([2; 16]), initial, sealed }
    }

    fn initial(certificate: Vec<u8>) -> wire::Initial {
        let (ephemeral, kem_ciphertext) = (vec![5; 32], vec![6; 1_568]);
        wire::Initial {
            suite: 1,
            certificate,
            ephemeral,
            signed_prekey: 1,
            kem_prekey: 1,
            kem_ciphertext,
            record_sequence: 9,
            one_time_prekey: 8,
            one_time_kem_prekey: 0,
        }
    }

    #[test]
    fn a_letter_comes_back_with_the_certificate_of_its_seal() {
        let sender = certificate();
        let encoded = sender.to_wire().encode_to_vec();
        let sent = envelope(Some(initial(encoded)));

        let letter = sent.to_letter();
        let got = Envelope::from_letter(&letter, &sender).expect("own letter");

        assert!(!letter.windows(32).any(|window| window == sender.device().0));
        assert!(got.initial == sent.initial);
        assert_eq!((got.session, got.message), (sent.session, sent.message));
        assert_eq!(got.digest(), sent.digest());
    }

    #[test]
    fn a_letter_that_names_a_certificate_or_is_of_another_kind_or_spelling_is_refused() {
        let sender = certificate();
        let good = envelope(None).to_letter();
        let named = wire::Envelope {
            session: vec![1; 8],
            message: vec![2; 16],
            initial: Some(initial(vec![7; 180])),
            header: vec![3; 80],
            body: vec![4; 272],
        };
        let mut other_kind = good.clone();
        other_kind[0] = 2;
        let unknown_field = [good.as_slice(), &[0x7A, 0]].concat();

        for letter in [
            Vec::new(),
            vec![RATCHET],
            other_kind,
            unknown_field,
            [[RATCHET].as_slice(), &named.encode_to_vec()].concat(),
        ] {
            assert!(Envelope::from_letter(&letter, &sender).is_err(), "{letter:02x?}");
        }
    }

    proptest! {
        #[test]
        fn any_letter_parses_or_is_refused_without_a_panic(letter in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Envelope::from_letter(&letter, &certificate());
        }
    }
}
