//! Builds an engine over the store, at the start and again after a failed commit.

use std::path::PathBuf;

use bitchat_protocol::copies::PlaceHash;
use bitchat_protocol::engine::Engine;
use bitchat_protocol::error::Error;
use bitchat_protocol::time::Now;
use rand::rngs::SysRng;
use rand_core::UnwrapErr;

use crate::error::NodeError;
use crate::keystore::{Secrets, StoreKeys};
use crate::profile::{self, SystemRng};
use crate::store::SledStore;

/// Everything that an engine is built from.
#[derive(Debug)]
pub struct Factory {
    /// The store's directory.
    pub dir: PathBuf,
    /// Our identity.
    pub secrets: Secrets,
    /// Keys of the store.
    pub keys: StoreKeys,
    /// Whether the engine dials its contacts at the start.
    pub greet: bool,
    /// Whether contacts are told what was read.
    pub read_receipts: bool,
    /// Where the store lies.
    pub place: Option<PlaceHash>,
}

impl Factory {
    pub(super) fn build(
        &self,
        now: Now,
    ) -> Result<(Engine<SledStore, SystemRng>, SledStore), NodeError> {
        if !self.dir.exists() {
            let what = format!("{} is missing although the profile has keys", self.dir.display());
            return Err(NodeError::StoreCorrupt { what });
        }
        let store = SledStore::open(&self.dir, self.keys.duplicate())?;
        let setup = profile::setup(&self.secrets, self.greet, self.read_receipts)?;
        let engine =
            Engine::start(setup, store.clone(), UnwrapErr(SysRng), now).map_err(|error| {
                if let Error::Store(error) = error {
                    NodeError::StoreCorrupt { what: error.to_string() }
                } else {
                    NodeError::StoreCorrupt { what: error.label().to_owned() }
                }
            })?;
        Ok((engine, store))
    }
}
