//! Why a store does not open.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// Why a store does not open. Nothing in its directory was replaced.
#[derive(Debug, thiserror::Error)]
pub enum StoreOpenError {
    /// It is ours by its form, but these keys do not open it.
    #[error("the store in {} belongs to another key store", dir.display())]
    WrongKey {
        /// Its directory.
        dir: PathBuf,
    },
    /// A sled database without our mark, or with that of a version that this one does not know.
    #[error("the database in {} is none of ours, or damaged beyond recognition", dir.display())]
    Foreign {
        /// Its directory.
        dir: PathBuf,
    },
    /// It is there and does not open.
    #[error(
        "the store in {} is damaged ({detail}); it was left as it is: copy the whole directory \
         before you try anything, then restore a backup or move it away",
        dir.display()
    )]
    Corrupt {
        /// Its directory.
        dir: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Its key file is missing, damaged or of another time. Without it nothing can be read.
    #[error(
        "the key file {} {fault}; nothing was changed: put the whole home back from one copy, \
         for the store and its key file belong together",
        file.display()
    )]
    Keys {
        /// The key file.
        file: PathBuf,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Another process, or another handle in this one, has it open.
    #[error("the store in {} is open elsewhere", dir.display())]
    Locked {
        /// Its directory.
        dir: PathBuf,
    },
    /// No room for what sled writes when it opens.
    #[error("no space left for the store in {}", dir.display())]
    Full {
        /// Its directory.
        dir: PathBuf,
    },
    /// The system refused; the store itself may be sound.
    #[error("cannot open the store in {}: {source}", dir.display())]
    Io {
        /// Its directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Whether the file system or the quota is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}
