//! The KEM exchange: when it happens, what it survives, and what it gives.

use super::*;
use crate::crypto::{DecapsulationKey, EncapsulationKey};
use crate::crypto::{HEADER_NONCE_BYTES, MlKem768, seal_header};
use crate::ratchet::chain::root_step;
use crate::ratchet::header::Header;
use crate::ratchet::healing::{Brought, Carried, Extension, Mix};
use crate::ratchet::{
    HEALING_AGE, HEALING_TURNS, SEALED_EXTENDED_HEADER_BYTES, SEALED_HEADER_BYTES,
};

/// A message each way; gives the lengths of their headers.
fn round(alice: &mut Peer, bob: &mut Peer) -> [usize; 2] {
    let there = alice.seal("there");
    bob.open(&there, "there");
    let back = bob.seal("back");
    alice.open(&back, "back");
    [there.header.len(), back.header.len()]
}

const PLAIN: usize = SEALED_HEADER_BYTES;
const EXTENDED: usize = SEALED_EXTENDED_HEADER_BYTES;

#[test]
fn an_exchange_is_due_at_the_first_reply_and_then_every_32_turns() {
    let (mut alice, mut bob) = pair();
    let exchanges = |rounds: &[[usize; 2]]| {
        let chains = rounds.as_flattened().iter();
        chains.map(|length| usize::from(*length == EXTENDED)).collect::<Vec<_>>()
    };

    let rounds: Vec<_> = (0..40).map(|_| round(&mut alice, &mut bob)).collect();

    let extended = exchanges(&rounds);
    let at: Vec<_> = (0..extended.len()).filter(|chain| extended[*chain] == 1).collect();
    let again = 2 * usize::try_from(HEALING_TURNS).expect("small");
    assert_eq!(at, [1, 2, again + 2, again + 3]);
}

#[test]
fn an_exchange_is_due_after_a_day() {
    let (mut alice, mut bob) = talking();
    assert_eq!(round(&mut alice, &mut bob), [PLAIN, PLAIN]);

    bob.now = START.plus(HEALING_AGE);

    assert_eq!(round(&mut alice, &mut bob), [PLAIN, EXTENDED]);
    assert_eq!(round(&mut alice, &mut bob), [EXTENDED, PLAIN]);
    assert_eq!(round(&mut alice, &mut bob), [PLAIN, PLAIN]);
}

#[test]
fn a_thousand_messages_of_a_ping_pong_carry_at_most_70_bytes_more_each() {
    let (mut alice, mut bob) = pair();
    let mut bytes = 0;

    for _ in 0..500 {
        bytes += round(&mut alice, &mut bob).iter().sum::<usize>();
    }

    let mean = bytes / 1_000 - PLAIN;
    assert!((1..=70).contains(&mean), "{mean} bytes");
}

/// Every message of a chain must be able to found it.
#[test]
fn loss_and_reordering_do_not_split_the_two_sides() {
    for first in 0..3 {
        let (mut alice, mut bob) = pair();
        bob.open(&alice.seal("hello"), "hello");
        let offers: Vec<_> = (0..3).map(|_| bob.seal("offer")).collect();
        alice.open(&offers[first], "offer");
        let answers: Vec<_> = (0..3).map(|_| alice.seal("answer")).collect();
        bob.open(&answers[2 - first], "answer");

        for (offer, answer) in offers.iter().zip(&answers) {
            let _ = alice.try_open(offer).map(|opened| alice.rows.write(opened.changes, START));
            let _ = bob.try_open(answer).map(|opened| bob.rows.write(opened.changes, START));
        }

        assert_eq!((alice.ratchet.kept(), bob.ratchet.kept()), (0, 0));
        assert_eq!(round(&mut alice, &mut bob), [EXTENDED, PLAIN]);
        assert_eq!(round(&mut alice, &mut bob), [PLAIN, PLAIN]);
    }
}

#[test]
fn both_sides_go_on_from_their_records_at_every_stage_of_an_exchange() {
    let (mut alice, mut bob) = pair();
    for _ in 0..3 {
        alice.restart();
        bob.restart();
        bob.open(&alice.seal("there"), "there");
        alice.restart();
        bob.restart();
        alice.open(&bob.seal("back"), "back");
    }
    assert!(alice.ratchet.healing.mixed == START && bob.ratchet.healing.mixed == START);
}

/// All that somebody learns who breaks X25519 and has once read the whole state.
struct Eavesdropper {
    root: Secret<32>,
}

impl Eavesdropper {
    /// The chain key of the chain that `sender` has just founded against `theirs`.
    fn follow(&mut self, sender: &Peer, theirs: &Peer) -> Secret<32> {
        let turned = root_step(&self.root, &Self::shared(sender, theirs), None);
        self.root = turned.root;
        turned.chain
    }

    /// The same with a guess at the secret of an exchange, of which she has seen all there is to see.
    fn guess(&self, sender: &Peer, theirs: &Peer, mix: &Mix) -> Secret<32> {
        root_step(&self.root, &Self::shared(sender, theirs), Some(mix)).chain
    }

    fn shared(sender: &Peer, theirs: &Peer) -> Secret<32> {
        sender.ratchet.ours.agree(&theirs.ratchet.ours.public()).expect("good keys")
    }
}

