//! What is known about copies, at rest: `rest::Copies`.
//!
//! See docs/SPEC.md, section "Copies of a device".

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use super::Copies;
use crate::id::exactly;
use crate::store::StoreError;

const CORRUPT: StoreError = StoreError::Corrupt("row of copies");

impl Copies {
    /// The bytes at rest; where the profile runs now is not kept.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        rest::Copies {
            place: self.home.map(|place| place.to_vec()).unwrap_or_default(),
            copied: self.copied,
            superseded: self.superseded,
            issued: self.issued.clone(),
        }
        .encode_to_vec()
    }

    /// From bytes at rest.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if no version wrote this.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let row = rest::Copies::decode(bytes).map_err(|_| CORRUPT)?;
        let home = match row.place.as_slice() {
            [] => None,
            place => Some(exactly(place, "place").map_err(|_| CORRUPT)?),
        };
        let (copied, superseded, issued) = (row.copied, row.superseded, row.issued);
        Ok(Self { home, here: None, copied, superseded, issued })
    }
}
