//! Writes a report as the JSON of a `PreprocessResult` message: fields in the order of their numbers, defaults left out.

use super::blocks::{Block, Blocks, Content};
use super::program::{BufferFacts, Program, Source};
use super::report::{Object, Report, SMALL_BYTES, category, is_reusable};
use super::scoped::ScopedVmem;
use crate::answer::json::{Dialect, JsonWriter};
use crate::hlo::buffers::{Allocation, Assigned};
use crate::prep::gnu_sort;
use crate::{Error, Result};

/// A longer answer is refused, in bytes: call stacks are repeated for every array.
const MAX_ANSWER_BYTES: usize = 1 << 30;

/// Bytes as MiB.
fn mib(bytes: i128) -> f64 {
    bytes as f64 / (1 << 20) as f64
}

/// Writes the whole answer.
pub fn write(out: &mut Vec<u8>, program: &Program, report: &Report, scoped: ScopedVmem) -> Result<()> {
    let outline = &program.outline;
    let totals = &report.totals;
    let simulation = &report.simulation;
    let always = totals.indefinite_with_content;
    let objects = Objects::of(program, report)?;
    let mut json = Message::new(out);
    json.doubles("heapSizes", simulation.steps.iter().map(|step| mib(step.heap_bytes + always)));
    json.doubles("unpaddedHeapSizes", simulation.steps.iter().map(|step| mib(step.unpadded_bytes + always)));
    json.objects("maxHeap", &objects, 0..objects.by_size.len());
    json.objects("maxHeapBySize", &objects, objects.by_size.iter().copied());
    write_lifetimes(&mut json, program, report);
    json.ints("maxHeapToBySize", objects.to_by_size());
    json.ints("bySizeToMaxHeap", objects.by_size.iter().copied());
    json.text("moduleName", &outline.text(outline.name));
    json.text("entryComputationName", &outline.text(outline.entry_name));
    json.double("peakHeapMib", mib(simulation.peak_bytes + always));
    // parity: the reference adds what always lives with its padding.
    json.double("peakUnpaddedHeapMib", mib(simulation.peak_unpadded_bytes + always));
    json.int("peakHeapSizePosition", simulation.peak_position as i32);
    json.double("entryComputationParametersMib", mib(totals.entry_parameters));
    json.double("nonReusableMib", mib(totals.non_reusable));
    json.double("maybeLiveOutMib", mib(totals.maybe_live_out));
    write_indefinite(&mut json, program, report)?;
    json.double("totalBufferAllocationMib", mib(totals.all));
    json.double("indefiniteBufferAllocationMib", mib(totals.indefinite));
    json.texts("hloInstructionNames", simulation.steps.iter().map(|step| outline.text(step.instruction_name)));
    json.double("maxScopedVmemAllocationMib", mib(i128::from(scoped.bytes)));
    json.text("maxScopedVmemInstructionName", &outline.text(scoped.instruction_name));
    write_blocks(&mut json, program, report)?;
    json.end();
    Ok(())
}

fn check_size(n_bytes: usize) -> Result<()> {
    if n_bytes <= MAX_ANSWER_BYTES {
        return Ok(());
    }
    Err(Error::TooLarge { what: "the description of the module's memory".into(), limit: "1 GiB".into() })
}

/// The objects at the peak, each written once: both lists hold the same texts.
struct Objects {
    json: Vec<u8>,
    /// Ends of the objects in `json`.
    ends: Vec<usize>,
    /// Positions in the first list, the largest first.
    by_size: Vec<usize>,
}

impl Objects {
    fn of(program: &Program, report: &Report) -> Result<Self> {
        let (mut json, mut ends) = (Vec::new(), Vec::with_capacity(report.at_peak.len()));
        for (number, object) in report.at_peak.iter().enumerate() {
            write_object(&mut json, program, number as i32, object);
            ends.push(json.len());
            check_size(2 * json.len())?;
        }
        let mut by_size: Vec<usize> = (0..ends.len()).collect();
        let bytes = |at: &usize| report.at_peak[*at].bytes();
        gnu_sort::sort(&mut by_size, |a, b| bytes(a) > bytes(b));
        Ok(Self { json, ends, by_size })
    }

    fn text(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.json[start..self.ends[at]]
    }

