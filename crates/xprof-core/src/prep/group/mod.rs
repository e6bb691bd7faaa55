//! Groups events into steps: finds roots, numbers them, and gives their number to everything they caused.
//!
//! Takes all planes, fills [`Line::groups`] and adds `step_name` and `is_eager` to events.
//! Hosts and GPUs are grouped through a forest of events ([`scan`], [`forest`]); a TPU plane through the one line that
//! holds its steps ([`tpu`]); what a GPU ran without a known cause by its place in time ([`gpu`]).
//! It must not ask what a step costs.

mod connect;
mod forest;
mod gpu;
mod relations;
mod scan;
mod tpu;

use bytestring::ByteString;
use rustc_hash::FxHashMap;

use self::forest::{Ancestors, NONE, Numbering};
pub(in crate::prep) use self::gpu::STEPS_LINE_ID;
use self::scan::{NodeLine, Scan};
use super::{event_type, planes};
use crate::xspace::{AddedValue, Event, Line, NO_GROUP, Plane, StatKind, StatValue, XSpace};
use crate::{Diag, Result};

/// The groups of one host: what belongs to one step, training iteration or request.
#[derive(Debug, Default)]
pub struct Groups {
    names: Vec<ByteString>,
    /// Parent and child, sorted.
    relations: Vec<(u32, u32)>,
}

impl Groups {
    /// The groups that a group led to, ascending: the batches that served a request, say.
    pub fn children(&self, group_id: i64) -> impl Iterator<Item = i64> + '_ {
        let parent = u32::try_from(group_id).unwrap_or(NONE);
        let first = self.relations.partition_point(|r| r.0 < parent);
        self.relations[first..].iter().take_while(move |r| r.0 == parent).map(|r| i64::from(r.1))
    }

    /// How many there are; their ids are the numbers below this.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Name of a group, such as `train 100`; empty if there is no such group.
    pub fn name(&self, group_id: i64) -> &str {
        self.shared_name(group_id).map_or("", |n| n)
    }

    fn shared_name(&self, group_id: i64) -> Option<&ByteString> {
        usize::try_from(group_id).ok().and_then(|i| self.names.get(i))
    }

    /// Roughly the bytes of memory held.
    pub(super) fn weight(&self) -> usize {
        self.names.iter().map(|n| n.len() + size_of::<ByteString>()).sum::<usize>() + self.relations.len() * 8
    }
}

/// Groups the events of a trace that is not grouped yet.
pub(super) fn run(space: &mut XSpace, diag: &Diag) -> Result<Groups> {
    let mut groups = Groups::default();
    // `parity:` loops of TensorFlow inside a graph cannot be told from steps, so such a trace has no groups at all.
    if !space.planes.iter().any(event_type::has_loops) {
        let scan = scan::scan(space, diag)?;
        let mut named_roots = Vec::new();
        let numbers = number(space, &scan, &mut groups, &mut named_roots);
        groups.relations = relations::relations(&scan.forest, &numbers);
        diag.check()?;
        let eager = eager_stats(&scan);
        store(space, &scan, &numbers, &groups, named_roots, &eager);
        diag.check()?;
        tpu::run(space, &scan.lines, &numbers, &groups, diag)?;
    }
    gpu::run(space, &groups, diag)?;
    Ok(groups)
}

/// A root whose event shows the name of its group, and the group.
type NamedRoot = (u32, u32);

/// Numbers all nodes; gives the group of each.
fn number(space: &XSpace, scan: &Scan, groups: &mut Groups, named_roots: &mut Vec<NamedRoot>) -> Vec<u32> {
    let mut numbering = Numbering::new(&scan.forest);
    let mut ancestors = Ancestors::new(&scan.forest);
    if scan.loop_roots.is_empty() {
        number_levels(space, scan, &mut numbering, &mut ancestors, groups, named_roots);
    } else {
        for &root in &scan.loop_roots {
            if numbering.group[root as usize] == NONE {
                accept(space, scan, root, &mut numbering, &mut ancestors, groups, named_roots);
            }
        }
    }
    number_cores(space, scan, &mut numbering, groups);
    numbering.group
}

/// Makes a group of each outermost root of a level, higher levels first, earlier roots first.
fn number_levels(
    space: &XSpace,
    scan: &Scan,
    numbering: &mut Numbering<'_>,
    ancestors: &mut Ancestors<'_>,
    groups: &mut Groups,
    named_roots: &mut Vec<NamedRoot>,
) {
    let level_of: FxHashMap<u32, i64> = scan.roots.iter().map(|&(level, node)| (node, level)).collect();
    let mut roots = scan.roots.clone();
    roots.sort_by_cached_key(|&(level, node)| (std::cmp::Reverse(level), scan.event(space, node).begin_ps()));
    for (level, root) in roots {
        // Everything that a numbered root caused is numbered: only an unnumbered root can have an unnumbered ancestor.
        if numbering.group[root as usize] != NONE || is_input(space, scan, root) {
            continue;
        }
        let same_level = |node: u32| (node != root && level_of.get(&node) == Some(&level)).then_some(());
        if ancestors.nearest(root, same_level).is_none() {
            accept(space, scan, root, numbering, ancestors, groups, named_roots);
        }
    }
}

/// Whether the event belongs to a function of the input pipeline, which runs ahead of the step that it feeds.
fn is_input(space: &XSpace, scan: &Scan, node: u32) -> bool {
    !scan.input_ids.is_empty()
        && scan.event(space, node).stat(StatKind::Id).is_some_and(|id| scan.input_ids.binary_search(&id.int()).is_ok())
}

