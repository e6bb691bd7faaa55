//! Map from the 64-bit ids of a metadata table to row numbers: dense where ids are small, hashed where they are huge.

use rustc_hash::FxHashMap;

/// Row numbers by id.
#[derive(Debug, Default)]
pub(super) struct IdTable {
    dense: Vec<u32>,
    sparse: FxHashMap<i64, u32>,
}

const NONE: u32 = u32::MAX;
/// Ids below this many times the number of rows (and this many in any case) go to the dense part.
/// Libtpu numbers its events by hashes; everybody else counts from 1.
const DENSE_FACTOR: usize = 4;
const DENSE_MIN: usize = 1024;

impl IdTable {
    pub(super) fn with_rows(n_rows: usize, max_id: i64) -> Self {
        let limit = n_rows.saturating_mul(DENSE_FACTOR).max(DENSE_MIN);
        let n_dense = usize::try_from(max_id).map_or(0, |m| m.saturating_add(1)).min(limit);
        Self { dense: vec![NONE; n_dense], sparse: FxHashMap::default() }
    }

    /// The row of `id`; the row that was there before, if any.
    pub(super) fn insert(&mut self, id: i64, row: u32) -> Option<u32> {
        if let Some(slot) = usize::try_from(id).ok().and_then(|i| self.dense.get_mut(i)) {
            let before = std::mem::replace(slot, row);
            return (before != NONE).then_some(before);
        }
        self.sparse.insert(id, row)
    }

    /// Forgets an id.
    pub(super) fn remove(&mut self, id: i64) {
        match usize::try_from(id).ok().and_then(|i| self.dense.get_mut(i)) {
            Some(slot) => *slot = NONE,
            None => _ = self.sparse.remove(&id),
        }
    }

    #[inline]
    pub(super) fn get(&self, id: i64) -> Option<u32> {
        match self.dense.get(id as usize) {
            Some(&row) if id >= 0 => (row != NONE).then_some(row),
            _ => self.sparse.get(&id).copied(),
        }
    }
}
