//! One pass over the events of each line that takes part in grouping: nesting, roots, contexts, kernels.

use rayon::prelude::*;

use super::connect::connect;
use super::forest::{self, Forest, NONE};
use crate::prep::event_type::{self, EventType};
use crate::prep::mix::mix_all;
use crate::prep::{context, planes};
use crate::xspace::schema::{line_names, plane_names};
use crate::xspace::{Event, Line, Plane, StatKind, StatValue, XSpace};
use crate::{Diag, Error, Result};

/// A line whose events are nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct NodeLine {
    pub plane: usize,
    pub line: usize,
    /// Node of its first event.
    pub base: u32,
    pub len: u32,
    /// Whether it is the line that groups a TPU plane.
    pub groups_tpu: bool,
}

/// One end of a context: events with equal ends are linked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContextEnd {
    /// Hash of the context's type, id and process: 16 bytes an end, of which there are millions.
    pub context: u64,
    pub node: u32,
}

/// What one line contributes.
#[derive(Debug, Default)]
pub(super) struct LineFacts {
    /// Level and node.
    pub roots: Vec<(i64, u32)>,
    pub producers: Vec<ContextEnd>,
    pub consumers: Vec<ContextEnd>,
    /// Id, iteration and node.
    pub processes: Vec<(i64, i64, u32)>,
    pub get_next: Vec<(i64, i64, u32)>,
    pub get_next_optional: Vec<(i64, i64, u32)>,
    pub input_ids: Vec<i64>,
    /// Correlation id and node.
    pub launches: Vec<(u64, u32)>,
    pub kernels: Vec<(u64, u32)>,
    pub operations: Vec<u32>,
    /// Node, and whether it runs a function, which is compiled.
    pub eager: Vec<(u32, bool)>,
}

/// All lines together.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub lines: Vec<NodeLine>,
    pub forest: Forest,
    /// Types of the metadata rows of every plane that is not a TPU's.
    pub types: Vec<Vec<EventType>>,
    /// Level and node.
    pub roots: Vec<(i64, u32)>,
    /// First event of each iteration of TensorFlow's loops, by begin.
    pub loop_roots: Vec<u32>,
    /// Ids of functions of the input pipeline, sorted.
    pub input_ids: Vec<i64>,
    /// Executions of kernels and operations, which are told whether they ran eagerly.
    pub executions: Vec<u32>,
    pub eager: Vec<(u32, bool)>,
}

impl Scan {
    /// Where a node is: index into `lines` and place on the line.
    pub(super) fn place(&self, node: u32) -> (&NodeLine, usize) {
        let at = self.lines.partition_point(|l| l.base <= node).saturating_sub(1);
        let line = &self.lines[at];
        (line, (node - line.base) as usize)
    }

    /// The event of a node.
    pub(super) fn event<'a>(&self, space: &'a XSpace, node: u32) -> Event<'a> {
        let (place, idx) = self.place(node);
        let plane = &space.planes[place.plane];
        Event { plane, line: &plane.lines[place.line], idx }
    }

    /// The type that the name of a node's event implies.
    pub(super) fn type_of(&self, space: &XSpace, node: u32) -> EventType {
        let (place, idx) = self.place(node);
        let row = space.planes[place.plane].lines[place.line].events.row(idx);
        self.types[place.plane].get(row as usize).copied().unwrap_or_default()
    }
}

/// The line that groups a TPU plane: its steps, else its modules.
pub(super) fn grouping_line(plane: &Plane) -> Option<usize> {
    let names = if planes::tensor_core(&plane.name).is_some() {
        [line_names::STEPS, line_names::XLA_MODULES]
    } else if planes::sparse_core(&plane.name).is_some() {
        [line_names::SPARSE_CORE_STEPS, line_names::SPARSE_CORE_MODULES]
    } else {
        return None;
    };
    names.iter().find_map(|name| plane.lines.iter().position(|l| *l.name == **name && !l.events.is_empty()))
}

