//! Which event caused which: nesting on a line, and edges between lines.
//!
//! Nodes are numbered through: line after line, event after event. Three arrays hold the nesting:
//!
//! ```text
//! line:     [ a [ b [ c ] d ] e ] f          a…f in the order of the file
//! node:       0   1   2   3   4   5
//! parent:     -   0   1   1   0   -
//! end:        5   4   3   4   5   6          first node behind the subtree
//! ```
//! A subtree is a range, because an item stays on the stack of open items while its descendants are pushed.
//! Edges between lines are two sorted lists. Many producers and many consumers of one context meet in a *hub*,
//! a vertex without an event, so that their edges add up instead of multiplying.

use rustc_hash::FxHashSet;

use crate::xspace::EventColumns;

/// No such node.
pub(super) const NONE: u32 = u32::MAX;

/// Directed edges, sorted by their first vertex; edges of one vertex keep the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Edges(Vec<(u32, u32)>);

impl Edges {
    pub(super) fn new(mut edges: Vec<(u32, u32)>) -> Self {
        edges.sort_by_key(|&(from, _)| from);
        Self(edges)
    }

    /// Where the edges of `vertex` and of those behind it begin.
    fn first(&self, vertex: u32) -> usize {
        self.0.partition_point(|&(from, _)| from < vertex)
    }

    /// All edges, from and to.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.0.iter().copied()
    }

    fn of(&self, vertex: u32) -> impl Iterator<Item = u32> + '_ {
        self.0[self.first(vertex)..].iter().take_while(move |&&(from, _)| from == vertex).map(|&(_, to)| to)
    }
}

/// Nodes with their nesting and their edges.
#[derive(Debug, Default)]
pub(super) struct Forest {
    /// By nesting, or [`NONE`].
    pub parent: Vec<u32>,
    /// First node behind the subtree by nesting.
    pub end: Vec<u32>,
    /// From cause to effect; hubs are the vertices behind the nodes.
    pub down: Edges,
    /// From effect to cause.
    pub up: Edges,
    pub n_hubs: u32,
}

/// Fills the nesting of one line, whose first node is `base`: an item's parent is the last open item that includes it.
/// Items for which `is_async` is true are neither parents nor children.
pub(super) fn nest(
    events: &EventColumns,
    base: u32,
    is_async: impl Fn(usize) -> bool,
    parent: &mut [u32],
    end: &mut [u32],
) {
    let mut open: Vec<u32> = Vec::new();
    for i in 0..events.len() {
        end[i] = base + i as u32 + 1;
        if is_async(i) {
            continue;
        }
        let (begin_ps, end_ps) = (events.begin_ps[i], events.end_ps(i));
        while let Some(&top) = open.last() {
            let t = top as usize;
            if events.begin_ps[t] <= begin_ps && end_ps <= events.end_ps(t) {
                parent[i] = base + top;
                break;
            }
            end[t] = base + i as u32;
            open.pop();
        }
        open.push(i as u32);
    }
    for top in open {
        end[top as usize] = base + events.len() as u32;
    }
}

/// How many vertices upward searches may visit for each node of the forest, before they find nothing any more.
/// It keeps thousands of roots at the bottom of a deep chain from taking quadratic time.
const SEARCH_FACTOR: usize = 64;
const SEARCH_MIN: usize = 1 << 20;

/// Searches for ancestors, within a budget for all of them together.
#[derive(Debug)]
pub(super) struct Ancestors<'a> {
    forest: &'a Forest,
    budget: usize,
    queue: Vec<u32>,
    seen: FxHashSet<u32>,
}

impl<'a> Ancestors<'a> {
    pub(super) fn new(forest: &'a Forest) -> Self {
        let budget = forest.parent.len().saturating_mul(SEARCH_FACTOR).max(SEARCH_MIN);
        Self { forest, budget, queue: Vec::new(), seen: FxHashSet::default() }
    }