/// The property for which this exists. Bob's new chain is founded on the ratchet key of Alice's
/// chain, so its key follows from the root before it, the two X25519 secrets, and the exchange.
#[test]
fn who_has_a_state_and_all_x25519_secrets_is_locked_out_by_an_exchange() {
    let (mut alice, mut bob) = talking();
    let mut eavesdropper = Eavesdropper { root: alice.ratchet.root.duplicate() };
    let chain = |peer: &Peer| peer.ratchet.sending.as_ref().expect("sends").chain.duplicate();

    // Without an exchange she follows: each turn of Bob's, then each of Alice's.
    for _ in 0..3 {
        bob.open(&alice.seal("there"), "there");
        assert_eq!(eavesdropper.follow(&bob, &alice), chain(&bob));
        alice.open(&bob.seal("back"), "back");
        assert_eq!(eavesdropper.follow(&alice, &bob), chain(&alice));
    }
    // Alice offers; Bob's turn answers it.
    alice.now = START.plus(HEALING_AGE);
    bob.now = alice.now;
    bob.ratchet.healing.mixed = bob.now;
    bob.open(&alice.seal("there"), "there");
    assert_eq!(eavesdropper.follow(&bob, &alice), chain(&bob));
    alice.open(&bob.seal("back"), "back");
    assert!(matches!(alice.ratchet.healing.carried, Carried::Key(_)));
    assert_eq!(eavesdropper.follow(&alice, &bob), chain(&alice));
    bob.open(&alice.seal("there"), "there");
    let answer = bob.ratchet.healing.extension();
    let Ok(Brought::Mix(mut mix)) = alice.ratchet.healing.bring(answer.as_ref()) else {
        panic!("an answer to the offer")
    };

    assert_eq!(eavesdropper.guess(&bob, &alice, &mix), chain(&bob), "Alice's own view");
    mix.shared = Secret::take(&mut [0; 32]);
    assert_ne!(eavesdropper.guess(&bob, &alice, &mix), chain(&bob));
    assert_ne!(eavesdropper.follow(&bob, &alice), chain(&bob));
    for _ in 0..3 {
        alice.open(&bob.seal("back"), "back");
        assert_ne!(eavesdropper.follow(&alice, &bob), chain(&alice));
        bob.open(&alice.seal("there"), "there");
        assert_ne!(eavesdropper.follow(&bob, &alice), chain(&bob));
    }
}

/// Bob waits for a ciphertext; Alice's next chain is forged by somebody who knows all her secrets.
fn offering() -> (Peer, Peer) {
    let (mut alice, mut bob) = pair();
    bob.open(&alice.seal("hello"), "hello");
    alice.open(&bob.seal("offer"), "offer");
    (alice, bob)
}

fn forged(peer: &Peer, extension: Option<Extension>) -> Sealed {
    let sending = peer.ratchet.sending.as_ref().expect("sends");
    let (dh, previous) = (peer.ratchet.ours.public(), peer.ratchet.previous);
    let header = Header { dh, previous, number: 0, extension };
    let header = header.seal(&sending.header, &[9; HEADER_NONCE_BYTES], AD).expect("short");
    Sealed { header, body: vec![0; 20] }
}

#[test]
fn an_exchange_cannot_be_left_out_repeated_or_answered_unasked() {
    let (alice, mut bob) = offering();
    let key = || {
        EncapsulationKey::clone(
            DecapsulationKey::<MlKem768>::from_seed(Secret::take(&mut [1; 64])).public(),
        )
    };

    for extension in [None, Some(Extension::Key(key()))] {
        let result = bob.try_open(&forged(&alice, extension));
        assert!(matches!(result, Err(Error::Malformed(_))));
    }

    let (mut alice, mut bob) = talking();
    let (ciphertext, _) = key().encapsulate(&mut alice.rng);
    let result = bob.try_open(&forged(&alice, Some(Extension::Ciphertext(ciphertext))));
    assert!(matches!(result, Err(Error::Malformed(_))));
    assert_eq!(round(&mut alice, &mut bob), [PLAIN, PLAIN]);
}

#[test]
fn a_changed_ciphertext_does_not_open_and_changes_nothing() {
    let (mut alice, mut bob) = offering();
    let answer = alice.seal("answer");
    let Carried::Ciphertext(good) = &alice.ratchet.healing.carried else { panic!("an answer") };
    let mut bytes = good.as_bytes().to_vec();
    bytes[500] ^= 1;

    let changed = crate::crypto::Ciphertext::parse(&bytes).expect("length");
    bob.refuses(&forged(&alice, Some(Extension::Ciphertext(changed))));

    bob.open(&answer, "answer");
    assert!(bob.ratchet.healing.mixed == START);
}

#[test]
fn a_malformed_extension_is_refused() {
    let (alice, mut bob) = offering();
    let sending = alice.ratchet.sending.as_ref().expect("sends");
    let mut tail = vec![2; 1];
    tail.resize(1185, 0);
    let unknown = [vec![3; 1], vec![0; 1184]].concat();
    let unreduced = [vec![1; 1], vec![0xFF; 1184]].concat();
    *tail.last_mut().expect("long") = 1;

    for extension in [tail, unknown, unreduced] {
        let plain = [alice.ratchet.ours.public().as_bytes(), &[0; 8][..], &extension].concat();
        let nonce = [9; HEADER_NONCE_BYTES];
        let sealed = seal_header(&sending.header, &nonce, AD, &plain).expect("short");
        let header = [&nonce[..], &sealed].concat();
        let result = bob.try_open(&Sealed { header, body: vec![0; 20] });
        assert!(matches!(result, Err(Error::Malformed(_))), "{:?}", result.err());
    }
}

#[test]
fn a_clock_that_goes_back_does_not_make_an_exchange_due() {
    let (mut alice, mut bob) = talking();
    (alice.now, bob.now) = (UnixMillis(1), UnixMillis(1));

    assert_eq!(round(&mut alice, &mut bob), [PLAIN, PLAIN]);
}
