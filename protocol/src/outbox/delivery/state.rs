//! The rungs of the ladder and its ends.
//!
//! See docs/SPEC.md, section "Delivery".

/// Where a message is. Later rungs are greater; a state never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum DeliveryState {
    /// The outbox row is durable on this disk.
    Queued = 1,
    /// A peer's node accepted the bytes.
    Sent = 2,
    /// Mailboxes took custody.
    Stored = 3,
    /// The recipient's device has it: its receipt came through the ratchet.
    Delivered = 4,
    /// The recipient chose to say that it was read.
    Read = 5,
    /// Its time ran out before anybody took it.
    Expired = 10,
    /// It can never be delivered.
    Undeliverable = 11,
    /// The recipient refused it.
    Rejected = 12,
}

impl DeliveryState {
    /// Every state, by its number.
    pub const ALL: [Self; 8] = [
        Self::Queued,
        Self::Sent,
        Self::Stored,
        Self::Delivered,
        Self::Read,
        Self::Expired,
        Self::Undeliverable,
        Self::Rejected,
    ];

    /// The word in JSON and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Stored => "stored",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::Expired => "expired",
            Self::Undeliverable => "undeliverable",
            Self::Rejected => "rejected",
        }
    }

    /// Whether nothing more will happen although the recipient does not have it.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Expired | Self::Undeliverable | Self::Rejected)
    }

    /// Whether a wait for `wanted` is over, successfully.
    #[must_use]
    pub fn reaches(self, wanted: Self) -> bool {
        !self.is_failure() && self >= wanted
    }

    /// Whether `next` may follow: a later rung, or an end of what the recipient does not have.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        if self.is_failure() {
            false
        } else if next.is_failure() {
            self < Self::Delivered
        } else {
            self < next
        }
    }

    /// From the store; `None` for a number that no version wrote.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|state| u32::from(*state as u8) == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_survives_its_number_and_a_later_one_reaches_an_earlier_one() {
        use DeliveryState::{Delivered, Expired, Queued, Sent};
        for state in DeliveryState::ALL {
            assert_eq!(DeliveryState::from_number(u32::from(state as u8)), Some(state));
        }
        assert_eq!(DeliveryState::from_number(6), None);

        assert!(Delivered.reaches(Sent) && Delivered.reaches(Delivered));
        assert!(!Sent.reaches(Delivered));
        assert!(!Expired.reaches(Queued), "an end without delivery reaches nothing");
    }

    #[test]
    fn nothing_follows_an_end_and_no_end_follows_a_receipt() {
        for before in DeliveryState::ALL {
            for next in DeliveryState::ALL {
                let may = before.may_become(next);
                assert!(!may || !before.is_failure(), "{before:?} -> {next:?}");
                let has = before.reaches(DeliveryState::Delivered);
                assert!(!may || !has || next == DeliveryState::Read, "{before:?} -> {next:?}");
            }
        }
    }
}
