//! One session between us and the foreign device, over a network that loses, reorders, repeats,
//! reflects and changes.

use bitchat_proto::prost::Message;
use bitchat_proto::wire;
use bitchat_protocol::handshake::{accept, initiate};
use bitchat_protocol::identity::{Account, Device, Identity, Phrase};
use bitchat_protocol::invitation::ContactRecord;
use bitchat_protocol::prekey::Prekeys;
use bitchat_protocol::ratchet::{Ratchet, Sealed};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::offer::{decode_offer, encode_offer, offer, secrets};
use crate::peer::{Peer, bytes};
use crate::side::{NOW, Side};

/// Which half of the handshake is ours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Initiator,
    Responder,
}

/// To whom a message goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Us,
    Them,
}

struct Flight {
    to: To,
    /// Message id, the end of the associated data.
    id: [u8; 16],
    sealed: Sealed,
    text: Vec<u8>,
    lost: bool,
    opened: bool,
}

pub(crate) struct Session<'a> {
    ours: Side,
    theirs: &'a mut Peer,
    associated: Vec<u8>,
    flights: Vec<Flight>,
    /// A sending chain exists: the initiator's at once, the responder's after its first message.
    we_may_send: bool,
    they_may_send: bool,
    rng: ChaCha20Rng,
}

impl<'a> Session<'a> {
    /// The handshake, with fresh identities on both sides, on one-time keys of both kinds, of either or
    /// of none.
    pub(crate) fn found(peer: &'a mut Peer, role: Role, seed: u32) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed.into());
        let identity = identity(&mut rng);
        let (ratchet, associated, session, replay, answer) = match role {
            Role::Initiator => {
                let published = peer.ask("publish", &[]).expect("publishes");
                let record = ContactRecord::verify(&bytes(&published, "record"), NOW);
                let record = record.expect("a record that we take");
                let offer = decode_offer(&bytes(&published, "offer"), seed);
                let keys = offer.verify(&record.certificate().device(), NOW).expect("its own keys");
                let started = initiate(&identity, &record, &keys, &mut rng).expect("good keys");
                let initial = started.initial.encode_to_vec();
                let answer = peer.ask("accept", &[("initial", &initial)]).expect("accepts");
                let ratchet = Ratchet::initiator(started.keys, started.their_prekey, &mut rng);
                (ratchet.expect("a good key"), started.associated, started.session, None, answer)
            }
            Role::Responder => {
                let mut prekeys = Prekeys::generate(&mut rng, NOW);
                let record = ContactRecord::issue(&identity, &mut prekeys, &[], NOW);
                let record = record.expect("issued");
                let secrets = secrets(&mut rng, seed);
                let offer = encode_offer(offer(&identity, &secrets));
                let answer = peer.ask("initiate", &[("record", &record), ("offer", &offer)]);
                let answer = answer.expect("initiates");
                let initial = wire::Initial::decode(bytes(&answer, "initial").as_slice());
                let initial = initial.expect("decodes");
                let accepted = accept(&identity, &prekeys, &secrets, &initial);
                let accepted = accepted.expect("a handshake that we take");
                let ratchet = Ratchet::responder(accepted.keys, accepted.our_prekey);
                (ratchet, accepted.associated, accepted.session, Some(accepted.replay), answer)
            }
        };
        assert_eq!(bytes(&answer, "associated"), associated);
        assert_eq!(bytes(&answer, "session"), session.0);
        assert!(replay.is_none_or(|tag| bytes(&answer, "replay") == tag));
        Self {
            ours: Side::new(ratchet, seed.into()),
            theirs: peer,
            associated,
            flights: Vec::new(),
            we_may_send: role == Role::Initiator,
            they_may_send: role == Role::Responder,
            rng,
        }
    }

    /// Whatever comes next.
    pub(crate) fn event(&mut self) {
        let to = if self.below(2) == 0 { To::Us } else { To::Them };
        match self.below(20) {
            0..9 => self.send(to),
            9..12 => self.on_any(Self::deliver),
            12..15 => self.deliver_newest(to),
            15 | 16 => self.on_any(Self::tamper),
            17 => self.on_any(|session, which| session.flights[which].lost = true),
            18 => self.on_any(Self::reflect),
            _ => self.ours.restart(),
        }
    }

    /// One message overtakes `count` others in each direction; every tenth of them still arrives,
    /// the last first.
    pub(crate) fn overtake(&mut self, count: usize) {
        for to in [To::Them, To::Us] {
            self.send(to);
            self.deliver(self.flights.len() - 1);
        }
        for to in [To::Them, To::Us] {
            let first = self.flights.len();
            for _ in 0..=count {
                self.send(to);
            }
            for which in (first..self.flights.len()).rev().step_by(10) {
                self.deliver(which);
            }
        }
    }

