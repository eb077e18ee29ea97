//! Each test names a pitfall or a bound of docs/SPEC.md, section "Ratchet".

mod healing;
mod limits;
mod pitfalls;
mod record;
mod vectors;

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

use super::{InitialKeys, Opened, Ratchet, Sealed, SkippedAt, SkippedChange, SkippedKeys};
use crate::crypto::{DhSecret, Secret};
use crate::error::Error;
use crate::store::StoreError;
use crate::time::UnixMillis;

const AD: &[u8] = b"initiator, responder";
const START: UnixMillis = UnixMillis(1_700_000_000_000);

/// One party with its stored rows.
struct Peer {
    ratchet: Ratchet,
    rows: Rows,
    rng: ChaCha20Rng,
    now: UnixMillis,
}

#[derive(Default)]
struct Rows {
    keys: BTreeMap<(u32, u32), (Secret<32>, UnixMillis)>,
    broken: bool,
}

impl SkippedKeys for Rows {
    fn get(&self, chain: u32, number: u32) -> Result<Option<Secret<32>>, StoreError> {
        self.check()?;
        Ok(self.keys.get(&(chain, number)).map(|(key, _)| key.duplicate()))
    }

    fn oldest(&self, limit: usize) -> Result<Vec<SkippedAt>, StoreError> {
        self.check()?;
        let rows = self.keys.iter().take(limit);
        let at = rows.map(|(&(chain, number), &(_, created))| SkippedAt { chain, number, created });
        Ok(at.collect())
    }
}

impl Rows {
    fn check(&self) -> Result<(), StoreError> {
        if self.broken { Err(StoreError::Full) } else { Ok(()) }
    }

    fn write(&mut self, changes: Vec<SkippedChange>, now: UnixMillis) {
        for change in changes {
            match change {
                SkippedChange::Keep { chain, number, key } => {
                    let before = self.keys.insert((chain, number), (key, now));
                    assert!(before.is_none(), "a key is kept once");
                }
                SkippedChange::Drop { chain, number } => {
                    assert!(self.keys.remove(&(chain, number)).is_some(), "only rows that exist");
                }
            }
        }
    }
}

impl Peer {
    fn seal(&mut self, text: &str) -> Sealed {
        self.ratchet.seal(&mut self.rng, AD, text.as_bytes()).expect("may send")
    }

    /// Sends and loses.
    fn lose(&mut self, messages: usize) {
        for _ in 0..messages {
            self.seal("lost");
        }
    }

    fn try_open(&mut self, sealed: &Sealed) -> Result<Opened, Error> {
        let before = self.ratchet.to_record();
        let result = self.ratchet.open(&mut self.rng, &self.rows, AD, sealed, self.now);
        if result.is_err() {
            assert!(before == self.ratchet.to_record(), "a failed open changes nothing");
        }
        result
    }

    /// Opens and commits; gives skipped and evicted.
    fn open(&mut self, sealed: &Sealed, text: &str) -> (u32, u32) {
        let opened = self.try_open(sealed).expect("opens");
        assert_eq!(opened.plaintext, text.as_bytes());
        self.rows.write(opened.changes, self.now);
        assert_eq!(self.rows.keys.len(), usize::try_from(self.ratchet.kept()).expect("small"));
        (opened.skipped, opened.evicted)
    }

    fn refuses(&mut self, sealed: &Sealed) {
        let error = self.try_open(sealed).expect_err("must not open");
        assert!(matches!(error, Error::Decrypt), "{error}");
    }

    /// As after a crash: the state comes from the record.
    fn restart(&mut self) {
        self.ratchet = Ratchet::from_record(self.ratchet.to_record()).expect("own record");
    }
}

/// Initiator and responder before the first message.
fn pair() -> (Peer, Peer) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let prekey = DhSecret::random(&mut rng);
    let initiator = Ratchet::initiator(keys(), prekey.public(), &mut rng).expect("a good prekey");
    let responder = Ratchet::responder(keys(), prekey);
    let peer = |ratchet, seed| {
        let rng = ChaCha20Rng::seed_from_u64(seed);
        Peer { ratchet, rows: Rows::default(), rng, now: START }
    };
    (peer(initiator, 2), peer(responder, 3))
}

/// The same after a message in each direction and the first KEM exchange.
fn talking() -> (Peer, Peer) {
    let (mut alice, mut bob) = pair();
    for _ in 0..2 {
        bob.open(&alice.seal("hello"), "hello");
        alice.open(&bob.seal("hi"), "hi");
    }
    (alice, bob)
}

fn keys() -> InitialKeys {
    let key = |byte| Secret::take(&mut [byte; 32]);
    InitialKeys { root: key(1), header_initiator: key(2), header_responder: key(3) }
}
