//! What a user or program can ask of the engine, and the answers.

use std::time::Duration;

use super::archive::{BackupCursor, BackupPage};
use super::breakers::{BreakerView, WithheldView};
use super::export::{Export, ExportView};
use super::import::ImportView;
use super::mailbox::MailboxView;
use crate::contact::KeyPolicy;
use crate::id::{DeviceId, MessageId};

mod view;

pub use view::{
    ContactView, DeliveryView, IdentityView, InvitationView, KeyChangeView, MessageView, QueueView,
    TrackView, WaitView,
};

/// A contact as a person types it: petname, account id, or the start of an account id
/// (at least 13 characters).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who(pub String);

/// One request. Each is answered by exactly one `Output::Reply`, after every earlier write is durable.
#[derive(Clone, Debug)]
pub enum Command {
    /// Who are we? → [`Reply::Identity`]
    Identity,
    /// Make an invitation. → [`Reply::Invitation`]
    Invite {
        /// Valid for one stranger only.
        once: bool,
        /// Valid this long; `None`: until revoked.
        expires: Option<Duration>,
    },
    /// Add the account behind an invitation link. → [`Reply::Contact`]
    AddContact {
        /// `bitchat:...`
        link: String,
        /// Petname; the inviter's nickname if absent.
        name: Option<String>,
    },
    /// Every contact, by name. → [`Reply::Contacts`]
    Contacts,
    /// One contact. → [`Reply::Contact`]
    Contact(Who),
    /// Give a contact another petname. → [`Reply::Contact`]
    Rename {
        /// Whom.
        who: Who,
        /// The new petname.
        name: String,
    },
    /// Mark a contact's safety number as compared, or not. → [`Reply::Contact`]
    Verify {
        /// Whom.
        who: Who,
        /// The mark.
        verified: bool,
    },
    /// Say what happens when a contact's keys change. → [`Reply::Contact`]
    SetPolicy {
        /// Whom.
        who: Who,
        /// The policy.
        policy: KeyPolicy,
    },
    /// Trust the keys that a contact has now, those that wait included. → [`Reply::Contact`]
    Trust(Who),
    /// Compare the safety code that the contact shows; mark as verified if it is right.
    /// → [`Reply::Contact`]
    VerifyScanned {
        /// Whom.
        who: Who,
        /// `bitchat-safety:...`
        code: String,
    },
    /// Start a new session; what is queued goes out on it. → [`Reply::Contact`]
    ResetSession(Who),
    /// Forget a contact, its sessions and queue. → [`Reply::Done`]
    Remove {
        /// Whom; with [`Extent::History`] also the account id of somebody who was removed before.
        who: Who,
        /// How much.
        extent: Extent,
    },
    /// Queue a text. → [`Reply::Delivery`] in state `Queued`
    Send {
        /// To whom.
        to: Who,
        /// At most `limits::TEXT_BYTES_MAX` bytes, not empty.
        text: String,
        /// Give up after this long; `None`: 14 days. At most 30 days.
        expires: Option<Duration>,
    },
    /// The same, once for each id: sent again, it answers with the message of the first time.
    /// → [`Reply::Delivery`]
    SendOnce {
        /// 1 to 128 bytes of text, of the caller's choice.
        id: String,
        /// As in `Send`.
        to: Who,
        /// As in `Send`; another text under the same id is refused.
        text: String,
        /// As in `Send`; of no account when sent again.
        expires: Option<Duration>,
    },
    /// Where is a message? → [`Reply::Delivery`]
    Delivery(MessageId),
    /// Everything that is known of a message of ours. → [`Reply::Track`]
    Track(MessageId),
    /// Take a message back that nobody has accepted. → [`Reply::Delivery`]
    Cancel(MessageId),
    /// Try a message that waits now. → [`Reply::Track`]
    RetryNow(MessageId),
    /// Say whether a contact is told what was read; `None`: as the profile says. → [`Reply::Contact`]
    SetReadReceipts {
        /// Whom.
        who: Who,
        /// Whether.
        tells: Option<bool>,
    },
    /// Inbox after a cursor (`None`: after what `reader` acknowledged). → [`Reply::Messages`]
    Inbox {
        /// Named cursor.
        reader: String,
        /// Read again from here instead.
        since: Option<u64>,
        /// At most this many (capped at 1,000).
        max: usize,
    },
    /// Remember that `reader` has seen everything up to `cursor`. → [`Reply::Done`]
    Acknowledge {
        /// Named cursor.
        reader: String,
        /// Of the last message seen.
        cursor: u64,
        /// Only messages of this contact were shown to a person; the others were passed over.
        only: Option<Who>,
    },
    /// Conversation, newest last: each page in the order of the Lamport clock. → [`Reply::Messages`]
    History {
        /// With whom.
        who: Who,
        /// Only those with a smaller index.
        before: Option<u64>,
        /// At most this many (capped at 1,000).
        max: usize,
    },
    /// What is not delivered yet, oldest first. → [`Reply::Queue`]
    Queue,
    /// Every circuit breaker that has counted something. → [`Reply::Breakers`]
    Breakers,
    /// Does an open breaker keep a message from being tried? → [`Reply::Withheld`]
    Withheld(MessageId),
    /// One page of what a backup holds. → [`Reply::BackupPage`]
    BackupPage {
        /// Where to go on; the default is the beginning.
        cursor: BackupCursor,
        /// Whether messages are wanted.
        history: bool,
    },
    /// No other copy of this profile is in use: end that warning. → [`Reply::Done`]
    AcceptCopy,
    /// Seal what waits, for a file. → [`Reply::Exported`]
    Export(Export),
    /// Take sealed envelopes out of a file, at most [`IMPORT_MAX`](super::IMPORT_MAX).
    /// → [`Reply::Imported`]
    Import(Vec<Vec<u8>>),
    /// Rent at a mailbox node, or change where it is and the operator's word. → [`Reply::Mailbox`]
    MailboxAdd {
        /// Whose mailboxes.
        node: DeviceId,
        /// Multiaddresses without `/p2p`, 1 to 4.
        addresses: Vec<String>,
        /// The operator's word; empty if none is asked for.
        access: String,
    },
    /// Every node that we rent at, by rank. → [`Reply::Mailboxes`]
    MailboxList,
    /// Ask a node that we rent at how it is; replied when it has answered, or will not. → [`Reply::Mailbox`]
    MailboxTest(DeviceId),
    /// Rent there no more; what lies there is fetched before. → [`Reply::Done`]
    MailboxRemove(DeviceId),
}

