//! The sessions with each device, in order of preference, cached over the store.
//!
//! At most [`SESSIONS_PER_DEVICE_MAX`] sessions with a device are kept; the first is the one to
//! send on. Of two devices that start at once, each first sends on the session of the other, which
//! that one surely has. Once both sessions have answered, both sides prefer the smaller id, so that
//! questions and answers share a ratchet. An unanswered session never wins: its peer may have founded
//! it, forgotten it, and refuse it as a replay for ever.
//!
//! See docs/SPEC.md, section "Delivery".

use std::collections::{BTreeMap, BTreeSet};

use rand_core::CryptoRng;

use super::skipped::{self, StoredKeys};
use super::{Peer, Session};
use crate::error::Error;
use crate::id::{AccountId, DeviceId, MessageId, SessionId};
use crate::prekey::PrekeyUse;
use crate::ratchet::{Opened, Sealed};
use crate::store::{Key, Overlay, Store, StoreError, Table};
use crate::time::UnixMillis;

/// Sessions kept with one device; the least preferred goes first.
pub const SESSIONS_PER_DEVICE_MAX: usize = 4;

/// Devices whose sessions stay in memory (about 1 KiB each).
const CACHED_DEVICES_MAX: usize = 4_096;

/// Every session, cached over the store; changes are written when a batch is sealed.
#[derive(Debug, Default)]
pub struct Sessions {
    devices: BTreeMap<DeviceId, Vec<Session>>,
    dirty: BTreeSet<DeviceId>,
}

impl Sessions {
    /// The sessions with a device, the preferred one first.
    fn with<S: Store>(
        &mut self,
        device: DeviceId,
        store: &Overlay<S>,
    ) -> Result<&mut Vec<Session>, Error> {
        if !self.devices.contains_key(&device) {
            let mut sessions = Vec::new();
            for row in store.scan(Table::Session, &device.0, &[], SESSIONS_PER_DEVICE_MAX)? {
                let corrupt = |_| StoreError::Corrupt("session row");
                sessions.push(Session::from_record(&row.value).map_err(corrupt)?);
            }
            self.make_room();
            self.devices.insert(device, sessions);
        }
        self.devices.get_mut(&device).ok_or(Error::Bug("session cache"))
    }

    /// Drops clean entries when there are too many; they can be read again.
    fn make_room(&mut self) {
        if self.devices.len() >= CACHED_DEVICES_MAX {
            let dirty = std::mem::take(&mut self.dirty);
            self.devices.retain(|device, _| dirty.contains(device));
            self.dirty = dirty;
        }
    }

    /// Id of the session to send on, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the sessions cannot be read.
    pub fn preferred<S: Store>(
        &mut self,
        device: DeviceId,
        store: &Overlay<S>,
    ) -> Result<Option<SessionId>, Error> {
        Ok(self.with(device, store)?.first().map(Session::id))
    }

    /// Whether the session is among those kept with the device.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the sessions cannot be read.
    pub fn has<S: Store>(
        &mut self,
        device: DeviceId,
        id: SessionId,
        store: &Overlay<S>,
    ) -> Result<bool, Error> {
        Ok(self.with(device, store)?.iter().any(|session| session.id == id))
    }

    /// The account at the other end of a kept session, as its handshake proved it.
    ///
    /// # Errors
    ///
    /// [`Error::Decrypt`] if the session is not kept, [`Error::Store`] if it cannot be read.
    pub fn account<S: Store>(
        &mut self,
        device: DeviceId,
        id: SessionId,
        store: &Overlay<S>,
    ) -> Result<AccountId, Error> {
        let session = self.with(device, store)?.iter().find(|session| session.id == id);
        session.map(|session| session.peer.account).ok_or(Error::Decrypt)
    }

    /// Adds a session, which is now the one to send on. One of the peer goes before whatever there was:
    /// the peer surely has it, and may have forgotten the rest.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the sessions cannot be read; the session is not added then.
    pub fn found<S: Store>(
        &mut self,
        session: Session,
        store: &mut Overlay<S>,
    ) -> Result<(), Error> {
        let device = session.peer.device;
        let sessions = self.with(device, store)?;
        let kept = SESSIONS_PER_DEVICE_MAX.saturating_sub(1);
        for old in sessions.iter().skip(kept) {
            skipped::forget(store, old.id)?;
        }
        sessions.truncate(kept);
        sessions.insert(0, session);
        self.dirty.insert(device);
        Ok(())
    }

