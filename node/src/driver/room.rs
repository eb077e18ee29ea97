//! What the driver takes on with the room that the disk has.

use std::time::Duration;

use bitchat_protocol::engine::{Command, CommandError};

use super::Driver;
use crate::control::Warning;
use crate::metrics::WarningCode;
use crate::store::Room;

/// When a peer may try again whose frame came while the disk is full.
pub(super) const FULL_RETRY: Duration = Duration::from_secs(10);

/// What a command does to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// Reads.
    Nothing,
    /// Writes little, or makes room.
    Little,
    /// Takes something on.
    New,
}

impl Driver {
    /// Looks how much room there is.
    pub(super) fn look_at_room(&mut self) {
        let room = match &self.running {
            Some(running) => {
                let (size, free) = (running.store.size_on_disk(), running.store.room());
                self.ends.metrics.store_room(size.unwrap_or_default(), free.unwrap_or_default());
                running.store.room_for()
            }
            None => Room::at(&self.factory.dir),
        };
        if room != self.room {
            tracing::warn!(?room, "room on the disk");
            self.room = room;
        }
    }

    /// Why a command is not even shown to the engine.
    pub(super) fn refusal(&self, command: &Command) -> Option<CommandError> {
        let full = match demand(command) {
            Use::Nothing => false,
            Use::Little => self.room < Room::Reserve,
            Use::New => !self.room.takes_new(),
        };
        if full {
            return Some(CommandError::DiskFull);
        }
        let failed = "the store failed and is being reopened";
        self.running.is_none().then(|| CommandError::Store(failed.to_owned()))
    }

    /// Whether the node takes nothing new because of its disk.
    pub(super) fn storage_refuses(&self) -> bool {
        !self.room.takes_new() || self.running.is_none()
    }

    /// Says what is wrong with the disk.
    pub(super) fn disk_warning(&self) -> Option<Warning> {
        let message = match self.room {
            _ if self.running.is_none() => "the disk does not take writes; nothing new is taken",
            Room::None | Room::Reserve => "the disk is full; nothing new is taken",
            Room::Low => "the disk is nearly full; below 16 MiB nothing new is taken",
            Room::Ample => return None,
        };
        Some(Warning {
            code: WarningCode::DiskLow,
            message: message.to_owned(),
            hint: "free some space; the node goes on by itself".to_owned(),
        })
    }
}

/// What a command does to the disk.
const fn demand(command: &Command) -> Use {
    match command {
        Command::Identity
        | Command::Contacts
        | Command::Contact(_)
        | Command::Delivery(_)
        | Command::Inbox { .. }
        | Command::History { .. }
        | Command::BackupPage { .. }
        | Command::Queue => Use::Nothing,
        Command::Acknowledge { .. } | Command::Remove { .. } | Command::AcceptCopy => Use::Little,
        Command::Invite { .. }
        | Command::AddContact { .. }
        | Command::Rename { .. }
        | Command::Verify { .. }
        | Command::VerifyScanned { .. }
        | Command::SetPolicy { .. }
        | Command::Trust(_)
        | Command::ResetSession(_)
        | Command::Send { .. }
        | Command::Export(_)
        | Command::Import(_) => Use::New,
    }
}
