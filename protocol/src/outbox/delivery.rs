//! Where a message of ours is: the rungs that it reached, each with its evidence.
//!
//! ```text
//!   queued ──> sent ──> stored ──> delivered ──> read         rungs may be skipped, never taken back
//!      └─────────┴─────────┴──> expired, undeliverable, rejected      an end: nothing follows
//! ```
//!
//! A receipt that comes after an end moves nothing: whoever acted on the end was told the truth of that
//! time. It is kept and shown beside the end, because the recipient does have the message.
//!
//! See docs/SPEC.md, section "Delivery".

mod custody;
mod state;

pub use custody::{CUSTODY_BYTES_MAX, CUSTODY_MAX, CustodyReceipt, Kept, STORED_MIN};
pub use state::DeliveryState;

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::error::Malformed;
use crate::id::{AccountId, MessageId, exactly};
use crate::store::{Key, Overlay, Store, StoreError, Table};
use crate::time::UnixMillis;

const CORRUPT: StoreError = StoreError::Corrupt("delivery row");

/// A rung or an end that a message reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub state: DeliveryState,
    /// When.
    pub at: UnixMillis,
    /// What proves it, in words.
    pub evidence: String,
}

/// Everything that is known of the way of one message.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// To whom.
    pub account: AccountId,
    /// Since the message was queued, in order; never empty.
    first: Step,
    later: Vec<Step>,
    custody: Vec<CustodyReceipt>,
    /// When a receipt came although the message had ended.
    pub late: Option<UnixMillis>,
}

impl Delivery {
    /// A message that is on this disk.
    #[must_use]
    pub fn begin(account: AccountId, at: UnixMillis) -> Self {
        let evidence = "on this disk".to_owned();
        let first = Step { state: DeliveryState::Queued, at, evidence };
        Self { account, first, later: Vec::new(), custody: Vec::new(), late: None }
    }

    /// The newest step.
    #[must_use]
    pub fn newest(&self) -> &Step {
        self.later.last().unwrap_or(&self.first)
    }

    /// The present state.
    #[must_use]
    pub fn state(&self) -> DeliveryState {
        self.newest().state
    }

    /// When the message was queued.
    #[must_use]
    pub const fn queued(&self) -> UnixMillis {
        self.first.at
    }

    /// Every step, the oldest first.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        std::iter::once(&self.first).chain(&self.later)
    }

    /// Receipts of mailboxes that keep the message, each as it came.
    #[must_use]
    pub fn custody(&self) -> &[CustodyReceipt] {
        &self.custody
    }

    /// Moves on to a state, if it lies ahead; says whether it does.
    pub fn reach(&mut self, state: DeliveryState, evidence: &str, at: UnixMillis) -> bool {
        let moves = self.state().may_become(state);
        if moves {
            self.later.push(Step { state, at, evidence: evidence.to_owned() });
        }
        moves
    }

    /// Words of the newest step; the state stays.
    pub fn annotate(&mut self, evidence: &str) {
        let newest = self.later.last_mut().unwrap_or(&mut self.first);
        evidence.clone_into(&mut newest.evidence);
    }

    /// A receipt came after the end; says whether that is news.
    pub fn arrived_late(&mut self, at: UnixMillis) -> bool {
        let news = self.state().is_failure() && self.late.is_none();
        if news {
            self.late = Some(at);
        }
        news
    }

    /// Keeps what a mailbox signed. A later receipt of the same mailbox takes the place of an earlier.
    pub fn keep(&mut self, receipt: CustodyReceipt) -> Kept {
        custody::keep(&mut self.custody, receipt)
    }

    /// How many different mailboxes keep the message at this time.
    #[must_use]
    pub fn mailboxes(&self, now: UnixMillis) -> usize {
        self.custody.iter().filter(|receipt| receipt.until > now).count()
    }

    /// Reads the way of a message; `None` if nobody is shown such a message.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the row cannot be read.
    pub fn read(store: &impl Store, id: MessageId) -> Result<Option<Self>, StoreError> {
        let Some(value) = store.get(&Key::of(Table::Delivery, &id.0))? else {
            return Ok(None);
        };
        let row = rest::Delivery::decode(value.as_slice()).map_err(|_| CORRUPT)?;
        Self::from_rest(row).map(Some).map_err(|_| CORRUPT)
    }

    /// Deletes the way of a message.
    pub fn forget<S: Store>(store: &mut Overlay<S>, id: MessageId) {
        store.delete(Key::of(Table::Delivery, &id.0));
    }

    /// Writes the way of a message.
    pub fn write<S: Store>(&self, store: &mut Overlay<S>, id: MessageId) {
        store.put(Key::of(Table::Delivery, &id.0), self.to_rest().encode_to_vec());
    }

    pub(crate) fn from_rest(row: rest::Delivery) -> Result<Self, Malformed> {
        const WRONG: Malformed = Malformed("delivery steps");
        let mut steps = row.steps.into_iter().map(step_from_rest);
        let first = steps.next().ok_or(WRONG)??;
        let mut delivery = Self::begin(exactly(&row.account, "account").map(AccountId)?, first.at);
        if first.state != DeliveryState::Queued || row.custody.len() > CUSTODY_MAX {
            return Err(WRONG);
        }
        delivery.first = first;
        for step in steps {
            let step = step?;
            if !delivery.reach(step.state, &step.evidence, step.at) {
                return Err(WRONG);
            }
        }
        let custody: Result<_, _> =
            row.custody.into_iter().map(CustodyReceipt::from_rest).collect();
        delivery.custody = custody?;
        delivery.late = Some(UnixMillis(row.late_ms)).filter(|at| at.0 > 0);
        Ok(delivery)
    }

    pub(crate) fn to_rest(&self) -> rest::Delivery {
        let steps = self.steps().map(|step| rest::DeliveryStep {
            state: u32::from(step.state as u8),
            at_ms: step.at.0,
            evidence: step.evidence.clone(),
        });
        rest::Delivery {
            account: self.account.0.to_vec(),
            steps: steps.collect(),
            custody: self.custody.iter().map(CustodyReceipt::to_rest).collect(),
            late_ms: self.late.map_or(0, |at| at.0),
        }
    }
}

fn step_from_rest(row: rest::DeliveryStep) -> Result<Step, Malformed> {
    let state = DeliveryState::from_number(row.state).ok_or(Malformed("delivery state"))?;
    Ok(Step { state, at: UnixMillis(row.at_ms), evidence: row.evidence })
}

#[cfg(test)]
mod tests;
