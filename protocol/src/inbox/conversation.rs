//! Counters of each conversation: Lamport clock, history index, both senders' sequences.
//!
//! See docs/SPEC.md, section "Delivery".

use std::collections::{BTreeMap, BTreeSet};

use bitchat_proto::limits::PARENTS_MAX;
use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::error::Malformed;
use crate::id::{AccountId, DeviceId, MessageId, exactly};
use crate::store::{Key, Overlay, Store, StoreError, Table};

const CORRUPT: StoreError = StoreError::Corrupt("conversation row");

/// How far a message may lead the conversation's clock: more than anybody writes.
pub const LAMPORT_JUMP_MAX: u64 = 1 << 32;

/// How far behind its sender's newest message a straggler may stand: as many as may be held for it.
const STRAGGLES_MAX: u64 = 1_000;

/// Counters of one conversation.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// Highest Lamport clock seen or used.
    pub lamport: u64,
    /// Index of the next message of the history.
    pub next_index: u64,
    /// Last sequence that we used.
    pub sent: u64,
    /// The peer's device that `shown` counts.
    pub device: Option<DeviceId>,
    /// Highest sequence of that device that was shown.
    pub shown: u64,
    /// Newest messages, for `parents`.
    pub heads: Vec<MessageId>,
    /// Highest Lamport clock of the peer's that was shown, as it was shown.
    pub heard: u64,
}

impl Conversation {
    /// Takes the next history index.
    pub const fn take_index(&mut self) -> u64 {
        let index = self.next_index;
        self.next_index = index.saturating_add(1);
        index
    }

    /// Makes a message the newest.
    pub fn advance(&mut self, lamport: u64, id: MessageId) {
        self.lamport = self.lamport.max(lamport);
        self.heads.insert(0, id);
        self.heads.truncate(PARENTS_MAX);
    }

    /// A message came that is not shown yet: what we write from now on stands behind it, here and there.
    pub fn hear(&mut self, claimed: u64) {
        let highest = self.lamport.saturating_add(LAMPORT_JUMP_MAX);
        self.lamport = self.lamport.max(claimed.min(highest));
    }

    /// Where a message of the peer's stands in the conversation. What it claims is bounded, so that no clock
    /// puts a message before older ones of its sender, or uses up the numbers that are left.
    pub fn place(&mut self, claimed: u64, late: bool) -> u64 {
        let highest = self.lamport.saturating_add(LAMPORT_JUMP_MAX);
        if late {
            return claimed.clamp(self.heard.saturating_sub(STRAGGLES_MAX).min(highest), highest);
        }
        let lowest = self.heard.saturating_add(1);
        let placed = claimed.clamp(lowest.min(highest), highest);
        self.heard = placed;
        placed
    }

    /// Forgets whom it was with. The counters stay: a sequence or index that was used must not be
    /// used again if the contact comes back.
    pub fn forget(&mut self) {
        self.device = None;
        self.shown = 0;
        self.heads.clear();
    }

    fn to_record(&self) -> Vec<u8> {
        self.to_rest().encode_to_vec()
    }

    fn from_record(bytes: &[u8]) -> Result<Self, StoreError> {
        let row = rest::Conversation::decode(bytes).map_err(|_| CORRUPT)?;
        Self::from_rest(row).map_err(|_| CORRUPT)
    }

    /// Writes it into a store that nobody uses yet.
    pub(crate) fn put<S: Store>(&self, store: &mut Overlay<S>, account: &AccountId) {
        store.put(Key::of(Table::Conversation, &account.0), self.to_record());
    }

    pub(crate) fn to_rest(&self) -> rest::Conversation {
        rest::Conversation {
            lamport: self.lamport,
            next_index: self.next_index,
            sent: self.sent,
            device: self.device.map(|device| device.0.to_vec()).unwrap_or_default(),
            shown: self.shown,
            heads: self.heads.iter().map(|id| id.0.to_vec()).collect(),
            heard: self.heard,
        }
    }

    pub(crate) fn from_rest(row: rest::Conversation) -> Result<Self, Malformed> {
        if row.heads.len() > PARENTS_MAX {
            return Err(Malformed("heads"));
        }
        let device = match row.device.as_slice() {
            [] => None,
            bytes => Some(DeviceId(exactly(bytes, "device")?)),
        };
        let heads: Result<_, _> =
            row.heads.iter().map(|id| exactly(id, "head").map(MessageId)).collect();
        Ok(Self {
            lamport: row.lamport,
            next_index: row.next_index,
            sent: row.sent,
            device,
            shown: row.shown,
            heads: heads?,
            heard: row.heard,
        })
    }
}

/// Conversations, cached over the store; changes are written when a batch is sealed.
#[derive(Debug, Default)]
pub struct Conversations {
    cached: BTreeMap<AccountId, Conversation>,
    dirty: BTreeSet<AccountId>,
}

impl Conversations {
    /// Reads the counters of a conversation, so that [`Conversations::edit`] cannot fail.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they cannot be read.
    pub fn load<S: Store>(
        &mut self,
        account: AccountId,
        store: &Overlay<S>,
    ) -> Result<(), StoreError> {
        self.cached(account, store).map(drop)
    }

    /// The counters of a conversation.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they cannot be read.
    pub fn view<S: Store>(
        &mut self,
        account: AccountId,
        store: &Overlay<S>,
    ) -> Result<&Conversation, StoreError> {
        self.cached(account, store).map(|conversation| &*conversation)
    }

    /// The counters of a conversation, to be changed.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if they cannot be read.
    pub fn edit<S: Store>(
        &mut self,
        account: AccountId,
        store: &Overlay<S>,
    ) -> Result<&mut Conversation, StoreError> {
        self.load(account, store)?;
        self.dirty.insert(account);
        self.cached(account, store)
    }

    fn cached<S: Store>(
        &mut self,
        account: AccountId,
        store: &Overlay<S>,
    ) -> Result<&mut Conversation, StoreError> {
        use std::collections::btree_map::Entry;
        match self.cached.entry(account) {
            Entry::Occupied(entry) => Ok(entry.into_mut()),
            Entry::Vacant(entry) => {
                let value = store.get(&Key::of(Table::Conversation, &account.0))?;
                let conversation =
                    value.map(|value| Conversation::from_record(&value)).transpose()?;
                Ok(entry.insert(conversation.unwrap_or_default()))
            }
        }
    }

    /// Writes every changed conversation into the open batch.
    pub fn write<S: Store>(&mut self, store: &mut Overlay<S>) {
        for account in std::mem::take(&mut self.dirty) {
            if let Some(conversation) = self.cached.get(&account) {
                store.put(Key::of(Table::Conversation, &account.0), conversation.to_record());
            }
        }
    }

    /// Whether anything waits for [`Conversations::write`].
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }
}
