//! Labels: enums, so that the number of series is known when it compiles.

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
        /// No mailbox answers.
        MailboxUnreachable => "mailbox_unreachable",
        /// The store's format is old.
        StoreOld => "store_old",
        /// The configuration or the way of starting lowers the protection.
        ConfigInsecure => "config_insecure",
        /// The metrics port was taken; another one is used.
        MetricsPort => "metrics_port",
    }
}