    /// By position in the first list: the position in the second one.
    fn to_by_size(&self) -> Vec<usize> {
        let mut positions = vec![0; self.by_size.len()];
        for (by_size, &at) in self.by_size.iter().enumerate() {
            positions[at] = by_size;
        }
        positions
    }
}

fn write_object(out: &mut Vec<u8>, program: &Program, number: i32, object: &Object) {
    let mut json = Message::new(out);
    // One of two alternatives, so its default is written too.
    json.writer.key("numbered").int(number);
    match *object {
        Object::Buffer(at, bytes) => {
            let buffer = program.buffer(at);
            let facts = program.facts(at);
            let BufferFacts { instruction_name, shape, op_name, .. } = &facts;
            json.text("label", &format!("{instruction_name}: {shape} # {op_name}"));
            json.int("logicalBufferId", buffer.logical.id as i32);
            json.double("logicalBufferSizeMib", mib(i128::from(bytes)));
            json.double("unpaddedShapeMib", mib(i128::from(buffer.unpadded_bytes)));
            json.text("instructionName", &facts.name);
            json.text("shapeString", shape);
            json.text("tfOpName", op_name);
            json.text("groupName", category(&program.allocations[buffer.allocation as usize]));
            json.text("opCode", &facts.opcode);
            json.source("sourceInfo", &facts.source);
        }
        Object::Small(bytes) => {
            json.text("label", &format!("small (<{SMALL_BYTES} bytes)"));
            json.int("logicalBufferId", -1);
            json.double("logicalBufferSizeMib", mib(bytes));
        }
    }
    json.end();
}

/// By the ids of arrays, which the message has as 32 bits; of ids that become equal the last array counts.
fn write_lifetimes(json: &mut Message<'_>, program: &Program, report: &Report) {
    let with_lifetime = program.buffers.iter().zip(&report.simulation.lifetimes);
    let by_id = with_lifetime.filter_map(|(buffer, lifetime)| Some((buffer.logical.id as i32, (*lifetime)?)));
    let by_id: std::collections::BTreeMap<_, _> = by_id.collect();
    if by_id.is_empty() {
        return;
    }
    json.writer.key("logicalBufferSpans").begin_object();
    for (id, lifetime) in by_id {
        json.begin(&id.to_string());
        json.int("start", lifetime.start as i32);
        json.int("limit", lifetime.limit as i32);
        json.end();
    }
    json.writer.end_object();
}

fn write_indefinite(json: &mut Message<'_>, program: &Program, report: &Report) -> Result<()> {
    if report.indefinite(program).next().is_none() {
        return Ok(());
    }
    json.writer.key("indefiniteLifetimes").begin_array();
    for allocation in report.indefinite(program) {
        write_allocation(json, program, allocation);
        check_size(json.writer.n_bytes())?;
    }
    json.writer.end_array();
    Ok(())
}

fn write_allocation(json: &mut Message<'_>, program: &Program, allocation: &Allocation) {
    json.writer.begin_object();
    json.int64("id", allocation.index);
    json.double("sizeMib", mib(i128::from(allocation.size_bytes)));
    let attributes = [
        ("entry computation parameter", allocation.is_entry_parameter),
        ("may-be live out", allocation.maybe_live_out),
        ("reusable", is_reusable(allocation)),
    ];
    json.texts("attributes", attributes.into_iter().filter(|(_, holds)| *holds).map(|(name, _)| name));
    let mut common_shape: Option<String> = None;
    if !allocation.assigned.is_empty() {
        json.writer.key("logicalBuffers").begin_array();
        for assigned in &allocation.assigned {
            let shape = write_assigned(json, program, assigned);
            match &mut common_shape {
                Some(common) if *common != shape => common.clear(),
                Some(_) => {}
                first => *first = Some(shape),
            }
        }
        json.writer.end_array();
    }
    json.text("commonShape", &common_shape.unwrap_or_default());
    json.end();
}

/// Writes an array in an allocation and gives its shape, which is empty if the array is not known.
fn write_assigned(json: &mut Message<'_>, program: &Program, assigned: &Assigned) -> String {
    let buffer = program.find(assigned.buffer_id);
    let (hlo_name, shape) = buffer.map(|at| program.name_and_shape(at)).unwrap_or_default();
    json.writer.begin_object();
    json.int64("id", assigned.buffer_id);
    json.text("shape", &shape);
    json.double("sizeMib", mib(i128::from(assigned.size_bytes)));
    json.text("hloName", &hlo_name);
    json.int64s("shapeIndex", buffer.map_or(&[], |at| &program.buffer(at).logical.shape_index));
    json.end();
    shape
}

