//! Changes to a profile's keys: other factors, another data key, another certificate.
//!
//! All need the profile's lock, so no node runs meanwhile.

use std::io;
use std::path::{Path, PathBuf};

use bitchat_protocol::engine::{later_generation, restored_key};
use bitchat_protocol::error::Malformed;
use bitchat_protocol::identity::Phrase;
use bitchat_protocol::store::{Overlay, StoreError};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use zeroize::Zeroizing;

use super::{Credentials, open, wall_clock};
use crate::error::NodeError;
use crate::home::{Home, HomeLock};
use crate::keystore::{Opened, Protection, StoreKeys};
use crate::store::{Erasure, SledStore, Step};

/// A key store that was opened to change what opens it.
#[derive(Debug)]
pub struct FactorChange {
    home: Home,
    opened: Opened,
    _lock: HomeLock,
}

/// What happens while a data key is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// The old data key and the new one open the store; the key store has the old one.
    Ready,
    /// The key store has the new one.
    Committed,
    /// So many rows were sealed under new keys.
    Moved(u64),
}

impl FactorChange {
    /// Opens the key store with what opens it now.
    ///
    /// # Errors
    ///
    /// [`NodeError`]: no profile, profile in use, wrong passphrase, damage.
    pub fn begin(home: &Home, credentials: Credentials) -> Result<Self, NodeError> {
        let lock = take(home)?;
        let opened = open(home, credentials)?;
        Ok(Self { home: home.clone(), opened, _lock: lock })
    }

    /// What guards it now.
    #[must_use]
    pub const fn protection(&self) -> Protection {
        self.opened.protection()
    }

    /// Lets `to` open it and nothing else; durable when this returns. Without a key file in `to`
    /// none is needed afterwards; one that does not exist is made.
    ///
    /// # Errors
    ///
    /// [`NodeError`] if there is no passphrase, it is weak, the key file is not taken, or the disk
    /// refuses: what opened it before still does, unless only `keystore.key` could not be removed.
    pub fn finish(mut self, to: Credentials) -> Result<Protection, NodeError> {
        self.opened.guard(&to.factors()?, &mut UnwrapErr(SysRng))?;
        // If there is one, it opens copies of a key store without passphrase that had our data key.
        self.home.remove_key_file()?;
        Ok(self.opened.protection())
    }
}

/// Replaces the data key, and with it the keys that the store changes by itself with time. A process
/// that dies at any moment leaves the old data key or the new one, and a store that it opens; rows
/// that are not moved by then wait for the next turn of their keys, or for another rotation. Returns
/// the rows moved.
///
/// # Errors
///
/// [`NodeError`]: as for opening the profile and its store, and a disk that refuses.
pub fn rotate_keys(
    home: &Home,
    credentials: Credentials,
    heard: &mut dyn FnMut(Rotation),
) -> Result<u64, NodeError> {
    let _lock = take(home)?;
    let opened = open(home, credentials)?;
    let data = data_of(home)?;
    let mailboxes = home.mailboxes();
    // Before anything is changed: what does not open or has no room now would not be moved later.
    let mut room = SledStore::open(&data, opened.store_keys().duplicate())?.has_room();
    if mailboxes.exists() {
        room &= SledStore::open(&mailboxes, opened.store_keys().of_mailboxes())?.has_room();
    }
    if !room {
        return Err(NodeError::StoreFailed { reason: "no space left".to_owned() });
    }
    let rotated = opened.rotate(&mut UnwrapErr(SysRng))?;
    let (old, new) = (opened.store_keys(), rotated.store_keys.duplicate());
    let commit = |heard: &mut dyn FnMut(Rotation)| {
        heard(Rotation::Ready);
        rotated.commit().map_err(io::Error::other)?;
        heard(Rotation::Committed);
        Ok(())
    };
    // Whatever is opened by keys of the key store is lent to both before it changes hands.
    SledStore::hand_over(&data, old, &new, || {
        if !mailboxes.exists() {
            return commit(heard);
        }
        let (old, new) = (old.of_mailboxes(), new.of_mailboxes());
        let handed = SledStore::hand_over(&mailboxes, &old, &new, || commit(heard));
        handed.map_err(io::Error::other)
    })?;
    let mut moved = move_rows(&data, new.duplicate(), 0, heard)?;
    if mailboxes.exists() {
        moved = move_rows(&mailboxes, new.of_mailboxes(), moved, heard)?;
    }
    Ok(moved)
}

