//! Keys and values on disk. See docs/SPEC.md, section "Store".
//!
//! ```text
//!   row:    table 1 | HMAC(table, scope) 16 | order 0..16  ->  version 1 | pieces 2 | nonce 24 | sealed ..
//!   piece:  0x80 | HMAC(row key) 16 | number 2             ->  the next bytes of `sealed`
//! ```
//!
//! Why pieces: sled keeps an entry of more than 128 KiB in a file of its own that it never syncs,
//! and its entries are whole leaves of up to about 20 rows. Rows of at most [`STORED_BYTES_MAX`]
//! bytes never get there.

use std::ops::Range;

use bitchat_protocol::crypto::{HEADER_NONCE_BYTES, Secret, open_header, seal_header};
use bitchat_protocol::store::{Key, StoreError, Table};
use hmac::{Hmac, KeyInit, Mac};
use rand::rngs::SysRng;
use rand_core::TryRng;
use sha2::Sha256;

use crate::keystore::StoreKeys;

/// Format of values.
const VERSION: u8 = 1;

/// Bytes of one sled value. A leaf of 20 of them is well below sled's 128 KiB.
const STORED_BYTES_MAX: usize = 4 * 1024;

/// Bytes in front of the sealed text of a head.
const HEAD_BYTES: usize = 1 + 2 + HEADER_NONCE_BYTES;

/// Bytes of a row's value. A frame has at most 256 KiB, so more is a bug of the caller.
const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a key's `order`, as the `Store` trait says.
const ORDER_BYTES_MAX: usize = 16;

/// Bytes of the keyed hash: as many as make accidents and searches hopeless.
const HASH_BYTES: usize = 16;

/// Bytes in front of the order.
const PREFIX_BYTES: usize = 1 + HASH_BYTES;

/// Number of the table of pieces; those of the protocol stay below.
const PIECES: u8 = 0x80;

/// The row that tells whose database this is. No table has number 0.
pub(super) const SENTINEL: &[u8] = b"\0sentinel";

/// What the sentinel says when it is opened.
const SENTINEL_TEXT: &[u8] = b"bitchat store 1";

/// Makes row keys and seals values.
pub(super) struct Layout {
    values: Secret<32>,
    scopes: Hmac<Sha256>,
}

/// A parsed head.
pub(super) struct Head<'a> {
    pieces: u16,
    nonce: &'a [u8; HEADER_NONCE_BYTES],
    sealed: &'a [u8],
}

/// Rows of one scope.
pub(super) struct Scope(Vec<u8>);

impl Layout {
    pub(super) fn new(keys: StoreKeys) -> Self {
        // `new` takes a full block; RFC 2104 pads a shorter key with zeros.
        let mut block = zeroize::Zeroizing::new([0; 64]);
        let (start, _) = block.split_at_mut(32);
        start.copy_from_slice(keys.scopes.expose());
        Self { values: keys.values, scopes: Hmac::new((&*block).into()) }
    }

    /// The key of a row on disk.
    pub(super) fn key(&self, key: &Key) -> Result<Vec<u8>, StoreError> {
        if key.order.len() > ORDER_BYTES_MAX {
            return Err(StoreError::Unavailable("a row's order is longer than 16 bytes".into()));
        }
        let mut bytes = self.scope(key.table, &key.scope).0;
        bytes.extend_from_slice(&key.order);
        Ok(bytes)
    }

    /// The rows of a scope.
    pub(super) fn scope(&self, table: Table, scope: &[u8]) -> Scope {
        let mut prefix = Vec::with_capacity(PREFIX_BYTES + ORDER_BYTES_MAX);
        prefix.push(number(table));
        prefix.extend_from_slice(&self.hash(number(table), scope));
        Scope(prefix)
    }

    /// The key of a piece of the row with `key`.
    pub(super) fn piece_key(&self, key: &[u8], piece: u16) -> Vec<u8> {
        [&[PIECES], &self.hash(PIECES, key)[..], &piece.to_be_bytes()].concat()
    }

    /// `domain` is a table's number or [`PIECES`], so that no two kinds of input meet.
    fn hash(&self, domain: u8, input: &[u8]) -> [u8; HASH_BYTES] {
        let mut mac = self.scopes.clone();
        mac.update(&[domain]);
        mac.update(input);
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut cut = [0; HASH_BYTES];
        cut.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        cut
    }

    /// The order in a row's key.
    pub(super) fn order(key: &[u8]) -> &[u8] {
        key.get(PREFIX_BYTES..).unwrap_or_default()
    }

    /// All rows.
    pub(super) fn rows() -> Range<Vec<u8>> {
        vec![1]..vec![PIECES]
    }

    /// All pieces.
    pub(super) fn all_pieces() -> Range<Vec<u8>> {
        vec![PIECES]..vec![PIECES + 1]
    }

    /// The rows of a table behind the row with key `after`.
    pub(super) fn table(table: Table, after: Option<&[u8]>) -> Range<Vec<u8>> {
        let first = vec![number(table)];
        let end = vec![number(table) + 1];
        // The least key above another is that key with a zero byte. A cursor of another table
        // must not reach outside this one.
        let from = after.map_or(first.clone(), |key| [key, &[0]].concat());
        from.clamp(first, end.clone())..end
    }

