//! Kinds of failures: what scripts tell apart.

/// What kind of failure it is: one exit code each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Wrong arguments or settings.
    Usage,
    /// A bug.
    Internal,
    /// Network or input and output.
    Network,
    /// A key is not trusted, or changed.
    Untrusted,
    /// Too much at once; later may help.
    RateLimited,
    /// Not in time; it goes on.
    TimedOut,
    /// The peer failed too often lately.
    BreakerOpen,
    /// Not found, or several found.
    NotFound,
    /// The store is locked or corrupt.
    Store,
    /// The peer refused.
    Rejected,
    /// A task failed.
    TaskFailed,
    /// A signature, receipt or passphrase does not hold.
    Verification,
}

impl Category {
    /// Every category, by exit code.
    pub const ALL: [Self; 12] = [
        Self::Usage,
        Self::Internal,
        Self::Network,
        Self::Untrusted,
        Self::RateLimited,
        Self::TimedOut,
        Self::BreakerOpen,
        Self::NotFound,
        Self::Store,
        Self::Rejected,
        Self::TaskFailed,
        Self::Verification,
    ];

    /// The exit code of the program. Frozen.
    #[must_use]
    pub const fn exit(self) -> u8 {
        match self {
            Self::Usage => 1,
            Self::Internal => 2,
            Self::Network => 3,
            Self::Untrusted => 4,
            Self::RateLimited => 5,
            Self::TimedOut => 6,
            Self::BreakerOpen => 7,
            Self::NotFound => 8,
            Self::Store => 9,
            Self::Rejected => 10,
            Self::TaskFailed => 11,
            Self::Verification => 12,
        }
    }

    /// The word in JSON and metrics. Frozen.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Internal => "internal",
            Self::Network => "network",
            Self::Untrusted => "untrusted",
            Self::RateLimited => "rate_limited",
            Self::TimedOut => "timed_out",
            Self::BreakerOpen => "breaker_open",
            Self::NotFound => "not_found",
            Self::Store => "store",
            Self::Rejected => "rejected",
            Self::TaskFailed => "task_failed",
            Self::Verification => "verification",
        }
    }

    /// The category of a word, as the client of the control API reads it.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|category| category.as_str() == word)
    }
}
