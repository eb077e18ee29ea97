//! Other copies of this device: a directory that was copied, a snapshot, a restore elsewhere.
//!
//! ```text
//!   the place changed since the last start           -> moved       (until it is accepted)
//!   a record of this device that it never issued     -> copied      (until it is accepted)
//!   a record of another device, not an earlier one   -> superseded  (until it is reclaimed)
//! ```
//!
//! Two live copies of one device take each other's messages and spoil each other's sessions. Nothing
//! here prevents that; it is seen and said. The proof is always a signature of our own keys, so no
//! contact can make it up.
//!
//! See docs/SPEC.md, section "Copies of a device".

mod record;

use crate::identity::Certificate;
use crate::invitation::ContactRecord;

/// Sequences that are remembered; a record from before the oldest of them says nothing.
pub const ISSUED_MAX: usize = 64;

/// A hash of the machine and the directory that a profile lives in.
pub type PlaceHash = [u8; 32];

/// What this device knows about other copies of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// Where the profile belongs.
    home: Option<PlaceHash>,
    /// Where it runs now, if the shell says so.
    here: Option<PlaceHash>,
    copied: bool,
    superseded: u64,
    /// Sequences of the records that this device issued, the latest last.
    issued: Vec<u64>,
}

/// What stands to be said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopiesSeen {
    /// The directory lies elsewhere than at the last start.
    pub moved: bool,
    /// Another copy of this very device has signed records.
    pub copied: bool,
    /// The account has a later device, or another one of the same generation.
    pub superseded: bool,
}

impl Copies {
    /// Says where the profile runs now. The first place is where it belongs.
    pub const fn run_at(&mut self, place: PlaceHash) {
        self.here = Some(place);
        if self.home.is_none() {
            self.home = Some(place);
        }
    }

    /// A person says that all is as it should be: this place is right, no other copy runs.
    pub const fn accept(&mut self) {
        if self.here.is_some() {
            self.home = self.here;
        }
        self.copied = false;
    }

    /// Remembers that this device issued a record.
    pub fn issue(&mut self, sequence: u64) {
        self.issued.push(sequence);
        if self.issued.len() > ISSUED_MAX {
            self.issued.remove(0);
        }
    }

    /// Looks at a verified record of our own account that somebody else had.
    pub fn look_at(&mut self, ours: &Certificate, record: &ContactRecord) {
        let theirs = record.certificate();
        if theirs.account() != ours.account() {
            return;
        }
        let same_device = theirs.device() == ours.device();
        // An equal one, too: two restores of one backup may have it, and a contact stays with the first.
        if !same_device && theirs.generation() >= ours.generation() {
            self.superseded = self.superseded.max(theirs.generation());
        } else if same_device && self.is_foreign(record.sequence()) {
            self.copied = true;
        }
    }

    /// This device runs under `ours`: what is earlier than that does not supersede it any more.
    pub const fn certified(&mut self, ours: &Certificate) {
        if self.superseded < ours.generation() {
            self.superseded = 0;
        }
    }

    /// The highest generation of another device of this account that was seen, if it was a later one.
    #[must_use]
    pub const fn later_generation(&self) -> Option<u64> {
        if self.superseded > 0 { Some(self.superseded) } else { None }
    }

    fn is_foreign(&self, sequence: u64) -> bool {
        let oldest = self.issued.first().copied().unwrap_or(u64::MAX);
        sequence > oldest && !self.issued.contains(&sequence)
    }

    /// What stands to be said.
    #[must_use]
    pub fn seen(&self) -> CopiesSeen {
        CopiesSeen {
            moved: self.here.is_some() && self.here != self.home,
            copied: self.copied,
            superseded: self.superseded > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::crypto::Secret;
    use crate::identity::{Account, Device, Identity, Phrase};
    use crate::prekey::Prekeys;
    use crate::time::UnixMillis;

    #[test]
    fn a_record_is_foreign_if_it_is_later_than_the_oldest_of_ours_and_none_of_them() {
        let mut copies = Copies::default();
        assert!(!copies.is_foreign(5), "nothing is known yet");

        for sequence in (10..).step_by(10).take(ISSUED_MAX + 2) {
            copies.issue(sequence);
        }

        assert!(!copies.is_foreign(40) && !copies.is_foreign(660));
        assert!(copies.is_foreign(41) && copies.is_foreign(661));
        assert!(!copies.is_foreign(11), "forgotten, so it may have been ours");
    }

    /// A device of account `account` and a record that it signed.
    fn device(account: u8, seed: u8, generation: u64) -> (Certificate, ContactRecord) {
        let phrase = Phrase::from_entropy(Secret::take(&mut [account; 32])).expect("32 bytes");
        let device =
            Device::from_secrets(Secret::take(&mut [seed; 32]), Secret::take(&mut [seed + 1; 32]));
        let now = UnixMillis(1_800_000_000_000);
        let certificate = Account::from_phrase(&phrase).certify(&device, 1, generation, now);
        let identity = Identity::new(device, certificate.clone()).expect("its own certificate");
        let mut prekeys = Prekeys::generate(&mut ChaCha20Rng::from_seed([seed; 32]), now);
        let record = ContactRecord::issue(&identity, &mut prekeys, &[], now).expect("issues");
        (certificate, ContactRecord::parse(&record).expect("own record"))
    }

    fn seen_after(record: &ContactRecord, issued: &[u64]) -> CopiesSeen {
        let (ours, _) = device(1, 10, 5);
        let mut copies = Copies::default();
        issued.iter().for_each(|sequence| copies.issue(*sequence));
        copies.look_at(&ours, record);
        copies.seen()
    }

    #[test]
    fn only_a_device_of_the_same_account_that_is_not_earlier_supersedes_this_one() {
        let superseded =
            |account, generation| seen_after(&device(account, 20, generation).1, &[]).superseded;

        assert!(superseded(1, 6));
        assert!(superseded(1, 5), "some contact has taken that one, and refuses this one");
        assert!(!superseded(1, 4), "not a later one");
        assert!(!superseded(2, 6), "somebody else's account");
    }

    #[test]
    fn only_a_later_certificate_takes_the_account_back() {
        let mut copies = Copies::default();
        copies.look_at(&device(1, 10, 5).0, &device(1, 20, 7).1);

        for generation in [5, 7] {
            copies.certified(&device(1, 10, generation).0);
            assert_eq!(copies.later_generation(), Some(7), "{generation}");
        }
        copies.certified(&device(1, 10, 8).0);
        assert_eq!(copies.later_generation(), None);
    }

    #[test]
    fn a_record_of_this_device_that_it_never_issued_was_signed_by_a_copy() {
        let (_, record) = device(1, 10, 5);
        let sequence = record.sequence();

        assert!(seen_after(&record, &[sequence - 1]).copied);
        assert!(!seen_after(&record, &[sequence - 1, sequence]).copied);
        assert!(!seen_after(&record, &[sequence + 1]).copied, "from before what is remembered");
    }

    #[test]
    fn a_profile_belongs_where_it_ran_first_until_another_place_is_accepted() {
        let mut copies = Copies::default();
        assert!(!copies.seen().moved, "nobody said where");

        copies.run_at([1; 32]);
        assert!(!copies.seen().moved);
        let mut copied = Copies::decode(&copies.encode()).expect("own encoding");
        copied.run_at([2; 32]);
        assert!(copied.seen().moved);
        copied.accept();
        assert!(!copied.seen().moved);

        let mut again = Copies::decode(&copied.encode()).expect("own encoding");
        again.run_at([1; 32]);
        assert!(again.seen().moved, "the first place is a copy now");
    }
}
