//! Keys and values on disk. See docs/SPEC.md, section "Store".
//!
//! ```text
//!   row:    table 1 | HMAC(table, scope) 16 | order 0..16
//!                                    ->  version 1 | key number 4 | pieces 2 | nonce 24 | sealed ..
//!   piece:  0x80 | HMAC(row key) 16 | number 2             ->  the next bytes of `sealed`
//! ```
//!
//! Tables of one conversation (messages, held messages, its keys) have one hash for a scope, so that
//! the key of a row can be found from the row alone.
//!
//! Why pieces: sled keeps an entry of more than 128 KiB in a file of its own that it never syncs,
//! and its entries are whole leaves of up to about 20 rows. Rows of at most [`STORED_BYTES_MAX`]
//! bytes never get there.

use std::ops::Range;

use bitchat_protocol::crypto::{HEADER_NONCE_BYTES, Secret, open_header, seal_header};
use bitchat_protocol::store::{Key, StoreError, Table};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::keyring::{CONVERSATION_KEYS, Chain, Class, Ring, fill};

/// Format of values.
const VERSION: u8 = 1;

/// Bytes of one sled value. A leaf of 20 of them is well below sled's 128 KiB.
const STORED_BYTES_MAX: usize = 4 * 1024;

/// Bytes in front of the sealed text of a head.
const HEAD_BYTES: usize = 1 + 4 + 2 + HEADER_NONCE_BYTES;

/// Bytes of a row's value. A frame has at most 256 KiB, so more is a bug of the caller.
const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a key's `order`, as the `Store` trait says.
const ORDER_BYTES_MAX: usize = 16;

/// Bytes of the keyed hash: as many as make accidents and searches hopeless.
pub(super) const HASH_BYTES: usize = 16;

/// Bytes in front of the order.
const PREFIX_BYTES: usize = 1 + HASH_BYTES;

/// Number of the table of pieces; those of the protocol stay below.
const PIECES: u8 = 0x80;

/// The row that tells whose database this is. No table has number 0.
pub(super) const SENTINEL: &[u8] = b"\0sentinel";

/// What the sentinel says when it is opened, before the number of the long chain's key.
const SENTINEL_TEXT: &[u8] = b"bitchat store 1";

/// A row that stands from the batch that erases a conversation until the long chain turns.
pub(super) const ERASE: &[u8] = b"\0erase";

/// A row that its key does not open.
pub(super) const DAMAGED: StoreError = StoreError::Corrupt("row");

/// Makes row keys, seals and opens values.
pub(super) struct Layout {
    scopes: Hmac<Sha256>,
}

/// A key for values and its number within its chain.
#[derive(Clone, Copy)]
pub(super) struct Under<'a> {
    pub(super) number: u32,
    pub(super) key: &'a Secret<32>,
}

/// A parsed head.
pub(super) struct Head<'a> {
    /// Of the key that the value is sealed under.
    pub(super) number: u32,
    pieces: u16,
    nonce: &'a [u8; HEADER_NONCE_BYTES],
    sealed: &'a [u8],
}

/// Rows of one scope.
pub(super) struct Scope(Vec<u8>);

impl Layout {
    pub(super) fn new(scopes: &Secret<32>) -> Self {
        // `new` takes a full block; RFC 2104 pads a shorter key with zeros.
        let mut block = zeroize::Zeroizing::new([0; 64]);
        let (start, _) = block.split_at_mut(32);
        start.copy_from_slice(scopes.expose());
        Self { scopes: Hmac::new((&*block).into()) }
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
        prefix.extend_from_slice(&self.hash(domain(number(table)), scope));
        Scope(prefix)
    }

    /// The row of a conversation's key, from a row of the conversation.
    pub(super) fn conversation_key(row: &[u8], number: u32) -> Vec<u8> {
        let hash = row.get(1..PREFIX_BYTES).unwrap_or_default();
        [&[CONVERSATION_KEYS], hash, &number.to_be_bytes()].concat()
    }

