//! Start of a host, and what its operator sees.
//!
//! See docs/SPEC.md, section "What a node gives".

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;

use super::fetch::Fetches;
use super::limits::Limits;
use super::record::{Envelope, FellowsRow, fellows_key};
use super::rental::{Mate, Rental};
use super::repair::Repair;
use super::{Host, HostSetup, HostView};
use crate::error::Error;
use crate::id::DeviceId;
use crate::mailbox::QueueKey;
use crate::store::{Commit, Overlay, Store, StoreError, Table};
use crate::time::{ExpiryClock, Now};

/// Rows of one page while rentals are read.
const PAGE: usize = 256;

impl<S: Store, R: CryptoRng> Host<S, R> {
    /// Reads the rentals, not what lies in them.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if they cannot be read.
    pub fn start(setup: HostSetup, store: S, rng: R, now: Now) -> Result<Self, Error> {
        let rentals = read_rentals(&store)?;
        let bytes = rentals.values().map(|rental| rental.bytes).fold(0, u64::saturating_add);
        let mut host = Self {
            node: DeviceId(setup.device.public()),
            device: setup.device,
            settings: setup.settings,
            store: Overlay::new(store),
            rng,
            now,
            expiry: ExpiryClock::starting(now),
            rentals,
            dirty: BTreeSet::new(),
            bytes,
            limits: Limits::new(),
            fetches: Fetches::default(),
            repair: Repair::default(),
            counts: HostView::default(),
            sweep_at: Some(now.mono),
            open_bytes: 0,
            answer_bytes: 0,
            commit: Commit::new(),
        };
        for queue in host.rentals.keys().copied().collect::<Vec<_>>() {
            host.watch_fellows(queue);
        }
        Ok(host)
    }

    /// What the host holds and did. Reads one row of each queue.
    #[must_use]
    pub fn view(&self) -> HostView {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        HostView {
            rentals: count(self.rentals.values().filter(|rental| rental.over.is_none()).count()),
            envelopes: self.rentals.values().map(|rental| rental.envelopes).sum(),
            bytes: self.bytes,
            oldest_ms: self.oldest(),
            waiting: count(self.fetches.len()),
            fellows: self.repair.counts(),
            ..self.counts.clone()
        }
    }

    fn oldest(&self) -> Option<u64> {
        let full = self.rentals.iter().filter(|(_, rental)| rental.envelopes > 0);
        full.filter_map(|(queue, _)| {
            let rows = self.store.scan(Table::MailboxEnvelope, &queue.0, &[], 1).ok()?;
            Some(Envelope::decode(&rows.first()?.value).ok()?.at.0)
        })
        .min()
    }
}

fn read_rentals(store: &impl Store) -> Result<BTreeMap<QueueKey, Rental>, StoreError> {
    let (mut rentals, mut after) = (BTreeMap::new(), None);
    loop {
        let (values, next) = store.walk(Table::MailboxRental, after.as_ref(), PAGE)?;
        for value in values {
            let (queue, mut rental) = Rental::decode(&value)?;
            if let Some(row) = store.get(&fellows_key(queue))? {
                let row = FellowsRow::decode(&row)?;
                rental.rank = row.rank;
                rental.mates = row.fellows.iter().map(Mate::of).collect();
            }
            rentals.insert(queue, rental);
        }
        match next {
            Some(cursor) => after = Some(cursor),
            None => return Ok(rentals),
        }
    }
}
