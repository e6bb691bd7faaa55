//! Which group led to which: a request to the batch that served it, say.
//!
//! Takes the forest and the group of every node, gives pairs of groups. An event that already had a number when a later
//! root reached it makes the later root's group a parent of its own.

use rayon::prelude::*;

use super::forest::{Forest, NONE};

/// So many nodes are worth a task of their own.
const MIN_NODES: usize = 1 << 16;

/// Pairs of a parent and a child, sorted, each once.
pub(super) fn relations(forest: &Forest, group: &[u32]) -> Vec<(u32, u32)> {
    let n_nodes = group.len();
    let group_of = |node: u32| group.get(node as usize).copied().unwrap_or(NONE);
    let pair = |parent, child| (parent != NONE && child != NONE && parent != child).then_some((parent, child));
    let nested = forest.parent.par_iter().zip(group).with_min_len(MIN_NODES);
    let mut pairs: Vec<(u32, u32)> = nested.filter_map(|(&parent, &child)| pair(group_of(parent), child)).collect();
    let mut add = |parent, child| pairs.extend(pair(parent, child));
    // Producers and consumers of a hub by their groups, so that their edges do not multiply.
    let mut hubs = vec![(Vec::new(), Vec::new()); forest.n_hubs as usize];
    for (from, to) in forest.down.iter() {
        match (hub_of(from, n_nodes), hub_of(to, n_nodes)) {
            (None, None) => add(group_of(from), group_of(to)),
            (None, Some(hub)) => hubs.get_mut(hub).into_iter().for_each(|h| h.0.push(group_of(from))),
            (Some(hub), _) => hubs.get_mut(hub).into_iter().for_each(|h| h.1.push(group_of(to))),
        }
    }
    for (mut parents, mut children) in hubs {
        for groups in [&mut parents, &mut children] {
            groups.sort_unstable();
            groups.dedup();
        }
        for parent in parents {
            children.iter().for_each(|child| add(parent, *child));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// The vertices behind the nodes are hubs.
fn hub_of(vertex: u32, n_nodes: usize) -> Option<usize> {
    (vertex as usize).checked_sub(n_nodes)
}

#[cfg(test)]
mod tests {
    use super::super::forest::Edges;
    use super::*;

    #[test]
    fn relates_groups_over_nesting_edges_and_hubs() {
        // Node 0 contains node 1; 2 → 3; nodes 0 and 2 lead to nodes 4 and 5 through hub 6.
        let forest = Forest {
            parent: vec![NONE, 0, NONE, NONE, NONE, NONE],
            end: vec![2, 2, 3, 4, 5, 6],
            down: Edges::new(vec![(0, 6), (2, 3), (2, 6), (6, 4), (6, 5)]),
            up: Edges::default(),
            n_hubs: 1,
        };
        let group = [10, 1, 11, 2, 3, NONE];
        assert_eq!(relations(&forest, &group), [(10, 1), (10, 3), (11, 2), (11, 3)]);
    }
}