/// Scans all lines that take part and connects them.
pub(super) fn scan(space: &XSpace, diag: &Diag) -> Result<Scan> {
    let types: Vec<Vec<EventType>> = space
        .planes
        .par_iter()
        .map(|p| if planes::is_tpu(&p.name) { Vec::new() } else { event_type::of_plane(p) })
        .collect();
    let (lines, n_nodes) = node_lines(space, can_cause(space, &types))?;
    let mut scan = Scan { lines, types, ..Scan::default() };
    let (mut parent, mut end) = (vec![NONE; n_nodes], vec![0; n_nodes]);
    let mut work = Vec::with_capacity(scan.lines.len());
    let (mut parent_rest, mut end_rest) = (&mut parent[..], &mut end[..]);
    for line in &scan.lines {
        let (p, rest) = parent_rest.split_at_mut(line.len as usize);
        parent_rest = rest;
        let (e, rest) = end_rest.split_at_mut(line.len as usize);
        end_rest = rest;
        work.push((line, p, e));
    }
    let facts: Vec<LineFacts> = work
        .into_par_iter()
        .map(|(place, parent, end)| {
            diag.check()?;
            let plane = &space.planes[place.plane];
            let line = &plane.lines[place.line];
            if place.groups_tpu {
                for (i, slot) in end.iter_mut().enumerate() {
                    *slot = place.base + i as u32 + 1;
                }
                return Ok(scan_tpu_plane(plane, place));
            }
            let has_async = line.stat_kinds.contains(StatKind::IsAsync);
            let is_async = |i| {
                has_async && line.event(plane, i).and_then(|e| e.stat(StatKind::IsAsync)).is_some_and(|v| v.int() != 0)
            };
            forest::nest(&line.events, place.base, is_async, parent, end);
            let facts = scan_line(plane, line, place.base, &scan.types[place.plane]);
            line.release();
            Ok(facts)
        })
        .collect::<Result<_>>()?;
    diag.check()?;
    connect(&mut scan, space, facts, parent, end)?;
    Ok(scan)
}

/// Whether some event can begin a group that reaches others, or is an execution that is told whether it ran eagerly.
/// Where none can, as in most traces of a TPU that serves, only the cores' own steps are nodes: there is nothing to link.
fn can_cause(space: &XSpace, types: &[Vec<EventType>]) -> bool {
    space.planes.iter().zip(types).any(|(plane, types)| {
        let has = |kind| plane.lines.iter().any(|line| line.stat_kinds.contains(kind));
        if planes::is_tpu(&plane.name) {
            return has(StatKind::ProducerId);
        }
        let is_host = *plane.name == *plane_names::HOST_CPU;
        has(StatKind::RootLevel) || (has(StatKind::CorrelationId) && !is_host) || types.iter().any(|t| t.can_cause())
    })
}

/// The lines whose events are nodes: of TPU planes the grouping line, of others all that have events, if `all` are wanted.
fn node_lines(space: &XSpace, all: bool) -> Result<(Vec<NodeLine>, usize)> {
    let mut lines = Vec::new();
    let mut n_nodes = 0usize;
    let mut push = |plane: usize, line: usize, len: usize, groups_tpu| {
        lines.push(NodeLine { plane, line, base: n_nodes as u32, len: len as u32, groups_tpu });
        n_nodes += len;
    };
    for (p, plane) in space.planes.iter().enumerate() {
        if planes::is_tpu(&plane.name) {
            if let Some(l) = grouping_line(plane) {
                push(p, l, plane.lines[l].events.len(), true);
            }
            continue;
        }
        for (l, line) in plane.lines.iter().enumerate().filter(|(_, l)| all && !l.events.is_empty()) {
            push(p, l, line.events.len(), false);
        }
    }
    check_count(n_nodes)?;
    Ok((lines, n_nodes))
}

/// Nodes are numbered by 32 bits.
pub(super) fn check_count(n: usize) -> Result<()> {
    if n < NONE as usize {
        return Ok(());
    }
    Err(Error::TooLarge { what: "the number of events to group".into(), limit: NONE.to_string() })
}

/// The stats of one event that say how it is connected.
#[derive(Debug, Default)]
struct Links {
    level: Option<i64>,
    correlation: Option<u64>,
    producer: (Option<i64>, Option<u64>),
    consumer: (Option<i64>, Option<u64>),
    process: Option<u64>,
    id: Option<i64>,
    iteration: Option<i64>,
    is_function: Option<bool>,
}

impl Links {
    /// The first stat of each kind counts, but one that preparation set replaces it.
    fn of(event: &Event<'_>) -> Self {
        let mut links = Self::default();
        event.each_stat(|kind, value| {
            let (int, number) = (value.int(), value.int_or_uint());
            match kind {
                StatKind::RootLevel => _ = links.level.get_or_insert(int),
                StatKind::CorrelationId => _ = links.correlation.get_or_insert(number),
                StatKind::ProducerType => _ = links.producer.0.get_or_insert(int),
                StatKind::ProducerId => _ = links.producer.1.get_or_insert(number),
                StatKind::ConsumerType => _ = links.consumer.0.get_or_insert(int),
                StatKind::ConsumerId => _ = links.consumer.1.get_or_insert(number),
                StatKind::EventProcessId => _ = links.process.get_or_insert(number),
                StatKind::Id => _ = links.id.get_or_insert(int),
                StatKind::IterNum => _ = links.iteration.get_or_insert(int),
                StatKind::IsFunc => _ = links.is_function.get_or_insert(int != 0),
                _ => {}
            }
        });
        links
    }
}

