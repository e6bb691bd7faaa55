//! Builds the tree of ops.
//!
//! Takes the table of device ops in its order, gives nodes in one vector with children sorted and cut.
//! Must not rename or replace nodes: duplicates are dealt with while writing, when children are final.

use std::borrow::Cow;
use std::collections::HashMap;

use xprof_proto::tensorflow::profiler::op_metrics::TpuCoreType;
use xprof_proto::tensorflow::profiler::{OpMetrics, OpMetricsDb};

use crate::opstats::RunStats;
use crate::opstats::framework_ops::{IDLE, Idle};
use crate::opstats::sort::heap_order;

use super::GroupBy;
use super::cost::Cost;

/// The index of the root.
pub const ROOT: usize = 0;

/// Children beyond these are not kept below a category.
const MAX_CHILDREN: usize = 100;

/// Levels beyond these are not built: far more than any program has, and few enough to write them by recursion.
const MAX_DEPTH: usize = 500;

/// A group of ops, or one op.
#[derive(Debug)]
pub struct Node<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// What it costs.
    pub cost: Cost,
    /// The op, if it is one.
    pub op: Option<&'a OpMetrics>,
    /// Its children, the most costly first.
    pub children: Vec<usize>,
    /// How many children it had before the list was cut.
    pub n_children: usize,
    cuts_children: bool,
}

/// What tells the children of a node apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    Program(u64),
    Scope(&'a str),
    /// With whether name scopes lead to it, for `parity:` ops without scopes are kept apart from ops with empty ones.
    Category(&'a str, bool),
    Duplicates(&'a str),
}

/// A tree; its root is the first node.
#[derive(Debug)]
pub struct Tree<'a> {
    nodes: Vec<Node<'a>>,
}

struct Builder<'a> {
    nodes: Vec<Node<'a>>,
    index: HashMap<(usize, Key<'a>), usize>,
    run: &'a RunStats,
    group_by: GroupBy,
}

impl<'a> Tree<'a> {
    /// The tree of all ops. The root's time is that of the whole profile.
    pub fn build(run: &'a RunStats, group_by: GroupBy, idle: Idle, total_ps: u64) -> Self {
        let mut builder = Builder { nodes: Vec::new(), index: HashMap::new(), run, group_by };
        builder.push(None, group_by.root_name().into(), None);
        for op in &run.device_ops().metrics_db {
            // parity: whatever begins like this is taken for the body of a loop or a reduction.
            if op.name.starts_with("region") || (idle == Idle::Exclude && op.category == IDLE) {
                continue;
            }
            builder.add(op);
        }
        let mut tree = Self { nodes: builder.nodes };
        tree.nodes[ROOT].cost.time_ps = total_ps;
        tree.sort_and_cut();
        tree
    }

    /// A node. `None` only for an index that did not come from this tree.
    pub fn node(&self, idx: usize) -> Option<&Node<'a>> {
        self.nodes.get(idx)
    }

    fn sort_and_cut(&mut self) {
        for idx in 0..self.nodes.len() {
            let node = &self.nodes[idx];
            let n_children = node.children.len();
            let by_flops = node.op.is_some_and(is_fusion);
            let key = |child: &usize| {
                let cost = &self.nodes[*child].cost;
                if by_flops { cost.model_flops } else { cost.time_ps as f64 }
            };
            let limit = if node.cuts_children { MAX_CHILDREN } else { n_children };
            let keys: Vec<f64> = node.children.iter().map(key).collect();
            let children = match n_children {
                0 | 1 => node.children.clone(),
                _ => heap_order(&keys, limit).into_iter().map(|i| node.children[i]).collect(),
            };
            let node = &mut self.nodes[idx];
            node.n_children = n_children;
            node.children = children;
        }
    }
}

/// Whether an op is a fusion, which has no memory layout and no single place in the source.
pub fn is_fusion(op: &OpMetrics) -> bool {
    op.category.ends_with(" fusion")
}