    /// Seals `value` and adds the row to `writes`; returns the number of its pieces.
    pub(super) fn seal(
        &self,
        key: &[u8],
        value: &[u8],
        writes: &mut sled::Batch,
    ) -> Result<u16, StoreError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(StoreError::Unavailable("a row's value is longer than 4 MiB".into()));
        }
        let mut nonce = [0; HEADER_NONCE_BYTES];
        SysRng.try_fill_bytes(&mut nonce).map_err(|error| {
            StoreError::Unavailable(format!("no randomness from the system: {error}"))
        })?;
        let sealed = seal_header(&self.values, &nonce, &associated(key), value)
            .map_err(|_| StoreError::Unavailable("a row's value cannot be sealed".into()))?;
        let here = sealed.len().min(STORED_BYTES_MAX - HEAD_BYTES);
        let (first, rest) = sealed.split_at(here);
        let pieces = u16::try_from(rest.len().div_ceil(STORED_BYTES_MAX))
            .map_err(|_| StoreError::Unavailable("a row has too many pieces".into()))?;
        let head = [&[VERSION], &pieces.to_be_bytes()[..], &nonce, first].concat();
        writes.insert(key, head);
        for (number, piece) in (0..pieces).zip(rest.chunks(STORED_BYTES_MAX)) {
            writes.insert(self.piece_key(key, number), piece);
        }
        Ok(pieces)
    }

    /// Opens a row; `piece` fetches the rest of it.
    pub(super) fn open<B: AsRef<[u8]>>(
        &self,
        key: &[u8],
        head: &Head<'_>,
        piece: impl Fn(u16) -> Result<B, StoreError>,
    ) -> Result<Vec<u8>, StoreError> {
        let opened = if head.pieces == 0 {
            open_header(&self.values, head.nonce, &associated(key), head.sealed)
        } else {
            let mut sealed = head.sealed.to_vec();
            for number in 0..head.pieces {
                sealed.extend_from_slice(piece(number)?.as_ref());
            }
            open_header(&self.values, head.nonce, &associated(key), &sealed)
        };
        opened.map_err(|_| StoreError::Corrupt("row"))
    }

    /// The value of the sentinel row.
    pub(super) fn sentinel(&self) -> Result<sled::Batch, StoreError> {
        let mut writes = sled::Batch::default();
        self.seal(SENTINEL, SENTINEL_TEXT, &mut writes)?;
        Ok(writes)
    }

    /// Whether `head` is a sentinel that these keys made.
    pub(super) fn is_sentinel(&self, head: &Head<'_>) -> bool {
        let none = |_| Err::<[u8; 0], _>(StoreError::Corrupt("sentinel"));
        self.open(SENTINEL, head, none).is_ok_and(|text| text == SENTINEL_TEXT)
    }
}

impl<'a> Head<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, StoreError> {
        const WRONG: StoreError = StoreError::Corrupt("row header");
        let (&[version], rest) = bytes.split_first_chunk().ok_or(WRONG)?;
        let (pieces, rest) = rest.split_first_chunk().ok_or(WRONG)?;
        let (nonce, sealed) = rest.split_first_chunk().ok_or(WRONG)?;
        let pieces = u16::from_be_bytes(*pieces);
        // Only the last piece may be short, so a row of several fills its head.
        let plausible = pieces == 0 || bytes.len() == STORED_BYTES_MAX;
        (version == VERSION && plausible).then_some(Self { pieces, nonce, sealed }).ok_or(WRONG)
    }

    /// The number of pieces that a stored head names.
    pub(super) fn pieces(bytes: &[u8]) -> Option<u16> {
        Head::parse(bytes).ok().map(|head| head.pieces)
    }
}

impl Scope {
    /// Rows with `order >= from`.
    pub(super) fn from(self, from: &[u8]) -> Range<Vec<u8>> {
        let end = self.end();
        // An order that is too long to exist is above all rows, and a range must not run backwards.
        [&self.0, from].concat().min(end.clone())..end
    }

    /// Rows with `order < before`, or all.
    pub(super) fn before(self, before: Option<&[u8]>) -> Range<Vec<u8>> {
        let end = before.map_or_else(|| self.end(), |order| [&self.0, order].concat());
        self.0..end
    }

    /// A key above every row of the scope and below every other scope's.
    fn end(&self) -> Vec<u8> {
        [&self.0[..], &[0xFF; ORDER_BYTES_MAX + 1]].concat()
    }
}

/// The number of a table on disk.
const fn number(table: Table) -> u8 {
    table as u8
}

/// Associated data of a row: its whole key, so that rows cannot be exchanged.
fn associated(key: &[u8]) -> Vec<u8> {
    [&[VERSION], key].concat()
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Layout(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(byte: u8) -> Layout {
        Layout::new(StoreKeys::derive(&Secret::take(&mut [byte; 32])))
    }

    #[test]
    fn scope_and_table_are_hidden_and_separated() {
        let layout = layout(1);
        let key = layout.key(&Key::numbered(Table::Outbox, b"alice", 7)).expect("short");

        assert_eq!(key.len(), 1 + 16 + 8);
        assert!(!key.windows(5).any(|window| window == b"alice"));
        assert_eq!(Layout::order(&key), 7u64.to_be_bytes());
        let other = layout.key(&Key::numbered(Table::Held, b"alice", 7)).expect("short");
        assert_ne!(key[1..17], other[1..17], "one contact, two tables, two hashes");
    }

    #[test]
    fn an_order_of_more_than_16_bytes_is_refused() {
        let key = Key { table: Table::Meta, scope: Vec::new(), order: vec![0; 17] };

        assert!(layout(1).key(&key).is_err());
    }

    #[test]
    fn a_sentinel_is_known_to_its_keys_only() {
        let mut batch = sled::Batch::default();
        let config = sled::Config::new().temporary(true).cache_capacity(1 << 20);
        let db = config.open().expect("opens");
        layout(1).seal(SENTINEL, SENTINEL_TEXT, &mut batch).expect("seals");
        db.apply_batch(batch).expect("applies");

        let head = db.get(SENTINEL).expect("reads").expect("there");
        let head = Head::parse(&head).expect("a head");

        assert!(layout(1).is_sentinel(&head));
        assert!(!layout(2).is_sentinel(&head));
    }
}
