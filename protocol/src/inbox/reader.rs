//! Named cursors: what each reader of the inbox has acknowledged.
//!
//! See docs/SPEC.md, section "Delivery".

use bitchat_proto::prost::Message as _;
use bitchat_proto::rest;

use crate::store::{Key, Overlay, Store, StoreError, Table};

/// Bytes of a reader's name.
pub const READER_BYTES_MAX: usize = 64;

/// The name of a reader, 1 to [`READER_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader(String);

impl Reader {
    /// `None` for an empty or too long name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        (!name.is_empty() && name.len() <= READER_BYTES_MAX).then(|| Self(name.to_owned()))
    }

    fn key(&self) -> Key {
        Key::of(Table::Reader, self.0.as_bytes())
    }

    /// The last cursor that it acknowledged; 0 if none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the row cannot be read.
    pub fn acknowledged(&self, store: &impl Store) -> Result<u64, StoreError> {
        let Some(value) = store.get(&self.key())? else {
            return Ok(0);
        };
        let row = rest::Counter::decode(value.as_slice());
        row.map(|row| row.value).map_err(|_| StoreError::Corrupt("reader row"))
    }

    /// Acknowledges everything up to `cursor`; an earlier one changes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the row cannot be read.
    pub fn acknowledge<S: Store>(
        &self,
        store: &mut Overlay<S>,
        cursor: u64,
    ) -> Result<(), StoreError> {
        if cursor > self.acknowledged(store)? {
            store.put(self.key(), rest::Counter { value: cursor }.encode_to_vec());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_reader_never_goes_back() {
        let mut store = Overlay::new(MemoryStore::default());
        let reader = Reader::named("bot").expect("a name");

        reader.acknowledge(&mut store, 5).expect("memory");
        reader.acknowledge(&mut store, 3).expect("memory");

        assert_eq!(reader.acknowledged(&store), Ok(5));
        assert_eq!(Reader::named("other").expect("a name").acknowledged(&store), Ok(0));
        assert_eq!(Reader::named(&"x".repeat(65)), None);
    }
}