/// How much of a contact is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The contact; its history stays.
    Contact,
    /// Every message as well, for good.
    History,
}

/// The answer to a [`Command`].
#[derive(Clone, Debug)]
pub enum Reply {
    /// Done.
    Done,
    /// To `Identity`.
    Identity(IdentityView),
    /// To `Invite`.
    Invitation(InvitationView),
    /// To `AddContact`, `Contact` and whatever changes a contact.
    Contact(ContactView),
    /// To `Contacts`.
    Contacts(Vec<ContactView>),
    /// To `Send`, `SendOnce`, `Delivery`, `Cancel`.
    Delivery(DeliveryView),
    /// To `Inbox`, `History`.
    Messages(Vec<MessageView>),
    /// To `Queue`.
    Queue(Vec<QueueView>),
    /// To `Track`, `RetryNow`.
    Track(TrackView),
    /// To `Breakers`.
    Breakers(Vec<BreakerView>),
    /// To `Withheld`; `None`: none does.
    Withheld(Option<WithheldView>),
    /// To `BackupPage`.
    BackupPage(BackupPage),
    /// To `Export`.
    Exported(ExportView),
    /// To `Import`.
    Imported(ImportView),
    /// To `MailboxAdd` and `MailboxTest`.
    Mailbox(MailboxView),
    /// To `MailboxList`.
    Mailboxes(Vec<MailboxView>),
}

/// Why a command failed. The shell adds the hint and the exit code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No contact of that name.
    #[error("no contact is called {0:?}")]
    UnknownContact(String),
    /// Several contacts match; name and fingerprint of each.
    #[error("{name:?} is ambiguous")]
    AmbiguousContact {
        /// What was asked for.
        name: String,
        /// Name and fingerprint of each match.
        matches: Vec<(String, String)>,
    },
    /// Another contact has that petname.
    #[error("the name {0:?} is taken")]
    NameTaken(String),
    /// A petname that nobody could type or see.
    #[error("not a usable name: {0}")]
    BadName(&'static str),
    /// The link is not an invitation.
    #[error("malformed invitation: {0}")]
    BadLink(&'static str),
    /// The invitation or its record is past its time.
    #[error("the invitation has expired")]
    LinkExpired,
    /// The invitation is our own.
    #[error("this invitation is your own")]
    OwnLink,
    /// The contact has a newer device that the user has not trusted.
    #[error("the contact's key changed")]
    KeyChanged,
    /// The link names another device than the one we know, and proves nothing about it.
    #[error("the link names another device of this contact without proof")]
    KeyUnproven,
    /// The code is none, or is not for comparing.
    #[error("not a safety code: {0}")]
    BadCode(&'static str),
    /// The code is not that of this contact and us.
    #[error("the safety code does not match")]
    SafetyMismatch,
    /// Text too long.
    #[error("the message has {bytes} bytes, the limit is {limit}")]
    TextTooLong {
        /// It has.
        bytes: usize,
        /// It may have.
        limit: usize,
    },
    /// Nothing to send.
    #[error("the message is empty")]
    TextEmpty,
    /// No such message.
    #[error("no message {0}")]
    UnknownMessage(MessageId),
    /// The message is delivered, or ended otherwise, or there never was such a message.
    #[error("no message {0} waits")]
    NotWaiting(MessageId),
    /// The message was accepted by somebody and cannot be taken back.
    #[error("message {0} was accepted and cannot be taken back")]
    Accepted(MessageId),
    /// Another text, or another recipient, was sent under this id.
    #[error("something else was sent under the id {0:?}")]
    IdTaken(String),
    /// As many ids as are remembered are younger than 45 days.
    #[error("no more than {0} ids are remembered")]
    IdsFull(u64),
    /// A queue is full.
    #[error("the outbox is full ({0} messages)")]
    OutboxFull(u64),
    /// We do not rent there.
    #[error("no mailbox of ours is at that node")]
    UnknownMailbox(DeviceId),
    /// An argument is out of range.
    #[error("{0}")]
    OutOfRange(&'static str),
    /// The disk has no room.
    #[error("no space left on the disk; nothing was changed")]
    DiskFull,
    /// The disk refused; nothing was changed.
    #[error("the store failed: {0}")]
    Store(String),
    /// Should be impossible.
    #[error("internal error: {0}")]
    Internal(&'static str),
}
