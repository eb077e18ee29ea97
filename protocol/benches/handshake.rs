//! Cost of founding a session, beside Olm's, and of ML-KEM-1024 beside ML-KEM-768 (ADR 3).
//!
//! Budget: a handshake is rare, so 1 millisecond of one core for both sides together is plenty; what
//! counts is [`accept`], because strangers may ask for it.
//!
//! Ours does more than Olm's: it verifies a certificate, expands an ML-KEM key from its seed and
//! decapsulates. Olm's founds its ratchet in the same call, ours afterwards; both move one sealed text.

use bitchat_proto::wire;
use bitchat_protocol::crypto::{HEADER_NONCE_BYTES, open_body, seal_body};
use bitchat_protocol::error::Error;
use bitchat_protocol::handshake::{accept, initiate};
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::invitation::ContactRecord;
use bitchat_protocol::prekey::{OneTimeKeys, OneTimeSecrets, Prekeys};
use bitchat_protocol::time::UnixMillis;
use divan::{Bencher, black_box};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const TEXT: &[u8] = b"meet at nine";

fn main() {
    divan::main();
}

struct Party {
    identity: Identity,
    prekeys: Prekeys,
    record: Vec<u8>,
}

fn party(seed: u64) -> Result<Party, Error> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let account = Account::from_phrase(&Phrase::generate(&mut rng)?);
    let device = Device::random(&mut rng);
    let certificate = account.certify(&device, 0, 1, NOW);
    let identity = Identity::new(device, certificate)?;
    let mut prekeys = Prekeys::generate(&mut rng, NOW);
    let record = ContactRecord::issue(&identity, &mut prekeys, &[], NOW)?;
    Ok(Party { identity, prekeys, record })
}

/// Both parties, Bob's verified record and an initial message of Alice's.
struct Scene {
    alice: Party,
    bob: Party,
    record: ContactRecord,
    initial: wire::Initial,
    rng: ChaCha20Rng,
}

fn scene() -> Result<Scene, Error> {
    let (alice, bob) = (party(1)?, party(2)?);
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let record = ContactRecord::verify(&bob.record, NOW)?;
    let initial = initiate(&alice.identity, &record, &OneTimeKeys::default(), &mut rng)?.initial;
    Ok(Scene { alice, bob, record, initial, rng })
}

mod session {
    use super::*;

    /// What a new contact costs before the handshake: two signatures and an ML-KEM key to check.
    #[divan::bench]
    fn verify_record(bencher: Bencher<'_, '_>) {
        let Ok(bob) = party(2) else { return };
        bencher.bench_local(|| ContactRecord::verify(black_box(&bob.record), NOW));
    }

    #[divan::bench]
    fn initiate_ours(bencher: Bencher<'_, '_>) {
        let Ok(Scene { alice, record, mut rng, .. }) = scene() else { return };
        bencher.bench_local(|| {
            initiate(&alice.identity, black_box(&record), &OneTimeKeys::default(), &mut rng)
        });
    }

    #[divan::bench]
    fn accept_ours(bencher: Bencher<'_, '_>) {
        let Ok(Scene { bob, initial, .. }) = scene() else { return };
        bencher.bench_local(|| {
            accept(&bob.identity, &bob.prekeys, &OneTimeSecrets::default(), black_box(&initial))
        });
    }

    /// Initiate, seal one text, accept, open it.
    #[divan::bench]
    fn whole_ours(bencher: Bencher<'_, '_>) {
        let Ok(Scene { alice, bob, record, mut rng, .. }) = scene() else { return };
        let salt = [0; HEADER_NONCE_BYTES];
        bencher.bench_local(|| {
            let ours =
                initiate(&alice.identity, black_box(&record), &OneTimeKeys::default(), &mut rng)?;
            let sealed = seal_body(&ours.keys.root, &salt, &ours.associated, TEXT)?;
            let theirs =
                accept(&bob.identity, &bob.prekeys, &OneTimeSecrets::default(), &ours.initial)?;
            open_body(&theirs.keys.root, &salt, &theirs.associated, &sealed)
        });
    }
}

mod olm {
    use vodozemac::Curve25519PublicKey;
    use vodozemac::olm::{Account, OlmMessage, PreKeyMessage, Session, SessionConfig};

    use super::*;

    /// An account with one published one-time key.
    fn responder() -> Option<(Account, Curve25519PublicKey)> {
        let mut bob = Account::new();
        bob.generate_one_time_keys(1);
        let key = bob.one_time_keys().into_values().next()?;
        bob.mark_keys_as_published();
        Some((bob, key))
    }

    fn outbound(alice: &Account, bob: &Account, key: Curve25519PublicKey) -> Option<Session> {
        alice.create_outbound_session(SessionConfig::version_1(), bob.curve25519_key(), key).ok()
    }

    fn first(session: &mut Session) -> Option<PreKeyMessage> {
        match session.encrypt(TEXT).ok()? {
            OlmMessage::PreKey(message) => Some(message),
            OlmMessage::Normal(_) => None,
        }
    }

    #[divan::bench]
    fn initiate_olm(bencher: Bencher<'_, '_>) {
        let Some((bob, key)) = responder() else { return };
        let alice = Account::new();
        bencher.bench_local(|| outbound(&alice, black_box(&bob), key));
    }

    #[divan::bench]
    fn accept_olm(bencher: Bencher<'_, '_>) {
        let alice = Account::new();
        let scene = || {
            let (bob, key) = responder()?;
            let message = first(&mut outbound(&alice, &bob, key)?)?;
            Some((bob, message))
        };
        bencher.with_inputs(scene).bench_local_refs(|scene| {
            let (bob, message) = scene.as_mut()?;
            bob.create_inbound_session(SessionConfig::version_1(), alice.curve25519_key(), message)
                .ok()
        });
    }

    #[divan::bench]
    fn whole_olm(bencher: Bencher<'_, '_>) {
        let alice = Account::new();
        bencher.with_inputs(responder).bench_local_refs(|scene| {
            let (bob, key) = scene.as_mut()?;
            let message = first(&mut outbound(&alice, bob, *key)?)?;
            let identity = alice.curve25519_key();
            bob.create_inbound_session(SessionConfig::version_1(), identity, &message).ok()
        });
    }
}

/// The same three operations for both parameter sets.
macro_rules! kem {
    ($name:ident) => {
        mod $name {
            use divan::{Bencher, black_box};
            use libcrux_ml_kem::$name::{decapsulate, encapsulate, generate_key_pair};

            #[divan::bench]
            fn keygen(bencher: Bencher<'_, '_>) {
                bencher.bench_local(|| generate_key_pair(black_box([1; 64])));
            }

            #[divan::bench]
            fn encaps(bencher: Bencher<'_, '_>) {
                let keys = generate_key_pair([1; 64]);
                bencher.bench_local(|| encapsulate(black_box(keys.public_key()), [2; 32]));
            }

            #[divan::bench]
            fn decaps(bencher: Bencher<'_, '_>) {
                let keys = generate_key_pair([1; 64]);
                let (ciphertext, _) = encapsulate(keys.public_key(), [2; 32]);
                bencher.bench_local(|| decapsulate(keys.private_key(), black_box(&ciphertext)));
            }
        }
    };
}
kem!(mlkem768);
kem!(mlkem1024);
