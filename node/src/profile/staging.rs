//! A profile is put together beside its place and moved in when it is whole.
//!
//! ```text
//!   home/restore.new/  keystore, data: filled and synced --renamed--> home/data, home/keystore.json
//! ```
//!
//! The key store comes last: before it is there, the home holds no profile, and whoever was stopped can
//! begin again.

use std::fs;
use std::io;

use crate::error::NodeError;
use crate::home::{Home, disk};
use crate::keystore::{Factors, Keystore};

/// Makes a profile by `make`, which fills the home that it is given. Only for whoever holds the lock
/// of `home`; there must be no profile yet.
///
/// # Errors
///
/// [`NodeError::ProfileExists`]; [`NodeError::HomeUnwritable`]; those of `make`, after which nothing is
/// left.
pub(crate) fn staged<T>(
    home: &Home,
    factors: Factors,
    make: impl FnOnce(&Home, Factors) -> Result<T, NodeError>,
) -> Result<T, NodeError> {
    // Somebody may have been faster.
    if home.has_profile() {
        return Err(NodeError::ProfileExists { home: home.root().to_owned() });
    }
    let staging = Home::at(home.staging());
    let unwritable = |source: io::Error| NodeError::HomeUnwritable {
        path: staging.root().to_owned(),
        reason: source.to_string(),
    };
    factors.stay_outside(home.root())?;
    home.clear_restore()?;
    disk::create_private_dir(staging.root()).map_err(unwritable)?;
    let guarded = factors.passphrase.is_some();
    let made = make(&staging, factors).inspect_err(|_| discard(&staging))?;
    if guarded {
        Keystore::reserve_attempts(&home.keystore())?;
    }
    move_in(home, &staging).map_err(unwritable)?;
    Ok(made)
}

fn discard(staging: &Home) {
    drop(disk::remove_dir(staging.root())); // Else the next attempt does it.
}

fn move_in(home: &Home, staging: &Home) -> io::Result<()> {
    fs::rename(staging.data(), home.data())?;
    let key = staging.keystore().with_extension("key");
    if key.exists() {
        fs::rename(key, home.keystore().with_extension("key"))?;
    }
    disk::sync_dir(home.root())?;
    fs::rename(staging.keystore(), home.keystore())?;
    disk::sync_dir(home.root())?;
    disk::remove_dir(staging.root())
}
