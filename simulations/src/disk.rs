//! A disk that outlives its engine.

use std::cell::RefCell;
use std::rc::Rc;

use bitchat_protocol::store::{
    Batch, Durable, Key, MemoryStore, Row, Store, StoreError, Table, TableCursor,
};

/// Rows shared by the engine, which reads, and the world, which commits.
#[derive(Clone, Debug, Default)]
pub struct Disk(Rc<RefCell<MemoryStore>>);

impl Disk {
    /// Makes a batch durable.
    pub fn commit(&self, batch: &Batch) -> Durable {
        self.0.borrow_mut().commit(batch)
    }

    /// Calls `each` with every row, in order.
    pub fn for_each(&self, mut each: impl FnMut(&Key, &[u8])) {
        self.0.borrow().rows().for_each(|(key, value)| each(key, value));
    }

    /// Rows of a table.
    #[must_use]
    pub fn count(&self, table: Table) -> usize {
        self.0.borrow().count(table)
    }
}

impl Store for Disk {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.borrow().get(key)
    }

    fn scan(
        &self,
        table: Table,
        scope: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.0.borrow().scan(table, scope, from, limit)
    }

    fn scan_back(
        &self,
        table: Table,
        scope: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.0.borrow().scan_back(table, scope, before, limit)
    }

    fn walk(
        &self,
        table: Table,
        after: Option<&TableCursor>,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<TableCursor>), StoreError> {
        self.0.borrow().walk(table, after, limit)
    }
}
