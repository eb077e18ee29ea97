//! All contacts in memory, found by name, account or device.
//!
//! See docs/SPEC.md, section "Limits".

use std::collections::BTreeMap;
use std::ops::Bound;

use super::{Contact, name};
use crate::id::{AccountId, DeviceId};

/// Contacts of one profile. More are refused as busy.
pub const CONTACTS_MAX: usize = 10_000;

/// Characters of an account id that are enough to name a contact: the prefix and 32 bits.
const ACCOUNT_CHARS_MIN: usize = 13;

/// What a name finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Exactly one contact.
    One(AccountId),
    /// Nobody.
    Unknown,
    /// More than one.
    Ambiguous(Vec<AccountId>),
}

/// Every contact, indexed.
#[derive(Debug, Default)]
pub struct Book {
    contacts: BTreeMap<AccountId, Contact>,
    devices: BTreeMap<DeviceId, AccountId>,
    former: BTreeMap<DeviceId, AccountId>,
    /// Devices that wait for the user.
    waiting: BTreeMap<DeviceId, AccountId>,
}

impl Book {
    /// Adds or replaces a contact.
    pub fn insert(&mut self, contact: Contact) {
        self.remove(&contact.account);
        self.devices.insert(contact.device, contact.account);
        self.former.extend(contact.former.iter().map(|device| (*device, contact.account)));
        if let Some(newer) = &contact.pending {
            self.waiting.insert(newer.device, contact.account);
        }
        self.contacts.insert(contact.account, contact);
    }

    /// Forgets a contact.
    pub fn remove(&mut self, account: &AccountId) -> Option<Contact> {
        let contact = self.contacts.remove(account)?;
        self.devices.remove(&contact.device);
        for device in &contact.former {
            self.former.remove(device);
        }
        if let Some(newer) = &contact.pending {
            self.waiting.remove(&newer.device);
        }
        Some(contact)
    }

    /// One contact.
    #[must_use]
    pub fn get(&self, account: &AccountId) -> Option<&Contact> {
        self.contacts.get(account)
    }

    /// The contact whose device this is.
    #[must_use]
    pub fn of_device(&self, device: &DeviceId) -> Option<&Contact> {
        self.devices.get(device).and_then(|account| self.contacts.get(account))
    }

    /// The contact whose device this was before it had another.
    #[must_use]
    pub fn of_former(&self, device: &DeviceId) -> Option<&Contact> {
        self.former.get(device).and_then(|account| self.contacts.get(account))
    }

    /// The contacts after `account`, or all of them.
    pub fn after(&self, account: Option<AccountId>) -> impl Iterator<Item = &Contact> {
        let from = account.map_or(Bound::Unbounded, Bound::Excluded);
        self.contacts.range((from, Bound::Unbounded)).map(|(_, contact)| contact)
    }

    /// Whether this is a contact's newer device that waits for the user.
    #[must_use]
    pub fn is_waiting(&self, device: &DeviceId) -> bool {
        self.waiting.contains_key(device)
    }

    /// Every contact, by account.
    pub fn iter(&self) -> impl Iterator<Item = &Contact> {
        self.contacts.values()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.contacts.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.contacts.is_empty()
    }

    /// Whether a contact has this petname.
    #[must_use]
    pub fn is_taken(&self, name: &str) -> bool {
        self.contacts.values().any(|contact| contact.name == name)
    }

    /// The petname of a new contact that suggests `suggestion`: a name that somebody has stays his.
    #[must_use]
    pub fn free_name(&self, suggestion: String, fingerprint: &str) -> String {
        let mut candidate = suggestion.clone();
        let mut turn = 0;
        while self.looks_taken(&candidate) {
            candidate = name::told_apart(&suggestion, fingerprint, turn);
            turn += 1;
        }
        candidate
    }

