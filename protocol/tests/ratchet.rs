//! Two parties, a hostile network and crashes: what holds for every interleaving.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how it fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use bitchat_protocol::crypto::{DhSecret, Ledger, Secret};
use bitchat_protocol::error::Error;
use bitchat_protocol::ratchet::{
    InitialKeys, Opened, Ratchet, SKIPPED_KEY_AGE_MAX, SKIPPED_KEYS_MAX, Sealed, SkippedAt,
    SkippedChange, SkippedKeys,
};
use bitchat_protocol::store::StoreError;
use bitchat_protocol::time::UnixMillis;
use proptest::prelude::*;
use proptest::sample::Index;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

const AD: &[u8] = b"alice, bob";

/// What happens next; the flag says which of the two acts.
#[derive(Clone, Debug)]
enum Event {
    /// Seals, commits and sends; or dies before the commit, so that nothing leaves.
    Send(bool, Crash),
    /// Gets any message ever sent to it, so perhaps a duplicate or an old one.
    Deliver(bool, Index, Crash),
    /// Gets it with one bit flipped.
    Corrupt(bool, Index, Index),
    /// The network forgets a message.
    Lose(bool, Index),
    /// Dies with everything committed.
    Restart(bool),
    /// Hours pass, so that a KEM exchange falls due now and then.
    Wait(bool, u64),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    No,
    BeforeCommit,
}

fn events() -> impl Strategy<Value = Event> {
    let crash = || prop_oneof![5 => Just(Crash::No), 1 => Just(Crash::BeforeCommit)];
    prop_oneof![
        8 => (any::<bool>(), crash()).prop_map(|(who, crash)| Event::Send(who, crash)),
        8 => (any::<bool>(), any::<Index>(), crash())
            .prop_map(|(who, which, crash)| Event::Deliver(who, which, crash)),
        2 => (any::<bool>(), any::<Index>(), any::<Index>())
            .prop_map(|(who, which, bit)| Event::Corrupt(who, which, bit)),
        1 => (any::<bool>(), any::<Index>()).prop_map(|(who, which)| Event::Lose(who, which)),
        1 => any::<bool>().prop_map(Event::Restart),
        1 => (any::<bool>(), 1u64..30).prop_map(|(who, hours)| Event::Wait(who, hours)),
    ]
}

#[derive(Default)]
struct Rows(BTreeMap<(u32, u32), (Secret<32>, UnixMillis)>);

impl SkippedKeys for Rows {
    fn get(&self, chain: u32, number: u32) -> Result<Option<Secret<32>>, StoreError> {
        Ok(self.0.get(&(chain, number)).map(|(key, _)| key.duplicate()))
    }

    fn oldest(&self, limit: usize) -> Result<Vec<SkippedAt>, StoreError> {
        let rows = self.0.iter().take(limit);
        let at = rows.map(|(&(chain, number), &(_, created))| SkippedAt { chain, number, created });
        Ok(at.collect())
    }
}

/// A message on its way to a party.
struct Flight {
    sealed: Sealed,
    text: Vec<u8>,
    lost: bool,
    opened: bool,
}

struct Party {
    ratchet: Ratchet,
    rows: Rows,
    rng: ChaCha20Rng,
    now: UnixMillis,
    incoming: Vec<Flight>,
    may_send: bool,
}

impl Party {
    fn new(ratchet: Ratchet, seed: u64, may_send: bool) -> Self {
        Self {
            ratchet,
            rows: Rows::default(),
            rng: ChaCha20Rng::seed_from_u64(seed),
            now: UnixMillis(1_700_000_000_000),
            incoming: Vec::new(),
            may_send,
        }
    }

