//! Labels: enums, so that the number of series is known when it compiles.

use bitchat_protocol::engine::DeliveryState;
use bitchat_protocol::prekey::PrekeyUse;
use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// Declares an enum label: every value, its word, and the way back.
macro_rules! label {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// Every value.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in metrics and JSON. Frozen.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
                self.as_str().encode(encoder)
            }
        }
    };
}

pub(super) use label;

label! {
    /// A named warning.
    WarningCode {
        /// The clock of this machine is off.
        ClockSkew => "clock_skew",
        /// Nobody can dial us.
        NoInbound => "no_inbound",
        /// Few prekeys are left.
        PrekeysLow => "prekeys_low",
        /// The disk is nearly full.
        DiskLow => "disk_low",
        /// A contact's key changed and was not verified.
        UnverifiedKeyChange => "unverified_key_change",
        /// The data directory seems to be a copy of one in use.
        CopiedDatadir => "copied_datadir",
        /// The account was restored elsewhere; this device is the old one.
        Superseded => "superseded",
        /// No mailbox answers.
        MailboxUnreachable => "mailbox_unreachable",
        /// The store's format is old.
        StoreOld => "store_old",
        /// The configuration or the way of starting lowers the protection.
        ConfigInsecure => "config_insecure",
        /// Settings that were read again are refused.
        ConfigRejected => "config_rejected",
        /// Settings changed that hold from the next start on.
        RestartNeeded => "restart_needed",
        /// The metrics port was taken; another one is used.
        MetricsPort => "metrics_port",
        /// What was deleted more than an hour ago could still be read with our keys.
        ErasureOverdue => "erasure_overdue",
        /// Health and metrics are not served; it is tried again.
        MetricsDown => "metrics_down",
        /// The control socket is not served; it is tried again.
        ControlDown => "control_down",
    }
}

label! {
    /// A part of the node that does not work while the others go on.
    Rung {
        /// The disk refuses: nothing new is taken, what is there can be read.
        Storage => "storage",
        /// Messages wait and nobody is linked.
        Route => "route",
        /// Nobody can talk to the daemon.
        Control => "control",
        /// Health and metrics are not served.
        Metrics => "metrics",
        /// The wall clock was set: what expires does so by the time that has passed.
        Clock => "clock",
    }
}

label! {
    /// Where something waits.
    Queue {
        /// Commands of users and programs, for the engine.
        Commands => "commands",
        /// What peers sent, for the engine.
        Heard => "heard",
        /// What the engine decided, for the network.
        Outgoing => "outgoing",
        /// Whoever asked and waits for the disk.
        Replies => "replies",
    }
}

label! {
    /// What carries a link.
    Transport {
        /// TCP, Noise, yamux.
        Tcp => "tcp",
        /// QUIC.
        Quic => "quic",
        /// Through a relay.
        Relay => "relay",
    }
}

label! {
    /// Who began.
    Direction {
        /// The other side.
        Inbound => "inbound",
        /// We.
        Outbound => "outbound",
    }
}

label! {
    /// What a message holds.
    Kind {
        /// Text.
        Text => "text",
    }
}

label! {
    /// How far a message got.
    Stage {
        /// On this disk.
        Queued => "queued",
        /// Accepted by the peer's node.
        Sent => "sent",
        /// In custody of mailboxes.
        Stored => "stored",
        /// At the recipient's device.
        Delivered => "delivered",
        /// Read by the recipient.
        Read => "read",
        /// Given up: its time ran out.
        Expired => "expired",
        /// Given up: nobody can take it.
        Undeliverable => "undeliverable",
        /// Given up: the recipient refused.
        Rejected => "rejected",
    }
}

impl From<DeliveryState> for Stage {
    fn from(state: DeliveryState) -> Self {
        match state {
            DeliveryState::Queued => Self::Queued,
            DeliveryState::Sent => Self::Sent,
            DeliveryState::Stored => Self::Stored,
            DeliveryState::Delivered => Self::Delivered,
            DeliveryState::Read => Self::Read,
            DeliveryState::Expired => Self::Expired,
            DeliveryState::Undeliverable => Self::Undeliverable,
            DeliveryState::Rejected => Self::Rejected,
        }
    }
}

label! {
    /// Why a frame was refused: the labels of `protocol::error::Error`.
    Reason {
        /// No valid frame.
        Malformed => "malformed",
        /// A signature does not hold.
        NotAuthentic => "not_authentic",
        /// Expired or replaced.
        Stale => "stale",
        /// Too many skipped keys at once.
        CounterJump => "counter_jump",
        /// Wrong key, bad tag, unknown session.
        Decrypt => "decrypt",
        /// An initial message used before.
        Spent => "spent",
        /// No contact, no invitation.
        Stranger => "stranger",
        /// Opened, and of a kind that this version does not know.
        Unsupported => "unsupported",
        /// A new device of a contact, which the user has not trusted.
        Untrusted => "untrusted",
        /// A bound was reached.
        Busy => "busy",
        /// Our disk.
        Store => "store",
        /// Our bug.
        Bug => "bug",
        /// A label that this list does not know.
        Other => "other",
    }
}

