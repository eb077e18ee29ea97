//! Import: sealed envelopes from a file, each treated as a frame of a link is.
//!
//! The seal proves the sender's device, as a link does. A seal that does not open is dropped without
//! an answer and counted: it may be for somebody else, damaged or forged, and nothing tells which.
//!
//! See docs/SPEC.md, section "Delivery".

use rand_core::CryptoRng;

use super::command::CommandError;
use super::frame::Taken;
use super::{Engine, Fact};
use crate::envelope::Envelope;
use crate::error::Error;
use crate::sealed;
use crate::store::Store;

/// Envelopes of one command.
pub const IMPORT_MAX: usize = 256;

/// What became of imported envelopes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportView {
    /// Messages that were new to us.
    pub delivered: u64,
    /// Messages of ours that the others acknowledge.
    pub receipts: u64,
    /// Taken before, by whatever way.
    pub duplicates: u64,
    /// Their seal does not open here.
    pub not_for_us: u64,
    /// Opened and not acceptable: from a stranger, of a session that is gone, of a spent handshake.
    pub refused: u64,
    /// Places of those that may pass in a second: too many strangers at once.
    pub busy: Vec<usize>,
}

/// What became of one.
pub(super) enum Fate {
    Taken(Taken),
    NotForUs,
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    pub(super) fn import(&mut self, seals: &[Vec<u8>]) -> Result<ImportView, CommandError> {
        if seals.len() > IMPORT_MAX {
            return Err(CommandError::OutOfRange("at most 256 envelopes are imported at once"));
        }
        let mut view = ImportView::default();
        for (place, seal) in seals.iter().enumerate() {
            let waiting = self.outbox.len();
            match self.import_one(seal) {
                Ok(Fate::Taken(Taken::Message)) => add(&mut view.delivered, 1),
                Ok(Fate::Taken(Taken::Notice)) => {}
                Ok(Fate::Taken(Taken::Duplicate)) => add(&mut view.duplicates, 1),
                Ok(Fate::Taken(Taken::Unreadable)) => add(&mut view.refused, 1),
                Ok(Fate::NotForUs) => add(&mut view.not_for_us, 1),
                Err(Error::Busy { .. }) => view.busy.push(place),
                Err(Error::Store(error)) => return Err(error.into()),
                Err(error) => {
                    self.fact(Fact::Refused(error.label()));
                    add(&mut view.refused, 1);
                }
            }
            add(&mut view.receipts, waiting.saturating_sub(self.outbox.len()));
        }
        Ok(view)
    }

    pub(super) fn import_one(&mut self, seal: &[u8]) -> Result<Fate, Error> {
        let Ok(opened) = sealed::open(&self.identity, seal) else {
            self.fact(Fact::SealDropped);
            return Ok(Fate::NotForUs);
        };
        let (account, device) = (opened.sender.account(), opened.sender.device());
        // An account may certify any device; a known one belongs to the account that we know.
        self.check_device(account, device)?;
        let envelope = Envelope::from_letter(&opened.letter, &opened.sender)?;
        self.envelope(device, &envelope).map(Fate::Taken)
    }
}

fn add(count: &mut u64, more: u64) {
    *count = count.saturating_add(more);
}
