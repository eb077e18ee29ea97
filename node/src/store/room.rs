//! How full the store's file system is, and what may still be taken on.

use std::path::Path;

use super::inner::{ROOM_LOW, ROOM_MIN, ROOM_RESERVED};

/// What may be taken on with the room that is left. Each step leaves room for those above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Nothing may be written: what sled cannot finish it cannot take back.
    None,
    /// Acknowledgements, receipts and deletions, nothing new.
    Reserve,
    /// Everything, but somebody should make room.
    Low,
    /// Everything.
    Ample,
}

impl Room {
    /// With so many free bytes.
    #[must_use]
    pub const fn of(free: u64) -> Self {
        match free {
            0..ROOM_MIN => Self::None,
            ROOM_MIN..ROOM_RESERVED => Self::Reserve,
            ROOM_RESERVED..ROOM_LOW => Self::Low,
            ROOM_LOW.. => Self::Ample,
        }
    }

    /// On the file system of a directory, whether or not the store there is open.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        rustix::fs::statvfs(dir)
            .map_or(Self::None, |found| Self::of(found.f_bavail.saturating_mul(found.f_frsize)))
    }

    /// Whether messages may be taken on.
    #[must_use]
    pub fn takes_new(self) -> bool {
        self >= Self::Low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_refused_in_steps_and_each_leaves_some_to_the_next() {
        const MIB: u64 = 1024 * 1024;
        for (free, room) in [
            (0, Room::None),
            (4 * MIB - 1, Room::None),
            (4 * MIB, Room::Reserve),
            (16 * MIB - 1, Room::Reserve),
            (16 * MIB, Room::Low),
            (64 * MIB - 1, Room::Low),
            (64 * MIB, Room::Ample),
            (u64::MAX, Room::Ample),
        ] {
            assert_eq!(Room::of(free), room, "{free}");
            assert_eq!(room.takes_new(), free >= 16 * MIB, "{free}");
        }
        assert_eq!(Room::at(Path::new("/nowhere/at/all")), Room::None);
    }
}
