//! Derived lines of a GPU: for each stream its modules, HLO instructions, framework ops, name scopes and source lines.
//!
//! Takes the kernels of a stream in the order of time. What a kernel executes is told by its HLO instruction, which is
//! looked up in the trace's HLO modules, or by the name of its framework op.

use smallvec::SmallVec;

use super::launches::LaunchTable;
use super::levels::{Item, Levels, Pause};
use super::names::{Interned, Names, OpRows};
use super::scopes::{Chain, Scopes};
use super::symbols::{Symbol, Symbols};
use super::{FIRST_ID, TimelineLine, TimelinePlane, tpu};
use crate::prep::time_order::in_time_order;
use crate::prep::{Groups, gnu_sort};
use crate::xspace::schema::line_names;
use crate::xspace::{AddedValue, Event, Line, Plane, StatKind};
use crate::{Diag, Result};

/// The first id of derived lines of streams, and how many of them there are for each stream and in all.
const FIRST_STREAM_LINE: i64 = 290;
const LINES_PER_STREAM: usize = 6;
const MAX_STREAMS: usize = 100 / LINES_PER_STREAM;
const CHECK_EVERY: usize = 1 << 16;
const COMMAND_BUFFERS: &str = "Command Buffers";

/// All lines of a GPU, which is the one of that number among all of its host.
pub(super) fn derive(
    plane: &Plane,
    device: u64,
    symbols: &Symbols<'_>,
    scopes: &Scopes,
    launches: &LaunchTable,
    groups: &Groups,
    diag: &Diag,
) -> Result<TimelinePlane> {
    let mut names = Names::new(plane);
    let streams = streams(plane);
    let mut derived = vec![launches.line(device, groups, &mut names)];
    for (number, &line) in streams.iter().enumerate() {
        derived.extend(derive_stream(plane, line, number, (symbols, scopes), &mut names, diag)?);
    }
    let mut shown = TimelinePlane::with_derived(plane, names, derived);
    for entry in &mut shown.lines {
        if let TimelineLine::Existing { line_idx, shown_id } = entry
            && let Some(number) = streams.iter().position(|s| s == line_idx)
        {
            *shown_id = shown_stream_id(number);
        }
    }
    Ok(shown)
}

/// Streams are shown under new ids, so that the derived lines of each one follow it.
fn shown_stream_id(number: usize) -> i64 {
    (1 + (LINES_PER_STREAM + 1) * number) as i64
}

/// The lines that are streams, in the order in which they are shown:
/// those for computation first, then those with more events; only so many as there are ids for.
fn streams(plane: &Plane) -> Vec<usize> {
    let mut streams: Vec<usize> = (0..plane.lines.len()).filter(|&l| !plane.lines[l].is_derived()).collect();
    let key = |l: usize| {
        let line = &plane.lines[l];
        (!line.name.contains("Compute"), std::cmp::Reverse(line.events.len()))
    };
    gnu_sort::sort(&mut streams, |&a, &b| key(a) < key(b));
    streams.truncate(MAX_STREAMS);
    streams
}

/// The stats of a kernel that derived lines are made of.
#[derive(Debug, Default, Clone, Copy)]
struct Kernel<'a> {
    has_details: bool,
    has_graph_exec: bool,
    graph: u64,
    correlation: Option<u64>,
    program: Option<u64>,
    scope: Option<i64>,
    hlo_op: Option<&'a [u8]>,
    hlo_module: &'a [u8],
    tf_op: &'a [u8],
}

impl<'a> Kernel<'a> {
    fn of(event: &Event<'a>) -> Self {
        let mut kernel = Self::default();
        // Not a `for` loop: iterating from inside is much faster here.
        event.stats().for_each(|stat| {
            let value = stat.value;
            match stat.kind {
                Some(StatKind::KernelDetails) => kernel.has_details = !value.text_bytes().is_empty(),
                Some(StatKind::CudaGraphExecId) => kernel.has_graph_exec = true,
                Some(StatKind::CudaGraphId) => kernel.graph = value.uint(),
                Some(StatKind::CorrelationId) => kernel.correlation = Some(value.int_or_uint()),
                Some(StatKind::ProgramId) => kernel.program = Some(value.int_or_uint()),
                Some(StatKind::ScopeRangeId) => kernel.scope = Some(value.int()),
                Some(StatKind::HloOp) => kernel.hlo_op = Some(value.text_bytes()),
                Some(StatKind::HloModule) => kernel.hlo_module = value.text_bytes(),
                Some(StatKind::TfOp) => kernel.tf_op = value.text_bytes(),
                _ => {}
            }
        });
        kernel
    }

    /// Tells on the last event of a line to which command buffer the kernel belongs.
    fn describe_graph(&self, line: &mut Levels) {
        line.set_stat(StatKind::CudaGraphId, AddedValue::Uint(self.graph));
        if let Some(correlation) = self.correlation {
            line.set_stat(StatKind::CorrelationId, AddedValue::Uint(correlation));
        }
    }
}

/// The rows of one HLO instruction of one module.
#[derive(Debug, Default)]
struct Rows {
    module: Option<u32>,
    hlo_ops: SmallVec<[u32; 2]>,
    op: Option<OpRows>,
    source: Option<u32>,
}

type Instruction<'a> = (Option<u64>, &'a [u8], Option<&'a [u8]>);

