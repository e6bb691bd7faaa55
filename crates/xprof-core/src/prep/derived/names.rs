//! Names of derived events: a metadata table of their own, each name once.

use std::hash::Hash;

use bytestring::ByteString;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::op_name::{self, OpCategory};
use crate::xspace::{AddedValue, Plane, StatKind};

/// The rows of the names that one framework op gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OpRows {
    /// Row of the op itself.
    pub op: u32,
    /// Rows of its name scopes, outermost first.
    pub scopes: SmallVec<[u32; 8]>,
}

/// A metadata table in the making.
#[derive(Debug)]
pub(super) struct Names {
    plane: Plane,
    rows: FxHashMap<(ByteString, ByteString), u32>,
}

impl Names {
    /// An empty table for events derived from those of `plane`.
    pub(super) fn new(plane: &Plane) -> Self {
        Self { plane: plane.empty_sibling(), rows: FxHashMap::default() }
    }

    /// The row of a name with a display name, which may be empty.
    pub(super) fn row(&mut self, name: impl Into<ByteString>, display_name: impl Into<ByteString>) -> u32 {
        let key = (name.into(), display_name.into());
        if let Some(&row) = self.rows.get(&key) {
            return row;
        }
        let row = self.plane.add_event_metadata(key.0.clone());
        if let Some(metadata) = self.plane.event_metadata.last_mut() {
            metadata.display_name = key.1.clone();
        }
        self.rows.insert(key, row);
        row
    }

    /// A further row of the name that `row` has, whose events have these stats in common.
    pub(super) fn with_stats(&mut self, row: u32, stats: Vec<(StatKind, AddedValue)>) -> u32 {
        let (name, display_name) = {
            let known = self.plane.metadata(row);
            (known.name.clone(), known.display_name.clone())
        };
        let row = self.plane.add_event_metadata(name);
        if let Some(metadata) = self.plane.event_metadata.last_mut() {
            (metadata.display_name, metadata.added) = (display_name, stats);
        }
        row
    }

    /// The rows of a framework op and of its name scopes.
    pub(super) fn op(&mut self, full_name: &str) -> OpRows {
        let parsed = op_name::parse(full_name);
        let scopes = match parsed.category {
            OpCategory::TensorFlow | OpCategory::Jax => {
                op_name::name_scopes(parsed.op_name).map(|scope| self.row(scope, "")).collect()
            }
            _ => SmallVec::new(),
        };
        let shown = match parsed.category {
            OpCategory::TfData => {
                // A stage is shown with its last component only: `Iterator::Root::Map` as `Iterator::Map`.
                let last = parsed.op_name.rsplit("::").next().unwrap_or_default();
                format!("Iterator::{last}")
            }
            OpCategory::Unknown => parsed.op_name.to_owned(),
            _ => parsed.op_type.to_owned(),
        };
        OpRows { op: self.row(full_name, shown), scopes }
    }

    /// The finished table.
    pub(super) fn into_plane(self) -> Plane {
        self.plane
    }
}

/// Numbers things as they are first seen, and keeps what was made of them.
#[derive(Debug)]
pub(super) struct Interned<K, V> {
    index: FxHashMap<K, u32>,
    values: Vec<V>,
}

impl<K, V> Default for Interned<K, V> {
    fn default() -> Self {
        Self { index: FxHashMap::default(), values: Vec::new() }
    }
}

impl<K: Hash + Eq, V> Interned<K, V> {
    /// The value of a key, made at its first appearance.
    pub(super) fn get(&mut self, key: K, make: impl FnOnce(&K) -> V) -> &V {
        let next = self.values.len() as u32;
        let at = if let Some(&at) = self.index.get(&key) {
            at
        } else {
            self.values.push(make(&key));
            self.index.insert(key, next);
            next
        };
        &self.values[at as usize]
    }
}
