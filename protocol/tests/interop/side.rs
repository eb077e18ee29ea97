//! Our side of a session: the ratchet and its rows.

use std::collections::BTreeMap;

use bitchat_protocol::crypto::Secret;
use bitchat_protocol::error::Error;
use bitchat_protocol::ratchet::{Ratchet, Sealed, SkippedAt, SkippedChange, SkippedKeys};
use bitchat_protocol::store::StoreError;
use bitchat_protocol::time::UnixMillis;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

pub(crate) const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

pub(crate) struct Side {
    pub(crate) ratchet: Ratchet,
    rows: Rows,
    pub(crate) rng: ChaCha20Rng,
    /// KEM exchanges in which this side took part.
    pub(crate) exchanges: u32,
}

#[derive(Default)]
struct Rows(BTreeMap<(u32, u32), Secret<32>>);

impl Side {
    pub(crate) fn new(ratchet: Ratchet, seed: u64) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(seed);
        Self { ratchet, rows: Rows::default(), rng, exchanges: 0 }
    }

    pub(crate) fn seal(&mut self, associated: &[u8], text: &[u8]) -> Sealed {
        self.ratchet.seal(&mut self.rng, associated, text).expect("may send")
    }

    pub(crate) fn open(&mut self, associated: &[u8], sealed: &Sealed) -> Result<Vec<u8>, Error> {
        let opened = self.ratchet.open(&mut self.rng, &self.rows, associated, sealed, NOW)?;
        self.exchanges += u32::from(opened.mixed);
        for change in opened.changes {
            match change {
                SkippedChange::Keep { chain, number, key } => {
                    self.rows.0.insert((chain, number), key);
                }
                SkippedChange::Drop { chain, number } => {
                    self.rows.0.remove(&(chain, number)).expect("a row that exists");
                }
            }
        }
        Ok(opened.plaintext)
    }

    /// As after a crash: the state comes from the record.
    pub(crate) fn restart(&mut self) {
        self.ratchet = Ratchet::from_record(self.ratchet.to_record()).expect("own record");
    }
}

impl SkippedKeys for Rows {
    fn get(&self, chain: u32, number: u32) -> Result<Option<Secret<32>>, StoreError> {
        Ok(self.0.get(&(chain, number)).map(Secret::duplicate))
    }

    fn oldest(&self, limit: usize) -> Result<Vec<SkippedAt>, StoreError> {
        let rows = self.0.keys().take(limit);
        Ok(rows.map(|&(chain, number)| SkippedAt { chain, number, created: NOW }).collect())
    }
}
