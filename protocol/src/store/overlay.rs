//! Reads through the batches that are written but not durable yet.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use super::{Batch, BatchId, Key, Row, Store, StoreError, Table, TableCursor};

/// A store below, pending batches above, one open batch on top.
#[derive(Debug)]
pub struct Overlay<S> {
    below: S,
    sealed: VecDeque<Batch>,
    open: BTreeMap<Key, Option<Vec<u8>>>,
    last: BatchId,
}

impl<S: Store> Overlay<S> {
    /// An overlay without pending writes.
    pub const fn new(below: S) -> Self {
        Self { below, sealed: VecDeque::new(), open: BTreeMap::new(), last: BatchId(0) }
    }

    /// Writes one row in the open batch.
    pub fn put(&mut self, key: Key, value: Vec<u8>) {
        self.open.insert(key, Some(value));
    }

    /// Deletes one row in the open batch.
    pub fn delete(&mut self, key: Key) {
        self.open.insert(key, None);
    }

    /// Writes in the open batch.
    #[must_use]
    pub fn open_writes(&self) -> usize {
        self.open.len()
    }

    /// Batches that are sealed and not durable yet.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.sealed.len()
    }

    /// The batch that the next write would belong to.
    #[must_use]
    pub const fn open_batch(&self) -> BatchId {
        BatchId(self.last.0.saturating_add(1))
    }

    /// The newest sealed batch; 0 if none was ever sealed.
    #[must_use]
    pub const fn last_sealed(&self) -> BatchId {
        self.last
    }

    /// Closes the open batch and returns it for the disk; `None` if nothing was written.
    pub fn seal(&mut self) -> Option<Batch> {
        if self.open.is_empty() {
            return None;
        }
        self.last = self.open_batch();
        let batch = Batch { id: self.last, writes: Arc::new(std::mem::take(&mut self.open)) };
        self.sealed.push_back(batch.clone());
        Some(batch)
    }

    /// Forgets every batch up to `durable`: the store below has them now.
    pub fn persisted(&mut self, durable: BatchId) {
        while self.sealed.front().is_some_and(|batch| batch.id <= durable) {
            self.sealed.pop_front();
        }
    }

    /// The store below.
    pub const fn below(&self) -> &S {
        &self.below
    }

    /// Pending writes from the oldest to the newest.
    fn layers(&self) -> impl DoubleEndedIterator<Item = &BTreeMap<Key, Option<Vec<u8>>>> {
        self.sealed.iter().map(|batch| &*batch.writes).chain(std::iter::once(&self.open))
    }

    /// Pending writes of one scope, newest value of each row.
    fn pending(&self, first: &Key, end: Bound<&Key>) -> BTreeMap<Vec<u8>, Option<Vec<u8>>> {
        let mut pending = BTreeMap::new();
        for layer in self.layers() {
            for (key, value) in layer.range((Bound::Included(first), end)) {
                if key.table == first.table && key.scope == first.scope {
                    pending.insert(key.order.clone(), value.clone());
                }
            }
        }
        pending
    }
}

/// Rows below, corrected by what is pending.
fn merge(
    below: Vec<Row>,
    pending: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut rows: BTreeMap<_, _> = below.into_iter().map(|row| (row.order, row.value)).collect();
    for (order, value) in pending {
        match value {
            Some(value) => drop(rows.insert(order, value)),
            None => drop(rows.remove(&order)),
        }
    }
    rows
}

fn last_of(table: Table, scope: &[u8]) -> Key {
    Key { table, scope: scope.to_vec(), order: vec![0xFF; 17] }
}

impl<S: Store> Store for Overlay<S> {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        match self.layers().rev().find_map(|layer| layer.get(key)) {
            Some(pending) => Ok(pending.clone()),
            None => self.below.get(key),
        }
    }

    fn scan(
        &self,
        table: Table,
        scope: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let first = Key { table, scope: scope.to_vec(), order: from.to_vec() };
        let pending = self.pending(&first, Bound::Excluded(&last_of(table, scope)));
        // Each pending deletion can hide one row of the page below, so the page must be longer by as many.
        let hidden = pending.values().filter(|value| value.is_none()).count();
        let below = self.below.scan(table, scope, from, limit.saturating_add(hidden))?;
        let rows = merge(below, pending).into_iter().take(limit);
        Ok(rows.map(|(order, value)| Row { order, value }).collect())
    }

    fn scan_back(
        &self,
        table: Table,
        scope: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let last = before.map_or_else(
            || last_of(table, scope),
            |order| Key { table, scope: scope.to_vec(), order: order.to_vec() },
        );
        let pending = self.pending(&Key::of(table, scope), Bound::Excluded(&last));
        let hidden = pending.values().filter(|value| value.is_none()).count();
        let below = self.below.scan_back(table, scope, before, limit.saturating_add(hidden))?;
        let rows = merge(below, pending).into_iter().rev().take(limit);
        Ok(rows.map(|(order, value)| Row { order, value }).collect())
    }

    fn walk(
        &self,
        table: Table,
        after: Option<&TableCursor>,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<TableCursor>), StoreError> {
        self.below.walk(table, after, limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    fn numbers(rows: &[Row]) -> Vec<u64> {
        rows.iter().filter_map(Row::number).collect()
    }

    /// Rows 1 to 4 below; pending: 2 deleted (sealed), 5 added (open).
    fn overlay() -> Overlay<MemoryStore> {
        let mut below = MemoryStore::default();
        let mut base = Overlay::new(MemoryStore::default());
        for number in 1..=4 {
            base.put(Key::numbered(Table::Outbox, b"a", number), vec![1]);
        }
        base.put(Key::numbered(Table::Outbox, b"b", 9), vec![1]);
        let _ = below.commit(&base.seal().expect("writes"));
        let mut overlay = Overlay::new(below);
        overlay.delete(Key::numbered(Table::Outbox, b"a", 2));
        overlay.seal().expect("a write");
        overlay.put(Key::numbered(Table::Outbox, b"a", 5), vec![2]);
        overlay
    }

    #[test]
    fn a_scan_sees_pending_writes_and_not_what_they_delete() {
        let overlay = overlay();

        let all = overlay.scan(Table::Outbox, b"a", &[], 10).expect("scan");
        let two = overlay.scan(Table::Outbox, b"a", &[], 2).expect("scan");
        let back = overlay.scan_back(Table::Outbox, b"a", None, 2).expect("scan");

        assert_eq!(numbers(&all), [1, 3, 4, 5]);
        assert_eq!(numbers(&two), [1, 3]);
        assert_eq!(numbers(&back), [5, 4]);
    }

    #[test]
    fn the_newest_pending_value_wins() {
        let mut overlay = overlay();
        let key = Key::numbered(Table::Outbox, b"a", 5);

        overlay.seal().expect("a write");
        overlay.put(key.clone(), vec![3]);

        assert_eq!(overlay.get(&key), Ok(Some(vec![3])));
    }

    #[test]
    fn a_persisted_batch_leaves_the_overlay() {
        let mut overlay = overlay();

        overlay.persisted(BatchId(1));

        assert_eq!(overlay.in_flight(), 0);
        assert_eq!(overlay.get(&Key::numbered(Table::Outbox, b"a", 2)), Ok(Some(vec![1])));
    }
}