fn write_blocks(json: &mut Message<'_>, program: &Program, report: &Report) -> Result<()> {
    let Blocks { list: blocks, .. } = Blocks::of(program, report);
    if blocks.is_empty() {
        return Ok(());
    }
    json.writer.key("bufferBlocks").begin_array();
    for block in &blocks {
        write_block(json, program, block);
        check_size(json.writer.n_bytes())?;
    }
    json.writer.end_array();
    Ok(())
}

fn write_block(json: &mut Message<'_>, program: &Program, block: &Block) {
    let category = category(&program.allocations[block.allocation as usize]);
    let (id, facts, unpadded_bytes) = match block.content {
        Content::Allocation(_) => (-1, BufferFacts { name: category.into(), ..BufferFacts::default() }, 0),
        Content::Buffer(at) => {
            let buffer = program.buffer(at);
            (buffer.logical.id as i32, program.facts(at), buffer.unpadded_bytes)
        }
    };
    json.writer.begin_object();
    json.int("logicalBufferId", id);
    json.text("name", &facts.name);
    json.double("offset", block.offset_bytes as f64);
    json.double("size", block.size_bytes as f64);
    json.int("startStep", block.start as i32);
    json.int("endStep", block.end as i32);
    json.text("tfOpName", &facts.op_name);
    json.text("category", category);
    json.source("sourceInfo", &facts.source);
    json.text("shapeString", &facts.shape);
    json.double("unpaddedSize", unpadded_bytes as f64);
    json.text("color", &block.color);
    json.end();
}

/// Writes the fields of a message that have another value than their default.
struct Message<'a> {
    writer: JsonWriter<'a>,
}

impl<'a> Message<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        let mut writer = JsonWriter::new(out, Dialect::Proto);
        writer.begin_object();
        Self { writer }
    }

    fn begin(&mut self, key: &str) {
        self.writer.key(key).begin_object();
    }

    fn end(&mut self) {
        self.writer.end_object();
    }

    fn text(&mut self, key: &str, text: &str) {
        if !text.is_empty() {
            self.writer.key(key).string(text);
        }
    }

    fn int(&mut self, key: &str, value: i32) {
        if value != 0 {
            self.writer.key(key).int(value);
        }
    }

    fn int64(&mut self, key: &str, value: i64) {
        if value != 0 {
            self.writer.key(key).int64(value);
        }
    }

    fn double(&mut self, key: &str, value: f64) {
        if value != 0.0 {
            self.writer.key(key).double(value);
        }
    }

    fn list<T>(&mut self, key: &str, items: impl IntoIterator<Item = T>, mut one: impl FnMut(&mut JsonWriter<'a>, T)) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            return;
        }
        self.writer.key(key).begin_array();
        items.for_each(|item| one(&mut self.writer, item));
        self.writer.end_array();
    }

    fn doubles(&mut self, key: &str, values: impl Iterator<Item = f64>) {
        self.list(key, values, |writer, value| _ = writer.double(value));
    }

    fn ints(&mut self, key: &str, values: impl IntoIterator<Item = usize>) {
        self.list(key, values, |writer, value| _ = writer.int(value as i32));
    }

    fn int64s(&mut self, key: &str, values: &[i64]) {
        self.list(key, values, |writer, &value| _ = writer.int64(value));
    }

    fn texts<T: AsRef<str>>(&mut self, key: &str, texts: impl Iterator<Item = T>) {
        self.list(key, texts, |writer, text| _ = writer.string(text.as_ref()));
    }

    fn objects(&mut self, key: &str, objects: &Objects, order: impl Iterator<Item = usize>) {
        self.list(key, order, |writer, at| _ = writer.raw(objects.text(at)));
    }

    fn source(&mut self, key: &str, source: &Source) {
        if source.file.is_empty() {
            return;
        }
        self.begin(key);
        self.text("fileName", &source.file);
        self.int("lineNumber", source.line);
        self.text("stackFrame", &source.stack);
        self.end();
    }
}