    /// Encrypts one message on the given session, which must be kept.
    ///
    /// # Errors
    ///
    /// [`Error::Bug`] if it is not; else as [`Session::seal`]. `finish` turns the result and the
    /// session into what the caller needs.
    pub fn seal<S: Store, T>(
        &mut self,
        (device, id): (DeviceId, SessionId),
        (message, content): (MessageId, &[u8]),
        (now, rng): (UnixMillis, &mut impl CryptoRng),
        store: &Overlay<S>,
        finish: impl FnOnce(&Session, Sealed) -> T,
    ) -> Result<T, Error> {
        let sessions = self.with(device, store)?;
        let session = sessions.iter_mut().find(|session| session.id == id);
        let session = session.ok_or(Error::Bug("seal on a session that is not kept"))?;
        let sealed = session.seal(message, content, now, rng)?;
        let finished = finish(session, sealed);
        self.dirty.insert(device);
        Ok(finished)
    }

    /// Decrypts one message on a kept session, still padded, and writes what changed among its skipped
    /// keys.
    ///
    /// # Errors
    ///
    /// [`Error::Decrypt`] if the session is not kept; else as [`Session::open`]. Nothing changed then.
    pub fn open<S: Store>(
        &mut self,
        (device, id): (DeviceId, SessionId),
        (message, sealed): (MessageId, &Sealed),
        (now, rng): (UnixMillis, &mut impl CryptoRng),
        store: &mut Overlay<S>,
    ) -> Result<Opened, Error> {
        let sessions = self.with(device, store)?;
        let place = sessions.iter().position(|session| session.id == id).ok_or(Error::Decrypt)?;
        let session = sessions.get_mut(place).ok_or(Error::Decrypt)?;
        let was_unconfirmed = session.is_unconfirmed();
        let mut opened = session.open(message, sealed, &StoredKeys::new(&*store, id), now, rng)?;
        // Both sides have both sessions: they started at once, and settle on the smaller id.
        let settles = was_unconfirmed && sessions.first().is_some_and(|first| id < first.id);
        if let Some(upto) = sessions.get_mut(..=place).filter(|_| settles) {
            upto.rotate_right(1);
        }
        skipped::write(store, id, std::mem::take(&mut opened.changes), now);
        self.dirty.insert(device);
        Ok(opened)
    }

    /// Whether the session to send on still awaits its first answer.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the sessions cannot be read.
    pub fn is_unconfirmed<S: Store>(
        &mut self,
        device: DeviceId,
        store: &Overlay<S>,
    ) -> Result<bool, Error> {
        Ok(self.with(device, store)?.first().is_some_and(Session::is_unconfirmed))
    }

    /// On what the preferred session was founded.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if it cannot be read.
    pub fn prekeys<S: Store>(
        &self,
        device: DeviceId,
        store: &Overlay<S>,
    ) -> Result<Option<PrekeyUse>, Error> {
        if let Some(sessions) = self.devices.get(&device) {
            return Ok(sessions.first().map(Session::prekeys));
        }
        let rows = store.scan(Table::Session, &device.0, &[], 1)?;
        let corrupt = |_| StoreError::Corrupt("session row");
        let first = rows.first().map(|row| Session::from_record(&row.value).map_err(corrupt));
        Ok(first.transpose()?.as_ref().map(Session::prekeys))
    }

    /// The peer of the preferred session.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the sessions cannot be read.
    pub fn peer<S: Store>(
        &mut self,
        device: DeviceId,
        store: &Overlay<S>,
    ) -> Result<Option<Peer>, Error> {
        Ok(self.with(device, store)?.first().map(Session::peer))
    }

    /// Forgets every session with a device.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] if the sessions cannot be read.
    pub fn forget<S: Store>(
        &mut self,
        device: DeviceId,
        store: &mut Overlay<S>,
    ) -> Result<(), Error> {
        let sessions = self.with(device, store)?;
        for session in &*sessions {
            skipped::forget(store, session.id)?;
        }
        sessions.clear();
        self.dirty.insert(device);
        Ok(())
    }

    /// Writes every changed session into the open batch. Rows are numbered by preference, so a
    /// session's row may move; rows beyond the last are deleted.
    pub fn write<S: Store>(&mut self, store: &mut Overlay<S>) {
        for device in std::mem::take(&mut self.dirty) {
            let sessions = self.devices.get(&device).map(Vec::as_slice).unwrap_or_default();
            for place in 0..SESSIONS_PER_DEVICE_MAX {
                let key = Key::numbered(
                    Table::Session,
                    &device.0,
                    u64::try_from(place).unwrap_or(u64::MAX),
                );
                match sessions.get(place) {
                    Some(session) => store.put(key, session.to_record()),
                    None => store.delete(key),
                }
            }
        }
    }

    /// Whether anything waits for [`Sessions::write`].
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }
}
