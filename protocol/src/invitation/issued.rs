//! An invitation at its issuer: how long and how often it admits.
//!
//! See docs/SPEC.md, section "Invitations".

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::id::{InvitationToken, exactly};
use crate::store::{Key, Overlay, Store, StoreError, Table};
use crate::time::UnixMillis;

const CORRUPT: StoreError = StoreError::Corrupt("invitation row");

/// An invitation that we made.
#[derive(Clone, Copy, Debug)]
pub struct Issued {
    /// When it ceases to admit; `None`: never.
    pub expires: Option<UnixMillis>,
    /// Whether it admits one stranger only.
    pub once: bool,
    /// How many it has admitted.
    pub used: u32,
}

fn key_of(token: InvitationToken) -> Key {
    Key::of(Table::Invitation, &token.0)
}

impl Issued {
    /// Whether it admits a stranger at `now`.
    #[must_use]
    pub fn admits(&self, now: UnixMillis) -> bool {
        self.expires.is_none_or(|at| now < at) && !(self.once && self.used > 0)
    }

    /// Reads a row.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if no version wrote it.
    pub fn decode(value: &[u8]) -> Result<(InvitationToken, Self), StoreError> {
        let row = rest::Invitation::decode(value).map_err(|_| CORRUPT)?;
        let token = InvitationToken(exactly(&row.token, "token").map_err(|_| CORRUPT)?);
        let expires = Some(UnixMillis(row.expires_ms)).filter(|at| at.0 > 0);
        Ok((token, Self { expires, once: row.once, used: row.used }))
    }

    /// Writes its row.
    pub fn write<S: Store>(&self, store: &mut Overlay<S>, token: InvitationToken) {
        let row = rest::Invitation {
            token: token.0.to_vec(),
            expires_ms: self.expires.map_or(0, |at| at.0),
            once: self.once,
            used: self.used,
        };
        store.put(key_of(token), row.encode_to_vec());
    }

    /// Deletes its row.
    pub fn forget<S: Store>(store: &mut Overlay<S>, token: InvitationToken) {
        store.delete(key_of(token));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_admits_until_it_expires_or_was_used_once() {
        let now = UnixMillis(1_000);
        let issued = |expires, once, used| Issued { expires, once, used }.admits(now);

        assert!(issued(None, false, 9));
        assert!(issued(Some(UnixMillis(1_001)), true, 0));
        assert!(!issued(Some(now), false, 0));
        assert!(!issued(None, true, 1));
    }
}
