//! A store in memory for tests and simulations: durable as soon as it is told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use super::{Batch, Durable, Key, Row, Store, StoreError, Table, TableCursor};

/// Rows in a map. `Clone` is a snapshot: what a crash at this point would leave.
#[derive(Clone, Default)]
pub struct MemoryStore {
    rows: BTreeMap<Key, Vec<u8>>,
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MemoryStore({} rows)", self.rows.len())
    }
}

impl MemoryStore {
    /// Applies a batch.
    pub fn commit(&mut self, batch: &Batch) -> Durable {
        for (key, value) in batch.writes.iter() {
            match value {
                Some(value) => drop(self.rows.insert(key.clone(), value.clone())),
                None => drop(self.rows.remove(key)),
            }
        }
        Durable::after_sync(batch)
    }

    /// Number of rows of a table.
    #[must_use]
    pub fn count(&self, table: Table) -> usize {
        self.rows.keys().filter(|key| key.table == table).count()
    }

    /// Every row, in order: for hashes over a whole run.
    pub fn rows(&self) -> impl Iterator<Item = (&Key, &[u8])> {
        self.rows.iter().map(|(key, value)| (key, value.as_slice()))
    }
}

fn row(key: &Key, value: &[u8]) -> Row {
    Row { order: key.order.clone(), value: value.to_vec() }
}

impl Store for MemoryStore {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows.get(key).cloned())
    }

    fn scan(
        &self,
        table: Table,
        scope: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let first = Key { table, scope: scope.to_vec(), order: from.to_vec() };
        let same = |key: &Key| key.table == table && key.scope == scope;
        let rows = self.rows.range(first..).take_while(|(key, _)| same(key));
        Ok(rows.take(limit).map(|(key, value)| row(key, value)).collect())
    }

    fn scan_back(
        &self,
        table: Table,
        scope: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let first = Key::of(table, scope);
        let last =
            Key { table, scope: scope.to_vec(), order: before.unwrap_or(&[0xFF; 17]).to_vec() };
        let rows = self.rows.range((Bound::Included(first), Bound::Excluded(last))).rev();
        Ok(rows.take(limit).map(|(key, value)| row(key, value)).collect())
    }

    fn walk(
        &self,
        table: Table,
        after: Option<&TableCursor>,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<TableCursor>), StoreError> {
        let skip = after.map_or(0, |cursor| {
            cursor
                .0
                .as_slice()
                .try_into()
                .map_or(0, u64::from_be_bytes)
                .try_into()
                .unwrap_or(usize::MAX)
        });
        let rows = self.rows.iter().filter(|(key, _)| key.table == table);
        let page: Vec<_> = rows.skip(skip).take(limit).map(|(_, value)| value.clone()).collect();
        let next = (page.len() == limit).then(|| {
            TableCursor(
                u64::try_from(skip.saturating_add(limit))
                    .unwrap_or(u64::MAX)
                    .to_be_bytes()
                    .to_vec(),
            )
        });
        Ok((page, next))
    }
}

/// One store that a state machine reads and its driver commits to.
impl<S: Store> Store for Rc<RefCell<S>> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.borrow().get(key)
    }

    fn scan(
        &self,
        table: Table,
        scope: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.borrow().scan(table, scope, from, limit)
    }

    fn scan_back(
        &self,
        table: Table,
        scope: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.borrow().scan_back(table, scope, before, limit)
    }

    fn walk(
        &self,
        table: Table,
        after: Option<&TableCursor>,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<TableCursor>), StoreError> {
        self.borrow().walk(table, after, limit)
    }
}
