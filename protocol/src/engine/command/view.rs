//! What the answers say.

use crate::contact::KeyPolicy;
use crate::id::{AccountId, DeviceId, MessageId};
use crate::outbox::{CustodyReceipt, DeliveryState, Step};
use crate::prekey::PrekeyUse;
use crate::time::UnixMillis;

/// Our own account and device.
#[derive(Clone, Debug)]
pub struct IdentityView {
    /// Account.
    pub account: AccountId,
    /// Device.
    pub device: DeviceId,
    /// As we call ourselves; may be empty.
    pub nickname: String,
    /// Where we listen.
    pub addresses: Vec<String>,
}

/// An invitation of ours.
#[derive(Clone, Debug)]
pub struct InvitationView {
    /// With the whole contact record.
    pub link: String,
    /// Short form for a QR code; the record is fetched when connected.
    pub short: String,
    /// When it ends.
    pub expires: Option<UnixMillis>,
}

/// A contact.
#[derive(Clone, Debug)]
pub struct ContactView {
    /// Petname.
    pub name: String,
    /// As it calls itself; from the peer, to be sanitised.
    pub nickname: String,
    /// Account.
    pub account: AccountId,
    /// Device, once known.
    pub device: DeviceId,
    /// Whether the safety number was compared.
    pub verified: bool,
    /// 60 digits.
    pub safety_number: String,
    /// What the contact scans from our screen to compare.
    pub safety_code: String,
    /// What happens when its keys change.
    pub policy: KeyPolicy,
    /// Whether it is told that its messages were read.
    pub read_receipts: bool,
    /// When its keys changed last, until the user has answered.
    pub changed: Option<UnixMillis>,
    /// A new device that waits for the user: nothing is sent meanwhile.
    pub waiting: Option<DeviceId>,
    /// Where it may be found.
    pub addresses: Vec<String>,
    /// Whether a link stands.
    pub connected: bool,
    /// On which prekeys the session to send on was founded; `None` without a session.
    pub prekeys: Option<PrekeyUse>,
    /// Whether the contact was known before (`AddContact` only).
    pub known: bool,
}

/// The keys of a contact changed.
#[derive(Clone, Debug)]
pub struct KeyChangeView {
    /// Account.
    pub account: AccountId,
    /// Petname.
    pub name: String,
    /// The device that came.
    pub device: DeviceId,
    /// Whether it waits for the user.
    pub blocked: bool,
    /// When.
    pub at: UnixMillis,
}

/// Where a message is.
#[derive(Clone, Debug)]
pub struct DeliveryView {
    /// Message.
    pub id: MessageId,
    /// Petname of the recipient, or its account id if it is no contact any more.
    pub to: String,
    /// State.
    pub state: DeliveryState,
    /// What proves it, in words.
    pub evidence: String,
    /// Since when.
    pub at: UnixMillis,
}

/// A message in the history or inbox.
#[derive(Clone, Debug)]
pub struct MessageView {
    /// Message.
    pub id: MessageId,
    /// Place in the inbox; 0 for outgoing ones.
    pub cursor: u64,
    /// Place in the conversation.
    pub index: u64,
    /// Whether we sent it.
    pub outgoing: bool,
    /// Account of the other side.
    pub account: AccountId,
    /// Petname of the other side, or its account id if it is no contact any more.
    pub name: String,
    /// Who wrote it: `name`, or our own account id.
    pub from: String,
    /// Whether the other side is verified.
    pub verified: bool,
    /// Text; from the peer, to be sanitised.
    pub text: String,
    /// Place in the conversation's order: a later message of either side has a higher one.
    pub lamport: u64,
    /// By the sender's clock: a label only.
    pub sent: UnixMillis,
    /// By our clock; `None` for outgoing ones.
    pub received: Option<UnixMillis>,
    /// Messages missing before this one.
    pub gap: u64,
    /// Came after messages that follow it.
    pub late: bool,
    /// Of a kind that this version cannot show: there is no text.
    pub unreadable: bool,
    /// Where it is, for outgoing ones.
    pub state: Option<DeliveryState>,
}

/// A row of the outbox.
#[derive(Clone, Debug)]
pub struct QueueView {
    /// Message.
    pub id: MessageId,
    /// Petname of the recipient.
    pub to: String,
    /// `Queued` or `Sent`.
    pub state: DeliveryState,
    /// When it was queued.
    pub created: UnixMillis,
    /// When it is given up.
    pub expires: UnixMillis,
    /// How often it was sent.
    pub attempts: u32,
    /// Bytes of its content.
    pub bytes: usize,
}

/// Everything that is known of a message of ours.
#[derive(Clone, Debug)]
pub struct TrackView {
    /// Where it is.
    pub delivery: DeliveryView,
    /// What it reached, the oldest first.
    pub steps: Vec<Step>,
    /// Receipts of mailboxes that keep it.
    pub custody: Vec<CustodyReceipt>,
    /// When a receipt came although the message had ended.
    pub late: Option<UnixMillis>,
    /// What is done about it, while it waits for its receipt.
    pub waits: Option<WaitView>,
}

/// What is done about a message that waits for its receipt.
#[derive(Clone, Debug)]
pub struct WaitView {
    /// When it was queued.
    pub created: UnixMillis,
    /// When it is given up.
    pub expires: UnixMillis,
    /// How often it was sent since the node started.
    pub attempts: u32,
    /// Bytes of its content.
    pub bytes: usize,
    /// When it is tried next, unless a link comes before; `None`: when something happens.
    pub next_attempt: Option<UnixMillis>,
    /// What hindered the contact's messages last, and when.
    pub trouble: Option<(&'static str, UnixMillis)>,
    /// Whether it waits for the user to trust the contact's new keys.
    pub blocked: bool,
}