    /// The next message to `peer`, which is on its way unless this party dies first.
    fn send(&mut self, peer: &mut Self, crash: Crash) {
        let before = self.ratchet.to_record();
        let text = peer.incoming.len().to_string().into_bytes();
        match self.ratchet.seal(&mut self.rng, AD, &text) {
            Ok(_) if crash == Crash::BeforeCommit => {
                self.ratchet = Ratchet::from_record(before).expect("own record");
            }
            Ok(sealed) => {
                peer.incoming.push(Flight { sealed, text, lost: false, opened: false });
            }
            Err(error) => assert!(!self.may_send, "{error}"),
        }
    }

    /// Opens; a failure leaves the state as it was.
    fn open(&mut self, sealed: &Sealed) -> Result<Opened, Error> {
        let before = self.ratchet.to_record();
        let result = self.ratchet.open(&mut self.rng, &self.rows, AD, sealed, self.now);
        if result.is_err() {
            assert!(before == self.ratchet.to_record(), "a failed open has changed the state");
        }
        result
    }

    /// Gets message `which`: it opens exactly if it has not been opened before.
    fn deliver(&mut self, which: usize, crash: Crash) {
        let before = self.ratchet.to_record();
        let sealed = self.incoming[which].sealed.clone();
        let result = self.open(&sealed);
        let flight = &mut self.incoming[which];
        assert_eq!(result.is_ok(), !flight.opened, "message {which}: {:?}", result.err());
        let Ok(opened) = result else {
            return;
        };
        assert_eq!(opened.plaintext, flight.text);
        if crash == Crash::BeforeCommit {
            self.ratchet = Ratchet::from_record(before).expect("own record");
            return;
        }
        flight.opened = true;
        self.may_send = true;
        self.commit(opened.changes);
    }

    fn commit(&mut self, changes: Vec<SkippedChange>) {
        for change in changes {
            match change {
                SkippedChange::Keep { chain, number, key } => {
                    let before = self.rows.0.insert((chain, number), (key, self.now));
                    assert!(before.is_none(), "a key is kept once");
                }
                SkippedChange::Drop { chain, number } => {
                    let before = self.rows.0.remove(&(chain, number));
                    assert!(before.is_some(), "only a row that exists is dropped");
                }
            }
        }
        let kept = u32::try_from(self.rows.0.len()).expect("small");
        assert_eq!(kept, self.ratchet.to_record().skipped, "record and rows agree");
        assert!(kept <= SKIPPED_KEYS_MAX, "{kept} keys kept");
    }

    fn corrupt(&mut self, which: usize, bit: Index) {
        let Sealed { mut header, mut body } = self.incoming[which].sealed.clone();
        let bit = bit.index((header.len() + body.len()) * 8);
        let byte = header.iter_mut().chain(&mut body).nth(bit / 8).expect("in range");
        *byte ^= 1 << (bit % 8);
        assert!(self.open(&Sealed { header, body }).is_err(), "a changed message has opened");
    }

    fn restart(&mut self) {
        self.ratchet = Ratchet::from_record(self.ratchet.to_record()).expect("own record");
    }
}

/// Messages lost in one go; now and then more than are kept.
fn lost() -> impl Strategy<Value = u32> {
    prop_oneof![9 => 1u32..600, 1 => SKIPPED_KEYS_MAX..SKIPPED_KEYS_MAX + 500]
}

fn parties() -> (Party, Party) {
    let keys = || InitialKeys {
        root: Secret::take(&mut [1; 32]),
        header_initiator: Secret::take(&mut [2; 32]),
        header_responder: Secret::take(&mut [3; 32]),
    };
    let mut rng = ChaCha20Rng::seed_from_u64(0);
    let prekey = DhSecret::random(&mut rng);
    let initiator = Ratchet::initiator(keys(), prekey.public(), &mut rng).expect("a good prekey");
    let responder = Ratchet::responder(keys(), prekey);
    (Party::new(initiator, 1, true), Party::new(responder, 2, false))
}