    /// What `found` says of the node itself or of the nearest ancestor for which it says anything.
    /// Breadth first: nesting before edges, edges in the order in which they were made.
    pub(super) fn nearest<T>(&mut self, node: u32, mut found: impl FnMut(u32) -> Option<T>) -> Option<T> {
        let n_nodes = self.forest.parent.len() as u32;
        self.queue.clear();
        self.seen.clear();
        self.queue.push(node);
        self.seen.insert(node);
        let mut at = 0;
        while let Some(&vertex) = self.queue.get(at) {
            at += 1;
            if let Some(value) = found(vertex) {
                return Some(value);
            }
            self.budget = self.budget.saturating_sub(1);
            if self.budget == 0 {
                return None;
            }
            let parent = self.forest.parent[vertex as usize];
            if parent != NONE && self.seen.insert(parent) {
                self.queue.push(parent);
            }
            for cause in self.forest.up.of(vertex) {
                if !self.seen.insert(cause) {
                    continue;
                }
                if cause < n_nodes {
                    self.queue.push(cause);
                    continue;
                }
                // A hub is no step on the way: its producers are as near as the hub.
                for producer in self.forest.up.of(cause) {
                    if self.seen.insert(producer) {
                        self.queue.push(producer);
                    }
                }
            }
        }
        None
    }
}

/// Group of every node, filled root by root.
#[derive(Debug)]
pub(super) struct Numbering<'a> {
    forest: &'a Forest,
    pub group: Vec<u32>,
    hub_done: Vec<bool>,
    pending: Vec<u32>,
}

impl<'a> Numbering<'a> {
    pub(super) fn new(forest: &'a Forest) -> Self {
        Self {
            forest,
            group: vec![NONE; forest.parent.len()],
            hub_done: vec![false; forest.n_hubs as usize],
            pending: Vec::new(),
        }
    }

    /// Gives `number` to the root and to everything it caused that has no number yet.
    ///
    /// Everything caused by a numbered node is numbered, before and after: so a numbered subtree is skipped as a whole,
    /// and all calls together visit each node and edge once.
    pub(super) fn propagate(&mut self, root: u32, number: u32) {
        self.pending.push(root);
        while let Some(vertex) = self.pending.pop() {
            let n_nodes = self.group.len() as u32;
            if vertex < n_nodes {
                self.number_subtree(vertex, number);
            } else if let Some(done) = self.hub_done.get_mut((vertex - n_nodes) as usize)
                && !std::mem::replace(done, true)
            {
                self.pending.extend(self.forest.down.of(vertex));
            }
        }
    }

    fn number_subtree(&mut self, top: u32, number: u32) {
        if self.group[top as usize] != NONE {
            return;
        }
        let forest = self.forest;
        let mut edge = forest.down.first(top);
        let end = forest.end[top as usize];
        let mut node = top;
        while node < end {
            let n = node as usize;
            if self.group[n] != NONE {
                node = forest.end[n];
                continue;
            }
            // Events that overlap others lie in the range of a subtree without belonging to it.
            if node == top || forest.parent[n] != NONE {
                self.group[n] = number;
                while let Some(&(from, to)) = forest.down.0.get(edge)
                    && from <= node
                {
                    if from == node {
                        self.pending.push(to);
                    }
                    edge += 1;
                }
            }
            node += 1;
        }
    }
}

/// For every node, the nearest source that caused it or itself, or [`NONE`]: one breadth-first search from all sources.
/// Between sources at the same distance the one whose search comes first wins: those of earlier nodes.
pub(super) fn nearest_source(forest: &Forest, sources: &[u32]) -> Vec<u32> {
    let n_nodes = forest.parent.len();
    let mut nearest = vec![NONE; n_nodes];
    let mut hub_done = vec![false; forest.n_hubs as usize];
    let mut queue = sources.to_vec();
    for &source in sources {
        nearest[source as usize] = source;
    }
    let mut at = 0;
    while let Some(&node) = queue.get(at) {
        at += 1;
        let source = nearest[node as usize];
        let mut reach = |node: u32, queue: &mut Vec<u32>| {
            if let Some(slot @ &mut NONE) = nearest.get_mut(node as usize) {
                *slot = source;
                queue.push(node);
            }
        };
        let mut child = node + 1;
        while child < forest.end[node as usize] {
            if forest.parent[child as usize] == node {
                reach(child, &mut queue);
            }
            child = forest.end[child as usize];
        }
        for effect in forest.down.of(node) {
            match (effect as usize).checked_sub(n_nodes) {
                None => reach(effect, &mut queue),
                Some(hub) if !std::mem::replace(&mut hub_done[hub], true) => {
                    for consumer in forest.down.of(effect) {
                        reach(consumer, &mut queue);
                    }
                }
                Some(_) => {}
            }
        }
    }
    nearest
}
