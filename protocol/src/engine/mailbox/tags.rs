//! Who may leave envelopes for us: the tags of our contacts, and of our nodes among one another.
//!
//! A row says which tags a node may have, before it is told; it is deleted only when the node has said
//! that they are gone. So whatever is lost on the way, nobody stays admitted unknown to us.
//!
//! See docs/SPEC.md, section "The client".

use rand_core::CryptoRng;

use super::super::Engine;
use super::super::timer::Reason;
use super::order::Ordered;
use crate::error::Error;
use crate::id::{AccountId, DeviceId};
use crate::invitation::ContactRecord;
use crate::mailbox::{Admitted, ContactSecret, Epoch, Fellow, Order};
use crate::store::Store;

/// Contacts in one order: seven tags each.
const PORTION: usize = 32;

/// What we and a contact share.
#[derive(Debug)]
pub(super) struct Shared {
    /// For our mailboxes.
    pub ours: ContactSecret,
    /// For those of the contact.
    pub theirs: ContactSecret,
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// A contact was added, changed or removed.
    pub(in crate::engine) fn compare_tags_of(&mut self, account: AccountId) {
        self.mail.shared.remove(&account);
        self.doubt_depot(account);
        for (node, rent) in &mut self.mail.rents {
            rent.unsure.insert(account);
            if rent.rental.rented {
                self.timers.set(Reason::Mailbox(*node), self.now.mono);
            }
        }
    }

    /// Compares every tag at every node: at the start, every week, when our nodes change.
    pub(in crate::engine) fn compare_all_tags(&mut self) {
        let nodes: Vec<_> = self.mail.rents.keys().map(|node| AccountId(node.0)).collect();
        let contacts: Vec<_> = self.book.iter().map(|contact| contact.account).collect();
        for (node, rent) in &mut self.mail.rents {
            rent.unsure = rent.admitted.keys().copied().collect();
            rent.unsure.extend(contacts.iter().chain(&nodes));
            self.timers.set(Reason::Mailbox(*node), self.now.mono);
        }
        self.mail.week = Epoch::at(self.now.wall);
    }

    /// A week is over: other tags count.
    pub(in crate::engine) fn compare_tags_weekly(&mut self) {
        if self.mail.week != Epoch::at(self.now.wall) {
            for rent in self.mail.rents.values_mut() {
                rent.fellows = true;
            }
            self.compare_all_tags();
        }
    }

    /// What we share with a contact; `None` as long as its keys are not known.
    pub(super) fn shared(&mut self, account: AccountId) -> Result<Option<&Shared>, Error> {
        if !self.mail.shared.contains_key(&account) {
            let Some(record) = self.book.get(&account).and_then(|c| c.record.as_deref()) else {
                return Ok(None);
            };
            let theirs = ContactRecord::parse(record)?.certificate().identity_dh();
            let agreement = self.identity.device().dh().agree(&theirs)?;
            let shared = Shared {
                ours: ContactSecret::derive(&agreement, self.identity.account()),
                theirs: ContactSecret::derive(&agreement, account),
            };
            self.mail.shared.insert(account, shared);
        }
        Ok(self.mail.shared.get(&account))
    }

    /// What should let somebody in at a node: a contact, or another node of ours.
    fn admission(&mut self, node: DeviceId, account: AccountId) -> Option<ContactSecret> {
        if self.book.get(&account).is_some() {
            return self.shared(account).ok().flatten().map(|shared| shared.ours.duplicate());
        }
        let fellow = DeviceId(account.0);
        let rents = self.mail.rents.get(&fellow).is_some_and(super::rental::Rent::is_active);
        let rent = self.mail.rents.get(&node).filter(|_| rents && fellow != node)?;
        Some(rent.rental.fellow_secret(fellow))
    }

    /// The next portion of tags that a node lacks or should forget.
    pub(super) fn tags_order(&mut self, node: DeviceId) -> Option<(Order, Ordered)> {
        let (first, last) = Admitted::weeks(self.now.wall);
        let (mut add, mut remove) = (Vec::new(), Vec::new());
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        while added.len().saturating_add(removed.len()) < PORTION {
            let Some(account) = self.mail.rents.get_mut(&node)?.unsure.pop_first() else { break };
            let wanted = self.admission(node, account);
            let rent = self.mail.rents.get_mut(&node)?;
            match (wanted, rent.admitted.get(&account)) {
                (None, None) => {}
                (Some(wanted), Some(known)) if known.secret == wanted => {
                    if known.confirmed && known.last >= last && known.first <= first {
                        continue;
                    }
                    added.push((account, wanted));
                }
                // Those of another key go first.
                (_, Some(known)) => {
                    remove.extend(known.tags(node).map(|(tag, _)| tag));
                    removed.push(account);
                }
                (Some(wanted), None) => added.push((account, wanted)),
            }
        }
        let mut accounts = Vec::with_capacity(added.len());
        for (account, secret) in added {
            let admitted = Admitted { account, secret, first, last, confirmed: false };
            add.extend(admitted.tags(node));
            self.store.put(Admitted::key_of(node, account), admitted.encode(node));
            self.mail.rents.get_mut(&node)?.admitted.insert(account, admitted);
            accounts.push(account);
        }
        let ordered = Ordered::Tags { added: accounts, removed };
        (!add.is_empty() || !remove.is_empty()).then_some((Order::Tags { add, remove }, ordered))
    }

    /// A node says that it has these, and no longer those.
    pub(super) fn tags_left(&mut self, node: DeviceId, added: &[AccountId], removed: &[AccountId]) {
        let Some(rent) = self.mail.rents.get_mut(&node) else { return };
        for account in added {
            if let Some(admitted) = rent.admitted.get_mut(account) {
                admitted.confirmed = true;
                self.store.put(Admitted::key_of(node, *account), admitted.encode(node));
            }
        }
        for account in removed {
            rent.admitted.remove(account);
            rent.unsure.insert(*account); // It may be let in under another key.
            self.store.delete(Admitted::key_of(node, *account));
        }
    }

    /// Our other nodes, as one of them is told: each takes what this one passes on.
    pub(super) fn fellows_of(&self, node: DeviceId) -> Vec<Fellow> {
        // The last week that they let one another in for: we may be away until then.
        let (_, week) = Admitted::weeks(self.now.wall);
        let others = self.mail.rents.values();
        let others = others.filter(|rent| rent.is_active() && rent.rental.node != node);
        let fellow = |rent: &super::rental::Rent| Fellow {
            rank: rent.rental.rank,
            device: rent.rental.node,
            addresses: rent.rental.addresses.clone(),
            token: rent.rental.fellow_secret(node).token(rent.rental.node, week),
        };
        others.map(fellow).collect()
    }
}