fn act(alice: &mut Party, bob: &mut Party, event: &Event) {
    let (Event::Send(who, _)
    | Event::Deliver(who, ..)
    | Event::Corrupt(who, ..)
    | Event::Lose(who, _)
    | Event::Wait(who, _)
    | Event::Restart(who)) = event;
    let (party, peer) = if *who { (alice, bob) } else { (bob, alice) };
    let sent = party.incoming.len();
    match event {
        Event::Send(_, crash) => party.send(peer, *crash),
        Event::Restart(_) => party.restart(),
        // Days in all: far less than a skipped key may be old.
        Event::Wait(_, hours) => party.now = party.now.plus(Duration::from_hours(*hours)),
        Event::Deliver(..) | Event::Corrupt(..) | Event::Lose(..) if sent == 0 => {}
        Event::Deliver(_, which, crash) => {
            let which = which.index(sent);
            if !party.incoming[which].lost {
                party.deliver(which, *crash);
            }
        }
        Event::Corrupt(_, which, bit) => party.corrupt(which.index(sent), *bit),
        Event::Lose(_, which) => {
            party.incoming[which.index(sent)].lost = true;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// No message opens twice, and each one that the network does not lose opens once in the end.
    /// No key and nonce seal twice, though parties die and come back.
    #[test]
    fn every_message_opens_exactly_once(
        events in prop::collection::vec(events(), 1..120),
        backwards in any::<bool>(),
    ) {
        let ledger = Ledger::open();
        let (mut alice, mut bob) = parties();
        for event in &events {
            act(&mut alice, &mut bob, event);
        }
        let sent = u64::try_from(alice.incoming.len() + bob.incoming.len()).expect("small");
        prop_assert!(ledger.seals() >= 2 * sent, "{} seals for {sent} messages", ledger.seals());
        prop_assert_eq!(ledger.repeats(), 0);

        for party in [&mut alice, &mut bob] {
            let mut order: Vec<_> = (0..party.incoming.len()).collect();
            if backwards {
                order.reverse();
            }
            for which in order {
                if !party.incoming[which].lost {
                    party.deliver(which, Crash::No);
                    prop_assert!(party.incoming[which].opened);
                    party.deliver(which, Crash::No);
                }
            }
        }
    }
}

proptest! {
    // Few cases, because each one walks thousands of chain steps.
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..Default::default() })]

    /// However much is lost and however long it takes, the kept keys stay within their bounds, and
    /// the newest message opens.
    #[test]
    fn kept_keys_stay_within_number_and_age(
        bursts in prop::collection::vec((any::<bool>(), lost(), 0u64..20), 1..14),
        restart in any::<Index>(),
    ) {
        let ledger = Ledger::open();
        let (mut alice, mut bob) = parties();
        alice.send(&mut bob, Crash::No);
        bob.deliver(0, Crash::No);
        for (step, (who, lost, days)) in bursts.iter().enumerate() {
            let (party, peer) =
                if *who { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
            for _ in 0..*lost {
                party.ratchet.seal(&mut party.rng, AD, b"lost").expect("may send");
            }
            party.send(peer, Crash::No);
            peer.now = peer.now.plus(Duration::from_hours(days * 24));
            if restart.index(bursts.len()) == step {
                peer.restart();
            }
            peer.deliver(peer.incoming.len() - 1, Crash::No);
            let oldest = peer.rows.0.values().map(|(_, created)| peer.now.since(*created)).max();
            prop_assert!(oldest.unwrap_or_default() <= SKIPPED_KEY_AGE_MAX);
        }
        prop_assert_eq!(ledger.repeats(), 0);
    }
}

/// The randomness is all that a copied state does not have: the ledger sees it come twice.
#[test]
#[should_panic(expected = "a key and nonce have sealed two texts")]
fn the_ledger_catches_a_state_that_comes_back_with_its_randomness() {
    let _ledger = Ledger::open();
    let (mut alice, _) = parties();
    let (record, mut rng) = (alice.ratchet.to_record(), alice.rng.clone());
    alice.ratchet.seal(&mut alice.rng, AD, b"before").expect("may send");

    let mut copy = Ratchet::from_record(record).expect("own record");
    copy.seal(&mut rng, AD, b"after").expect("may send");
}
