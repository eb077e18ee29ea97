//! Commands: what a user or program asks for, answered after every earlier write is durable.

use std::time::Duration;

use rand_core::CryptoRng;

use super::command::{Command, CommandError, ContactView, MessageView, Reply, Who};
use super::{Engine, Fact};
use crate::envelope::Content;
use crate::id::{AccountId, MessageId};
use crate::inbox::{PAGE_MAX, Reader, Stored};
use crate::outbox::{self, OutboxRow, ROWS_MAX};
use crate::store::{Store, StoreError, Table};

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl<S: Store, R: CryptoRng> Engine<S, R> {
    /// Every contact, by name.
    fn contact_views(&self) -> Vec<ContactView> {
        let mut views: Vec<_> = self.book.iter().map(|c| self.contact_view(c, true)).collect();
        views.sort_by(|a, b| (&a.name, a.account).cmp(&(&b.name, b.account)));
        views
    }

    pub(super) fn request(&mut self, command: Command) -> Result<Reply, CommandError> {
        match command {
            Command::Identity => Ok(Reply::Identity(self.identity_view())),
            Command::Invite { once, expires } => self.invite(once, expires).map(Reply::Invitation),
            Command::AddContact { link, name } => self.add_contact(&link, name).map(Reply::Contact),
            Command::Contacts => Ok(Reply::Contacts(self.contact_views())),
            Command::Contact(who) => Ok(Reply::Contact(self.contact_view(self.find(&who)?, true))),
            Command::Rename { who, name } => self.rename(&who, name).map(Reply::Contact),
            Command::Verify { who, verified } => self.verify(&who, verified).map(Reply::Contact),
            Command::VerifyScanned { who, code } => {
                self.verify_scanned(&who, &code).map(Reply::Contact)
            }
            Command::SetPolicy { who, policy } => self.set_policy(&who, policy).map(Reply::Contact),
            Command::Trust(who) => self.trust(&who).map(Reply::Contact),
            Command::ResetSession(who) => self.reset_session(&who).map(Reply::Contact),
            Command::Remove { who, extent } => {
                self.remove_contact(&who, extent).map(|()| Reply::Done)
            }
            Command::Send { to, text, expires } => {
                self.send(&to, text, expires).map(Reply::Delivery)
            }
            Command::SendOnce { id, to, text, expires } => {
                self.send_once(&id, &to, text, expires).map(Reply::Delivery)
            }
            Command::Track(id) => self.track(id).map(Reply::Track),
            Command::Cancel(id) => self.cancel(id).map(Reply::Delivery),
            Command::RetryNow(id) => self.retry_now(id).map(Reply::Track),
            Command::SetReadReceipts { who, tells } => {
                self.set_read_receipts(&who, tells).map(Reply::Contact)
            }
            Command::Delivery(id) => {
                self.delivery(id)?.map(Reply::Delivery).ok_or(CommandError::UnknownMessage(id))
            }
            Command::Inbox { reader, since, max } => {
                self.inbox(&reader, since, max).map(Reply::Messages)
            }
            Command::Acknowledge { reader, cursor, only } => {
                self.acknowledge(&reader, cursor, only).map(|()| Reply::Done)
            }
            Command::History { who, before, max } => {
                self.history(&who, before, max).map(Reply::Messages)
            }
            Command::Queue => Ok(Reply::Queue(self.queue_views())),
            Command::Breakers => Ok(Reply::Breakers(self.breaker_views())),
            Command::Withheld(id) => self.withheld(id).map(Reply::Withheld),
            Command::BackupPage { cursor, history } => {
                self.backup_page(cursor, history).map(Reply::BackupPage)
            }
            Command::AcceptCopy => self.accept_copy().map(|()| Reply::Done),
            Command::Export(what) => self.export(what).map(Reply::Exported),
            Command::Import(seals) => self.import(&seals).map(Reply::Imported),
            Command::MailboxAdd { node, addresses, access } => {
                self.mailbox_add(node, addresses, access)
            }
            // A test is answered later, see `Engine::handle`.
            Command::MailboxList | Command::MailboxTest(_) => Ok(self.mailbox_list()),
            Command::MailboxRemove(node) => self.mailbox_remove(node),
        }
    }

    pub(super) fn check_outbox(&self) -> Result<(), CommandError> {
        if self.outbox.len() >= ROWS_MAX { Err(CommandError::OutboxFull(ROWS_MAX)) } else { Ok(()) }
    }

    /// Writes a row of the outbox and hands it over if a link stands.
    pub(super) fn enqueue(
        &mut self,
        account: AccountId,
        message: MessageId,
        content: &Content,
        expires: Duration,
    ) -> Result<(), CommandError> {
        self.check_outbox()?;
        let place = self.outbox.next_place(account);
        let row = OutboxRow {
            account,
            sequence: place.1,
            message,
            content: content.encode(),
            created: self.now.wall,
            expires: self.now.wall.plus(expires),
            encrypted: None,
        };
        self.store.put(outbox::key_of(place), row.encode());
        self.outbox.insert(place, &row);
        self.outbox_dirty = true;
        // The row is written: whatever hinders its sending now is tried again later.
        if let Err(error) = self.drain(account) {
            self.fact(Fact::Refused(error.label()));
            self.want_link(account);
        }
        Ok(())
    }

    fn inbox(
        &self,
        reader: &str,
        since: Option<u64>,
        max: usize,
    ) -> Result<Vec<MessageView>, CommandError> {
        let acknowledged = named(reader)?.acknowledged(&self.store)?;
        let from = since.unwrap_or(acknowledged).saturating_add(1);
        let rows = self.store.scan(Table::Inbox, &[], &from.to_be_bytes(), max.min(PAGE_MAX))?;
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some((account, index, stored)) = Stored::from_inbox(&self.store, &row)? {
                views.push(self.message_view(account, index, stored, None));
            }
        }
        Ok(views)
    }

    fn acknowledge(
        &mut self,
        reader: &str,
        cursor: u64,
        only: Option<Who>,
    ) -> Result<(), CommandError> {
        if cursor >= self.next_cursor {
            return Err(CommandError::OutOfRange("no message has that cursor yet"));
        }
        let only = only.map(|who| self.find(&who).map(|contact| contact.account)).transpose()?;
        let reader = named(reader)?;
        let before = reader.acknowledged(&self.store)?;
        reader.acknowledge(&mut self.store, cursor)?;
        Ok(self.tell_read((before, cursor), only)?)
    }

    fn history(
        &self,
        who: &Who,
        before: Option<u64>,
        max: usize,
    ) -> Result<Vec<MessageView>, CommandError> {
        // Whoever was removed still has a history, under the account id.
        let account = match self.find(who) {
            Ok(contact) => contact.account,
            Err(error) => who.0.parse().map_err(|_| error)?,
        };
        let before = before.map(u64::to_be_bytes);
        let before = before.as_ref().map(<[u8; 8]>::as_slice);
        let mut rows =
            self.store.scan_back(Table::Message, &account.0, before, max.min(PAGE_MAX))?;
        rows.reverse();
        let mut views = Vec::with_capacity(rows.len());
        for row in rows {
            let (index, stored) = Stored::from_row(&row)?;
            let state = if stored.outgoing {
                self.delivery(stored.id)?.map(|view| view.state)
            } else {
                None
            };
            views.push(self.message_view(account, index, stored, state));
        }
        // Both sides see one order: that of the clocks, and what nobody can order as it came.
        views.sort_by_key(|view| (view.lamport, view.index));
        Ok(views)
    }
}

fn named(reader: &str) -> Result<Reader, CommandError> {
    Reader::named(reader).ok_or(CommandError::OutOfRange("a reader's name has 1 to 64 bytes"))
}