    /// Chains of the foreign device: it has turned its ratchet as often.
    pub(crate) fn chains(&self) -> u32 {
        self.ours.ratchet.to_record().chain
    }

    /// KEM exchanges, those that we offered and those of the foreign device.
    pub(crate) fn exchanges(&self) -> u32 {
        self.ours.exchanges
    }

    /// Everything that is not lost arrives in any order and opens; then nothing opens again.
    pub(crate) fn drain(&mut self) {
        // Each side sends once more, so that the last chains are closed too.
        for to in [To::Them, To::Us, To::Them] {
            self.send(to);
            self.deliver(self.flights.len() - 1);
        }
        let mut order: Vec<usize> = (0..self.flights.len()).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, self.below(last + 1));
        }
        for round in [&order, &order] {
            for which in round.iter().copied() {
                if !self.flights[which].lost {
                    self.deliver(which);
                }
            }
        }
    }

    fn send(&mut self, to: To) {
        let may_send = match to {
            To::Us => self.they_may_send,
            To::Them => self.we_may_send,
        };
        if !may_send {
            return;
        }
        let mut id = [0; 16];
        self.rng.fill_bytes(&mut id);
        let mut text = vec![0; self.below(300)];
        self.rng.fill_bytes(&mut text);
        let associated = [self.associated.as_slice(), &id].concat();
        let sealed = match to {
            To::Them => self.ours.seal(&associated, &text),
            To::Us => {
                let fields: [(&str, &[u8]); 2] = [("associated", &associated), ("text", &text)];
                let answer = self.theirs.ask("seal", &fields).expect("seals");
                Sealed { header: bytes(&answer, "header"), body: bytes(&answer, "body") }
            }
        };
        self.flights.push(Flight { to, id, sealed, text, lost: false, opened: false });
    }

    /// Opens once, whatever came before it, and never again.
    fn deliver(&mut self, which: usize) {
        let Flight { to, id, ref sealed, lost, opened, .. } = self.flights[which];
        if lost {
            return;
        }
        let text = self.open(to, id, &sealed.clone());
        let flight = &mut self.flights[which];
        assert_eq!(text.is_ok(), !opened, "message {which}: {:?}", text.err());
        if let Ok(text) = text {
            assert_eq!(text, flight.text);
            flight.opened = true;
            match to {
                To::Us => self.we_may_send = true,
                To::Them => self.they_may_send = true,
            }
        }
    }

    /// Keeps the conversation going, so that the ratchet turns.
    fn deliver_newest(&mut self, to: To) {
        let newest = self.flights.iter().rposition(|flight| flight.to == to);
        newest.into_iter().for_each(|which| self.deliver(which));
    }

    /// A changed bit anywhere, the message id included, is refused; the next open shows that
    /// nothing has changed.
    fn tamper(&mut self, which: usize) {
        let Flight { to, mut id, ref sealed, .. } = self.flights[which];
        let mut sealed = sealed.clone();
        let bits = (id.len() + sealed.header.len() + sealed.body.len()) * 8;
        let bit = self.below(bits);
        let bytes = id.iter_mut().chain(&mut sealed.header).chain(&mut sealed.body);
        *bytes.into_iter().nth(bit / 8).expect("in range") ^= 1 << (bit % 8);
        assert!(self.open(to, id, &sealed).is_err(), "a changed message has opened");
    }

    /// A message that comes back to its sender is refused.
    fn reflect(&mut self, which: usize) {
        let Flight { to, id, ref sealed, .. } = self.flights[which];
        let back = if to == To::Us { To::Them } else { To::Us };
        assert!(self.open(back, id, &sealed.clone()).is_err(), "a reflected message has opened");
    }

    fn open(&mut self, to: To, id: [u8; 16], sealed: &Sealed) -> Result<Vec<u8>, String> {
        let associated = [self.associated.as_slice(), &id].concat();
        match to {
            To::Us => self.ours.open(&associated, sealed).map_err(|error| error.to_string()),
            To::Them => {
                let fields: [(&str, &[u8]); 3] = [
                    ("associated", &associated),
                    ("header", &sealed.header),
                    ("body", &sealed.body),
                ];
                self.theirs.ask("open", &fields).map(|answer| bytes(&answer, "text"))
            }
        }
    }

    fn on_any(&mut self, act: impl FnOnce(&mut Self, usize)) {
        if !self.flights.is_empty() {
            let which = self.below(self.flights.len());
            act(self, which);
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        let drawn = usize::try_from(self.rng.next_u32()).expect("at least 32 bits");
        drawn % bound
    }
}

/// A fresh account and device.
pub(crate) fn identity(rng: &mut ChaCha20Rng) -> Identity {
    let account = Account::from_phrase(&Phrase::generate(rng).expect("32 bytes"));
    let device = Device::random(rng);
    let certificate = account.certify(&device, 0, NOW.0, NOW);
    Identity::new(device, certificate).expect("its own certificate")
}
