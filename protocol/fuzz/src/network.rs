//! Two participants whose network does what the bytes say.
//!
//! ```text
//!   two bytes a step:   who 1 bit, what 3 bits (the rest is free) | which message, or how many
//! ```

use std::time::Duration;

use bitchat_protocol::crypto::Ledger;
use bitchat_protocol::error::Error;
use bitchat_protocol::ratchet::{Opened, Ratchet, SKIPPED_KEYS_MAX, Sealed};
use bitchat_protocol::time::UnixMillis;
use rand_chacha::ChaCha20Rng;

use super::forge::NOW;
use super::keys::{AD, Rows, pair, rng};

/// Steps of one run: enough to reach every bound, short enough for many runs.
const STEPS: usize = 400;

/// A message that was sent to a party.
struct Flight {
    sealed: Sealed,
    text: Vec<u8>,
    opened: bool,
    lost: bool,
}

struct Party {
    ratchet: Ratchet,
    rows: Rows,
    rng: ChaCha20Rng,
    now: UnixMillis,
    incoming: Vec<Flight>,
    may_send: bool,
    /// A bound was reached: from now on a message may be refused that was never opened.
    bounded: bool,
}

/// Every message opens at most once, with its own text; what the network changed never opens; a
/// failed open leaves the record equal; no key and nonce seal two texts; unless a bound was reached, whatever comes unchanged opens.
pub fn hostile_network(bytes: &[u8]) {
    let _ledger = Ledger::open();
    let (alice, bob) = pair();
    let (mut alice, mut bob) = (Party::new(alice, 1, true), Party::new(bob, 2, false));
    for step in bytes.chunks_exact(2).take(STEPS) {
        let (party, peer) =
            if step[0] & 1 == 0 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        party.act(peer, step[0] >> 1 & 7, step[1]);
    }
}

impl Party {
    fn new(ratchet: Ratchet, seed: u64, may_send: bool) -> Self {
        Self {
            ratchet,
            rows: Rows::default(),
            rng: rng(seed),
            now: NOW,
            incoming: Vec::new(),
            may_send,
            bounded: false,
        }
    }

    fn act(&mut self, peer: &mut Self, what: u8, argument: u8) {
        let which = usize::from(argument);
        match what {
            0 => self.send(peer),
            1 => peer.deliver(which & 127, which > 127),
            2 => peer.deliver(peer.incoming.len().wrapping_sub(which % 8 + 1), false),
            3 => self.burst(peer, argument),
            4 => peer.corrupt(which),
            5 => peer.splice(which),
            6 => self.reflect(peer, which),
            _ => self.restart_or_wait(argument),
        }
    }

    fn send(&mut self, peer: &mut Self) {
        let text = peer.incoming.len().to_string().into_bytes();
        match self.ratchet.seal(&mut self.rng, AD, &text) {
            Ok(sealed) => {
                assert!(self.may_send);
                peer.incoming.push(Flight { sealed, text, opened: false, lost: false });
            }
            Err(error) => assert!(!self.may_send, "{error}"),
        }
    }

    /// Sends messages that the network loses, now and then more than are kept, and one more.
    fn burst(&mut self, peer: &mut Self, count: u8) {
        let lost = u32::from(count) * if count > 250 { 9 } else { 1 };
        for _ in 0..lost {
            if self.ratchet.seal(&mut self.rng, AD, b"lost").is_err() {
                return;
            }
        }
        self.send(peer);
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

    fn deliver(&mut self, which: usize, lose: bool) {
        let Some(flight) = self.incoming.get_mut(which) else {
            return;
        };
        flight.lost |= lose;
        if flight.lost {
            return;
        }
        let sealed = flight.sealed.clone();
        let result = self.open(&sealed);
        let flight = &mut self.incoming[which];
        let opened = match result {
            Ok(opened) => opened,
            Err(error) => {
                assert!(flight.opened || self.bounded, "message {which}: {error}");
                return;
            }
        };
        assert!(!flight.opened, "message {which} has opened twice");
        assert!(opened.plaintext == flight.text, "message {which} opens to another text");
        flight.opened = true;
        self.may_send = true;
        self.bounded |= opened.evicted > 0;
        self.rows.commit(opened, self.now);
        let kept = u32::try_from(self.rows.len()).expect("small");
        assert_eq!(kept, self.ratchet.to_record().skipped, "record and rows differ");
        assert!(kept <= SKIPPED_KEYS_MAX, "{kept} keys kept");
    }

    /// One bit of a message is flipped.
    fn corrupt(&mut self, which: usize) {
        let Some(at) = which.checked_rem(self.incoming.len()) else {
            return;
        };
        let Sealed { mut header, mut body } = self.incoming[at].sealed.clone();
        let bit = which * 37 % ((header.len() + body.len()) * 8);
        let byte = header.iter_mut().chain(&mut body).nth(bit / 8).expect("in range");
        *byte ^= 1 << (bit % 8);
        assert!(self.open(&Sealed { header, body }).is_err(), "a changed message has opened");
    }

    /// The header of one message with the body of another.
    fn splice(&mut self, which: usize) {
        let count = self.incoming.len();
        let (first, second) = (which & 15, which >> 4);
        if first != second && first < count && second < count {
            let header = self.incoming[first].sealed.header.clone();
            let body = self.incoming[second].sealed.body.clone();
            assert!(self.open(&Sealed { header, body }).is_err(), "a spliced message has opened");
        }
    }

    /// A message comes back to its sender.
    fn reflect(&mut self, peer: &Self, which: usize) {
        if let Some(at) = which.checked_rem(peer.incoming.len()) {
            let sealed = peer.incoming[at].sealed.clone();
            assert!(self.open(&sealed).is_err(), "an own message has opened");
        }
    }

    /// Dies with everything committed, or sleeps for some days.
    fn restart_or_wait(&mut self, argument: u8) {
        if argument & 1 == 0 {
            self.ratchet = Ratchet::from_record(self.ratchet.to_record()).expect("own record");
        } else {
            let days = u64::from(argument >> 1 & 15);
            self.now = self.now.plus(Duration::from_hours(days * 24));
        }
    }
}