    /// The rows of all keys of a conversation, from a row of the conversation.
    pub(super) fn keys_of_conversation(row: &[u8]) -> Range<Vec<u8>> {
        let hash = row.get(1..PREFIX_BYTES).unwrap_or_default();
        Scope([&[CONVERSATION_KEYS], hash].concat()).before(None)
    }

    /// The rows of a conversation in `table`, from any row of it.
    pub(super) fn conversation(row: &[u8], table: Table) -> Range<Vec<u8>> {
        let hash = row.get(1..PREFIX_BYTES).unwrap_or_default();
        let scope = Scope([&[number(table)], hash].concat());
        scope.before(None)
    }

    /// The key of a piece of the row with `key`.
    pub(super) fn piece_key(&self, key: &[u8], piece: u16) -> Vec<u8> {
        [&[PIECES], &self.hash(PIECES, key)[..], &piece.to_be_bytes()].concat()
    }

    /// `domain` is the number of a table, of the conversations' keys or of the pieces, so that no two
    /// kinds of input meet.
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

    /// All rows of the protocol.
    pub(super) fn rows() -> Range<Vec<u8>> {
        vec![1]..vec![CONVERSATION_KEYS]
    }

    /// All keys of conversations.
    pub(super) fn conversation_keys() -> Range<Vec<u8>> {
        vec![CONVERSATION_KEYS]..vec![PIECES]
    }

    /// The rows from `from` on that are sealed under `chain`: what is left of one table, or `None` if
    /// none is left.
    pub(super) fn chained(chain: Chain, from: &[u8]) -> Option<Range<Vec<u8>>> {
        let first = from.first().copied().unwrap_or(1).max(1);
        let table = (first..PIECES).find(|table| Class::of(*table) == Class::Chain(chain))?;
        Some(from.to_vec().max(vec![table])..vec![table + 1])
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
        under: Under<'_>,
        key: &[u8],
        value: &[u8],
        writes: &mut sled::Batch,
    ) -> Result<u16, StoreError> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(StoreError::Unavailable("a row's value is longer than 4 MiB".into()));
        }
        let mut nonce = [0; HEADER_NONCE_BYTES];
        fill(&mut nonce)?;
        let sealed = seal_header(under.key, &nonce, &associated(under.number, key), value)
            .map_err(|_| StoreError::Unavailable("a row's value cannot be sealed".into()))?;
        let here = sealed.len().min(STORED_BYTES_MAX - HEAD_BYTES);
        let (first, rest) = sealed.split_at(here);
        let pieces = u16::try_from(rest.len().div_ceil(STORED_BYTES_MAX))
            .map_err(|_| StoreError::Unavailable("a row has too many pieces".into()))?;
        let number = under.number.to_be_bytes();
        let head = [&[VERSION], &number[..], &pieces.to_be_bytes(), &nonce, first].concat();
        writes.insert(key, head);
        for (number, piece) in (0..pieces).zip(rest.chunks(STORED_BYTES_MAX)) {
            writes.insert(self.piece_key(key, number), piece);
        }
        Ok(pieces)
    }

    /// Opens a row under the key that its head names; `piece` fetches the rest of it.
    pub(super) fn open<B: AsRef<[u8]>>(
        secret: &Secret<32>,
        key: &[u8],
        head: &Head<'_>,
        piece: impl Fn(u16) -> Result<B, StoreError>,
    ) -> Result<Vec<u8>, StoreError> {
        let associated = associated(head.number, key);
        let opened = if head.pieces == 0 {
            open_header(secret, head.nonce, &associated, head.sealed)
        } else {
            let mut sealed = head.sealed.to_vec();
            for number in 0..head.pieces {
                sealed.extend_from_slice(piece(number)?.as_ref());
            }
            open_header(secret, head.nonce, &associated, &sealed)
        };
        opened.map_err(|_| DAMAGED)
    }

    /// Writes the sentinel: under the newest key of the hour chain, naming that of the long one. It
    /// is the first row under a new key, so that an older key file is told from damage.
    pub(super) fn seal_sentinel(
        &self,
        ring: &Ring,
        writes: &mut sled::Batch,
    ) -> Result<(), StoreError> {
        let [hour, long] = [Chain::Hour, Chain::Long].map(|chain| &ring.chain(chain).current);
        let text = [SENTINEL_TEXT, &long.number.to_be_bytes()].concat();
        let under = Under { number: hour.number, key: &hour.key };
        self.seal(under, SENTINEL, &text, writes).map(drop)
    }

    /// The long chain's key number that a sentinel names, opened with `secret`.
    pub(super) fn open_sentinel(secret: &Secret<32>, head: &Head<'_>) -> Option<u32> {
        let none = |_| Err::<[u8; 0], _>(StoreError::Corrupt("sentinel"));
        let text = Self::open(secret, SENTINEL, head, none).ok()?;
        text.strip_prefix(SENTINEL_TEXT)?.try_into().ok().map(u32::from_be_bytes)
    }
}