/// Seals every row of a store under new keys; `before` rows of another store were moved already.
fn move_rows(
    dir: &Path,
    keys: StoreKeys,
    before: u64,
    heard: &mut dyn FnMut(Rotation),
) -> Result<u64, NodeError> {
    let failed = |reason: String| NodeError::RotationUnfinished { reason };
    let store = SledStore::open(dir, keys).map_err(|error| failed(error.to_string()))?;
    store.want_erasure();
    while store.erase_step().map_err(|error| failed(error.to_string()))? == Step::Working {
        heard(Rotation::Moved(before + store.erasure().moved));
    }
    let Erasure { moved, failure, .. } = store.erasure();
    match failure {
        Some(reason) => Err(failed(format!("after {moved} of them {reason}"))),
        None => Ok(before + moved),
    }
}

/// Certifies this device anew, above every other one of the account that a contact has shown it. The
/// account then is here: contacts take this device for the later one at the next start. Returns the
/// generation.
///
/// # Errors
///
/// [`NodeError`]: as for opening the profile and its store; no other device was seen that is later;
/// a disk that refuses.
pub fn reclaim(home: &Home, credentials: Credentials) -> Result<u64, NodeError> {
    let _lock = take(home)?;
    let mut opened = open(home, credentials)?;
    let failed = |error: StoreError| NodeError::StoreFailed { reason: error.to_string() };
    let store = SledStore::open(&data_of(home)?, opened.store_keys().duplicate())?;
    let Some(later) = later_generation(&store).map_err(failed)? else {
        return Err(NodeError::Config {
            problem: "no contact has shown this device a later one of its account".to_owned(),
            hint: "there is nothing to take back; see `bitchat status`".to_owned(),
        });
    };
    if opened.generation() > later {
        return Ok(opened.generation()); // Done before; the next start forgets the other one.
    }
    let generation = later.checked_add(1).ok_or_else(|| NodeError::Config {
        problem: "the other device has the last generation that there is".to_owned(),
        hint: "make a new account with `bitchat init` in another home".to_owned(),
    })?;
    let generation = generation.max(wall_clock().0);
    // First: a process that dies in between greets under the old certificate, which does no harm.
    let mut overlay = Overlay::new(store.clone());
    overlay.put(restored_key(), vec![1]);
    if let Some(batch) = overlay.seal() {
        store.commit(std::slice::from_ref(&batch)).map_err(failed)?;
    }
    opened.certify(generation, &mut UnwrapErr(SysRng))?;
    Ok(generation)
}

/// The 24 words of the account.
///
/// # Errors
///
/// [`NodeError`]: no profile, wrong passphrase, damage.
pub fn recovery_words(
    home: &Home,
    credentials: Credentials,
) -> Result<Zeroizing<String>, NodeError> {
    if !home.has_profile() {
        return Err(NodeError::NoProfile { home: home.root().to_owned() });
    }
    let unlocked = open(home, credentials)?.into_unlocked();
    let phrase = Phrase::from_entropy(unlocked.secrets.phrase_entropy.duplicate());
    let corrupt = |error: Malformed| NodeError::KeystoreCorrupt { what: error.to_string() };
    Ok(phrase.map_err(corrupt)?.words())
}

/// Where the store is. One that is missing is a loss to be told: it is not made anew.
fn data_of(home: &Home) -> Result<PathBuf, NodeError> {
    let data = home.data();
    if data.exists() {
        return Ok(data);
    }
    let what = format!("{} is missing although the profile has keys", data.display());
    Err(NodeError::StoreCorrupt { what })
}

fn take(home: &Home) -> Result<HomeLock, NodeError> {
    if !home.has_profile() {
        return Err(NodeError::NoProfile { home: home.root().to_owned() });
    }
    home.check()?;
    Ok(home.lock()?)
}

#[cfg(test)]
mod tests;
