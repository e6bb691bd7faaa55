//! Edges between the events that [`scan`](super::scan) found: the two ends of a context, a launch and its kernel, the iterations
//! of a loop.
//!
//! Takes what each line contributes, gives the forest and the roots. It must not look at stats: the scan has read them.

use rayon::prelude::*;

use super::forest::{Edges, Forest};
use super::scan::{ContextEnd, LineFacts, Scan, check_count};
use crate::Result;
use crate::xspace::XSpace;

/// From how many members on both sides a context is taken for noise.
const MAX_CONTEXT: usize = 64;

/// Connects the events of all lines. `parent` and `end` are the nesting on each line.
pub(super) fn connect(
    scan: &mut Scan,
    space: &XSpace,
    facts: Vec<LineFacts>,
    parent: Vec<u32>,
    end: Vec<u32>,
) -> Result<()> {
    let mut all = LineFacts::default();
    for mut f in facts {
        all.roots.append(&mut f.roots);
        all.producers.append(&mut f.producers);
        all.consumers.append(&mut f.consumers);
        all.processes.append(&mut f.processes);
        all.get_next.append(&mut f.get_next);
        all.get_next_optional.append(&mut f.get_next_optional);
        all.input_ids.append(&mut f.input_ids);
        all.launches.append(&mut f.launches);
        all.kernels.append(&mut f.kernels);
        all.operations.append(&mut f.operations);
        all.eager.append(&mut f.eager);
    }
    let mut down = Vec::new();
    let processes: Vec<_> = all.processes.iter().map(|&(id, iter, node)| ((id, iter), node)).collect();
    for children in [all.get_next, all.get_next_optional] {
        let children: Vec<_> = children.into_iter().map(|(id, iter, node)| ((id, iter), node)).collect();
        connect_equal(processes.clone(), children, &mut down);
    }
    connect_equal(all.launches, all.kernels, &mut down);
    let n_hubs = connect_contexts(all.producers, all.consumers, parent.len(), &mut down)?;
    all.input_ids.sort_unstable();
    scan.loop_roots = loops(scan, space, all.processes, &all.input_ids, &mut down);
    let up = Edges::new(down.iter().map(|&(from, to)| (to, from)).collect());
    scan.forest = Forest { parent, end, down: Edges::new(down), up, n_hubs };
    scan.roots = all.roots;
    scan.input_ids = all.input_ids;
    scan.executions = all.operations;
    scan.eager = all.eager;
    Ok(())
}

/// The first event of each iteration of each executor that has more iterations than number 0, by begin.
/// The other events of the iteration become its effects.
fn loops(
    scan: &Scan,
    space: &XSpace,
    mut processes: Vec<(i64, i64, u32)>,
    input_ids: &[i64],
    down: &mut Vec<(u32, u32)>,
) -> Vec<u32> {
    let begin_ps = |node: u32| scan.event(space, node).begin_ps();
    processes.retain(|(id, _, _)| input_ids.binary_search(id).is_err());
    processes.sort_by_key(|&(id, iter, node)| (id, iter, begin_ps(node)));
    let mut roots = Vec::new();
    for executor in processes.chunk_by(|a, b| a.0 == b.0) {
        if executor.iter().all(|&(_, iter, _)| iter == 0) {
            continue;
        }
        for iteration in executor.chunk_by(|a, b| a.1 == b.1) {
            if let Some((&(_, _, first), others)) = iteration.split_first() {
                roots.push(first);
                down.extend(others.iter().map(|&(_, _, other)| (first, other)));
            }
        }
    }
    roots.sort_by_key(|&node| begin_ps(node));
    roots
}

/// An edge to every child from the last parent with the same key.
fn connect_equal<K: Ord + Copy + Send>(
    mut parents: Vec<(K, u32)>,
    children: Vec<(K, u32)>,
    down: &mut Vec<(u32, u32)>,
) {
    parents.par_sort_by_key(|&(key, _)| key);
    for (key, child) in children {
        let behind = parents.partition_point(|&(k, _)| k <= key);
        if let Some(&(k, parent)) = behind.checked_sub(1).and_then(|i| parents.get(i))
            && k == key
        {
            down.push((parent, child));
        }
    }
}

/// Edges from all producers of a context to all its consumers; returns the number of hubs that were made for them.
fn connect_contexts(
    mut producers: Vec<ContextEnd>,
    mut consumers: Vec<ContextEnd>,
    n_nodes: usize,
    down: &mut Vec<(u32, u32)>,
) -> Result<u32> {
    producers.par_sort_unstable();
    consumers.par_sort_unstable();
    let mut n_hubs = 0u32;
    let mut rest = &consumers[..];
    for group in producers.chunk_by(|a, b| a.context == b.context) {
        let Some(context) = group.first().map(|end| end.context) else {
            continue;
        };
        // Both lists are sorted, and the next context is near.
        rest = &rest[rest.iter().take_while(|c| c.context < context).count()..];
        let same = &rest[..rest.iter().take_while(|c| c.context == context).count()];
        if same.is_empty() || (group.len() >= MAX_CONTEXT && same.len() >= MAX_CONTEXT) {
            continue;
        }
        if group.len() == 1 || same.len() == 1 {
            down.extend(group.iter().flat_map(|p| same.iter().map(move |c| (p.node, c.node))));
            continue;
        }
        check_count(n_nodes + n_hubs as usize + 1)?;
        let hub = n_nodes as u32 + n_hubs;
        n_hubs += 1;
        down.extend(group.iter().map(|p| (p.node, hub)));
        down.extend(same.iter().map(|c| (hub, c.node)));
    }
    Ok(n_hubs)
}