impl Reason {
    /// From `protocol::error::Error::label`.
    #[must_use]
    pub fn from_label(label: &str) -> Self {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == label).unwrap_or(Self::Other)
    }
}

label! {
    /// What a peer asked for too often.
    Limit {
        /// To found a session.
        Handshake => "handshake",
        /// To take an envelope.
        Message => "message",
        /// One-time prekeys.
        Prekey => "prekey",
        /// To keep an envelope for others.
        Deposit => "deposit",
        /// Envelopes that were kept.
        Fetch => "fetch",
        /// Work.
        Task => "task",
        /// A contact record.
        Record => "record",
        /// Anything, after too many frames that did not hold.
        Fault => "fault",
    }
}

label! {
    /// Whose limit told the wait.
    LimitScope {
        /// Of one device.
        Peer => "peer",
        /// Of one address prefix.
        Prefix => "prefix",
        /// Of all contacts, or all strangers.
        Tier => "tier",
        /// Of everybody.
        Global => "global",
    }
}

label! {
    /// On what a session was founded.
    Founding {
        /// A one-time key of both kinds.
        OneTime => "one_time",
        /// A one-time key of one kind.
        Partial => "partial",
        /// The keys of the record alone.
        LastResort => "last_resort",
    }
}

impl From<PrekeyUse> for Founding {
    fn from(prekeys: PrekeyUse) -> Self {
        match prekeys {
            PrekeyUse::OneTime => Self::OneTime,
            PrekeyUse::Partial => Self::Partial,
            PrekeyUse::LastResort => Self::LastResort,
        }
    }
}

label! {
    /// A kind of one-time prekeys.
    Algorithm {
        /// For a fourth DH.
        X25519 => "x25519",
        /// In place of the last-resort key.
        MlKem => "ml_kem",
    }
}

label! {
    /// Our side of a handshake.
    Role {
        /// We wrote first.
        Initiator => "initiator",
        /// The other side did.
        Responder => "responder",
    }
}

label! {
    /// Why a session was started anew.
    HealReason {
        /// The other side uses a session that is not here.
        UnknownSession => "unknown_session",
        /// The keys of the session do not open it.
        Decrypt => "decrypt",
        /// Too many skipped keys at once.
        CounterJump => "counter_jump",
        /// An initial message that was used before, or for a key that is gone.
        Spent => "spent",
        /// A reason that this list does not know.
        Other => "other",
    }
}

impl HealReason {
    /// From `Fact::SessionHealed`.
    #[must_use]
    pub fn from_label(label: &str) -> Self {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == label).unwrap_or(Self::Other)
    }
}

label! {
    /// What became of new keys of a contact.
    KeyOutcome {
        /// Used, and said so.
        Accepted => "accepted",
        /// They wait for the user.
        Blocked => "blocked",
    }
}

label! {
    /// An operation of the control API.
    Route {
        /// `GET /v1/identity`
        Identity => "identity",
        /// `POST /v1/invitations`
        Invite => "invite",
        /// `GET /v1/contacts`
        Contacts => "contacts",
        /// `POST /v1/contacts`
        ContactAdd => "contact_add",
        /// `GET /v1/contacts/{who}`
        Contact => "contact",
        /// `PATCH /v1/contacts/{who}`
        ContactChange => "contact_change",
        /// `DELETE /v1/contacts/{who}`
        ContactRemove => "contact_remove",
        /// `POST /v1/contacts/{who}/session`
        SessionReset => "session_reset",
        /// `GET /v1/events`
        Events => "events",
        /// `POST /v1/messages`
        Send => "send",
        /// `GET /v1/messages/{id}`
        Delivery => "delivery",
        /// `GET /v1/inbox`
        Inbox => "inbox",
        /// `POST /v1/inbox/ack`
        InboxAck => "inbox_ack",
        /// `GET /v1/inbox/stream`
        InboxStream => "inbox_stream",
        /// `GET /v1/history/{who}`
        History => "history",
        /// `GET /v1/queue`
        Queue => "queue",
        /// `GET /v1/queue/{id}`
        QueueShow => "queue_show",
        /// `DELETE /v1/queue/{id}`
        QueueCancel => "queue_cancel",
        /// `POST /v1/queue/{id}/retry`
        QueueRetry => "queue_retry",
        /// `GET /v1/backup`
        Backup => "backup",
        /// `DELETE /v1/warnings/{code}`
        WarningDismiss => "warning_dismiss",
        /// `POST /v1/envelopes/export`
        EnvelopesExport => "envelopes_export",
        /// `POST /v1/envelopes/import`
        EnvelopesImport => "envelopes_import",
        /// `GET /v1/mailboxes`
        Mailboxes => "mailboxes",
        /// `POST /v1/mailboxes`
        MailboxAdd => "mailbox_add",
        /// `DELETE /v1/mailboxes/{who}`
        MailboxRemove => "mailbox_remove",
        /// `POST /v1/mailboxes/{who}/test`
        MailboxTest => "mailbox_test",
        /// `GET /v1/serving`
        Serving => "serving",
        /// `GET /v1/peers`
        Peers => "peers",
        /// `GET /v1/status`
        Status => "status",
        /// `GET /v1/alive`
        Alive => "alive",
        /// Anything else.
        Other => "other",
    }
}
