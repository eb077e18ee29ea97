//! What the driver takes on with the room that the disk has.

use std::time::Duration;

use bitchat_protocol::engine::{Command, CommandError};

use super::Driver;
use crate::control::Warning;
use crate::metrics::WarningCode;
use crate::network;
use crate::store::Room;

/// When a peer may try again whose frame came while the disk is full.
pub(super) const FULL_RETRY: Duration = Duration::from_secs(10);

/// Events of the network that are kept while nothing can be written; then no more are read.
pub(super) const HELD_MAX: usize = 1_024;

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

    /// Whether the engine may be shown what it might write about. What it has written waits for room,
    /// and every answer behind that: without this, reading would end with the room.
    pub(super) fn may_write(&self) -> bool {
        self.room >= Room::Reserve
    }

    /// The event, if it can be carried on; frames are refused meanwhile, all else is kept.
    pub(super) fn unless_held(&mut self, event: network::Event) -> Option<network::Event> {
        let keeps = self.running.is_some() && !self.may_write();
        if !keeps || matches!(event, network::Event::Frame { .. }) {
            return Some(event);
        }
        self.held.push_back(event);
        None
    }

    /// Carries on what was kept, in its order.
    pub(super) fn release_held(&mut self) {
        while self.may_write()
            && (self.is_open() || self.running.is_none())
            && let Some(event) = self.held.pop_front()
        {
            self.hear(event);
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
        | Command::Track(_)
        | Command::Inbox { .. }
        | Command::History { .. }
        | Command::BackupPage { .. }
        | Command::Breakers
        | Command::MailboxList
        | Command::MailboxTest(_)
        | Command::Withheld(_)
        | Command::Queue => Use::Nothing,
        Command::Acknowledge { .. }
        | Command::Remove { .. }
        | Command::Cancel(_)
        | Command::MailboxRemove(_)
        | Command::AcceptCopy => Use::Little,
        Command::Invite { .. }
        | Command::AddContact { .. }
        | Command::Rename { .. }
        | Command::Verify { .. }
        | Command::VerifyScanned { .. }
        | Command::SetPolicy { .. }
        | Command::Trust(_)
        | Command::ResetSession(_)
        | Command::Send { .. }
        | Command::SendOnce { .. }
        | Command::RetryNow(_)
        | Command::SetReadReceipts { .. }
        | Command::Export(_)
        | Command::MailboxAdd { .. }
        | Command::Import(_) => Use::New,
    }
}