/// Looks up what an instruction is called. An instruction inside others is written `outer::inner`.
fn rows_of(key: &Instruction<'_>, symbols: &Symbols<'_>, names: &mut Names) -> Rows {
    let &(program, module, hlo_op) = key;
    let module = String::from_utf8_lossy(module);
    let mut rows = Rows::default();
    if !module.is_empty() {
        let shown = program.map_or_else(|| module.to_string(), |id| format!("{module}({id})"));
        rows.module = Some(names.row(shown, ""));
    }
    let Some(hlo_op) = hlo_op.map(String::from_utf8_lossy) else {
        return rows;
    };
    let owner = program.map_or_else(|| module.to_string(), |id| id.to_string());
    rows.hlo_ops = hlo_op.split("::").map(|op| names.row(format!("{owner}/{op}"), op)).collect();
    let innermost = hlo_op.rsplit("::").next().unwrap_or_default();
    let Symbol { op, source } = program.and_then(|id| symbols.find(id, innermost)).unwrap_or_default();
    rows.op = (!op.is_empty()).then(|| names.op(&op));
    rows.source = (!source.is_empty()).then(|| names.row(source, ""));
    rows
}

/// The derived lines of one stream.
struct StreamLines {
    scopes: Levels,
    ops: Levels,
    modules: Levels,
    hlo_ops: Levels,
    sources: Levels,
    buffers: Levels,
}

impl StreamLines {
    fn new(stream: &Line, number: usize) -> Self {
        let line = |place: usize, name: &str| {
            let id = FIRST_ID + FIRST_STREAM_LINE + (number * LINES_PER_STREAM + place) as i64;
            let mut line = Line::new(id, format!("{name} - from #{}", stream.id), stream.timestamp_ns);
            line.display_id = shown_stream_id(number) + 1 + place as i64;
            Levels::new(line, Pause::Any)
        };
        Self {
            scopes: line(0, line_names::FRAMEWORK_NAME_SCOPE),
            ops: line(1, line_names::FRAMEWORK_OPS),
            modules: line(2, line_names::XLA_MODULES),
            hlo_ops: line(3, line_names::XLA_OPS),
            sources: line(4, line_names::SOURCE),
            buffers: line(5, COMMAND_BUFFERS),
        }
    }

    fn add_op(&mut self, item: Item, op: &OpRows) {
        self.ops.add(item, &[op.op], &[]);
        if !op.scopes.is_empty() {
            self.scopes.add(item, &op.scopes, &[]);
        }
    }

    /// A module's execution is told by the outermost scope. Those of its instructions are known where there is one for each.
    fn add_instruction(&mut self, item: Item, kernel: &Kernel<'_>, rows: &Rows, scopes: &Scopes) {
        // `parity:` the scope of a kernel in a command buffer is not used.
        let chain = kernel.scope.filter(|_| kernel.graph == 0).map_or_else(Chain::new, |scope| scopes.chain(scope));
        if let Some(module) = rows.module
            && self.modules.add(item, &[module], &chain)
        {
            // Nothing of a module's execution goes on in the next one, except the line of source code.
            self.hlo_ops.close(0);
            self.ops.close(0);
            self.scopes.close(0);
        }
        if !rows.hlo_ops.is_empty() {
            let known = chain.len() == rows.hlo_ops.len();
            self.hlo_ops.add(item, &rows.hlo_ops, if known { &chain } else { &[] });
            if kernel.graph != 0 {
                kernel.describe_graph(&mut self.hlo_ops);
            }
        }
        if let Some(op) = &rows.op {
            self.add_op(item, op);
        }
        if let Some(source) = rows.source {
            self.sources.add(item, &[source], &[]);
        }
    }

    /// A command buffer is a graph of kernels that is launched as a whole, so its kernels share a correlation id.
    fn add_buffer(&mut self, item: Item, kernel: &Kernel<'_>, names: &mut Names) {
        let row = names.row(format!("Command Buffer {}", kernel.graph), "");
        self.buffers.add(item, &[row], kernel.correlation.map(|c| c as i64).as_slice());
        kernel.describe_graph(&mut self.buffers);
    }

    fn finish(self) -> [Line; LINES_PER_STREAM] {
        [self.scopes, self.ops, self.modules, self.hlo_ops, self.sources, self.buffers].map(Levels::finish)
    }
}

fn derive_stream(
    plane: &Plane,
    line_idx: usize,
    number: usize,
    (symbols, scopes): (&Symbols<'_>, &Scopes),
    names: &mut Names,
    diag: &Diag,
) -> Result<[Line; LINES_PER_STREAM]> {
    let stream = &plane.lines[line_idx];
    let mut lines = StreamLines::new(stream, number);
    if !stream.stat_kinds.contains_any(&[StatKind::KernelDetails, StatKind::CudaGraphExecId]) {
        return Ok(lines.finish());
    }
    let mut instructions: Interned<Instruction<'_>, Rows> = Interned::default();
    let mut tf_ops: Interned<&[u8], OpRows> = Interned::default();
    for (i, timed) in in_time_order(plane, &[line_idx], &[line_idx], |_| true).into_iter().enumerate() {
        if i.is_multiple_of(CHECK_EVERY) {
            diag.check()?;
        }
        let event = Event { plane, line: stream, idx: timed.idx as usize };
        let kernel = Kernel::of(&event);
        if !kernel.has_details && !kernel.has_graph_exec {
            continue;
        }
        let item = tpu::item(&event);
        if kernel.graph != 0 {
            lines.add_buffer(item, &kernel, names);
        }
        if kernel.hlo_op.is_some() || !kernel.hlo_module.is_empty() {
            let key = (kernel.program, kernel.hlo_module, kernel.hlo_op);
            let rows = instructions.get(key, |key| rows_of(key, symbols, names));
            lines.add_instruction(item, &kernel, rows, scopes);
        }
        if kernel.hlo_op.is_none() && !kernel.tf_op.is_empty() {
            let op = tf_ops.get(kernel.tf_op, |name| names.op(&String::from_utf8_lossy(name)));
            lines.add_op(item, op);
        }
    }
    Ok(lines.finish())
}
