//! A disk that outlives its engine.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

use bitchat_protocol::store::{
    Batch, Durable, Key, MemoryStore, Overlay, Row, Store, StoreError, Table, TableCursor,
};

/// Rows shared by the engine, which reads, and the world, which commits.
#[derive(Clone, Debug, Default)]
pub struct Disk(Rc<RefCell<MemoryStore>>, Rc<Cell<Failing>>);

/// Every so many reads one fails; 0: none.
#[derive(Clone, Copy, Debug, Default)]
struct Failing {
    every: u32,
    reads: u32,
}

impl Disk {
    /// Makes a batch durable.
    pub fn commit(&self, batch: &Batch) -> Durable {
        self.0.borrow_mut().commit(batch)
    }

    /// What lies there now, on a disk of its own: a copied directory.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())), Rc::default())
    }

    /// Puts back what a copy holds.
    pub fn restore(&self, copy: &Self) {
        self.0.replace(copy.0.borrow().clone());
    }

    /// Loses every row of a table.
    pub fn lose(&self, table: Table) {
        let keys: Vec<_> = self
            .0
            .borrow()
            .rows()
            .map(|(key, _)| key)
            .filter(|key| key.table == table)
            .cloned()
            .collect();
        let mut overlay = Overlay::new(Self::default());
        for key in keys {
            overlay.delete(key);
        }
        if let Some(batch) = overlay.seal() {
            let _ = self.commit(&batch);
        }
    }

    /// From now on one of `every` reads fails; 0: none.
    pub fn fail_reads(&self, every: u32) {
        self.1.set(Failing { every, reads: 0 });
    }

    fn read(&self) -> Result<Ref<'_, MemoryStore>, StoreError> {
        let Failing { every, reads } = self.1.get();
        let reads = reads.wrapping_add(1);
        self.1.set(Failing { every, reads });
        if every > 0 && reads.is_multiple_of(every) {
            return Err(StoreError::Unavailable("a read failed".to_owned()));
        }
        Ok(self.0.borrow())
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
        self.read()?.get(key)
    }

    fn scan(
        &self,
        table: Table,
        scope: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.read()?.scan(table, scope, from, limit)
    }

    fn scan_back(
        &self,
        table: Table,
        scope: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.read()?.scan_back(table, scope, before, limit)
    }

    fn walk(
        &self,
        table: Table,
        after: Option<&TableCursor>,
        limit: usize,
    ) -> Result<(Vec<Vec<u8>>, Option<TableCursor>), StoreError> {
        self.read()?.walk(table, after, limit)
    }
}