    /// Whether a person could take this name for that of a contact.
    #[must_use]
    pub fn looks_taken(&self, name: &str) -> bool {
        let skeleton = name::skeleton(name);
        let looks = |contact: &Contact| {
            name::skeleton(&contact.name) == skeleton || contact.account.fingerprint() == name
        };
        self.contacts.values().any(looks)
    }

    /// Finds by petname, fingerprint, account id, or the start of an account id.
    #[must_use]
    pub fn find(&self, who: &str) -> Lookup {
        let named = |contact: &&Contact| {
            contact.name == who || contact.account.fingerprint() == who || {
                who.starts_with("bchat1")
                    && who.len() >= ACCOUNT_CHARS_MIN
                    && contact.account.to_string().starts_with(who)
            }
        };
        let matches: Vec<_> =
            self.contacts.values().filter(named).map(|found| found.account).collect();
        match matches.as_slice() {
            [] => Lookup::Unknown,
            [one] => Lookup::One(*one),
            _ => Lookup::Ambiguous(matches),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::KeyPolicy;
    use crate::time::UnixMillis;

    fn contact(byte: u8, name: &str) -> Contact {
        Contact {
            account: AccountId([byte; 32]),
            name: name.to_owned(),
            nickname: String::new(),
            record: None,
            device: DeviceId([byte; 32]),
            generation: 1,
            addresses: Vec::new(),
            token: None,
            read_receipts: None,
            verified: false,
            added: UnixMillis(0),
            former: Vec::new(),
            policy: KeyPolicy::Tofu,
            changed: None,
            pending: None,
        }
    }

    #[test]
    fn a_name_that_two_contacts_carry_finds_neither() {
        let mut book = Book::default();
        book.insert(contact(1, "bob"));
        book.insert(contact(2, "bob"));
        book.insert(contact(3, "carol"));

        assert_eq!(book.find("carol"), Lookup::One(AccountId([3; 32])));
        assert_eq!(
            book.find("bob"),
            Lookup::Ambiguous(vec![AccountId([1; 32]), AccountId([2; 32])])
        );
        assert_eq!(book.find("dave"), Lookup::Unknown);
    }

    #[test]
    fn a_newcomer_does_not_get_the_name_of_a_contact() {
        let mut book = Book::default();
        book.insert(contact(1, "Bob"));
        let first = AccountId([1; 32]).fingerprint();
        let free = |book: &Book, name: &str| book.free_name(name.to_owned(), "abcd-efgh");

        assert_eq!(free(&book, "carol"), "carol");
        for name in ["Bob", "bob", "B ob", "\u{ff22}ob"] {
            assert_eq!(free(&book, name), format!("{name}-abcd-efgh"));
        }
        assert_eq!(free(&book, &first), format!("{first}-abcd-efgh"));
        book.insert(contact(2, "bob-abcd-efgh"));
        assert_eq!(free(&book, "bob"), "bob-abcd-efgh-2");
        assert_eq!(book.find("Bob"), Lookup::One(AccountId([1; 32])));
    }

    #[test]
    fn an_account_id_or_its_start_or_the_fingerprint_finds_a_contact() {
        let mut book = Book::default();
        book.insert(contact(1, "bob"));
        let id = AccountId([1; 32]);

        assert_eq!(book.find(&id.to_string()), Lookup::One(id));
        assert_eq!(book.find(&id.to_string()[..13]), Lookup::One(id));
        assert_eq!(book.find(&id.to_string()[..12]), Lookup::Unknown);
        assert_eq!(book.find(&id.fingerprint()), Lookup::One(id));
    }

    #[test]
    fn a_replaced_device_no_longer_finds_the_contact() {
        let mut book = Book::default();
        book.insert(contact(1, "bob"));
        let mut moved = contact(1, "bob");
        moved.move_to(DeviceId([9; 32]), 2);

        book.insert(moved);

        assert!(book.of_device(&DeviceId([1; 32])).is_none());
        assert!(book.of_device(&DeviceId([9; 32])).is_some());
        assert!(book.of_former(&DeviceId([1; 32])).is_some(), "it may still run");
    }
}