fn accept(
    space: &XSpace,
    scan: &Scan,
    root: u32,
    numbering: &mut Numbering<'_>,
    ancestors: &mut Ancestors<'_>,
    groups: &mut Groups,
    named_roots: &mut Vec<NamedRoot>,
) {
    let number = groups.names.len() as u32;
    let (place, _) = scan.place(root);
    let is_implicit = place.groups_tpu || scan.type_of(space, root).is_implicit_root();
    groups.names.push(group_name(space, scan, ancestors, root, number, is_implicit).into());
    if !is_implicit {
        named_roots.push((root, number));
    }
    numbering.propagate(root, number);
}

/// `<graph type or event name> <iteration, step or group number>`, each from the root or its nearest ancestor.
fn group_name(
    space: &XSpace,
    scan: &Scan,
    ancestors: &mut Ancestors<'_>,
    root: u32,
    number: u32,
    is_implicit: bool,
) -> String {
    let mut nearest = |kind| {
        // Most traces lack the stat altogether; then there is nothing to search.
        let known = space.planes.iter().any(|p| p.declares(kind));
        known.then(|| ancestors.nearest(root, |node| scan.event(space, node).stat(kind))).flatten()
    };
    let shown_number =
        nearest(StatKind::IterNum).or_else(|| nearest(StatKind::StepNum)).map_or(i64::from(number), StatValue::int);
    if let Some(graph) = nearest(StatKind::GraphType) {
        format!("{} {shown_number}", graph.text())
    } else if is_implicit {
        shown_number.to_string()
    } else {
        format!("{} {shown_number}", scan.event(space, root).name())
    }
}

/// The name of a group that begins with a core's own step: what its event says itself.
fn core_group_name(event: &Event<'_>, number: u32) -> ByteString {
    let stat = |kind| event.stat(kind);
    let shown_number =
        stat(StatKind::IterNum).or_else(|| stat(StatKind::StepNum)).map_or(i64::from(number), StatValue::int);
    match stat(StatKind::GraphType) {
        Some(graph) => format!("{} {shown_number}", graph.text()).into(),
        None => shown_number.to_string().into(),
    }
}

/// If nothing on the host led to a TensorCore, the cores' own steps are groups, in lock step:
/// the first of each core together, then the second of each, and so on.
fn number_cores(space: &XSpace, scan: &Scan, numbering: &mut Numbering<'_>, groups: &mut Groups) {
    let is_core = |l: &&NodeLine| l.groups_tpu && planes::tensor_core(&space.planes[l.plane].name).is_some();
    let nodes = |l: &NodeLine| l.base..l.base + l.len;
    let cores = || scan.lines.iter().filter(is_core);
    if cores().any(|l| nodes(l).any(|node| numbering.group[node as usize] != NONE)) {
        return;
    }
    let first = groups.names.len() as u32;
    for line in cores() {
        for (number, node) in (first..).zip(nodes(line)) {
            let name = core_group_name(&scan.event(space, node), number);
            match groups.names.get_mut(number as usize) {
                // `parity:` the last core names the group.
                Some(known) => *known = name,
                None => groups.names.push(name),
            }
            numbering.propagate(node, number);
        }
    }
}

/// For each execution of a kernel or operation, whether it was started eagerly.
fn eager_stats(scan: &Scan) -> Vec<(u32, bool)> {
    if scan.eager.is_empty() {
        return scan.executions.iter().map(|&node| (node, false)).collect();
    }
    let sources: Vec<u32> = scan.eager.iter().map(|&(node, _)| node).collect();
    let nearest = forest::nearest_source(&scan.forest, &sources);
    let is_eager = |node: u32| {
        let source = nearest[node as usize];
        scan.eager.binary_search_by_key(&source, |&(node, _)| node).is_ok_and(|at| !scan.eager[at].1)
    };
    scan.executions.iter().map(|&node| (node, is_eager(node))).collect()
}

/// Writes what was found to the lines of hosts and GPUs.
fn store(
    space: &mut XSpace,
    scan: &Scan,
    numbers: &[u32],
    groups: &Groups,
    mut named_roots: Vec<NamedRoot>,
    mut eager: &[(u32, bool)],
) {
    named_roots.sort_unstable();
    let mut named_roots = &named_roots[..];
    for place in &scan.lines {
        let end = place.base + place.len;
        let (named, rest) = named_roots.split_at(named_roots.partition_point(|r| r.0 < end));
        named_roots = rest;
        let (executed, rest) = eager.split_at(eager.partition_point(|e| e.0 < end));
        eager = rest;
        let plane = &mut space.planes[place.plane];
        if !place.groups_tpu {
            let numbers = &numbers[place.base as usize..end as usize];
            if numbers.iter().any(|&n| n != NONE) {
                let merged = merge_groups(plane, place.line, numbers);
                plane.lines[place.line].groups = Some(merged);
            }
        }
        let names = named.iter().filter_map(|&(node, group)| {
            let name = groups.shared_name(i64::from(group))?.clone();
            Some((node - place.base, StatKind::StepName, AddedValue::Str(name)))
        });
        let eager = executed
            .iter()
            .map(|&(node, is_eager)| (node - place.base, StatKind::IsEager, AddedValue::Int(is_eager.into())));
        plane.lines[place.line].add_stats(names.chain(eager).collect());
    }
}

/// The numbers, and the groups of the file where an event has no number.
fn merge_groups(plane: &Plane, line: usize, numbers: &[u32]) -> Vec<u32> {
    let line: &Line = &plane.lines[line];
    if !line.stat_kinds.contains(StatKind::GroupId) {
        return numbers.to_vec();
    }
    let of_file = |event: Event<'_>| event.group_id().and_then(|id| u32::try_from(id).ok());
    line.events(plane)
        .zip(numbers)
        .map(|(event, &number)| if number == NONE { of_file(event).unwrap_or(NO_GROUP) } else { number })
        .collect()
}
