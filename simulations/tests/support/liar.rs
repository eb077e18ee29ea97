//! A peer that seals what no engine would.

use bitchat_protocol::engine::Input;
use bitchat_protocol::envelope::{Body, Content, Envelope, Frame, Introduction};
use bitchat_protocol::handshake;
use bitchat_protocol::id::{DeviceId, InvitationToken, MessageId, SessionId};
use bitchat_protocol::invitation::{ContactRecord, Invitation, Target};
use bitchat_protocol::prekey::{OneTimeKeys, Prekeys};
use bitchat_protocol::ratchet::{SEALED_HEADER_BYTES, Sealed};
use bitchat_protocol::resilience::Prefix;
use bitchat_protocol::session::{Peer, Session};
use bitchat_protocol::time::UnixMillis;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::bench::{Bench, START, identity};

/// The initiator's half of a session, and what it says of itself.
pub(crate) struct Liar {
    device: DeviceId,
    session: Session,
    introduction: Introduction,
    rng: ChaCha20Rng,
    confirmed: bool,
    pub(crate) sequence: u64,
    pub(crate) lamport: u64,
}

/// What a link holds: the record and the token.
pub(crate) fn record_behind(link: &str) -> (ContactRecord, InvitationToken) {
    let invitation = Invitation::parse_link(link).expect("a link");
    match invitation.target {
        Target::Record(bytes) => {
            (ContactRecord::verify(&bytes, START.wall).expect("a record"), invitation.token)
        }
        Target::Short { .. } => panic!("a long link"),
    }
}

impl Liar {
    pub(crate) fn new(seed: u64, record: &ContactRecord, token: Option<InvitationToken>) -> Self {
        Self::again(seed, record, token, 0)
    }

    /// The same device with another session.
    pub(crate) fn again(
        seed: u64,
        record: &ContactRecord,
        token: Option<InvitationToken>,
        time: u64,
    ) -> Self {
        Self::with(seed, record, token, time, &OneTimeKeys::default())
    }

    /// On these one-time keys.
    pub(crate) fn with(
        seed: u64,
        record: &ContactRecord,
        token: Option<InvitationToken>,
        time: u64,
        keys: &OneTimeKeys,
    ) -> Self {
        let (identity, mut rng) = (identity(seed), ChaCha20Rng::seed_from_u64(seed + (time << 32)));
        let mut prekeys = Prekeys::generate(&mut rng, START.wall);
        let own = ContactRecord::issue(&identity, &mut prekeys, &[], START.wall).expect("record");
        let initiated = handshake::initiate(&identity, record, keys, &mut rng).expect("keys");
        let certificate = record.certificate();
        let peer = Peer { account: certificate.account(), device: certificate.device() };
        let session = Session::initiated(initiated, peer, START.wall, &mut rng).expect("session");
        let introduction = Introduction { token, nickname: "x".to_owned(), record: own };
        let device = identity.device().id();
        Self { device, session, introduction, rng, confirmed: false, sequence: 0, lamport: 0 }
    }

    pub(crate) const fn device(&self) -> DeviceId {
        self.device
    }

    /// A contact of `of` whose link stands.
    pub(crate) fn invited(seed: u64, of: &mut Bench) -> Self {
        let (record, token) = record_behind(&of.invitation(true).0);
        let mut liar = Self::new(seed, &record, Some(token));
        liar.say(of, 1, Body::Hello);
        of.feed(Input::Connected { peer: liar.device, prefix: Prefix::Unknown });
        of.flush();
        of.sends.clear();
        liar
    }

    pub(crate) fn say(&mut self, to: &mut Bench, number: u64, body: Body) {
        let frame = self.frame(body);
        self.feed(to, number, &frame);
    }

    pub(crate) fn feed(&self, to: &mut Bench, number: u64, frame: &[u8]) {
        to.feed(Input::Frame { peer: self.device, number, bytes: frame.to_vec() });
        to.flush();
    }

    pub(crate) fn frame(&mut self, body: Body) -> Vec<u8> {
        let content = Content {
            lamport: self.lamport,
            sequence: self.sequence,
            parents: Vec::new(),
            sent: UnixMillis(0),
            introduction: Some(self.introduction.clone()),
            body,
        };
        self.seal(&content.encode())
    }

    /// What the recipient has no key for: an envelope of a session that it never had.
    pub(crate) fn garbage(&mut self) -> Vec<u8> {
        let mut session = [0; 8];
        self.rng.fill_bytes(&mut session);
        let message = MessageId::random(&mut self.rng);
        let sealed = Sealed { header: vec![7; SEALED_HEADER_BYTES], body: vec![9; 300] };
        let session = SessionId(session);
        Frame::Envelope(Envelope { session, message, initial: None, sealed }).encode()
    }

    /// From now on it says no more who it is.
    pub(crate) const fn confirm(&mut self) {
        self.confirmed = true;
    }

    pub(crate) fn seal(&mut self, content: &[u8]) -> Vec<u8> {
        let message = MessageId::random(&mut self.rng);
        let sealed = self.session.seal(message, content, START.wall, &mut self.rng);
        let sealed = sealed.expect("a ciphertext");
        let initial = self.session.initial().filter(|_| !self.confirmed).cloned();
        let session = self.session.id();
        Frame::Envelope(Envelope { session, message, initial, sealed }).encode()
    }
}
