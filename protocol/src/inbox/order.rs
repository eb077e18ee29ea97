//! The sender's order: what is shown now, what waits for its predecessor, what comes late.
//!
//! See docs/SPEC.md, section "Delivery".

use std::collections::BTreeMap;
use std::time::Duration;

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use super::conversation::Conversation;
use super::record::Stored;
use super::{Incoming, PAGE_MAX};
use crate::id::{AccountId, DeviceId, exactly};
use crate::store::{Key, Overlay, Store, StoreError, Table};
use crate::time::UnixMillis;

/// How long a message waits for its predecessors.
pub const HOLD_FOR: Duration = Duration::from_secs(10);

/// Messages held for one contact; one more releases them all.
pub const HELD_MAX: usize = 1_000;

/// A first sequence up to this is taken as a reordered beginning; above, as an older conversation
/// whose start this device never saw.
const BEGINNING: u64 = 64;

const CORRUPT: StoreError = StoreError::Corrupt("held row");

/// A message that may be shown now.
#[derive(Debug)]
pub struct Release {
    /// The message.
    pub message: Incoming,
    /// Messages missing before it.
    pub gap: u64,
    /// Whether it came after messages that follow it.
    pub late: bool,
}

/// Messages that wait for a predecessor, by contact and sequence.
#[derive(Debug, Default)]
pub struct Held {
    contacts: BTreeMap<AccountId, BTreeMap<u64, (Incoming, UnixMillis)>>,
}

impl Held {
    /// Reads what was held when the process ended.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the rows cannot be read.
    pub fn load(store: &impl Store) -> Result<Self, StoreError> {
        let mut held = Self::default();
        let mut after = None;
        loop {
            let (values, next) = store.walk(Table::Held, after.as_ref(), PAGE_MAX)?;
            for value in values {
                let (message, until) = from_record(&value)?;
                held.contacts
                    .entry(message.account)
                    .or_default()
                    .insert(message.sequence, (message, until));
            }
            match next {
                Some(cursor) => after = Some(cursor),
                None => return Ok(held),
            }
        }
    }

    /// Takes a new message and returns what may be shown, in order.
    pub fn admit<S: Store>(
        &mut self,
        message: Incoming,
        conversation: &mut Conversation,
        store: &mut Overlay<S>,
    ) -> Vec<Release> {
        let mut released = Vec::new();
        if conversation.device != Some(message.device) {
            released.extend(self.release_all(message.account, conversation, store));
            conversation.device = Some(message.device);
            conversation.shown =
                if message.sequence <= BEGINNING { 0 } else { message.sequence.saturating_sub(1) };
        }
        let next = conversation.shown.saturating_add(1);
        if message.sequence == 0 {
            released.push(Release { message, gap: 0, late: false });
        } else if message.sequence < next || self.holds(&message) {
            // A sender that was set back counts again what it counted before: no message may go for that.
            released.push(Release { message, gap: 0, late: true });
        } else if message.sequence == next {
            let account = message.account;
            conversation.shown = next;
            released.push(Release { message, gap: 0, late: false });
            released.extend(self.release_following(account, conversation, store));
        } else {
            let account = message.account;
            conversation.hear(message.lamport);
            self.hold(message, store);
            if self.contacts.get(&account).is_some_and(|held| held.len() > HELD_MAX) {
                released.extend(self.release_all(account, conversation, store));
            }
        }
        released
    }

    /// Whether another message waits at this one's place.
    fn holds(&self, message: &Incoming) -> bool {
        self.contacts.get(&message.account).is_some_and(|held| held.contains_key(&message.sequence))
    }

    fn hold<S: Store>(&mut self, message: Incoming, store: &mut Overlay<S>) {
        let until = message.received.plus(HOLD_FOR);
        let key = Key::numbered(Table::Held, &message.account.0, message.sequence);
        store.put(key, to_record(&message, until));
        self.contacts
            .entry(message.account)
            .or_default()
            .insert(message.sequence, (message, until));
    }

    fn take<S: Store>(
        &mut self,
        account: AccountId,
        sequence: u64,
        store: &mut Overlay<S>,
    ) -> Option<Incoming> {
        let held = self.contacts.get_mut(&account)?;
        let (message, _) = held.remove(&sequence)?;
        if held.is_empty() {
            self.contacts.remove(&account);
        }
        store.delete(Key::numbered(Table::Held, &account.0, sequence));
        Some(message)
    }

    /// What now follows without a gap.
    fn release_following<S: Store>(
        &mut self,
        account: AccountId,
        conversation: &mut Conversation,
        store: &mut Overlay<S>,
    ) -> Vec<Release> {
        let mut released = Vec::new();
        while let Some(message) = self.take(account, conversation.shown.saturating_add(1), store) {
            conversation.shown = message.sequence;
            released.push(Release { message, gap: 0, late: false });
        }
        released
    }

    /// Everything that is held for a contact, with its gaps.
    pub fn release_all<S: Store>(
        &mut self,
        account: AccountId,
        conversation: &mut Conversation,
        store: &mut Overlay<S>,
    ) -> Vec<Release> {
        let mut released = Vec::new();
        while let Some(sequence) =
            self.contacts.get(&account).and_then(|held| held.keys().next().copied())
        {
            let Some(message) = self.take(account, sequence, store) else { break };
            let gap = sequence.saturating_sub(conversation.shown).saturating_sub(1);
            conversation.shown = conversation.shown.max(sequence);
            released.push(Release { message, gap, late: false });
        }
        released
    }