impl<'a> Builder<'a> {
    fn add(&mut self, op: &'a OpMetrics) {
        // parity: a self time beyond the time wraps around, and counts as having children.
        let has_children = op.time_ps != op.self_time_ps;
        let is_idle = op.category == IDLE;
        self.nodes[ROOT].cost.add_from_below(op, has_children);
        let mut parent = ROOT;
        if !is_idle && self.group_by != GroupBy::Category {
            parent = self.program(op.hlo_module_id);
            self.nodes[parent].cost.add_from_below(op, has_children);
        }
        // What runs inside this op has leaves of its own, unless it runs on SparseCores.
        if has_children && !has_sparse_core_children(op) {
            return;
        }
        if is_idle {
            self.leaf(ROOT, op, false);
            return;
        }
        if self.group_by == GroupBy::Provenance {
            for scope in scopes(&op.provenance).take(MAX_DEPTH / 2) {
                parent = self.child(parent, Key::Scope(scope), || scope.into());
                self.nodes[parent].cost.add_from_below(op, has_children);
            }
        }
        let cuts = self.group_by != GroupBy::Provenance;
        let is_scoped = self.group_by == GroupBy::Provenance && !op.provenance.is_empty();
        let category = self.child(parent, Key::Category(&op.category, is_scoped), || op.category.as_str().into());
        let group_name = if op.deduplicated_name.is_empty() { &op.name } else { &op.deduplicated_name };
        let group = self.child(category, Key::Duplicates(group_name), || group_name.as_str().into());
        for idx in [category, group] {
            self.nodes[idx].cost.add(op);
            self.nodes[idx].cuts_children = cuts;
        }
        self.leaf(group, op, cuts);
    }

    fn program(&mut self, id: u64) -> usize {
        let names = &self.run.op_stats().program_id_to_name_map;
        let name = || names.get(&id).map_or("main".into(), |name| format!("{name}({id})").into());
        self.child(ROOT, Key::Program(id), name)
    }

    /// The leaf of an op, and below it the instructions that were fused into it.
    fn leaf(&mut self, parent: usize, op: &'a OpMetrics, cuts_children: bool) {
        let mut todo = vec![(parent, op, 0)];
        while let Some((parent, op, depth)) = todo.pop() {
            let idx = self.push(Some(parent), op.name.as_str().into(), Some(op));
            self.nodes[idx].cost.add(op);
            self.nodes[idx].cuts_children = cuts_children;
            if depth < MAX_DEPTH / 2 {
                let fused: &[OpMetrics] = op.children.as_ref().map_or(&[], |db| &db.metrics_db);
                // Taken from the end, so that siblings keep their order.
                todo.extend(fused.iter().rev().map(|op| (idx, op, depth + 1)));
            }
        }
    }

    fn child(&mut self, parent: usize, key: Key<'a>, name: impl FnOnce() -> Cow<'a, str>) -> usize {
        if let Some(idx) = self.index.get(&(parent, key)) {
            return *idx;
        }
        let idx = self.push(Some(parent), name(), None);
        self.index.insert((parent, key), idx);
        idx
    }

    fn push(&mut self, parent: Option<usize>, name: Cow<'a, str>, op: Option<&'a OpMetrics>) -> usize {
        let idx = self.nodes.len();
        if let Some(parent) = parent {
            self.nodes[parent].children.push(idx);
        }
        let (cost, children) = (Cost::default(), Vec::new());
        self.nodes.push(Node { name, cost, op, children, n_children: 0, cuts_children: false });
        idx
    }
}

fn has_sparse_core_children(op: &OpMetrics) -> bool {
    let children: &[OpMetrics] = op.children.as_ref().map_or(&[], |OpMetricsDb { metrics_db, .. }| metrics_db);
    children.iter().any(|child| child.core_type() == TpuCoreType::SparseCore)
}

/// The parts of a framework op's name between slashes; of the last part, what stands before its type.
fn scopes(provenance: &str) -> impl Iterator<Item = &str> {
    let parts = provenance.split('/').filter(|part| !part.is_empty());
    let n_parts = parts.clone().count();
    parts.enumerate().map(move |(i, part)| if i + 1 == n_parts { part.split(':').next().unwrap_or(part) } else { part })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_names_into_scopes() {
        let check = |text: &str, expected: &[&str]| assert_eq!(scopes(text).collect::<Vec<_>>(), expected);
        check("jit(f)/while/body/add:Add", &["jit(f)", "while", "body", "add"]);
        check("a:b/c:d:e", &["a:b", "c"]);
        check("/", &[]);
        check("", &[]);
    }
}