impl<'a> Head<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, StoreError> {
        const WRONG: StoreError = StoreError::Corrupt("row header");
        let (&[version], rest) = bytes.split_first_chunk().ok_or(WRONG)?;
        let (number, rest) = rest.split_first_chunk().ok_or(WRONG)?;
        let (pieces, rest) = rest.split_first_chunk().ok_or(WRONG)?;
        let (nonce, sealed) = rest.split_first_chunk().ok_or(WRONG)?;
        let (number, pieces) = (u32::from_be_bytes(*number), u16::from_be_bytes(*pieces));
        // Only the last piece may be short, so a row of several fills its head.
        let plausible = pieces == 0 || bytes.len() == STORED_BYTES_MAX;
        (version == VERSION && plausible)
            .then_some(Self { number, pieces, nonce, sealed })
            .ok_or(WRONG)
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

/// What is hashed with the scope of a table.
const fn domain(table: u8) -> u8 {
    match Class::of(table) {
        Class::Chain(_) => table,
        Class::Conversation => CONVERSATION_KEYS,
    }
}

/// Associated data of a row: the number of its key, and its whole own key, so that rows cannot be
/// exchanged.
fn associated(number: u32, key: &[u8]) -> Vec<u8> {
    [&[VERSION], &number.to_be_bytes()[..], key].concat()
}

impl std::fmt::Debug for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Layout(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use bitchat_protocol::time::UnixMillis;

    fn layout(byte: u8) -> Layout {
        Layout::new(&Secret::take(&mut [byte; 32]))
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
        let ring = Ring::random(UnixMillis(1)).expect("randomness");
        let other = Ring::random(UnixMillis(1)).expect("randomness");
        let mut batch = sled::Batch::default();
        let config = sled::Config::new().temporary(true).cache_capacity(1 << 20);
        let db = config.open().expect("opens");
        layout(1).seal_sentinel(&ring, &mut batch).expect("seals");
        db.apply_batch(batch).expect("applies");

        let head = db.get(SENTINEL).expect("reads").expect("there");
        let head = Head::parse(&head).expect("a head");
        let open = |ring: &Ring| {
            Layout::open_sentinel(ring.key(Chain::Hour, 1).expect("the first"), &head)
        };

        assert_eq!((open(&ring), open(&other)), (Some(1), None));
    }

    #[test]
    fn the_walk_over_a_chain_meets_each_of_its_tables_once() {
        let tables = |chain| {
            let (mut tables, mut from) = (Vec::new(), Vec::new());
            while let Some(range) = Layout::chained(chain, &from) {
                tables.push(range.start[0]);
                from = range.end;
            }
            tables
        };

        let (hour, long) = (tables(Chain::Hour), tables(Chain::Long));

        let all: Vec<u8> = (1..PIECES).collect();
        let class = |chain| move |table: &u8| Class::of(*table) == Class::Chain(chain);
        assert_eq!(hour, all.iter().copied().filter(class(Chain::Hour)).collect::<Vec<_>>());
        assert_eq!(long, all.iter().copied().filter(class(Chain::Long)).collect::<Vec<_>>());
        assert_eq!(hour.len() + long.len() + 2, all.len(), "messages and held messages");
    }
}