    /// When the contact's oldest held message has waited long enough.
    #[must_use]
    pub fn until(&self, account: &AccountId) -> Option<UnixMillis> {
        self.contacts.get(account)?.values().map(|(_, until)| *until).min()
    }

    /// Contacts for whom something is held.
    pub fn accounts(&self) -> impl Iterator<Item = AccountId> {
        self.contacts.keys().copied()
    }
}

fn to_record(message: &Incoming, until: UnixMillis) -> Vec<u8> {
    let stored = Stored {
        id: message.id,
        outgoing: false,
        text: message.text.clone(),
        lamport: message.lamport,
        sent: message.sent,
        received: Some(message.received),
        gap: 0,
        late: false,
        cursor: 0,
        unreadable: message.unreadable,
        read: false,
    };
    rest::Held {
        account: message.account.0.to_vec(),
        message: Some(stored.to_rest()),
        sequence: message.sequence,
        until_ms: until.0,
        device: message.device.0.to_vec(),
    }
    .encode_to_vec()
}

fn from_record(bytes: &[u8]) -> Result<(Incoming, UnixMillis), StoreError> {
    let row = rest::Held::decode(bytes).map_err(|_| CORRUPT)?;
    let stored =
        row.message.ok_or(CORRUPT).and_then(|row| Stored::from_rest(row).map_err(|_| CORRUPT))?;
    let message = Incoming {
        id: stored.id,
        account: AccountId(exactly(&row.account, "held row").map_err(|_| CORRUPT)?),
        device: DeviceId(exactly(&row.device, "held row").map_err(|_| CORRUPT)?),
        sequence: row.sequence,
        lamport: stored.lamport,
        sent: stored.sent,
        received: stored.received.unwrap_or(UnixMillis(0)),
        text: stored.text,
        unreadable: stored.unreadable,
    };
    Ok((message, UnixMillis(row.until_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;
    use crate::store::MemoryStore;

    const ALICE: AccountId = AccountId([1; 32]);

    fn message(sequence: u64) -> Incoming {
        Incoming {
            id: MessageId([u8::try_from(sequence % 256).unwrap_or(0); 16]),
            account: ALICE,
            device: DeviceId([1; 32]),
            sequence,
            lamport: sequence,
            sent: UnixMillis(0),
            received: UnixMillis(1_000),
            text: sequence.to_string(),
            unreadable: false,
        }
    }

    struct Bench {
        held: Held,
        conversation: Conversation,
        store: Overlay<MemoryStore>,
    }

    impl Bench {
        fn new() -> Self {
            let store = Overlay::new(MemoryStore::default());
            Self { held: Held::default(), conversation: Conversation::default(), store }
        }

        /// (sequence, gap, late) of everything that a new message releases.
        fn admit(&mut self, sequence: u64) -> Vec<(u64, u64, bool)> {
            let released =
                self.held.admit(message(sequence), &mut self.conversation, &mut self.store);
            released.iter().map(|r| (r.message.sequence, r.gap, r.late)).collect()
        }

        fn time_out(&mut self) -> Vec<(u64, u64, bool)> {
            let released = self.held.release_all(ALICE, &mut self.conversation, &mut self.store);
            released.iter().map(|r| (r.message.sequence, r.gap, r.late)).collect()
        }
    }

    #[test]
    fn a_message_waits_for_its_predecessor_and_both_come_in_order() {
        let mut bench = Bench::new();

        assert_eq!(bench.admit(1), [(1, 0, false)]);
        assert_eq!(bench.admit(3), []);
        assert_eq!(bench.held.until(&ALICE), Some(UnixMillis(11_000)));
        assert_eq!(bench.admit(2), [(2, 0, false), (3, 0, false)]);
        assert_eq!(bench.held.until(&ALICE), None);
    }

    #[test]
    fn a_message_whose_predecessors_never_come_shows_its_gap_and_a_straggler_is_late() {
        let mut bench = Bench::new();
        bench.admit(1);
        bench.admit(4);

        assert_eq!(bench.time_out(), [(4, 2, false)]);
        assert_eq!(bench.admit(2), [(2, 0, true)]);
        assert_eq!(bench.admit(5), [(5, 0, false)]);
    }

    #[test]
    fn held_messages_survive_a_restart() {
        let mut bench = Bench::new();
        bench.admit(1);
        bench.admit(3);
        let mut disk = MemoryStore::default();
        let _ = disk.commit(&bench.store.seal().expect("held row"));

        bench.held = Held::load(&disk).expect("rows");

        assert_eq!(bench.admit(2), [(2, 0, false), (3, 0, false)]);
    }

    #[test]
    fn a_second_message_of_a_held_number_replaces_nothing() {
        let mut bench = Bench::new();
        bench.admit(1);
        bench.admit(3);

        assert_eq!(bench.admit(3), [(3, 0, true)]);
        assert_eq!(bench.admit(2), [(2, 0, false), (3, 0, false)]);
    }

    #[test]
    fn a_thousand_held_messages_are_the_bound() {
        let mut bench = Bench::new();
        bench.admit(1);
        for sequence in 3..1_003 {
            assert_eq!(bench.admit(sequence), []);
        }

        assert_eq!(bench.admit(1_003).len(), HELD_MAX + 1);
    }

    #[test]
    fn a_new_device_starts_its_own_count() {
        let mut bench = Bench::new();
        bench.admit(1);
        let mut other = message(1);
        other.device = DeviceId([2; 32]);

        let released = bench.held.admit(other, &mut bench.conversation, &mut bench.store);

        assert!(!released[0].late);
    }
}