fn scan_line(plane: &Plane, line: &Line, base: u32, types: &[EventType]) -> LineFacts {
    let mut facts = LineFacts::default();
    let plane_process = process_of(plane);
    let is_host = *plane.name == *plane_names::HOST_CPU;
    for (idx, row) in line.events.rows().enumerate() {
        let node = base + idx as u32;
        let mut event_type = types.get(row as usize).copied().unwrap_or_default();
        if !line.is_marked(idx) && !event_type.has_facts() {
            continue;
        }
        let links = Links::of(&Event { plane, line, idx });
        if event_type == EventType::Unknown && links.correlation.is_some() {
            event_type = if is_host { EventType::KernelLaunch } else { EventType::KernelExecute };
        }
        facts.add_typed(event_type, &links, node);
        if let Some(level) = links.level.or((event_type == EventType::TraceContext).then_some(1)) {
            facts.roots.push((level, node));
        }
        facts.add_contexts(&links, plane_process, node);
    }
    facts
}

impl LineFacts {
    fn add_typed(&mut self, event_type: EventType, links: &Links, node: u32) {
        let iteration = || Some((links.id?, links.iteration?, node));
        let correlated = || links.correlation.map(|c| (c, node));
        match event_type {
            EventType::ExecutorProcess => self.processes.extend(iteration()),
            EventType::IteratorGetNext => self.get_next.extend(iteration()),
            EventType::IteratorGetNextAsOptional => self.get_next_optional.extend(iteration()),
            EventType::CapturedFunction => self.input_ids.extend(links.id),
            EventType::KernelLaunch => self.launches.extend(correlated()),
            EventType::KernelExecute => {
                self.kernels.extend(correlated());
                self.operations.push(node);
            }
            EventType::TfOpRun => self.operations.push(node),
            // An event that does not say it is one operation is taken for a compiled function.
            EventType::EagerExecute => self.eager.push((node, links.is_function.unwrap_or(true))),
            _ => {}
        }
    }

    /// The ends of contexts that an event holds. Equal ids of different processes are different contexts:
    /// a producer belongs to its plane's process, and a consumer may say to which process its producer belongs.
    /// Launches of TPU programs have ids that are unique across processes.
    /// `parity:` an event that is one end of a launch has no process at its other end either.
    fn add_contexts(&mut self, links: &Links, plane_process: Option<u64>, node: u32) {
        let is_launch = [links.producer.0, links.consumer.0].contains(&Some(context::TPU_LAUNCH));
        let end = |(context_type, id): (Option<i64>, Option<u64>), process: Option<u64>| {
            let process = process.filter(|_| !is_launch).map_or([0, 0], |process| [1, process]);
            Some(ContextEnd { context: mix_all(&[context_type? as u64, id?, process[0], process[1]]), node })
        };
        self.producers.extend(end(links.producer, plane_process));
        self.consumers.extend(end(links.consumer, links.process.or(plane_process)));
    }
}

fn process_of(plane: &Plane) -> Option<u64> {
    plane.stat(StatKind::ProcessId).map(StatValue::int_or_uint)
}

/// On a TPU plane only the grouping line has nodes; they stand in for the contexts of all other events.
/// `parity:` a root level means nothing there.
fn scan_tpu_plane(plane: &Plane, place: &NodeLine) -> LineFacts {
    let mut facts = LineFacts::default();
    let plane_process = process_of(plane);
    let grouping = &plane.lines[place.line];
    // Ends that grow with the index: the first event that ends behind a point is found by bisection.
    let mut reach_ps = 0;
    let reach: Vec<u64> = (0..grouping.events.len())
        .map(|i| {
            reach_ps = reach_ps.max(grouping.events.end_ps(i));
            reach_ps
        })
        .collect();
    for (l, line) in plane.lines.iter().enumerate() {
        if !line.stat_kinds.contains_any(&[StatKind::ProducerId, StatKind::ConsumerId]) {
            continue;
        }
        for event in line.marked(0..line.events.len()).filter_map(|idx| line.event(plane, idx)) {
            if l == place.line {
                facts.add_contexts(&Links::of(&event), plane_process, place.base + event.idx as u32);
                continue;
            }
            let at = reach.partition_point(|&r| r <= event.begin_ps());
            if at < reach.len()
                && grouping.events.begin_ps[at] <= event.begin_ps()
                && event.end_ps() <= grouping.events.end_ps(at)
            {
                facts.add_contexts(&Links::of(&event), plane_process, place.base + at as u32);
            }
        }
    }
    facts
}
